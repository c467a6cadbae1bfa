"""Compression: an exact round trip, the length that the scores promise, and an error instead of wrong output."""

import math
import zlib
from pathlib import Path

import numpy as np
import pytest
from random_models import make_checkpoint, random_text
from test_ngrams import mixed

from rnn_cli.errors import UsageError
from rnn_cli.language import compression
from rnn_cli.language.compression import HEADER, CompressionError, Header, compress, decompress
from rnn_cli.language.scorer import Scorer
from rnn_cli.text.codecs import ByteCodec

CORPORA = Path(__file__).parents[2] / "corpora"
CONTENTS = [
    b"",
    b"a",
    b"\n",
    bytes(range(256)) * 3,
    "abc \u00e9\U0001f600\r\n\ufeffx\n\n".encode() * 4,
    b"\xff\xc3ab\xe2\x82",
    b"\0" * 500,
    np.random.default_rng(1).bytes(700),
]


def model(kind, line_mode):
    if kind == "none":
        return None
    if kind == "bytes":
        return make_checkpoint(line_mode, codec=ByteCodec(line_mode))
    return mixed(line_mode) if kind == "mixture" else make_checkpoint(line_mode)


@pytest.mark.parametrize("line_mode", [False, True], ids=["stream", "lines"])
@pytest.mark.parametrize("kind", ["none", "bytes", "mixture", "network"])
def test_any_bytes_come_back_exactly(kind, line_mode):
    checkpoint = model(kind, line_mode)
    for content in CONTENTS:
        assert decompress(compress(content, checkpoint), checkpoint) == content


def test_the_length_is_what_the_scores_promise():
    checkpoint = mixed(False)
    text = random_text(4000, False, seed=4)
    ids = checkpoint.codec.encode(text)
    promised = Scorer(checkpoint, 1, counting=True).read(ids)[0].sum() / math.log(2) / 8
    coded = len(compress(text.encode(), checkpoint)) - HEADER.size
    assert promised <= coded <= 1.005 * promised + 8


@pytest.mark.parametrize("learn", [False, True])
def test_contexts_learn_while_they_code(learn):
    content = b"the cat sat on the mat. " * 200
    packed = compress(content, learn=learn)
    assert len(packed) < HEADER.size + 60
    assert decompress(packed, threads=2) == content


@pytest.mark.parametrize("content", [*CONTENTS, b"ab" * 8, bytes(random_text(700, True), "utf-8")])
def test_a_network_that_learns_gives_every_byte_back(content):
    packed = compress(content, learn=True)
    assert packed == compress(content, learn=True, threads=2)
    assert decompress(packed) == content
    assert len(packed) <= HEADER.size + 1.1 * len(content) + 10


def test_a_network_that_learns_needs_the_same_machine(monkeypatch):
    packed = compress(b"abcab", learn=True)
    with pytest.raises(CompressionError, match="needs no model"):
        decompress(packed, make_checkpoint(False))
    with pytest.raises(UsageError, match="nothing shared"):
        compress(b"abcab", make_checkpoint(False), learn=True)
    monkeypatch.setattr(compression, "VECTOR_BYTES", 8)
    with pytest.raises(CompressionError, match="other arithmetic"):
        decompress(packed)


def test_a_network_that_learns_lowers_the_bits():
    content = (CORPORA / "sentences.txt").read_bytes()
    assert len(compress(content, learn=True)) < len(compress(content))


@pytest.mark.parametrize("learn", [False, True])
def test_damaged_data_are_an_error(learn):
    content = random_text(300, False).encode()
    data = compress(content, learn=learn)
    random, outcomes = np.random.default_rng(2), set()
    for _ in range(10 if learn else 60):
        damaged = bytearray(data)
        damaged[random.integers(HEADER.size, len(data))] ^= 1 << random.integers(8)
        try:
            assert decompress(bytes(damaged)) == content  # the last bits may not matter
        except CompressionError as problem:
            outcomes.add(str(problem))
    assert [outcome for outcome in outcomes if "damaged" not in outcome] == []
    assert outcomes
    for size in (0, 5, HEADER.size - 1):
        with pytest.raises(CompressionError, match="not a file of rnn compress"):
            decompress(data[:size])
    with pytest.raises(CompressionError, match="damaged"):
        decompress(data[: HEADER.size + 10])
    huge = Header.of(data)._replace(size=1 << 60, symbols=1 << 60)
    with pytest.raises(CompressionError, match="impossible sizes"):
        decompress(huge.to_bytes() + data[HEADER.size :])


def test_another_model_or_machine_is_an_error(monkeypatch):
    checkpoint, other = mixed(False), make_checkpoint(False)
    data, alone = compress(b"abcab", checkpoint), compress(b"abcab")
    with pytest.raises(CompressionError, match="another model"):
        decompress(data, other)
    with pytest.raises(CompressionError, match="needs the model"):
        decompress(data)
    with pytest.raises(CompressionError, match="needs no model"):
        decompress(alone, checkpoint)
    monkeypatch.setattr(compression, "VECTOR_BYTES", 8)
    with pytest.raises(CompressionError, match="other arithmetic"):
        decompress(data, checkpoint)
    assert decompress(alone) == b"abcab"


def test_a_file_of_another_version_is_named():
    with pytest.raises(CompressionError, match="another version"):
        decompress(compress(b"abc").replace(b"RNNZ3", b"RNNZ2"))


EXPECTED = 4059655049  # computed with vectors of 512 bits


def test_contexts_have_the_same_bits_everywhere():
    content = "".join(chr(97 + (k * k) % 7) for k in range(500)).encode()
    assert zlib.crc32(compress(content)) == EXPECTED


def test_what_cannot_be_compressed_is_refused(monkeypatch):
    monkeypatch.setattr(compression, "LONGEST", 10)
    with pytest.raises(UsageError, match="limit is 10"):
        compress(b"x" * 11)
