"""Draw docs/terminal.svg, a terminal with what `rnn` prints: python docs/picture.py [FILE.svg].

The commands run, with the sources beside this file, and what they print is drawn as it is.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).parent.parent
WIDTH = 96  # characters
COMMANDS = [
    "rnn train corpora/stars.txt -m stars.safetensors --epochs 10 --hidden-size 128 --random-seed 1",
    "rnn sample -m stars.safetensors -n 6 --random-seed 5",
    "rnn complete Al -m stars.safetensors -n 4 --plain",
    "rnn export stars.safetensors --to html -o stars.html",
]


def output_of(command: str, folder: str) -> str:
    """Run a command and return what it prints, messages too."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
    words = [sys.executable, "-m", "rnn_cli", *command.split()[1:]]
    done = subprocess.run(
        words, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=True
    )
    return done.stdout.decode()


def picture() -> str:
    """Return the picture."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(ROOT / "corpora", Path(folder) / "corpora")
        for command in COMMANDS:
            console.print(Text.assemble(("$ ", "bold green"), (command, "bold")))
            console.print(Text(output_of(command, folder).rstrip("\n")))
    svg = console.export_svg(title="rnn", unique_id="rnn")
    # No font from elsewhere: the reader's own monospace one is good.
    svg = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL).replace("Fira Code, monospace", "monospace")
    return re.sub(r"[ \t]+$", "", svg, flags=re.MULTILINE)


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "terminal.svg"
    target.write_text(picture(), "utf-8")
