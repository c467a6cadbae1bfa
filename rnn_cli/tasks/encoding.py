"""Texts as the symbols of a codec, all at once, each after a boundary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rnn_cli.tasks.whole_texts import IGNORED, LONGEST, Texts
from rnn_cli.text.codecs import CharacterCodec, Codec


def encode_texts(
    codec: Codec, texts: Sequence[str | bytes], labels: np.ndarray | None = None, longest: int = LONGEST
) -> tuple[Texts, int]:
    """Return texts with their labels as targets of their last symbols, and the number of unknown characters left out.

    Each begins with the boundary, so that even a text without a known character has a symbol. `longest` is the number
    of symbols of a text, with the boundary, after which the rest is left out. Without `labels` each target is 0, which
    asks a Reader for an answer. For a codec of bytes a string is read as UTF-8.
    """
    parts: Any = texts
    if codec.reads_bytes:
        parts = [text.encode() if isinstance(text, str) else text for text in texts]
    lengths = np.fromiter(map(len, parts), np.int64, len(parts))
    symbols = codec.encode((b"" if codec.reads_bytes else "").join(parts))
    ends = np.cumsum(lengths)
    known = symbols >= 0
    unknown = len(symbols) - int(np.count_nonzero(known))
    counts = np.append(0, np.cumsum(known))
    kept = np.minimum(counts[ends] - counts[ends - lengths], longest - 1)
    taken = known & (counts[:-1] - np.repeat(counts[ends - lengths], lengths) < longest - 1)
    starts = np.append(0, np.cumsum(kept + 1))
    framed = np.zeros(int(starts[-1]), np.int32)
    inside = np.ones(len(framed), bool)
    inside[starts[:-1]] = False
    framed[inside] = symbols[taken]
    targets = np.full(len(framed), IGNORED, np.int32)
    targets[starts[1:] - 1] = 0 if labels is None else labels
    return Texts(framed, targets, starts), unknown


def codec_of_texts(texts: Sequence[str]) -> CharacterCodec:
    """Return the codec of all characters of some texts."""
    return CharacterCodec.of_texts(["".join(texts)], line_mode=True)
