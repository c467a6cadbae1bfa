"""Classification: each line by itself, with the bits of each model."""

import math

import numpy as np
import pytest
from random_models import make_checkpoint, random_text

from rnn_cli.language.classification import Classifier
from rnn_cli.language.evaluation import evaluate_texts
from rnn_cli.language.scorer import Scorer
from rnn_cli.text.codecs import ByteCodec, CharacterCodec
from rnn_cli.text.documents import read_lines

STREAM = CharacterCodec("\nabcdefgh\u00e9\u20ac\U0001f600", False)


def bits_of(checkpoint, text):
    scores = evaluate_texts(checkpoint, [text])
    return scores.bits_per_char * scores.characters


@pytest.mark.parametrize(
    "codec",
    [None, STREAM, CharacterCodec("abcdefgh", False), ByteCodec(True), ByteCodec(False)],
    ids=["lines", "stream", "stream without newline", "bytes lines", "bytes"],
)
def test_bits_of_a_line_do_not_depend_on_the_others(codec):
    checkpoint = make_checkpoint(True, codec=codec)
    lines = [line.encode() for line in random_text(400, True).split("\n")] + [b"X\xff", b"", b"abc"]
    together = Classifier([checkpoint], 2).bits(lines)[0]
    assert np.array_equal(together, [Classifier([checkpoint]).bits([line])[0, 0] for line in lines])
    if checkpoint.codec.line_mode and checkpoint.codec.alphabet:
        assert together[0] == pytest.approx(bits_of(checkpoint, lines[0].decode() + "\n"))


def test_stream_model_reads_a_newline_before_the_line():
    checkpoint = make_checkpoint(False, codec=STREAM)
    symbols = STREAM.encode("\nabc\n")
    losses = Scorer(checkpoint, 1).read(symbols)[0]
    bits = Classifier([checkpoint]).bits([b"ab", b"abc"])
    assert bits[0, 1] == pytest.approx(losses[1:].sum() / math.log(2))


def test_models_of_all_kinds_are_compared():
    checkpoints = [
        make_checkpoint(True),
        make_checkpoint(False, codec=STREAM),
        make_checkpoint(True, codec=ByteCodec(True)),
    ]
    bits = Classifier(checkpoints, 2).bits([b"abc", "\u00e9X".encode()])
    assert bits.shape == (3, 2)
    for checkpoint, row in zip(checkpoints, bits):
        assert row.tolist() == Classifier([checkpoint]).bits([b"abc", "\u00e9X".encode()])[0].tolist()


def test_lines_are_read_as_they_arrive(tmp_path):
    (tmp_path / "text").write_bytes(b"ab\n\ncd")
    assert [line for lines in read_lines(str(tmp_path / "text")) for line in lines] == [b"ab", b"", b"cd"]
