"""Follow tables: exactly UTF-8 for bytes, and no forbidden character."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnn_cli.errors import UsageError
from rnn_cli.kernels.text import generate
from rnn_cli.language.constraints import state_after, unfinished
from rnn_cli.text.codecs import BOUNDARY, FORBIDDEN, ByteCodec, CharacterCodec

BYTES = ByteCodec(False)
TABLE = BYTES.follow_table()
# The first and last bytes of the ranges of UTF-8, and their neighbours.
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
    """Return the state of the table after bytes, or None if it forbids one of them."""
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


def test_forbidden_equals_the_value_of_the_kernel():
    assert FORBIDDEN == generate.FORBIDDEN


@given(st.lists(st.sampled_from(EDGES), max_size=6).map(bytes))
def test_the_table_is_utf8(data):
    assert (path(data) == 0) == decodes(data)


def test_every_character_is_allowed_and_no_state_is_final():
    for code in [*range(0, 0xD800, 97), *range(0xE000, 0x110000, 1009), 0x10FFFF]:
        assert path(chr(code).encode()) == 0
    assert (TABLE[:, 1:] != FORBIDDEN).any(axis=1).all()


@given(st.text(max_size=5), st.integers(0, 3))
def test_unfinished_characters_are_found(text, cut):
    data = text.encode()
    data = data[: len(data) - cut]
    ids = BYTES.encode(data)
    count = unfinished(TABLE, ids)
    assert decodes(data[: len(data) - count])
    assert count < 4
    assert count == 0 or not decodes(data)
    assert state_after(TABLE, ids) == path(data)


@pytest.mark.parametrize("data, state", [(b"\xff", 0), (b"\x80\x80\x80\x80", 0), (b"\xe2\xff\xc3", 1), (b"\xe2A", 0)])
def test_there_is_a_state_after_invalid_utf8(data, state):
    assert state_after(TABLE, BYTES.encode(data)) == state


def test_a_text_ends_between_characters_in_line_mode_only():
    assert (TABLE[:, BOUNDARY] == FORBIDDEN).all()
    lines = ByteCodec(True).follow_table()
    assert (lines[:, BOUNDARY] == FORBIDDEN).tolist() == [False] + [True] * 7


@pytest.mark.parametrize("valid_utf8", [False, True])
def test_no_line_of_bytes_contains_a_newline(valid_utf8):
    newline = 1 + ord("\n")
    for lines in (False, True):
        table = ByteCodec(lines).follow_table(valid_utf8=valid_utf8)
        assert (table[0, newline] == FORBIDDEN) == lines
        assert (table[0, newline + 1] == FORBIDDEN) is np.False_


def test_forbidden_characters():
    table = CharacterCodec("abc", line_mode=True).follow_table("b?\n")
    assert (table[0] == FORBIDDEN).tolist() == [False, False, True, False]
    table = BYTES.follow_table("b\n")
    assert np.flatnonzero((table != TABLE).any(axis=0)).tolist() == sorted(BYTES.encode("b\n").tolist())


@pytest.mark.parametrize(
    "codec, forbidden",
    [(CharacterCodec("ab", line_mode=True), "ba"), (CharacterCodec("a", line_mode=False), "a"), (BYTES, "\u00e9")],
)
def test_characters_that_cannot_be_forbidden_are_refused(codec, forbidden):
    with pytest.raises(UsageError, match="`forbid`"):
        codec.follow_table(forbidden)
