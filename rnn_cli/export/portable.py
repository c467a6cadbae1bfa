"""A model as other programs need it: its tensors, what its symbols and its outputs stand for, and how a text begins.

To export models of another task, add a reader of its description to READERS.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnn_cli.cells import Cell, find_cell
from rnn_cli.checkpoint.checkpoint import LANGUAGE, Checkpoint
from rnn_cli.errors import UsageError
from rnn_cli.network.config import NetworkConfig
from rnn_cli.tasks.classify.model import CLASSIFY
from rnn_cli.tasks.classify.model import read_description as read_classifier
from rnn_cli.tasks.labelled.model import LABELLED
from rnn_cli.tasks.labelled.model import read_description as read_labelled
from rnn_cli.tasks.tag.tagger import TAG, description_of
from rnn_cli.text.codecs import BOUNDARY, Codec

UNKNOWN_CHARACTER = "\ufffd"  # what the symbol of all unknown characters is written as


@dataclass(frozen=True)
class Portable:
    """A model to export.

    tensors   the weights, with PyTorch's names and layout (network/parameters.py)
    symbols   the text (UTF-8) of each symbol of `codec`; that of the boundary ends a text, or is empty in a stream
    outputs   what the outputs stand for, if not symbols: labels or tags
    labels    the labels of which a text can be given one; label k is added to each input, as symbol len(symbols) + k
    follow    (states, V) uint8, which symbols may be sampled: the next state, or 255; None if nothing is sampled
    unknown   the symbol that every unknown character is read as, or -1 if such characters are left out
    """

    task: str
    config: NetworkConfig
    tensors: dict[str, np.ndarray]
    codec: Codec
    symbols: tuple[bytes, ...]
    outputs: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    follow: np.ndarray | None = None
    unknown: int = -1

    @classmethod
    def of_checkpoint(cls, checkpoint: Checkpoint) -> Portable:
        """Return the model of a checkpoint. Raises UsageError if models of its task cannot be exported."""
        name = checkpoint.task["name"]
        if name not in READERS:
            raise UsageError(f"a model for the task '{name}' cannot be exported yet; {', '.join(READERS)} can")
        return READERS[name](checkpoint)

    @property
    def cell(self) -> Cell:
        """The equations of a layer."""
        return find_cell(self.config.cell, self.config.activation)

    @property
    def writes(self) -> bool:
        """Whether the model writes texts; other models answer with labels or tags."""
        return self.follow is not None

    def description(self) -> dict[str, Any]:
        """Return what a program must know beside the weights, JSON-ready.

        Bytes are not written out: symbol k is byte k - 1.
        """
        config, codec = self.config, self.codec
        texts = None if codec.reads_bytes else [text.decode() for text in self.symbols]
        return {
            "task": self.task,
            "cell": config.cell,
            "activation": config.activation,
            "hidden_size": config.hidden_size,
            "num_layers": config.num_layers,
            "directions": config.directions,
            "readout": config.readout,
            "embedding": config.embedding,
            "kind": codec.kind,
            "lines": codec.line_mode,
            "symbols": texts,
            "newline": codec.newline if self.writes else -1,
            "unknown": self.unknown,
            "outputs": list(self.outputs),
            "labels": list(self.labels),
            "never_sampled": list(codec.never_sampled) if self.writes else [],
        }


def read_language(checkpoint: Checkpoint) -> Portable:
    """Return a language model."""
    codec = checkpoint.codec
    return Portable(
        LANGUAGE, checkpoint.config, checkpoint.parameters, codec, texts_of(codec), follow=codec.follow_table()
    )


def read_labels(checkpoint: Checkpoint) -> Portable:
    """Return a language model that is given a label."""
    codec, labels, _ = read_labelled(checkpoint)
    return Portable(
        LABELLED,
        checkpoint.config,
        checkpoint.parameters,
        codec,
        texts_of(codec),
        labels=labels,
        follow=codec.follow_table(),
    )


def read_classes(checkpoint: Checkpoint) -> Portable:
    """Return a classifier; its answer is the output at the last symbol of a text."""
    codec, labels = read_classifier(checkpoint)
    return Portable(CLASSIFY, checkpoint.config, checkpoint.parameters, codec, texts_of(codec), outputs=labels)


def read_tags(checkpoint: Checkpoint) -> Portable:
    """Return a tagger; its answers are the outputs at the last character of each token."""
    alphabet, tags = description_of(checkpoint)
    symbols = (*texts_of(alphabet.codec), UNKNOWN_CHARACTER.encode())
    return Portable(
        TAG,
        checkpoint.config,
        checkpoint.parameters,
        alphabet.codec,
        symbols,
        outputs=tuple(tags),
        unknown=alphabet.unknown,
    )


def texts_of(codec: Codec) -> tuple[bytes, ...]:
    """Return the text of each symbol, alone."""
    return tuple(codec.decode([symbol]) for symbol in range(len(codec)))


READERS: dict[str, Callable[[Checkpoint], Portable]] = {
    LANGUAGE: read_language,
    LABELLED: read_labels,
    CLASSIFY: read_classes,
    TAG: read_tags,
}
BOUNDARY_MEANING = (
    f"symbol {BOUNDARY} is the boundary: as an input it starts a text, with all states zero; as an output it ends one"
)
