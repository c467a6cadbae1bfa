"""Fine-tuning a language model on another text: known symbols keep their ids, and new ones are appended."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from rnn_cli.errors import UsageError
from rnn_cli.text.corpus import Corpus
from rnn_cli.text.spool import Spool, pieces
from rnn_cli.text.vocabulary import BOUNDARY, Vocabulary


def reencode(corpus: Corpus, vocabulary: Vocabulary) -> Corpus:
    """Return a corpus encoded with another vocabulary. Raises UsageError if the vocabulary lacks one of its symbols."""
    own = corpus.vocabulary
    if own == vocabulary:
        return corpus
    if own.symbols is None or vocabulary.symbols is None or own.lines != vocabulary.lines:
        raise UsageError(f"{corpus.name} is read in another way than by the model; give the options of the model")
    ids = vocabulary.encode(own.symbols)
    if ids.size and ids.min() < 0:
        raise UsageError(f"{corpus.name} has characters that the model does not know")
    table = np.append(np.int32(BOUNDARY), ids).astype(np.min_scalar_type(len(vocabulary) - 1))
    validation = None if corpus.validation is None else translate(corpus.validation, table)
    return replace(corpus, vocabulary=vocabulary, training=translate(corpus.training, table), validation=validation)


def translate(ids: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Return table[ids], for more ids than the memory may hold."""
    with Spool() as spool:
        for piece in pieces(ids):
            spool.write(table[piece])
        return spool.array(table.dtype)
