"""Codecs: every text decodes to itself, and unknown symbols and damaged descriptions are found."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnn_cli.errors import CheckpointError, UsageError
from rnn_cli.text.codecs import BOUNDARY, UNKNOWN, ByteCodec, CharacterCodec, codec_from_dict
from rnn_cli.text.codecs.characters import CHUNK

TEXTS = st.text(st.characters(codec="utf-8"))


@settings(deadline=None)
@given(TEXTS, st.booleans())
def test_characters_round_trip(text, line_mode):
    codec = CharacterCodec.of_texts(text, line_mode)
    ids = codec.encode(text)
    assert ids.dtype == np.int32
    assert codec.decode(ids) == text.encode()
    assert b"".join(codec.decode([symbol]) for symbol in ids) == text.encode()
    assert len(codec) == len(set(text) - ({"\n"} if line_mode else set())) + 1


@settings(deadline=None)
@given(st.binary(), st.booleans())
def test_bytes_round_trip(data, line_mode):
    codec = ByteCodec(line_mode)
    assert len(codec) == 257
    assert codec.decode(codec.encode(data)) == data


@settings(deadline=None)
@given(TEXTS, TEXTS, st.booleans())
def test_encode_is_a_lookup_of_each_character(known, text, line_mode):
    codec = CharacterCodec.of_texts(known, line_mode)
    table = {symbol: index for index, symbol in enumerate(codec.symbols, 1)}
    if line_mode:
        table["\n"] = BOUNDARY
    assert codec.encode(text).tolist() == [table.get(character, UNKNOWN) for character in text]


@settings(deadline=None)
@given(TEXTS, st.booleans())
def test_a_dictionary_makes_the_same_codec(text, line_mode):
    codec = CharacterCodec.of_texts(text + "x", line_mode)
    assert codec_from_dict(json.loads(json.dumps(codec.to_dict()))) == codec
    assert codec_from_dict(ByteCodec(line_mode).to_dict()) == ByteCodec(line_mode)


@settings(deadline=None)
@given(TEXTS, TEXTS)
def test_known_drops_the_unknown_symbols(known, text):
    codec = CharacterCodec.of_texts(known, False)
    ids = codec.known(codec.encode(text))
    assert ids.dtype == codec.dtype
    assert ids.tolist() == [symbol for symbol in codec.encode(text).tolist() if symbol != UNKNOWN]


@pytest.mark.parametrize("characters, dtype", [(1, np.uint8), (255, np.uint8), (256, np.uint16), (70_000, np.uint32)])
def test_symbols_take_as_few_bytes_as_they_can(characters, dtype):
    symbols = "".join(chr(0x20 + code if code < 0xD000 else 0xF000 + code) for code in range(characters))
    assert CharacterCodec.of_texts(symbols, False).dtype == dtype


def test_texts_longer_than_a_chunk():
    text = "ab" * CHUNK + "\u20ac\U0001f600"  # ends in characters beyond the first chunks' code points
    codec = CharacterCodec.of_texts([text, "z"], False)
    assert codec.symbols == "abz\u20ac\U0001f600"
    assert codec.decode(codec.encode(text)) == text.encode()


def test_symbols_are_sorted_by_code_point():
    codec = CharacterCodec.of_texts(["b\U0001f600", "a\uffffb"], False)
    assert codec.symbols == "ab\uffff\U0001f600"
    assert codec.kind == "characters"
    assert ByteCodec(True).kind == "bytes"


def test_an_extended_codec_keeps_its_symbols():
    codec = CharacterCodec.of_texts("bdf", False)
    grown = codec.extended_with(CharacterCodec.of_texts("gabc", False))
    assert grown.symbols == "bdfacg"
    assert grown.encode("bdf").tolist() == codec.encode("bdf").tolist()
    assert grown.decode(grown.encode("facad")) == b"facad"
    assert codec_from_dict(grown.to_dict()) == grown
    assert codec.extended_with(codec) == codec
    assert ByteCodec(True).extended_with(ByteCodec(True)) == ByteCodec(True)


def test_a_lone_surrogate_is_unknown():
    assert CharacterCodec.of_texts("ab", False).encode("a\ud800b").tolist() == [1, UNKNOWN, 2]


def test_a_codec_of_bytes_reads_strings_as_utf8():
    codec = ByteCodec(False)
    assert codec.encode("\u00e9").tolist() == [0xC3 + 1, 0xA9 + 1]
    with pytest.raises(TypeError):
        CharacterCodec.of_texts("ab", False).encode(b"ab")


def test_the_newline_is_the_boundary_in_line_mode_only():
    assert CharacterCodec.of_texts("a\nb", True).encode("a\nb").tolist() == [1, BOUNDARY, 2]
    assert ByteCodec(True).encode(b"\n").tolist() == [BOUNDARY]
    assert CharacterCodec.of_texts("a\nb", False).encode("a\nb").tolist() == [2, 1, 3]
    assert CharacterCodec.of_texts("a", False).decode([1, BOUNDARY, 1]) == b"aa"
    assert CharacterCodec.of_texts("a", True).decode([1, BOUNDARY, 1]) == b"a\na"


@pytest.mark.parametrize("text, framed", [("", [0]), ("ab", [0, 1, 2, 0]), ("ab\n", [0, 1, 2, 0]), ("\n", [0, 0])])
def test_frame_closes_each_line(text, framed):
    codec = CharacterCodec.of_texts("ab", True)
    assert codec.frame(codec.encode(text)).tolist() == framed


PIECES = st.lists(st.lists(st.text("ab\n", max_size=4), max_size=4), min_size=1, max_size=4)


@given(PIECES, st.booleans())
def test_frame_pieces_is_frame_of_whole_documents(documents, line_mode):
    codec = CharacterCodec.of_texts("ab\n", line_mode)
    pieces = [*codec.frame_pieces(map(codec.encode, parts) for parts in documents)]
    assert pieces[0].tolist() == [BOUNDARY]
    assert all(len(piece) for piece in pieces)
    whole = [codec.encode("".join(parts)) for parts in documents]
    assert np.concatenate(pieces).tolist() == codec.frame(*whole).tolist()


def test_frame_of_several_documents():
    documents = [np.array(ids, np.int32) for ids in ([1, 2], [], [3])]
    assert CharacterCodec("abc", line_mode=False).frame(*documents).tolist() == [0, 1, 2, 0, 0, 3]
    assert CharacterCodec("abc", line_mode=True).frame(*documents).tolist() == [0, 1, 2, 0, 3, 0]
    assert CharacterCodec("abc", line_mode=True).frame().tolist() == []


def test_frame_opens_a_stream():
    codec = CharacterCodec.of_texts("ab", False)
    assert codec.frame(codec.encode("ab")).tolist() == [0, 1, 2]
    assert codec.frame(np.array([1, 2], np.uint8)).dtype == np.uint8


def test_names_are_printable():
    codec = CharacterCodec.of_texts("\x07\t\n\r a\u00e9\u200b\u202e\U0001f600", False)
    names = [codec.name(symbol) for symbol in range(len(codec))]
    assert names[:6] == ["end", "U+0007", r"\t", r"\n", r"\r", "space"]
    assert names[6:] == ["a", "\u00e9", "U+200B", "U+202E", "\U0001f600"]
    assert all(name.isprintable() for name in names)


def test_names_of_bytes_are_ascii():
    codec = ByteCodec(False)
    names = [codec.name(byte + 1) for byte in (0x1F, 0x20, 0x41, 0x7F, 0xE9)]
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
    near = CharacterCodec.of_texts("\n abex\u00e9", False).nearest(character)
    assert near[0] == first
    assert len(near) == len(set(near)) == 5
    assert "\n" not in near


def test_nearest_excludes_the_character_itself():
    assert CharacterCodec.of_texts("ab", False).nearest("a") == ["b"]
    assert ByteCodec(False).nearest("a") == []


@pytest.mark.parametrize("line_mode, unknown, known", [(True, 0, 0), (False, UNKNOWN, 1)])
def test_newline_is_the_symbol_of_a_newline(line_mode, unknown, known):
    assert CharacterCodec("ab", line_mode).newline == unknown
    assert CharacterCodec.of_texts("a\nb", line_mode).newline == known


def test_ids_in_translates_between_codecs():
    codec, other = CharacterCodec("abc", True), CharacterCodec("cxa", True)
    assert codec.ids_in(other).tolist() == [BOUNDARY, 3, UNKNOWN, 1]
    assert ByteCodec(True).ids_in(ByteCodec(True)).tolist() == [*range(257)]
    for different in (CharacterCodec("abc", False), ByteCodec(True)):
        with pytest.raises(ValueError, match="alike"):
            codec.ids_in(different)
        with pytest.raises(ValueError, match="alike"):
            different.ids_in(codec)


def test_as_read_keeps_bytes_that_are_not_utf8():
    assert ByteCodec(False).as_read(b"a\xff") == b"a\xff"
    text = CharacterCodec("a", False).as_read(b"a\xff")
    assert CharacterCodec("a", False).encode(text).tolist() == [1, UNKNOWN]


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
        codec_from_dict(values)


def test_prompt_in_the_other_case_or_escaped_gets_a_hint():
    codec = CharacterCodec("abc\n", False)
    with pytest.raises(UsageError, match="it knows lower case: 'abc'; "):
        codec.encode_prompt("ABC")
    with pytest.raises(UsageError, match=r"a control character of \$'\\n'; "):
        codec.encode_prompt("a\\nb")
    with pytest.raises(UsageError) as caught:
        codec.encode_prompt("aX")
    assert "case" not in str(caught.value)
