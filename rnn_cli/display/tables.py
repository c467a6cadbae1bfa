"""Tables, bars and curves made of text."""

from __future__ import annotations

import codecs
import sys
from collections.abc import Sequence

from rnn_cli.display.screen import NARROW, columns_of
from rnn_cli.display.stdout import visible

FULL_BLOCK, EIGHTHS = "\u2588", " \u258f\u258e\u258d\u258c\u258b\u258a\u2589"
DOTTED_CIRCLE = "\u25cc"
BRAILLE = 0x2800
BLANKS = " " + chr(BRAILLE)
LABEL_WIDTH = len("-1.23e+98")
# The bit of each dot in a braille character, by its row from the top and its column.
DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))


def stdout_is_utf8() -> bool:
    """Say whether stdout can show blocks and braille."""
    try:
        return codecs.lookup(sys.stdout.encoding or "ascii").name == "utf-8"
    except LookupError:
        return False


def bars(rows: Sequence[tuple[str, float]], width: int = 80, *, ascii_only: bool | None = None) -> str:
    """Return a line for each (label, probability): the label, the percentage, and a bar that is full at 1.

    Lines have at most `width` columns, for characters of any width. `ascii_only` is about the bars, not the labels;
    by default it follows the encoding of stdout.
    """
    from rich.cells import cell_len, set_cell_size

    plain = not stdout_is_utf8() if ascii_only is None else ascii_only
    labels = [spaced(label) for label, _ in rows]
    label_width = min(max(map(cell_len, labels), default=0), width // 3)
    room = max(width - label_width - 11, 1)
    lines = []
    for label, (_, probability) in zip(labels, rows):
        bar = draw_bar(min(max(probability, 0.0), 1.0) * room, plain)
        lines.append(f"{set_cell_size(label, label_width)}  {probability:7.2%}  {bar}".rstrip())
    return "\n".join(lines)


def draw_bar(length: float, plain: bool) -> str:
    """Return a bar of `length` columns, rounded to whole columns in ASCII and to eighths of a column in blocks."""
    if plain:
        return "#" * round(length)
    whole, eighths = divmod(round(length * 8), 8)
    return FULL_BLOCK * whole + EIGHTHS[eighths]


def walk(steps: Sequence[tuple[str, str | None, float | None, Sequence[tuple[str, float]]]], width: int = 80) -> str:
    """Return a heading and a line for each (symbol read, next symbol, its probability, expected symbols).

    Lines have at most `width` columns; expected symbols that do not fit are left out.
    """
    from rich.cells import cell_len, set_cell_size

    rows = [("after", "came", "", ["expected"])]
    for read, came, probability, expected in steps:
        share = "" if probability is None else f"{probability:.2%}"
        guesses = [f"{spaced(label)} {chance:.0%}" for label, chance in expected]
        rows.append((spaced(read), "" if came is None else spaced(came), share, guesses))
    read_size = min(max(cell_len(row[0]) for row in rows), width // 5)
    came_size = min(max(cell_len(row[1]) for row in rows), width // 5)
    lines = []
    for read, came, share, guesses in rows:
        line = f"{set_cell_size(read, read_size)}  {set_cell_size(came, came_size)}  {share:>7}"
        for guess in guesses:
            if cell_len(line) + 2 + cell_len(guess) > width:
                break
            line += f"  {guess}"
        lines.append(line.rstrip())
    return "\n".join(lines)


def spaced(label: str) -> str:
    """Return a label that is visible and harmless: a combining mark alone gets a dotted circle as its base."""
    from rich.cells import cell_len

    label = visible(label)
    return DOTTED_CIRCLE + label if label and cell_len(label) == 0 else label


def key_values(rows: Sequence[tuple[str, object]]) -> str:
    """Return a line for each (name, value), with the values aligned.

    On a narrow terminal a value that does not fit beside its name is below it.
    """
    lines = [(visible(name), visible(str(value))) for name, value in rows]
    name_width = max((len(name) for name, _ in lines), default=0)
    columns = columns_of(sys.stdout) or NARROW
    if columns < NARROW and any(name_width + 2 + len(value) > columns for _, value in lines):
        return "\n".join(f"{name}\n  {value}".rstrip() for name, value in lines)
    return "\n".join(f"{name:{name_width}}  {value}".rstrip() for name, value in lines)


def curve(values: Sequence[float], width: int = 60, height: int = 6, *, ascii_only: bool | None = None) -> str:
    """Return a plot of the values, `width` columns by `height` lines, labelled with the extremes of the points.

    Values that are not finite, or beyond 1e99, are left out; without any, the plot is empty.
    `ascii_only` follows the encoding of stdout by default.
    """
    finite = [value for value in values if abs(value) < 1e99]  # false for NaN
    if not finite:
        return ""
    plain = not stdout_is_utf8() if ascii_only is None else ascii_only
    across, down = (1, 1) if plain else (2, 4)
    columns = max(width - LABEL_WIDTH - 1, 1)
    points = resample(finite, columns * across)
    low, high = min(points), max(points)
    span = max(high - low, 1e-99)
    rows = [round((high - point) / span * (height * down - 1)) for point in points]
    cells = [[0] * columns for _ in range(height)]
    for x, row in enumerate(rows):
        before = rows[x - 1] if x else row
        for y in {row, *range(before + 1, row), *range(row + 1, before)}:  # no gap to the previous point
            cells[y // down][x // across] |= 1 if plain else DOTS[y % 4][x % 2]
    lines = ["".join(" *"[cell] if plain else chr(BRAILLE + cell) for cell in line) for line in cells]
    labels = [f"{high:.3g}", *[""] * (height - 2), f"{low:.3g}"]
    return "\n".join(f"{label:>{LABEL_WIDTH}} {line}".rstrip(BLANKS) for label, line in zip(labels, lines))


def resample(values: Sequence[float], count: int) -> list[float]:
    """Return `count` values: means of equal parts if there are more, linear interpolation if there are fewer."""
    size = len(values)
    if size >= count:
        parts = [values[i * size // count : (i + 1) * size // count] for i in range(count)]
        return [sum(part) / len(part) for part in parts]
    points = []
    for i in range(count):
        position = i * (size - 1) / max(count - 1, 1)
        before = values[int(position)]
        after = values[min(int(position) + 1, size - 1)]
        points.append(before + (after - before) * (position % 1))
    return points


def confusion_table(labels: Sequence[str], counts: Sequence[Sequence[int]]) -> str:
    """Return a row for each actual label with the counts of the predicted labels, under a heading."""
    names = [visible(label) for label in labels]
    rows = [("actual \\ predicted", names), *((name, [f"{n:,}" for n in row]) for name, row in zip(names, counts))]
    first = max(len(name) for name, _ in rows)
    widths = [max(map(len, column)) for column in zip(*(row for _, row in rows))]
    return "\n".join(
        f"{name:{first}}  " + "  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths)) for name, row in rows
    )


def forecast_plot(
    title: str, past: Sequence[float], future: Sequence[float], times: tuple[str, str, str], width: int = 78
) -> str:
    """Return a plot of a series and its forecast on common axes, a bar between them, with times below.

    `times` are those of the first value, the last known one and the last forecast.
    """
    height, room = 8, width - LABEL_WIDTH - 4
    left = max(room * len(past) // (len(past) + len(future)), len(times[0]) + 1, 8)
    low, high = min([*past, *future]), max([*past, *future])
    rows = [[" "] * (room + 1) for _ in range(height)]
    span = max(high - low, 1e-99)
    for values, first, size, mark in ((past, 0, left, "*"), (future, left + 1, room - left, "o")):
        for column, value in enumerate(resample(values, size)):
            rows[round((high - value) / span * (height - 1))][first + column] = mark
    for row in rows:
        row[left] = "|"
    labels = [f"{high:.4g}", *[""] * (height - 2), f"{low:.4g}"]
    lines = [visible(title)]
    lines += [f"{label:>{LABEL_WIDTH}} {''.join(row)}".rstrip() for label, row in zip(labels, rows)]
    axis = f"{times[0]:<{left - len(times[1])}}{times[1]}"
    lines.append(" " * (LABEL_WIDTH + 1) + visible(f"{axis}{times[2]:>{room + 1 - len(axis)}}"))
    return "\n".join(lines)
