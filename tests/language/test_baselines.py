"""Baselines: in the same unit, on the same characters, and never trained on what they score."""

import gzip
import lzma
import math

import numpy as np
import pytest

from rnn_cli.language.baselines import baseline_bits
from rnn_cli.text.codecs import ByteCodec, CharacterCodec
from rnn_cli.text.kneser_ney import ngram_bits

MODES = pytest.mark.parametrize("line_mode", [False, True], ids=["stream", "lines"])
TEXT = "the cat sat on the mat\nand the dog on the log\n" * 30
OTHER = TEXT[47:400]
NAMES = ["uniform", "unigram", "5-gram", "gzip", "xz"]


@MODES
def test_baselines_are_bits_per_scored_character(line_mode):
    codec = CharacterCodec.of_texts(TEXT, line_mode)
    bits = baseline_bits(codec, [TEXT], 30.0)
    assert list(bits) == NAMES
    assert bits["uniform"] == pytest.approx(math.log2(len(set(TEXT))))
    ids = codec.frame(codec.encode(TEXT))
    assert bits["unigram"] == pytest.approx(ngram_bits(ids, len(codec), line_mode, 1).mean())
    assert bits["5-gram"] == pytest.approx(ngram_bits(ids, len(codec), line_mode, 5).mean())
    assert bits["gzip"] == 8 * len(gzip.compress(TEXT.encode(), 9)) / len(TEXT)
    assert len(lzma.decompress(bytes(lzma.compress(TEXT.encode())))) == len(TEXT)
    assert bits["5-gram"] < bits["unigram"] < bits["uniform"]


@MODES
def test_a_corpus_is_learned_first(line_mode):
    codec = CharacterCodec.of_texts(TEXT, line_mode)
    alone, primed = (baseline_bits(codec, [OTHER], 30.0, corpus) for corpus in (None, [TEXT]))
    assert primed["uniform"] == alone["uniform"]
    assert all(primed[name] < alone[name] for name in NAMES[2:])
    both, first = (len(gzip.compress(data.encode(), 9)) for data in (TEXT + OTHER, TEXT))
    assert primed["gzip"] == pytest.approx(8 * (both - first) / (len(OTHER) + line_mode))  # the last line has an end


@MODES
def test_unknown_characters_cost_the_given_bits(line_mode):
    codec = CharacterCodec.of_texts(TEXT, line_mode)
    known, mixed = (
        baseline_bits(codec, [TEXT], 30.0),
        baseline_bits(codec, [TEXT.replace("sat", "sXt")], 30.0),
    )
    unknown, count = TEXT.count("sat"), len(TEXT)
    uniform = known["uniform"]
    assert mixed["uniform"] == pytest.approx((uniform * (count - unknown) + 30 * unknown) / count)
    assert mixed["5-gram"] > known["5-gram"]


@MODES
def test_each_text_starts_anew_and_bytes_are_symbols(line_mode):
    codec = ByteCodec(line_mode)
    parts = [TEXT[:50].encode(), b"", TEXT[50:].encode()]
    bits = baseline_bits(codec, parts, 30.0)
    ends = int(line_mode)  # the first part does not end its line
    assert bits["gzip"] == 8 * len(gzip.compress(TEXT.encode(), 9)) / (len(TEXT) + ends)
    assert bits["uniform"] == pytest.approx(8 if not line_mode else math.log2(257))
    assert np.isfinite(list(bits.values())).all()


def test_an_empty_text_is_refused():
    with pytest.raises(ValueError, match="no text"):
        baseline_bits(CharacterCodec("ab", True), [""], 30.0)
