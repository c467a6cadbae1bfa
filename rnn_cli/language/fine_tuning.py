"""Fine-tuning a language model on another text: known symbols keep their ids, and new ones are appended."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from rnn_cli.errors import UsageError
from rnn_cli.text.codecs import Codec
from rnn_cli.text.corpus import Corpus
from rnn_cli.text.spool import Spool, pieces


def reencode(corpus: Corpus, codec: Codec) -> Corpus:
    """Return a corpus encoded with another codec. Raises UsageError if the codec lacks one of its symbols."""
    own = corpus.codec
    if own == codec:
        return corpus
    try:
        ids = own.ids_in(codec)
    except ValueError as problem:
        raise UsageError(
            f"{corpus.name} is read in another way than by the model; give the options of the model"
        ) from problem
    if ids.min() < 0:
        raise UsageError(f"{corpus.name} has {own.unit}s that the model does not know")
    table = ids.astype(codec.dtype)
    validation = None if corpus.validation is None else translate(corpus.validation, table)
    return replace(corpus, codec=codec, training=translate(corpus.training, table), validation=validation)


def translate(ids: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Return table[ids], for more ids than the memory may hold."""
    with Spool() as spool:
        for piece in pieces(ids):
            spool.write(table[piece])
        return spool.array(table.dtype)
