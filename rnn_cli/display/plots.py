"""Curves in a terminal: braille dots, axes with units, and a letter for each curve."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import pairwise

from rnn_cli.display.screen import columns_of
from rnn_cli.display.stdout import visible
from rnn_cli.display.tables import BRAILLE, DOTS, stdout_is_utf8
from rnn_cli.inspect.axes import Axis, axes_of
from rnn_cli.inspect.runs import Panel

TALL, SHORT = 11, 5  # lines of the first panel and of the others, without their axes
WIDTH, LEAST_WIDTH = 79, 32
COLOURS = (36, 33, 32, 35, 34, 31)  # of ANSI: cyan first, which is legible on dark and on light
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def plot_width() -> int:
    """Return the columns for a plot on stdout."""
    return min(max((columns_of(sys.stdout) or WIDTH + 1) - 1, LEAST_WIDTH), 120)


def plot(panels: Sequence[Panel], width: int = WIDTH, *, colour: bool = False, ascii_only: bool | None = None) -> str:
    """Return panels, one below the other, in lines of at most `width` columns.

    Each curve ends at its letter. With `colour` it has a colour, too. `ascii_only` follows the encoding of stdout by
    default; then a curve is drawn with its letter.
    """
    plain = not stdout_is_utf8() if ascii_only is None else ascii_only
    drawn = [draw(panel, width, SHORT if index else TALL, colour, plain) for index, panel in enumerate(panels)]
    return "\n\n".join(drawn)


def draw(panel: Panel, width: int, height: int, colour: bool, plain: bool) -> str:
    """Return one panel: its title, a grid of cells with ticks on the left and below, and the legend."""
    x_axis, y_axis = axes_of(panel, max(2, width // 14), max(2, height // 2))
    margin = max(map(len, y_axis.labels), default=0)
    letters = len(panel.curves) > 1
    columns = max(width - margin - 2 - letters * (1 + len(panel.curves)), 8)
    cells = [[(" ", -1)] * columns for _ in range(height)]
    ends: dict[int, list[int]] = {}
    for index, curve in enumerate(panel.curves):
        down, across = (1, 1) if plain else (4, 2)
        dots = dots_of(curve.points, x_axis, y_axis, columns * across, height * down)
        marks: dict[tuple[int, int], int] = {}
        for x, y in dots:
            bit = 1 if plain else DOTS[y % 4][x % 2]
            marks[y // down, x // across] = marks.get((y // down, x // across), 0) | bit
        for (row, column), bits in marks.items():
            cells[row][column] = (LETTERS[index % 26] if plain else chr(BRAILLE + bits), index)
        ends.setdefault(dots[-1][1] // down, []).append(index)
    labels = {round((1 - share) * (height - 1)): label for share, label in zip(y_axis.tick_shares, y_axis.labels)}
    bar, corner, line, tick = ("|", "+", "-", "+") if plain else ("\u2502", "\u2514", "\u2500", "\u252c")
    lines = [visible(f"{panel.title}: {panel.y_label}")]
    for row, content in enumerate(cells):
        body = "".join(painted(character, index, colour) for character, index in content)
        tail = " " + "".join(painted(LETTERS[i % 26], i, colour) for i in ends.get(row, [])) if letters else ""
        lines.append(f"{labels.get(row, ''):>{margin}} {bar}{body}{tail}".rstrip())
    lines += ruler(x_axis, margin, columns, corner, line, tick)
    lines.append(" " * (margin + 2) + panel.x_title.center(columns).rstrip())
    if letters:
        for index, curve in enumerate(panel.curves):
            first, last = (f"{curve.points[end][1]:.3g}" for end in (0, -1))
            name = visible(curve.name)
            lines.append(f"{painted(LETTERS[index % 26], index, colour)} {name}: {first} to {last}")
    return "\n".join(lines)


def dots_of(
    points: Sequence[tuple[float, float]], x_axis: Axis, y_axis: Axis, width: int, height: int
) -> list[tuple[int, int]]:
    """Return the dots (x, y from the top) of the polyline through some points, in order."""
    places = [(round(x_axis.share(x) * (width - 1)), round((1 - y_axis.share(y)) * (height - 1))) for x, y in points]
    dots = [places[0]]
    for (x0, y0), (x1, y1) in pairwise(places):
        steps = max(abs(x1 - x0), abs(y1 - y0))
        dots += [(round(x0 + (x1 - x0) * i / steps), round(y0 + (y1 - y0) * i / steps)) for i in range(1, steps + 1)]
    return dots


def ruler(axis: Axis, margin: int, columns: int, corner: str, line: str, tick: str) -> list[str]:
    """Return the line of the x axis with its ticks, and the line of their labels."""
    marks, labels = [line] * columns, [" "] * (columns + margin + 8)
    free = 0
    for share, label in zip(axis.tick_shares, axis.labels):
        column = round(share * (columns - 1))
        start = max(margin + 2 + column - len(label) // 2, 0)
        marks[column] = tick
        if start >= free:
            labels[start : start + len(label)] = label
            free = start + len(label) + 2
    return [" " * (margin + 1) + corner + "".join(marks), "".join(labels).rstrip()]


def painted(character: str, index: int, colour: bool) -> str:
    """Return a character in the colour of a curve; -1 means that no curve passes there."""
    if not colour or index < 0:
        return character
    return f"\x1b[{COLOURS[index % len(COLOURS)]}m{character}\x1b[0m"
