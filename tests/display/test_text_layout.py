"""Texts are broken between words, shown harmless, and each offset has its place on the screen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnn_cli.display.text_layout import TextLayout, columns_of, shown


def width(character):
    """Return the columns of a character, as terminals count them."""
    return 2 if character > "\u2e7f" else 0 if character == "\u0301" else 1


def rows(text, columns):
    layout = TextLayout(text, columns, width)
    return [text[start:end] for start, end in map(layout.row, range(len(layout)))]


@pytest.mark.parametrize(
    "text, found",
    [
        ("", [""]),
        ("the cat sat", ["the cat ", "sat"]),
        ("the cat\nsat\n", ["the cat", "sat", ""]),
        ("abcdefghijk", ["abcdefg", "hijk"]),
        ("abcdefg", ["abcdefg"]),
        ("abcdefg ", ["abcdefg ", ""]),
        ("abcdefg h", ["abcdefg ", "h"]),
        ("\u6f22\u5b57\u6f22\u5b57", ["\u6f22\u5b57\u6f22", "\u5b57"]),
        ("e\u0301" * 7, ["e\u0301" * 7]),
        ("\x1b[2J", ["\x1b[2J"]),
        ("a\x1b\x1bb", ["a\x1b", "\x1bb"]),
    ],
)
def test_rows_end_between_words(text, found):
    assert rows(text, 8) == found


def test_hidden_characters_are_shown_as_escapes():
    assert [shown(each) for each in "\x1b\u202e\x9b\t\x07a\ud800"] == [
        r"\x1b",
        r"\u202e",
        r"\x9b",
        "    ",
        r"\x07",
        "a",
        r"\ud800",
    ]


TEXTS = st.text(st.sampled_from("ab \n\t\u6f22\u0301\x1b"), max_size=60)


@given(text=TEXTS, columns=st.integers(2, 20))
def test_rows_are_the_whole_text_and_fit(text, columns):
    layout = TextLayout(text, columns, width)
    assert "\n".join(rows(text, columns)).replace("\n", "") == text.replace("\n", "")
    for number in range(len(layout)):
        start, end = layout.row(number)
        row = text[start:end]
        assert columns_of(row, width) <= columns or len(row.rstrip("\u0301")) == 1
    for offset in range(len(text) + 1):
        row, column = layout.place(offset)
        assert column < max(columns, 5)
        found = layout.offset(row, column)
        assert layout.place(found) == (row, column) or found <= offset
