"""Compression: arithmetic coding with the probabilities of a model, whose n-gram counts learn while they code.

Without a model, contexts are mixed that learn from the content itself (context_mixing.py), with a network that does so,
too, if the user asks for it.

A compressed file begins with what the decoder must have: the version, the arithmetic, the digest of the model, the
length and the CRC-32 of the content. The bits of a network depend on the arithmetic (vector width, versions); contexts
alone are computed with the same bits everywhere.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from typing import NamedTuple

import numpy as np

from rnn_cli.checkpoint.checkpoint import Checkpoint
from rnn_cli.errors import RnnError, UsageError
from rnn_cli.kernels.simd.cpu import HAS_SCALING, NUMBA_VERSION, VECTOR_BYTES
from rnn_cli.kernels.text.coding import Coder, code_by_network
from rnn_cli.kernels.threads import Team
from rnn_cli.language.context_mixing import code_alone, code_learning
from rnn_cli.language.ngrams import mixture_of, with_room
from rnn_cli.network.model import Model
from rnn_cli.network.workspace import Window
from rnn_cli.text.codecs import ByteCodec, CharacterCodec, Codec

FAMILY, MAGIC = b"RNNZ", b"RNNZ3\n"  # the number changes with what the bits depend on
HEADER = struct.Struct("<6s32s16sQQI")  # magic, arithmetic, digest of the model, bytes, symbols, CRC-32
PORTABLE = "contexts"
LONGEST = 1 << 28  # bytes: the counts and the history grow with the text
ROOM = 24  # bytes for a symbol, at most, while it is encoded


class CompressionError(RnnError):
    """Data that are not what `compress` wrote, or that this model or machine cannot read."""


class Header(NamedTuple):
    """What stands before the coded bytes."""

    arithmetic: str
    digest: bytes
    size: int
    symbols: int
    checksum: int

    def to_bytes(self) -> bytes:
        """Return the bytes of the file's beginning."""
        return HEADER.pack(MAGIC, self.arithmetic.encode(), *self[1:])

    @classmethod
    def of(cls, data: bytes) -> Header:
        """Read the beginning of a file. Raises CompressionError if it is not one of `compress`."""
        if len(data) < HEADER.size or not data.startswith(FAMILY):
            raise CompressionError("this is not a file of rnn compress; give the file that it wrote")
        if not data.startswith(MAGIC):
            raise CompressionError("another version of rnn compressed this file; decompress it with that one")
        _, arithmetic, *rest = HEADER.unpack_from(data)
        header = cls(arithmetic.rstrip(b"\0").decode("ascii", "replace"), *rest)
        if header.size > LONGEST or header.symbols > header.size:
            raise CompressionError("the compressed file is damaged: its header names impossible sizes")
        return header


def compress(content: bytes, checkpoint: Checkpoint | None = None, learn: bool = False, threads: int = 1) -> bytes:
    """Return content of up to LONGEST bytes compressed by a model of characters or bytes, or with nothing shared.

    Without a model, a network learns while it codes if `learn`. The result does not depend on the threads. Raises
    UsageError for another model, for longer content, and for `learn` with a model.
    """
    if len(content) > LONGEST:
        raise UsageError(f"the text has {len(content):,} bytes, and the limit is {LONGEST:,}; split it")
    if checkpoint is None:
        symbols = np.frombuffer(content, np.uint8).astype(np.int32)
        data = np.zeros(ROOM * (len(symbols) + 1), np.uint8)
        used = code_learning(data, symbols, False, threads) if learn else code_alone(data, symbols, False)
    else:
        if learn:
            raise UsageError("`learn` is for coding with nothing shared; leave out the model or `learn`")
        data, symbols, used = coded_by(checkpoint, content)
    header = Header(
        arithmetic_of(checkpoint, learn),
        digest_of(checkpoint, learn),
        len(content),
        len(symbols),
        zlib.crc32(content),
    )
    return header.to_bytes() + data[:used].tobytes().rstrip(b"\0")


def coded_by(checkpoint: Checkpoint, content: bytes) -> tuple[np.ndarray, np.ndarray, int]:
    """Return content coded by a model, its symbols, and how many of the bytes are used."""
    codec = codec_for(checkpoint)
    text = codec.as_read(content)
    symbols, escaped = codec.encode(text).astype(np.int32), b""
    unknown = np.flatnonzero(symbols < 0)
    if len(unknown):
        assert isinstance(text, str)  # a codec of bytes knows all
        missing = (text[index].encode("utf-8", "surrogateescape") for index in unknown)
        escaped = b"".join(bytes([len(each)]) + each for each in missing)
    data = np.zeros(ROOM * (len(symbols) + len(escaped)) + ROOM, np.uint8)
    coder = run_coder(checkpoint, data, symbols, np.frombuffer(escaped, np.uint8).copy())
    return data, symbols, int(coder.state[3])


def decompress(data: bytes, checkpoint: Checkpoint | None = None, threads: int = 1) -> bytes:
    """Return the content that `compress` was given. Raises CompressionError if it cannot be had exactly."""
    header = Header.of(data)
    learned = header.digest == digest_of(None, learn=True)
    shared = not learned and header.arithmetic != PORTABLE
    if shared != (checkpoint is not None):
        needs = "no model; leave it out" if checkpoint else "the model that it was compressed with"
        raise CompressionError(f"the compressed file needs {needs}")
    if header.digest != digest_of(checkpoint, learned):
        raise CompressionError("the text was compressed with another model; give that one")
    if header.arithmetic != arithmetic_of(checkpoint, learned):
        raise CompressionError(
            f"the text was compressed on a machine with other arithmetic ({header.arithmetic}, here "
            f"{arithmetic_of(checkpoint, learned)}), which gives other bits; decompress it on one like that"
        )
    coded, symbols = np.frombuffer(data, np.uint8)[HEADER.size :].copy(), np.zeros(header.symbols, np.int32)
    if checkpoint is None:
        if learned:
            code_learning(coded, symbols, True, threads)
        else:
            code_alone(coded, symbols, True)
        content = symbols.astype(np.uint8).tobytes()
    else:
        escaped = np.zeros(5 * header.symbols + 5, np.uint8)
        run_coder(checkpoint, coded, symbols, escaped, decodes=True)
        content = assembled(codec_for(checkpoint), symbols, escaped.tobytes())[: header.size]
    if len(content) != header.size or zlib.crc32(content) != header.checksum:
        raise CompressionError("the compressed file is damaged: its content does not have the checksum")
    return content


def codec_for(checkpoint: Checkpoint) -> Codec:
    """Return the codec that a text is coded by. Raises UsageError for a model of words or tokens."""
    if type(checkpoint.codec) not in (ByteCodec, CharacterCodec):
        raise UsageError("only models of characters or bytes compress; give one of these, or no model")
    return checkpoint.codec


def arithmetic_of(checkpoint: Checkpoint | None, learn: bool = False) -> str:
    """Return what the bits of the probabilities depend on, beside the model."""
    if checkpoint is None and not learn:
        return PORTABLE
    return f"{8 * VECTOR_BYTES} bits{' scaling' * HAS_SCALING}, numba {NUMBA_VERSION}"[:32]


def digest_of(checkpoint: Checkpoint | None, learn: bool = False) -> bytes:
    """Return a digest of all that a model predicts by; without one, of whether a network learns."""
    digest = hashlib.sha256(b"learns" * learn)
    if checkpoint:
        digest.update(repr((checkpoint.config.to_dict(), checkpoint.task)).encode())
        for name, tensor in sorted((checkpoint.parameters | checkpoint.counts).items()):
            digest.update(name.encode() + np.ascontiguousarray(tensor).tobytes())
    return digest.digest()[:16]


def run_coder(
    checkpoint: Checkpoint, data: np.ndarray, symbols: np.ndarray, escaped: np.ndarray, decodes: bool = False
) -> Coder:
    """Encode symbols into data, or decode data into symbols; return the coder with its state after that."""
    codec = codec_for(checkpoint)
    escaped = escaped if len(escaped) else np.zeros(1, np.uint8)
    coder = Coder(np.zeros(5, np.uint64), data, symbols, escaped, np.zeros(len(codec) + 1, np.uint64), int(decodes))
    team = Team(1)
    window = Window(Model.from_torch(checkpoint.config, checkpoint.parameters), 1, 1, team)
    window.pack()
    mixture = mixture_of(checkpoint, 1, window.sizes.columns, counting=bool(checkpoint.counts))
    if mixture.counting:
        mixture = with_room(mixture, len(symbols) + 1)
    team.run(code_by_network, window.network, window.arrays, mixture, coder)
    return coder


def assembled(codec: Codec, symbols: np.ndarray, escaped: bytes) -> bytes:
    """Return the content of symbols, with the bytes of those that the codec lacks."""
    parts, at, start = [], 0, 0
    for index in np.flatnonzero(symbols < 0):
        parts.append(codec.decode(symbols[start:index]))
        count = escaped[at]
        parts.append(escaped[at + 1 : at + 1 + count])
        at, start = at + 1 + count, int(index) + 1
    return b"".join([*parts, codec.decode(symbols[start:])])
