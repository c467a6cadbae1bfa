"""docs/tutorial.md as a notebook: made from the page, executed, and its outputs written back into the page.

In the page, a transcript (`console`) is a cell for each of its commands. A `python` block is a cell, and a `text` block
directly after it is what it prints. A `python` block after a comment that names a file is a quotation of that file.
"""

import os
import re
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import nbformat
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from traitlets.config import Config

ROOT = Path(__file__).parent.parent
PAGE, NOTEBOOK = ROOT / "docs" / "tutorial.md", ROOT / "docs" / "tutorial.ipynb"
CODE = re.compile(
    r"<!-- transcript -->\n```console\n(?P<transcript>.*?)```\n"
    r"|(?<!-->\n)```python\n(?P<python>.*?)```\n(?:\n```text\n(?P<output>.*?)```\n)?",
    re.DOTALL,
)
QUOTATION = re.compile(r"<!-- (\S+\.py) -->\n```python\n(.*?)```\n", re.DOTALL)
SETUP = """\
# Cells that begin with %%bash are commands for a terminal. This cell finds the program and the texts.
import os
import sys

os.environ["PATH"] += os.pathsep + os.path.dirname(sys.executable)
if not os.path.exists("corpora"):
    os.chdir("..")
"""
METADATA = {"kernelspec": {"name": "python3", "display_name": "Python 3"}, "language_info": {"name": "python"}}
NUMBER = re.compile(r"[-+]?\d[\d,]*\.?\d*(?:e[-+]?\d+)?")
ROUNDING = Decimal("1e-9")  # NumPy rounds differently on each kind of processor
BARS = re.compile(r"[\u2588-\u258f]+")


class Cell(NamedTuple):
    """A code cell, and what it prints."""

    source: str
    output: str


def commands_of(transcript):
    """Return (command, output) pairs. A command goes on in the next line after a backslash."""
    parts = re.split(r"^\$ ", transcript, flags=re.MULTILINE)[1:]
    return [tuple(re.split(r"(?<!\\)\n", part, maxsplit=1)) for part in parts]


def cells_of(match):
    """Return the cells of one block of the page."""
    if match["transcript"] is None:
        return [Cell(match["python"], match["output"] or "")]
    return [Cell(f"%%bash\n{command}\n", output) for command, output in commands_of(match["transcript"])]


def code_cells(page):
    """Return the code cells of the page, without the first one of the notebook."""
    return [cell for match in CODE.finditer(page) for cell in cells_of(match)]


def make_notebook(page):
    """Return the notebook of a page."""
    cells, position = [], 0
    for match in CODE.finditer(page):
        cells += [page[position : match.start()], *cells_of(match)]
        position = match.end()
    cells.append(page[position:])
    title, _, rest = cells[0].partition("\n## ")
    cells[:1] = [title, Cell(SETUP, ""), f"## {rest}"]
    notebook = new_notebook(metadata=METADATA)
    cells = [cell for cell in cells if "".join(cell).strip()]
    notebook.cells = [notebook_cell(cell, f"cell-{number}") for number, cell in enumerate(cells)]
    nbformat.validate(notebook)
    return notebook


def notebook_cell(cell, name):
    """Return a cell of a notebook: text, or code with its output."""
    if isinstance(cell, str):
        return new_markdown_cell(re.sub(r"<!-- \S+ -->\n", "", cell).strip(), id=name)
    outputs = [new_output("stream", name="stdout", text=cell.output)] if cell.output else []
    return new_code_cell(cell.source.rstrip(), outputs=outputs, id=name)


def execute(page, folder, environment):
    """Run the cells of a page in a folder. Returns what each prints on stdout. Raises CellExecutionError."""
    notebook = make_notebook(page)
    place = {"metadata": {"path": str(folder)}}
    with tempfile.TemporaryDirectory() as runtime:  # its path is short, as the names of sockets must be
        local = Config({"AsyncKernelManager": {"transport": "ipc", "ip": f"{runtime}/kernel"}})  # no open port
        jupyter = {"JUPYTER_RUNTIME_DIR": runtime, "IPYTHONDIR": runtime}
        with mock.patch.dict(os.environ, jupyter):
            client = NotebookClient(notebook, timeout=600, kernel_name="python3", resources=place, config=local)
            client.execute(env=environment | jupyter)
    codes = [cell for cell in notebook.cells if cell.cell_type == "code"][1:]
    return ["".join(out.text for out in cell.outputs if out.get("name") == "stdout") for cell in codes]


def assert_same(shown, found, same_bits):
    """Compare an output with the page: its words and numbers, to the last digit; only whether it is empty otherwise."""
    assert bool(found) == bool(shown), found
    if same_bits:
        assert len(found.splitlines()) == len(shown.splitlines()), found
        assert words_of(found) == words_of(shown), found
        for a, b in zip(NUMBER.findall(shown), NUMBER.findall(found)):
            exact, value = Decimal(a.replace(",", "")), Decimal(b.replace(",", ""))
            last_digit = Decimal(1).scaleb(exact.as_tuple().exponent)
            assert abs(exact - value) <= max(last_digit, ROUNDING), f"{a} {b}\n{found}"


def words_of(text):
    """Return a text without its numbers, bars and blanks."""
    return NUMBER.sub("0", BARS.sub("", text)).split()


def with_outputs(page, outputs):
    """Return the page with other outputs of its cells."""
    remaining = iter(outputs)

    def again(match):
        if match["transcript"] is not None:
            commands = [command for command, _ in commands_of(match["transcript"])]
            shown = "".join(f"$ {command}\n{next(remaining)}" for command in commands)
            return f"<!-- transcript -->\n```console\n{shown}```\n"
        output = next(remaining)
        return f"```python\n{match['python']}```\n" + (f"\n```text\n{output}```\n" if output else "")

    return CODE.sub(again, page)


def rewrite(folder, environment):
    """Run the page, write its outputs into it, and write the notebook."""
    page = PAGE.read_text("utf-8")
    page = with_outputs(page, execute(page, folder, environment))
    PAGE.write_text(page, "utf-8")
    NOTEBOOK.write_text(nbformat.writes(make_notebook(page)) + "\n", "utf-8")
