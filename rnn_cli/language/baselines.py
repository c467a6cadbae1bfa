"""Baselines: bits per character of uniform, unigram and 5-gram models, gzip and xz."""

from __future__ import annotations

import gzip
import lzma
import math
from collections.abc import Callable, Sequence

import numpy as np

from rnn_cli.text.codecs import UNKNOWN, Codec
from rnn_cli.text.kneser_ney import ngram_bits

Texts = Sequence[str | bytes]

COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: gzip.compress(data, 9, mtime=0),
    "xz": lambda data: lzma.compress(data, preset=6 | lzma.PRESET_EXTREME),
}


def baseline_bits(codec: Codec, texts: Texts, unknown_bits: float, corpus: Texts | None = None) -> dict[str, float]:
    """Return the bits per character of texts: uniform, unigram, 5-gram, gzip and xz.

    The n-grams are counted in the corpus or, without one, in the text before each character, so no model has seen what
    it scores. Unknown characters cost `unknown_bits` each, as for the model. The compressors are the usual programs
    (gzip -9, xz -6e), headers included. With a corpus, their cost is bits(corpus and text) - bits(corpus); of the
    corpus, gzip remembers the last 32 KB and xz the last 8 MB.

    By words the figures are bits per word, an unknown word is `<unk>` to all of them, and the compressors are left out,
    as they spell every word.

    Raises ValueError if there is nothing to score.
    """
    ids, unknown = encode_texts(codec, texts)
    learned = None if corpus is None else encode_texts(codec, corpus)[0]
    size, line_mode = len(codec), codec.line_mode
    known = int(np.count_nonzero(ids)) if not line_mode else max(len(ids) - 1, 0)
    characters = known + unknown
    if characters == 0:
        raise ValueError("there is no text")
    totals = {"uniform": known * math.log2(size if line_mode else size - 1)}
    for name, order in (("unigram", 1), ("5-gram", 5)):
        totals[name] = math.fsum(ngram_bits(ids, size, line_mode, order, learned))
    totals = {name: total + unknown * unknown_bits for name, total in totals.items()}
    if codec.unit == "word":
        return {name: total / characters for name, total in totals.items()}
    data, primer = joined(texts), joined(corpus or ())
    for name, compress in COMPRESSORS.items():
        primed = len(compress(primer)) if primer else 0
        totals[name] = 8.0 * (len(compress(primer + data)) - primed)
    return {name: total / characters for name, total in totals.items()}


def encode_texts(codec: Codec, texts: Texts) -> tuple[np.ndarray, int]:
    """Return the known symbols of texts with their boundaries, and the number of unknown ones."""
    ids = codec.frame(*map(codec.encode, texts))
    known = ids != UNKNOWN
    return ids[known], len(ids) - int(np.count_nonzero(known))


def joined(texts: Texts) -> bytes:
    """Return the concatenation of texts as bytes."""
    return b"".join(text if isinstance(text, bytes) else text.encode("utf-8") for text in texts)
