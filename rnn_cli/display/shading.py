"""A text in which each symbol has a level: shaded on a terminal with colours, else above a line of marks."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence

from rnn_cli.display.screen import columns_of
from rnn_cli.display.stdout import visible

WIDTH = 80
# From low to high: darker, and bold and underlined in the end, so that it can be read without seeing colours.
SHADES = ("\x1b[0m", "\x1b[48;5;153;38;5;16m", "\x1b[48;5;75;38;5;16m", "\x1b[48;5;25;97;1m", "\x1b[48;5;17;97;1;4m")
MARKS = " .:+#"
RESET = "\x1b[0m"


def has_colours() -> bool:
    """Say whether stdout is a terminal with colours that are not turned off by NO_COLOR."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb" and not os.environ.get("NO_COLOR")


def shaded(pieces: Sequence[str], levels: Sequence[int], colour: bool | None = None) -> str:
    """Return a text of pieces with their levels, 0 to 4, broken at the width of the terminal.

    Without colours a line of marks is below each line of text: . is level 1, : 2, + 3 and # 4.
    """
    colour = has_colours() if colour is None else colour
    width = min(columns_of(sys.stdout) or WIDTH, 1000)
    lines = []
    for row in rows_of(pieces, levels, width):
        if colour:
            lines.append("".join(f"{SHADES[level]}{text}" if level else RESET + text for text, _, level in row) + RESET)
        else:
            lines.append("".join(text for text, _, _ in row).rstrip())
            lines.append("".join(MARKS[level] * columns for _, columns, level in row).rstrip())
    return "\n".join(lines)


def rows_of(pieces: Sequence[str], levels: Sequence[int], width: int) -> Iterator[list[tuple[str, int, int]]]:
    """Yield the lines of a text as (text, columns, level), with what is harmful or invisible escaped."""
    from rich.cells import cell_len

    row: list[tuple[str, int, int]] = []
    used = 0
    for piece, level in zip(pieces, levels):
        ends = piece.endswith("\n")
        text = visible(piece.removesuffix("\n")) + "\u21b5" * (ends and level > 0)
        columns = cell_len(text)
        if used + columns > width and row:
            yield row
            row, used = [], 0
        row.append((text, columns, level))
        used += columns
        if ends:
            yield row
            row, used = [], 0
    if row:
        yield row
