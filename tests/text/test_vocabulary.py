"""Symbols: every text comes back as it was, and what is unknown or damaged is told apart."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnn_cli.errors import CheckpointError
from rnn_cli.text.vocabulary import BOUNDARY, CHUNK, UNKNOWN, Vocabulary

TEXTS = st.text(st.characters(codec="utf-8"))


@settings(deadline=None)
@given(TEXTS, st.booleans())
def test_characters_come_back(text, lines):
    vocabulary = Vocabulary.of_characters(text, lines)
    ids = vocabulary.encode(text)
    assert ids.dtype == np.int32
    assert vocabulary.decode(ids) == text.encode()
    assert b"".join(vocabulary.decode([symbol]) for symbol in ids) == text.encode()
    assert len(vocabulary) == len(set(text) - ({"\n"} if lines else set())) + 1


@settings(deadline=None)
@given(st.binary(), st.booleans())
def test_bytes_come_back(data, lines):
    vocabulary = Vocabulary.of_bytes(lines)
    assert len(vocabulary) == 257
    assert vocabulary.decode(vocabulary.encode(data)) == data


@settings(deadline=None)
@given(TEXTS, TEXTS, st.booleans())
def test_encode_is_a_lookup_of_each_character(known, text, lines):
    vocabulary = Vocabulary.of_characters(known, lines)
    table = {symbol: number for number, symbol in enumerate(vocabulary.symbols, 1)}
    if lines:
        table["\n"] = BOUNDARY
    assert vocabulary.encode(text).tolist() == [table.get(character, UNKNOWN) for character in text]


@settings(deadline=None)
@given(TEXTS, st.booleans())
def test_a_dictionary_makes_the_same_vocabulary(text, lines):
    vocabulary = Vocabulary.of_characters(text + "x", lines)
    assert Vocabulary.from_dict(json.loads(json.dumps(vocabulary.to_dict()))) == vocabulary
    assert Vocabulary.from_dict(Vocabulary.of_bytes(lines).to_dict()) == Vocabulary.of_bytes(lines)


@settings(deadline=None)
@given(TEXTS, TEXTS)
def test_encode_known_leaves_the_others_out(known, text):
    vocabulary = Vocabulary.of_characters(known, False)
    ids = vocabulary.encode_known(text)
    assert ids.dtype == vocabulary.dtype
    assert ids.tolist() == [symbol for symbol in vocabulary.encode(text).tolist() if symbol != UNKNOWN]


@pytest.mark.parametrize("characters, dtype", [(1, np.uint8), (255, np.uint8), (256, np.uint16), (70_000, np.uint32)])
def test_symbols_take_as_few_bytes_as_they_can(characters, dtype):
    symbols = "".join(chr(0x20 + code if code < 0xD000 else 0xF000 + code) for code in range(characters))
    assert Vocabulary.of_characters(symbols, False).dtype == dtype


def test_texts_longer_than_a_chunk():
    text = "ab" * CHUNK + "\u20ac\U0001f600"  # ends in characters beyond the first chunks' code points
    vocabulary = Vocabulary.of_characters([text, "z"], False)
    assert vocabulary.symbols == "abz\u20ac\U0001f600"
    assert vocabulary.decode(vocabulary.encode(text)) == text.encode()


def test_symbols_are_sorted_by_code_point():
    vocabulary = Vocabulary.of_characters(["b\U0001f600", "a\uffffb"], False)
    assert vocabulary.symbols == "ab\uffff\U0001f600"
    assert vocabulary.kind == "characters"
    assert Vocabulary.of_bytes(True).kind == "bytes"


def test_a_grown_vocabulary_keeps_its_numbers():
    vocabulary = Vocabulary.of_characters("bdf", False)
    grown = vocabulary.extended_with(Vocabulary.of_characters("gabc", False))
    assert grown.symbols == "bdfacg"
    assert grown.encode("bdf").tolist() == vocabulary.encode("bdf").tolist()
    assert grown.decode(grown.encode("facad")) == b"facad"
    assert Vocabulary.from_dict(grown.to_dict()) == grown
    assert vocabulary.extended_with(vocabulary) == vocabulary
    assert Vocabulary.of_bytes(True).extended_with(Vocabulary.of_bytes(True)) == Vocabulary.of_bytes(True)


def test_a_lone_surrogate_is_unknown():
    assert Vocabulary.of_characters("ab", False).encode("a\ud800b").tolist() == [1, UNKNOWN, 2]


def test_a_byte_vocabulary_reads_strings_as_utf8():
    vocabulary = Vocabulary.of_bytes(False)
    assert vocabulary.encode("\u00e9").tolist() == [0xC3 + 1, 0xA9 + 1]
    with pytest.raises(TypeError):
        Vocabulary.of_characters("ab", False).encode(b"ab")


def test_the_newline_is_the_boundary_in_line_mode_only():
    assert Vocabulary.of_characters("a\nb", True).encode("a\nb").tolist() == [1, BOUNDARY, 2]
    assert Vocabulary.of_bytes(True).encode(b"\n").tolist() == [BOUNDARY]
    assert Vocabulary.of_characters("a\nb", False).encode("a\nb").tolist() == [2, 1, 3]
    assert Vocabulary.of_characters("a", False).decode([1, BOUNDARY, 1]) == b"aa"
    assert Vocabulary.of_characters("a", True).decode([1, BOUNDARY, 1]) == b"a\na"


@pytest.mark.parametrize("text, framed", [("", [0]), ("ab", [0, 1, 2, 0]), ("ab\n", [0, 1, 2, 0]), ("\n", [0, 0])])
def test_frame_closes_each_line(text, framed):
    vocabulary = Vocabulary.of_characters("ab", True)
    assert vocabulary.frame(vocabulary.encode(text)).tolist() == framed


def test_frame_opens_a_stream():
    vocabulary = Vocabulary.of_characters("ab", False)
    assert vocabulary.frame(vocabulary.encode("ab")).tolist() == [0, 1, 2]
    assert vocabulary.frame(np.array([1, 2], np.uint8)).dtype == np.uint8


def test_names_are_printable():
    vocabulary = Vocabulary.of_characters("\x07\t\n\r a\u00e9\u200b\u202e\U0001f600", False)
    names = [vocabulary.name(symbol) for symbol in range(len(vocabulary))]
    assert names[:6] == ["end", "U+0007", r"\t", r"\n", r"\r", "space"]
    assert names[6:] == ["a", "\u00e9", "U+200B", "U+202E", "\U0001f600"]
    assert all(name.isprintable() for name in names)


def test_names_of_bytes_are_ascii():
    vocabulary = Vocabulary.of_bytes(False)
    names = [vocabulary.name(byte + 1) for byte in (0x1F, 0x20, 0x41, 0x7F, 0xE9)]
    assert names == ["0x1F", "space", "A", "0x7F", "0xE9"]


@pytest.mark.parametrize(
    "character, first",
    [
        ("A", "a"),
        ("\u00c9", "\u00e9"),
        ("\u00e8", "\u00e9"),
        ("E", "e"),
        ("\u00c5", "a"),
        ("y", "x"),
        ("\u00df", "\u00e9"),
    ],
)
def test_nearest_prefers_case_then_letter_then_code_point(character, first):
    near = Vocabulary.of_characters("\n abex\u00e9", False).nearest(character)
    assert near[0] == first
    assert len(near) == len(set(near)) == 5
    assert "\n" not in near


def test_nearest_leaves_out_the_character_itself():
    assert Vocabulary.of_characters("ab", False).nearest("a") == ["b"]
    assert Vocabulary.of_bytes(False).nearest("a") == []


@pytest.mark.parametrize(
    "values",
    [
        None,
        [],
        {},
        {"symbols": "ab"},
        {"symbols": "ab", "lines": True, "more": 1},
        {"symbols": "ab", "lines": 1},
        {"symbols": ["a", "b"], "lines": True},
        {"symbols": 7, "lines": True},
        {"symbols": "", "lines": True},
        {"symbols": "aa", "lines": True},
        {"symbols": "a\ud800", "lines": False},
        {"symbols": "\na", "lines": True},
    ],
)
def test_a_damaged_dictionary_is_refused(values):
    with pytest.raises(CheckpointError, match="the file is damaged"):
        Vocabulary.from_dict(values)
