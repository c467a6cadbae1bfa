"""Tables with a heading, and numbers as bars on a log scale."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rnn_cli.display.stdout import visible
from rnn_cli.display.tables import draw_bar, stdout_is_utf8


def table(
    heading: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1, *, bars: bool = True, width: int = 80
) -> str:
    """Return rows under a heading; the first `left` columns begin at the left, and with `bars` the last one."""
    from rich.cells import cell_len, set_cell_size

    cells = [list(heading), *([visible(cell) for cell in row] for row in rows)]
    sizes = [max(cell_len(row[column]) for row in cells) for column in range(len(heading))]
    lines = []
    for row in cells:
        padded = [
            set_cell_size(cell, size)
            if column < left or (bars and column == len(row) - 1)
            else " " * (size - cell_len(cell)) + cell
            for column, (cell, size) in enumerate(zip(row, sizes))
        ]
        line = "  ".join(padded).rstrip()
        lines.append(line if cell_len(line) <= width else set_cell_size(line, width).rstrip())
    return "\n".join(lines)


def table_and_list(
    heading: Sequence[str],
    rows: Sequence[Sequence[str]],
    last: tuple[str, Sequence[Sequence[str]]],
    left: int = 1,
    width: int = 80,
) -> str:
    """Return a table whose last column has a heading, and lists: of each the items that fit into `width` columns."""
    from rich.cells import cell_len

    lines = table(heading, rows, left, bars=False, width=width).splitlines()
    margin = max(map(cell_len, lines))
    shown = []
    for line, items in zip(lines, [[last[0]], *last[1]]):
        line += " " * (margin - cell_len(line) + 1)
        for item in map(visible, items):
            if cell_len(line) + 1 + cell_len(item) > width:
                break
            line += f" {item}"
        shown.append(line.rstrip())
    return "\n".join(shown)


def log_bars(values: Sequence[float], width: int = 40) -> list[str]:
    """Return a bar for each value, whose length is its logarithm: full at the largest, a column at the smallest."""
    logs = [math.log10(max(value, 1e-300)) for value in values]
    low, high = min(logs), max(logs)
    plain = not stdout_is_utf8()
    return [draw_bar(1 + (each - low) / max(high - low, 1e-9) * (width - 1), plain) for each in logs]
