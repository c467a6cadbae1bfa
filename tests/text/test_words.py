"""Words as symbols: texts come back, pieces do not matter, the vocabulary is chosen as it says, damage is found."""

import json
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnn_cli.errors import CheckpointError, UsageError
from rnn_cli.text.codecs import BOUNDARY, FORBIDDEN, UNKNOWN, CharacterCodec, WordCodec, codec_from_dict
from rnn_cli.text.codecs.words import (
    LONGEST_WORD,
    UNKNOWN_WORD,
    choose_words,
    count_words,
    split_words,
    whole_words,
)
from rnn_cli.text.corpus import load_corpus

WORDS = ("the", "cat", "d\u00f6g", "a\u00a0b", "<s>", "\U0001f600")
LINES, STREAM = WordCodec(WORDS, True), WordCodec(WORDS, False)
TEXTS = st.lists(st.sampled_from([*WORDS, "unseen", "<unk>", " ", "\t", "\r", "\n", "\n\n"])).map(" ".join)
MODES = st.sampled_from([LINES, STREAM])


@settings(deadline=None)
@given(MODES, st.lists(st.lists(st.sampled_from([*WORDS, "<unk>"]))))
def test_texts_with_single_blanks_come_back(codec, sentences):
    text = "".join(f"{' '.join(sentence)}\n" for sentence in sentences)
    ids = codec.encode(text)
    assert ids.dtype == np.int32
    assert codec.decode(ids) == text.encode()


@settings(deadline=None)
@given(MODES, TEXTS, st.lists(st.integers(0, 60)))
def test_a_text_in_pieces_is_the_whole_text(codec, text, cuts):
    places = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    pieces = [text[start:end] for start, end in pairwise(places)]
    found = [np.zeros(0, np.int32), *codec.encode_pieces(pieces)]
    assert np.concatenate(found).tolist() == codec.encode(text).tolist()


@settings(deadline=None)
@given(MODES, TEXTS, st.integers(0, 30))
def test_a_text_is_decoded_in_parts(codec, text, cut):
    ids = codec.encode(text)
    first, second = ids[:cut], ids[cut:]
    after = codec.decode_after(int(first[-1]) if len(first) else BOUNDARY, second)
    assert codec.decode(first) + after == codec.decode(ids)


@settings(deadline=None)
@given(MODES, TEXTS)
def test_sizes_of_lines_add_up(codec, text):
    lines = f"{text}\n".split("\n")[:-1]
    assert codec.line_sizes(lines).sum() == len(codec.encode(f"{text}\n"))


@given(MODES, st.lists(st.text(st.characters(codec="utf-8", exclude_characters=" \t\r\n"), min_size=1, max_size=9)))
def test_a_dictionary_makes_the_same_codec(codec, words):
    codec = WordCodec(tuple(dict.fromkeys([*codec.words, *words, "x"])), codec.line_mode)
    codec = WordCodec(tuple(word for word in codec.words if word != "<unk>"), codec.line_mode)
    assert codec_from_dict(json.loads(json.dumps(codec.to_dict()))) == codec


def test_symbols_of_lines_and_of_a_stream():
    assert LINES.encode("the cat\nfoo <unk>").tolist() == [2, 3, BOUNDARY, UNKNOWN_WORD, UNKNOWN_WORD]
    assert STREAM.encode("the cat\nfoo").tolist() == [3, 4, 2, UNKNOWN_WORD]
    assert (len(LINES), len(STREAM)) == (8, 9)
    assert (LINES.newline, STREAM.newline) == (BOUNDARY, 2)
    assert [LINES.name(symbol) for symbol in (0, 1, 2)] == ["</s>", "<unk>", "the"]
    assert STREAM.name(2) == "</s>"
    with pytest.raises(TypeError):
        LINES.encode(b"the")


def test_blanks_and_line_ends_of_windows_are_not_symbols():
    assert LINES.encode(" the\t cat \r\n").tolist() == LINES.encode("the cat\n").tolist()
    assert split_words("a\u00a0b c\u2003d") == ["a\u00a0b", "c\u2003d"]  # no blanks of the format


def test_a_word_without_end_takes_no_memory():
    pieces = list(whole_words(["x" * 1000] * 50 + [" y"]))
    assert sum(map(len, pieces)) < 3 * LONGEST_WORD + 1010
    assert LINES.encode("".join(pieces)).tolist() == [UNKNOWN_WORD, UNKNOWN_WORD]


@settings(deadline=None)
@given(st.lists(st.sampled_from("abcdefgh"), min_size=1), st.integers(1, 5))
def test_the_vocabulary_is_the_commonest_words(tokens, most):
    words, _ = choose_words(count_words([[" ".join(tokens)]]), most)
    expected = sorted(set(tokens), key=lambda word: (-tokens.count(word), word))[:most]
    assert words == tuple(expected)


@pytest.mark.parametrize(
    "counts, options, words, reason",
    [
        (
            {"a": 3, "b": 2, "c": 1},
            {},
            ("a", "b"),
            "those that occur at least twice of 3 different ones; they cover 83.3%",
        ),
        ({"a": 1, "b": 1}, {}, ("a", "b"), "all of 2 different ones; they cover 100.0% of the text"),
        ({"a": 3, "b": 2}, {"min_count": 3}, ("a",), "those that occur at least 3 times of 2"),
        ({"b": 3, "a": 3, "c": 1}, {"most": 1}, ("a",), "the 1 commonest of 3 different ones; they cover 42.9%"),
        ({"a": 2, "<unk>": 2, "\n": 9}, {}, ("a",), "they cover 50.0% of the text; the rest are <unk>"),
        ({"a": 2, "x" * (LONGEST_WORD + 1): 2}, {}, ("a",), "they cover 50.0%"),
    ],
)
def test_the_reason_of_a_vocabulary(counts, options, words, reason):
    chosen, why = choose_words(Counter(counts), **options)
    assert chosen == words
    assert reason in why


@pytest.mark.parametrize(
    "counts, options, message",
    [
        ({}, {}, "has no words"),
        ({"<unk>": 3, "\n": 2}, {}, "has no words"),
        ({"a": 1}, {"min_count": 2}, "no word occurs 2 times"),
        ({"a": 1}, {"most": 0}, "vocabulary"),
    ],
)
def test_a_text_without_words_is_refused(counts, options, message):
    with pytest.raises(UsageError, match=message):
        choose_words(Counter(counts), **options)


@pytest.mark.parametrize(
    "values",
    [
        {"words": "a b"},
        {"words": "a b", "lines": 1},
        {"words": "a b", "lines": True, "symbols": "ab"},
        {"words": ["a"], "lines": True},
        {"words": None, "lines": True},
        {"words": "", "lines": True},
        {"words": "a  b", "lines": True},
        {"words": " a", "lines": True},
        {"words": "a a", "lines": True},
        {"words": "a <unk>", "lines": True},
        {"words": "a b\tc", "lines": True},
        {"words": "a\nb", "lines": False},
        {"words": "a\r", "lines": True},
        {"words": "a \ud800", "lines": True},
        {"words": "x" * (LONGEST_WORD + 1), "lines": True},
        {"words": "a " * 1_000_000, "lines": True},
    ],
)
def test_a_damaged_dictionary_is_refused(values):
    with pytest.raises(CheckpointError, match="vocabulary"):
        codec_from_dict(values)


def test_unknown_is_never_sampled():
    for codec in (LINES, STREAM):
        table = codec.follow_table()
        assert table[0, UNKNOWN_WORD] == FORBIDDEN
        assert (table[0, BOUNDARY] == FORBIDDEN) == (codec is STREAM)
        assert np.count_nonzero(table == FORBIDDEN) == 1 + (codec is STREAM)
    forbidden = LINES.follow_table("cat unseen the")[0]
    assert np.flatnonzero(forbidden == FORBIDDEN).tolist() == [UNKNOWN_WORD, 2, 3]
    with pytest.raises(UsageError, match="leaves no word"):
        LINES.follow_table(" ".join(WORDS))


def test_an_unknown_word_of_a_prompt_is_named():
    with pytest.raises(UsageError, match=r"word 'Cat', number 2 of the seed; near words are 'cat'; .* `unknown="):
        LINES.encode_prompt("the Cat")
    assert LINES.encode_prompt("the Cat <unk>", "skip").tolist() == [2, UNKNOWN_WORD]
    assert LINES.encode_prompt("").tolist() == []
    with pytest.raises(UsageError, match="the word 'xxxx"):
        LINES.encode_prompt("x" * 10_000, what="the text")


def test_an_extended_codec_keeps_its_symbols():
    grown = LINES.extended_with(WordCodec(("new", "cat"), True))
    assert grown.words == (*WORDS, "new")
    assert LINES.ids_in(grown).tolist() == list(range(len(LINES)))
    assert WordCodec(("cat", "new"), True).ids_in(LINES).tolist() == [0, 1, 3, UNKNOWN]
    for other in (STREAM, CharacterCodec("ab", True)):
        with pytest.raises(ValueError, match="alike"):
            LINES.ids_in(other)


def load(tmp_path, text, **options):
    path = tmp_path / "text.txt"
    path.write_text(text, encoding="utf-8", newline="")
    defaults = {"as_bytes": False, "line_mode": None, "validation_fraction": 0.0, "random_seed": 1, "words": True}
    return load_corpus([str(path)], **{**defaults, **options})


def test_a_corpus_of_words(tmp_path):
    corpus = load(tmp_path, "\ufeffthe cat\r\n\r\nthe dog\r\n")
    assert corpus.codec == WordCodec(("the",), True)
    assert corpus.training.tolist() == [0, 2, 1, 0, 2, 1, 0]
    assert (corpus.characters, corpus.dropped_lines, corpus.training.dtype) == (6, 1, np.uint8)
    assert corpus.vocabulary_reason.startswith("those that occur at least twice of 3 different ones; they cover 50.0%")
    stream = load(tmp_path, "the cat\n\nthe dog", line_mode=False, vocabulary=2)
    assert stream.codec == WordCodec(("the", "cat"), False)
    assert stream.training.tolist() == [0, 3, 4, 2, 2, 3, 1]


def test_a_corpus_keeps_the_words_of_its_base(tmp_path):
    corpus = load(tmp_path, "the cat\nthe cat dog", base=WordCodec(("dog", "the"), True))
    assert corpus.codec.words == ("dog", "the", "cat")
    assert corpus.training.tolist() == [0, 3, 4, 0, 3, 4, 2, 0]


def test_one_long_line_is_a_stream(tmp_path):
    corpus = load(tmp_path, "one two " * 5_000)
    assert not corpus.codec.line_mode
    assert "it has a line of 40,000 characters" in corpus.mode_reason


@pytest.mark.parametrize(
    "text, options, message",
    [
        ("", {}, "no words"),
        (" \n\t\n", {}, "no words"),
        ("a", {"as_bytes": True}, "neither bytes"),
        ("a", {"separator": "file"}, "neither bytes"),
        ("a a", {"vocabulary": 0}, "vocabulary"),
    ],
)
def test_a_corpus_without_words_is_refused(tmp_path, text, options, message):
    with pytest.raises(UsageError, match=message):
        load(tmp_path, text, **options)
