"""The tutorial shows what happens: its cells run in order, it quotes the real files, and the notebook is the page."""

import nbformat
import pytest
import tutorial_notebook as notebook
from test_docs import environment_of, make_folder

from rnn_cli.kernels.simd.cpu import VECTOR_BYTES

TEXT = notebook.PAGE.read_text("utf-8")
CELLS = notebook.code_cells(TEXT)
NAMES = [f"{number}-{cell.source.removeprefix('%%bash').strip().splitlines()[0]}" for number, cell in enumerate(CELLS)]
WIDTH = 64  # bytes of the vectors on which the outputs were made; other widths round differently


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """What the cells print."""
    folder = make_folder(tmp_path_factory.mktemp("tutorial"))
    return notebook.execute(TEXT, folder, environment_of(folder))


@pytest.mark.parametrize("number", range(len(CELLS)), ids=NAMES)
def test_a_cell_prints_what_the_page_shows(number, outputs):
    notebook.assert_same(CELLS[number].output, outputs[number], VECTOR_BYTES == WIDTH)


def test_the_notebook_is_the_page():
    """Otherwise: python tests/test_docs.py."""
    assert notebook.NOTEBOOK.read_text("utf-8") == nbformat.writes(notebook.make_notebook(TEXT)) + "\n"


def test_quoted_code_is_in_the_file():
    quotations = notebook.QUOTATION.findall(TEXT)
    assert len(quotations) == TEXT.count(".py -->") > 3
    for file, code in quotations:
        assert f"\n{code}" in "\n" + (notebook.ROOT / file).read_text("utf-8"), file


def test_a_changed_number_is_noticed():
    notebook.assert_same("loss 0.52  ██▏ n", "loss 0.53 █ n", same_bits=True)
    for changed in ("loss 0.54 n", "loss 0.52 m", "loss 0.52 n\n"):
        with pytest.raises(AssertionError):
            notebook.assert_same("loss 0.52 n", changed + "\n.", same_bits=True)
