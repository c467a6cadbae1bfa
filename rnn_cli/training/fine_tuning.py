"""Fine-tuning: a model goes on learning from another text. Known symbols keep their numbers; new ones come behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from rnn_cli.errors import UsageError
from rnn_cli.network.model import Model
from rnn_cli.text.codecs import Codec
from rnn_cli.text.corpus import Corpus
from rnn_cli.text.spool import Spool, pieces


def reencode(corpus: Corpus, codec: Codec) -> Corpus:
    """Return a corpus in the symbols of another codec. Raises UsageError if that lacks one of its symbols."""
    own = corpus.codec
    if own == codec:
        return corpus
    try:
        table = own.ids_in(codec)
    except ValueError as problem:
        raise UsageError(
            f"{corpus.name} is read in another way than by the model; give the options of the model"
        ) from problem
    if table.min() < 0:
        raise UsageError(f"{corpus.name} has characters that the model does not know")
    table = table.astype(codec.dtype)
    validation = None if corpus.validation is None else translated(corpus.validation, table)
    return replace(corpus, codec=codec, training=translated(corpus.training, table), validation=validation)


def translated(ids: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Return the symbols that a table has for symbols, which may be more than the memory holds."""
    with Spool() as spool:
        for piece in pieces(ids):
            spool.write(table[piece])
        return spool.array(table.dtype)


def initialise_from(model: Model, known: Mapping[str, np.ndarray]) -> None:
    """Put the weights of another model, in PyTorch's names and layout, in the place of a model's first weights.

    For symbols that the other one has not, the rows of W_ih and of the decoder stay as they were drawn, and the bias
    of the decoder is that of the symbol that the other one thinks the least likely by itself.
    """
    tensors = model.to_torch()
    grown = {name: tensors[name] for name in ("rnn.weight_ih_l0", "decoder.weight", "decoder.bias")}
    count = len(known["decoder.bias"])
    grown["rnn.weight_ih_l0"][:, :count] = known["rnn.weight_ih_l0"]
    grown["decoder.weight"][:count] = known["decoder.weight"]
    grown["decoder.bias"][:count] = known["decoder.bias"]
    grown["decoder.bias"][count:] = known["decoder.bias"].min()
    model.layout.from_torch(model.parameters, {**known, **grown})
