"""The picture of the terminal in the README shows what the commands print."""

import html
import re
import runpy
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

DOCS = Path(__file__).parent.parent / "docs"


def lines_of(svg):
    """Return the lines of a picture, by their height in it."""
    rows = {}
    for text in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text"):
        rows[float(text.get("y"))] = rows.get(float(text.get("y")), "") + (text.text or "")
    return [html.unescape(rows[y]).replace("\xa0", " ").rstrip() for y in sorted(rows)]


def test_the_picture_is_what_the_commands_print(tmp_path):
    subprocess.run([sys.executable, DOCS / "picture.py", tmp_path / "new.svg"], check=True)
    old, new = (
        lines_of((folder / name).read_text("utf-8")) for folder, name in ((DOCS, "terminal.svg"), (tmp_path, "new.svg"))
    )
    commands = runpy.run_path(str(DOCS / "picture.py"))["COMMANDS"]
    for lines in (old, new):
        assert [line[2:] for line in lines if line.startswith("$ ")] == commands
        first, last = (lines.index(f"$ {command}") for command in commands[1:3])
        assert last - first == 1 + 6  # names
    figures = re.compile(r"[\d.,]+")
    same = {figures.sub("0", line) for line in old} & {figures.sub("0", line) for line in new}
    assert len(same) > len(old) / 2  # names, times and losses differ from machine to machine


def test_the_picture_fetches_nothing():
    svg = (DOCS / "terminal.svg").read_text("utf-8")
    assert set(re.findall(r"https?://[^\"'\s)<]+", svg)) <= {"http://www.w3.org/2000/svg", "https://www.textualize.io"}
