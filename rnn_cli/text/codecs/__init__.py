"""Codecs: how a text becomes the symbols that a network reads. Each file holds one kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rnn_cli.errors import CheckpointError
from rnn_cli.text.codecs.bytes import ByteCodec
from rnn_cli.text.codecs.characters import CharacterCodec
from rnn_cli.text.codecs.codec import BOUNDARY, FORBIDDEN, UNKNOWN, Codec
from rnn_cli.text.codecs.paragraphs import SEPARATORS, ParagraphCodec
from rnn_cli.text.codecs.tokens import TokenCodec
from rnn_cli.text.codecs.words import WordCodec

__all__ = [
    "BOUNDARY",
    "FORBIDDEN",
    "SEPARATORS",
    "UNKNOWN",
    "ByteCodec",
    "CharacterCodec",
    "Codec",
    "ParagraphCodec",
    "TokenCodec",
    "WordCodec",
    "codec_from_dict",
]


def codec_from_dict(values: Mapping[str, Any]) -> Codec:
    """Build the codec that `to_dict` described. Raises CheckpointError for anything else."""
    if isinstance(values, Mapping) and "words" in values:
        return WordCodec.from_dict(values)
    if isinstance(values, Mapping) and "tokens" in values:
        return TokenCodec.from_dict(values)
    if not isinstance(values, Mapping) or set(values) - {"separator"} != {"symbols", "lines"}:
        raise CheckpointError("the vocabulary has missing or unknown fields; the file is damaged")
    symbols, line_mode = values["symbols"], values["lines"]
    if not isinstance(line_mode, bool) or not isinstance(symbols, str | None):
        raise CheckpointError("the vocabulary has fields of a wrong type; the file is damaged")
    if "separator" in values:
        if symbols is None or not line_mode or values["separator"] not in SEPARATORS:
            raise CheckpointError("the vocabulary has an unknown separator; the file is damaged")
        return ParagraphCodec.from_dict(values)
    return ByteCodec(line_mode) if symbols is None else CharacterCodec.from_dict(values)
