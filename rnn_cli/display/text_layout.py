"""A text in rows of a terminal: broken between words, with harmless characters, and where each offset is."""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from collections.abc import Callable
from functools import lru_cache

TAB = "    "
ESCAPED = {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"}
JOINERS = "\u200c\u200d"

Width = Callable[[str], int]


@lru_cache(maxsize=4096)
def shown(character: str) -> str:
    """Return what the screen shows for a character: an escape for one that controls it, or of which no width is known.

    These are controls, formats, separators of lines, private and unassigned code points. The joiner and the non-joiner
    are formats that many scripts need.
    """
    if character == "\t":
        return TAB
    escaped = unicodedata.category(character) in ESCAPED and character not in JOINERS
    return character.encode("unicode_escape").decode("ascii") if escaped else character


def columns_of(text: str, width: Width) -> int:
    """Return the columns that a text takes."""
    if text.isascii() and text.isprintable():
        return len(text)
    return sum(max(0, width(each)) for character in text for each in shown(character))


@lru_cache(maxsize=256)
def row_starts(line: str, columns: int, width: Width) -> tuple[int, ...]:
    """Return where the rows of a line begin. A blank after a full row hangs over its end; the next row follows it."""
    starts, start = [0], 0
    while True:
        piece = line[start : start + columns]
        if piece.isascii() and piece.isprintable():
            end = start + len(piece)
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
    """The rows of a text on a screen of `columns`, the last of which is left to the cursor.

    A row is named by the offset of its start. Only the lines that are asked for are broken into rows.
    """

    def __init__(self, text: str, columns: int, width: Width) -> None:
        self.text, self._columns, self._width = text, max(1, columns - 1), width
        self._lines: dict[int, tuple[int, ...]] = {}  # the rows of each line, by its start

    def _rows(self, offset: int) -> tuple[int, ...]:
        """Return the starts of the rows of the line of an offset, and the end of the line."""
        start = self.text.rfind("\n", 0, offset) + 1
        if start not in self._lines:
            end = self.text.find("\n", start)
            line = self.text[start : end if end >= 0 else None]
            rows = (start + row for row in row_starts(line, self._columns, self._width))
            self._lines[start] = (*rows, start + len(line))
        return self._lines[start]

    def row(self, offset: int) -> tuple[int, int]:
        """Return where the row of an offset starts and ends, without its newline."""
        rows = self._rows(offset)
        number = bisect_right(rows, offset, hi=len(rows) - 1) - 1
        return rows[number], rows[number + 1]

    def below(self, row: int) -> int | None:
        """Return the row below a row, or None if it is the last one."""
        rows = self._rows(row)
        end = self.row(row)[1]
        if end < rows[-1] or row < rows[-2]:
            return end
        return end + 1 if end < len(self.text) else None

    def above(self, row: int) -> int | None:
        """Return the row above a row, or None if it is the first one."""
        return self.row(row - 1)[0] if row > 0 else None

    def column(self, offset: int) -> int:
        """Return the column of an offset in its row."""
        return columns_of(self.text[self.row(offset)[0] : offset], self._width)

    def offset(self, row: int, column: int) -> int:
        """Return the offset at or before a column of a row."""
        start, end = self.row(row)
        offset = start
        while offset < end and columns_of(self.text[start : offset + 1], self._width) <= column:
            offset += 1
        hanging = offset == end and offset > start and self.row(offset)[0] == offset
        return offset - hanging

    def moved(self, offset: int, rows: int) -> int:
        """Return the offset some rows below, or above if that is negative; the end or the start if there are fewer."""
        row, column = self.row(offset)[0], self.column(offset)
        for _ in range(abs(rows)):
            further = self.below(row) if rows > 0 else self.above(row)
            if further is None:
                return len(self.text) if rows > 0 else 0
            row = further
        return self.offset(row, column)

    def visible(self, top: int, cursor: int, height: int) -> list[int]:
        """Return the rows to show, `height` at most: those from the row of `top` on, or as near to it as the cursor is.

        The row of the cursor, and if there is room for them the ones above and below it, are among them.
        """
        here = self.row(cursor)[0]
        margin = min(1, (height - 1) // 2)
        lowest, highest = here, here  # rows that the first one must not be above, or below
        for distance in range(1, height):
            further = self.above(lowest)
            if further is None or distance > height - 1 - margin:
                break
            lowest = further
        for _ in range(margin):
            highest = highest if (further := self.above(highest)) is None else further
        rows = [min(max(self.row(min(top, len(self.text)))[0], lowest), highest)]
        while len(rows) < height and (following := self.below(rows[-1])) is not None:
            rows.append(following)
        return rows
