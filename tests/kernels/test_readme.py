"""The kernels keep to their rules: few parameters, and private names of Numba in one folder, which lists them."""

import ast
from pathlib import Path

import pytest

import rnn_cli

KERNELS = Path(rnn_cli.__file__).parent / "kernels"
FILES = sorted(KERNELS.rglob("*.py"))
MOST_PARAMETERS = 6
PRIVATE = (
    "_Cache",
    "_reduce",
    "_rebuild",
    "_optimize_final_module",
    "_finalize_final_module",
    "_finalized",
    "_nrt",
    "typeof_pyval",
)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(KERNELS).as_posix())
def test_no_kernel_has_many_parameters(file):
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef):
            names = [argument.arg for argument in node.args.args if argument.arg != "typingctx"]
            assert len(names) <= MOST_PARAMETERS, node.name
    assert "fmt: skip" not in file.read_text("utf-8")


def test_private_names_of_numba_are_listed():
    readme = (KERNELS / "compiler" / "README.md").read_text("utf-8")
    used = {file: file.read_text("utf-8") for file in FILES}
    for name in PRIVATE:
        assert name in readme
        assert any(name in text for text in used.values()), f"{name} is listed but not used"
        assert all(name not in text for file, text in used.items() if file.parent.name != "compiler")
