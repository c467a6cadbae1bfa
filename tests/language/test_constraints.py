"""The table of what may follow: exactly UTF-8 for bytes, and nothing that is forbidden."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnn_cli.errors import UsageError
from rnn_cli.kernels.text.generate import FORBIDDEN
from rnn_cli.language.constraints import follow_table, state_after, unfinished
from rnn_cli.text.vocabulary import BOUNDARY, Vocabulary

BYTES = Vocabulary.of_bytes(lines=False)
TABLE = follow_table(BYTES)
# All edges of the ranges of UTF-8, and neighbours of them.
EDGES = [
    0x00,
    0x41,
    0x7F,
    0x80,
    0x8F,
    0x90,
    0x9F,
    0xA0,
    0xBF,
    0xC0,
    0xC1,
    0xC2,
    0xDF,
    0xE0,
    0xE1,
    0xEC,
    0xED,
    0xEE,
    0xEF,
]
EDGES += [0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xFF]


def path(data):
    """Return the state after bytes that follow each other as the table says, or None."""
    state = 0
    for symbol in BYTES.encode(data):
        state = int(TABLE[state, symbol])
        if state == FORBIDDEN:
            return None
    return state


def decodes(data):
    """Say whether bytes are UTF-8."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


@given(st.lists(st.sampled_from(EDGES), max_size=6).map(bytes))
def test_the_table_is_utf8(data):
    assert (path(data) == 0) == decodes(data)


def test_every_character_is_in_it_and_no_state_is_a_dead_end():
    for code in [*range(0, 0xD800, 97), *range(0xE000, 0x110000, 1009), 0x10FFFF]:
        assert path(chr(code).encode()) == 0
    assert (TABLE[:, 1:] != FORBIDDEN).any(axis=1).all()


@given(st.text(max_size=5), st.integers(0, 3))
def test_what_is_unfinished_is_found(text, cut):
    data = text.encode()
    data = data[: len(data) - cut]
    ids = BYTES.encode(data)
    count = unfinished(TABLE, ids)
    assert decodes(data[: len(data) - count])
    assert count < 4
    assert count == 0 or not decodes(data)
    assert state_after(TABLE, ids) == path(data)


@pytest.mark.parametrize("data, state", [(b"\xff", 0), (b"\x80\x80\x80\x80", 0), (b"\xe2\xff\xc3", 1), (b"\xe2A", 0)])
def test_a_state_is_found_after_what_is_no_utf8(data, state):
    assert state_after(TABLE, BYTES.encode(data)) == state


def test_the_end_comes_between_characters_in_line_mode_only():
    assert (TABLE[:, BOUNDARY] == FORBIDDEN).all()
    lines = follow_table(Vocabulary.of_bytes(lines=True))
    assert (lines[:, BOUNDARY] == FORBIDDEN).tolist() == [False] + [True] * 7


@pytest.mark.parametrize("valid_utf8", [False, True])
def test_no_newline_stands_in_a_line_of_bytes(valid_utf8):
    newline = 1 + ord("\n")
    for lines in (False, True):
        table = follow_table(Vocabulary.of_bytes(lines), valid_utf8=valid_utf8)
        assert (table[0, newline] == FORBIDDEN) == lines
        assert (table[0, newline + 1] == FORBIDDEN) is np.False_


def test_forbidden_characters():
    table = follow_table(Vocabulary("abc", lines=True), "b?\n")
    assert (table[0] == FORBIDDEN).tolist() == [False, False, True, False]
    table = follow_table(BYTES, "b\n")
    assert np.flatnonzero((table != TABLE).any(axis=0)).tolist() == sorted(BYTES.encode("b\n").tolist())


@pytest.mark.parametrize(
    "vocabulary, forbidden",
    [(Vocabulary("ab", lines=True), "ba"), (Vocabulary("a", lines=False), "a"), (BYTES, "\u00e9")],
)
def test_what_cannot_be_forbidden_is_refused(vocabulary, forbidden):
    with pytest.raises(UsageError, match="`forbid`"):
        follow_table(vocabulary, forbidden)
