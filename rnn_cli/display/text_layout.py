"""A text in rows of a terminal: broken between words, with harmless characters, and where each offset is."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from functools import lru_cache

from rnn_cli.display.stdout import ALL_HIDDEN, visible

TAB = "    "

Width = Callable[[str], int]


def shown(character: str) -> str:
    """Return what the screen shows for a character."""
    return TAB if character == "\t" else visible(character) if ALL_HIDDEN.match(character) else character


def columns_of(text: str, width: Width) -> int:
    """Return the columns that a text takes."""
    if text.isascii() and text.isprintable():
        return len(text)
    return sum(max(0, width(each)) for character in text for each in shown(character))


@lru_cache(maxsize=4096)
def row_starts(line: str, columns: int, width: Width) -> tuple[int, ...]:
    """Return where the rows of a line begin. A blank after a full row hangs over its end; the next row follows it."""
    starts, start = [0], 0
    plain = line.isascii() and line.isprintable()
    while True:
        if plain:
            end = min(start + columns, len(line))
        else:
            end, used = start, 0
            while end < len(line) and (used := used + columns_of(line[end], width)) <= columns:
                end += 1
        if end == len(line):
            return tuple(starts)
        if line[end] == " ":
            end += 1
        else:
            blank = line.rfind(" ", start, end)
            end = blank + 1 if blank >= start else max(end, start + 1)
        starts.append(end)
        start = end


class TextLayout:
    """The rows of a text on a screen of `columns`, the last of which is left to the cursor."""

    def __init__(self, text: str, columns: int, width: Width) -> None:
        self.text, self._width = text, width
        self._starts: list[int] = []
        offset = 0
        for line in text.split("\n"):
            self._starts += [offset + start for start in row_starts(line, max(1, columns - 1), width)]
            offset += len(line) + 1

    def __len__(self) -> int:
        return len(self._starts)

    def row(self, number: int) -> tuple[int, int]:
        """Return where a row begins and ends in the text, without its newline."""
        start = self._starts[number]
        end = self._starts[number + 1] if number + 1 < len(self) else len(self.text)
        return start, end - (number + 1 < len(self) and self.text[end - 1] == "\n")

    def place(self, offset: int) -> tuple[int, int]:
        """Return the row and the column of an offset."""
        number = bisect_right(self._starts, offset) - 1
        return number, columns_of(self.text[self._starts[number] : offset], self._width)

    def offset(self, number: int, column: int) -> int:
        """Return the offset at or before a column of a row; the first or the last row if there is no such one."""
        number = min(max(number, 0), len(self) - 1)
        start, end = self.row(number)
        offset = start
        while offset < end and columns_of(self.text[start : offset + 1], self._width) <= column:
            offset += 1
        hanging = offset == end and number + 1 < len(self) and offset == self._starts[number + 1] and offset > start
        return offset - hanging
