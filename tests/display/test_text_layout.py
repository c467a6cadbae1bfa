"""Texts are broken between words, shown harmless, and each offset has its place on the screen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnn_cli.display.stdout import ALL_HIDDEN, visible
from rnn_cli.display.text_layout import TextLayout, columns_of, shown


def width(character):
    """Return the columns of a character, as terminals count them."""
    return 2 if character > "\u2e7f" else 0 if character == "\u0301" else 1


def rows(text, columns):
    layout = TextLayout(text, columns, width)
    return [text[slice(*layout.row(row))] for row in starts(layout)]


def starts(layout):
    """Return all rows of a layout, found from the first one down, and the same from the last one up."""
    found = [0]
    while (below := layout.below(found[-1])) is not None:
        found.append(below)
    up = [layout.row(len(layout.text))[0]]
    while (above := layout.above(up[-1])) is not None:
        up.append(above)
    assert up[::-1] == found
    return found


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


def test_all_that_is_hidden_elsewhere_is_escaped():
    for number in range(0x110000):
        if ALL_HIDDEN.match(chr(number)) and chr(number) != "\t":
            assert shown(chr(number)) == visible(chr(number))
    plain = "a \u00e9\u00a0\u3000\u0301\u0928\u093f\u200d\ufe0f\U0001f600"
    assert [shown(each) for each in plain] == list(plain)
    assert [shown(each) for each in "\u05c8\ue000\u00ad"] == [r"\u05c8", r"\ue000", r"\xad"]


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
    for row in rows(text, columns):
        assert columns_of(row, width) <= columns or len(row.rstrip("\u0301")) == 1
    for offset in range(len(text) + 1):
        row, column = layout.row(offset)[0], layout.column(offset)
        assert column < max(columns, 5)
        found = layout.offset(row, column)
        assert (layout.row(found)[0], layout.column(found)) == (row, column)


@given(text=TEXTS, top=st.integers(0, 70), height=st.integers(1, 6), data=st.data())
def test_the_cursor_is_visible(text, top, height, data):
    layout = TextLayout(text, 6, width)
    cursor = data.draw(st.integers(0, len(text)))
    found = layout.visible(top, cursor, height)
    all_rows = starts(layout)
    first, here = all_rows.index(found[0]), all_rows.index(layout.row(cursor)[0])
    assert found == all_rows[first : first + height]
    margin = min(1, (height - 1) // 2)
    assert first <= max(here - margin, 0)
    assert here < first + len(found)
    assert here + margin < first + len(found) or first + len(found) == len(all_rows)
    again = layout.visible(found[0], cursor, height)
    assert again == found  # no further than needed


def test_rows_up_and_down_keep_the_column():
    layout = TextLayout("the cat\n\nsat on the mat\nab", 8, width)
    place, seen = 5, []
    for _ in range(6):
        place = layout.moved(place, 1)
        seen.append(place)
    assert seen == [8, 9, 16, 24, 26, 26]
    assert layout.moved(2, -1) == 0
    assert layout.moved(9, 9) == len(layout.text)
