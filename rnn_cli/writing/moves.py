"""Where the cursor goes: functions of a text and an offset that return an offset."""

from __future__ import annotations

from collections.abc import Callable

from rnn_cli.text.graphemes import clusters

NEAR = 64  # characters among which the grapheme cluster at the cursor is looked for


def left(text: str, offset: int) -> int:
    """Return the start of the grapheme cluster before an offset."""
    found = list(clusters(text[max(0, offset - NEAR) : offset]))
    return offset - len(found[-1]) if found else offset


def right(text: str, offset: int) -> int:
    """Return the end of the grapheme cluster at an offset."""
    return offset + len(next(clusters(text[offset : offset + NEAR]), ""))


def word_left(text: str, offset: int) -> int:
    """Return the start of the word before an offset."""
    while offset > 0 and text[offset - 1].isspace():
        offset -= 1
    while offset > 0 and not text[offset - 1].isspace():
        offset -= 1
    return offset


def word_right(text: str, offset: int) -> int:
    """Return the end of the word at an offset or after it."""
    while offset < len(text) and text[offset].isspace():
        offset += 1
    while offset < len(text) and not text[offset].isspace():
        offset += 1
    return offset


def line_start(text: str, offset: int) -> int:
    """Return the start of the line."""
    return text.rfind("\n", 0, offset) + 1


def line_end(text: str, offset: int) -> int:
    """Return the end of the line."""
    end = text.find("\n", offset)
    return len(text) if end < 0 else end


def text_start(text: str, offset: int) -> int:
    """Return the start of the text."""
    return 0


def text_end(text: str, offset: int) -> int:
    """Return the end of the text."""
    return len(text)


def before(text: str, offset: int) -> int:
    """Return the offset of the character before: a mark is deleted without its letter, as it was typed."""
    return max(0, offset - 1)


MOVES: dict[str, Callable[[str, int], int]] = {
    move.__name__: move for move in (left, right, word_left, word_right, line_start, line_end, text_start, text_end)
}
DELETIONS: dict[str, Callable[[str, int], int]] = {  # up to where each deletes
    "backspace": before,
    "delete": right,
    "delete_word": word_left,
    "delete_before": line_start,
    "delete_after": line_end,
}
