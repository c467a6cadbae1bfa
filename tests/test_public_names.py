"""The public names import, and the examples that use them run."""

import ast
import textwrap
from pathlib import Path

import pytest

import rnn_cli

README = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
EXAMPLE = textwrap.dedent("    from rnn_cli" + rnn_cli.__doc__.partition("    from rnn_cli")[2])


@pytest.mark.parametrize("name", rnn_cli.__all__)
def test_a_public_name_imports(name):
    value = getattr(rnn_cli, name)
    assert value.__name__ == name
    assert value.__module__ == f"rnn_cli.{rnn_cli._HOMES[name]}"
    assert value.__doc__
    assert name in dir(rnn_cli)


def test_another_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'Tagger'"):
        rnn_cli.Tagger  # noqa: B018


def test_the_readme_imports_public_names():
    lines = [line for line in README.splitlines() if line.startswith("from rnn_cli")]
    assert lines
    for line in lines:
        (node,) = ast.parse(line).body
        assert node.module == "rnn_cli"
        assert {alias.name for alias in node.names} <= set(rnn_cli.__all__)


def test_the_example_of_the_package_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = [first + last for first in ("an", "bel", "car", "dor") for last in ("a", "e", "il", "on")]
    (tmp_path / "names.txt").write_text("\n".join(names))
    exec(compile(EXAMPLE.replace("epochs=40", "epochs=2"), "example", "exec"), {})
    assert rnn_cli.load_checkpoint("names.safetensors").codec.encode("anne").min() > 0
    assert len(capsys.readouterr().out.splitlines()) > 10
