"""A model as other programs need it: its tensors, what its symbols and its outputs stand for, and how a text begins.

To export models of another task, add a reader of its description to READERS.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from rnn_cli.bits import BITS_PER_NAT
from rnn_cli.cells import Cell, find_cell
from rnn_cli.checkpoint.checkpoint import CLASSIFY, LANGUAGE, TAG, TRANSLATE, Checkpoint
from rnn_cli.errors import UsageError
from rnn_cli.network.config import NetworkConfig
from rnn_cli.tasks.classify.model import read_description as read_classifier
from rnn_cli.tasks.forecast.forecaster import FORECAST
from rnn_cli.tasks.forecast.forecaster import read_description as read_forecaster
from rnn_cli.tasks.labelled.model import LABELLED
from rnn_cli.tasks.labelled.model import read_description as read_labelled
from rnn_cli.tasks.tag.bio import allowed_after, is_bio
from rnn_cli.tasks.tag.tagger import description_of
from rnn_cli.tasks.translate.symbols import symbols_of
from rnn_cli.text.codecs import BOUNDARY, Codec

UNKNOWN_CHARACTER = "\ufffd"  # what the symbol of all unknown characters is written as


def left_out(checkpoint: Checkpoint) -> str:
    """Return a sentence on the n-gram counts of a model, which only rnn reads; empty if it has none."""
    if not checkpoint.counts:
        return ""
    sentence = "the n-gram counts are left out: this is the network alone"
    match checkpoint.record.get("mixture"):
        case {"network_loss": float(alone), "loss": float(mixed)} if math.isfinite(alone) and math.isfinite(mixed):
            unit = "label" if checkpoint.task["name"] == CLASSIFY else "symbol"
            sentence += f", which needs {(alone - mixed) * BITS_PER_NAT:.3f} bits per {unit} more"
    return sentence


def grown(checkpoint: Checkpoint) -> str:
    """Return a sentence on what several networks become; empty for one network."""
    config = checkpoint.config
    if config.members == 1:
        return ""
    units = f"{config.members * config.hidden_size:,} units"
    return f"its {config.members} networks are one of {units} here, which is large; a model of one network is smaller"


@dataclass(frozen=True)
class Portable:
    """A model to export.

    tensors   the weights, with PyTorch's names and layout (network/parameters.py)
    codec     how a text becomes symbols; None for a model that reads numbers
    symbols   the text (UTF-8) of each symbol of `codec`; that of the boundary ends a text, or is empty in a stream
    outputs   what the outputs stand for, if not `symbols`: labels, tags, or the symbols of targets, "" for their end
    labels    the labels of which a text can be given one; label k is added to each input, as symbol len(symbols) + k
    follow    (states, V) uint8, which symbols may be sampled: the next state, or 255; None if nothing is sampled
    unknown   the symbol that every unknown character is read as, or -1 if such characters are left out
    details   what else a program must know of a model of this task, JSON-ready
    remark    what the export leaves out of the model, and what that costs; empty if nothing
    """

    task: str
    config: NetworkConfig
    tensors: dict[str, np.ndarray]
    codec: Codec | None
    symbols: tuple[bytes, ...] = ()
    outputs: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    follow: np.ndarray | None = None
    unknown: int = -1
    details: dict[str, Any] = field(default_factory=dict)
    remark: str = ""

    @classmethod
    def of_checkpoint(cls, checkpoint: Checkpoint) -> Portable:
        """Return the model of a checkpoint. Raises UsageError if models of its task cannot be exported."""
        name = checkpoint.task["name"]
        if name not in READERS:
            raise UsageError(f"a model for the task '{name}' cannot be exported yet; {', '.join(READERS)} can")
        return replace(READERS[name](checkpoint.as_one_network()), remark=left_out(checkpoint))

    @property
    def cell(self) -> Cell:
        """The equations of a layer."""
        return find_cell(self.config.cell, self.config.activation)

    @property
    def kind(self) -> str:
        """What a symbol is: "characters", "tokens", "bytes" or "words"; "numbers" if the model reads these."""
        return "numbers" if self.codec is None else self.codec.kind

    @property
    def newline(self) -> int:
        """The symbol of a newline in what the model writes, or -1."""
        return self.codec.newline if self.codec is not None and self.writes else -1

    @property
    def writes(self) -> bool:
        """Whether the model writes texts; other models answer with labels or tags."""
        return self.follow is not None

    def description(self) -> dict[str, Any]:
        """Return what a program must know beside the weights, JSON-ready.

        Bytes are not written out: symbol k is byte k - 1.
        """
        config, codec = self.config, self.codec
        reads_bytes = codec is not None and codec.reads_bytes
        return {
            "task": self.task,
            "cell": config.cell,
            "activation": config.activation,
            "hidden_size": config.hidden_size,
            "num_layers": config.num_layers,
            "directions": config.directions,
            "readout": config.readout,
            "embedding": config.embedding,
            "kind": self.kind,
            "lines": codec is not None and codec.line_mode,
            "symbols": None if reads_bytes else [text.decode() for text in self.symbols],
            "newline": self.newline,
            "text_end": "" if codec is None else codec.text_end.decode(),
            "unknown": self.unknown,
            "outputs": list(self.outputs),
            "labels": list(self.labels),
            "never_sampled": list(codec.never_sampled) if codec is not None and self.writes else [],
            **self.details,
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
    return Portable(
        TAG,
        checkpoint.config,
        checkpoint.parameters,
        alphabet.codec,
        (*texts_of(alphabet.codec), UNKNOWN_CHARACTER.encode()),
        outputs=tuple(tags),
        unknown=alphabet.unknown,
        details={"allowed": allowed_after(tags).astype(int).tolist() if is_bio(tags) else None},
    )


def read_translator(checkpoint: Checkpoint) -> Portable:
    """Return an encoder with a decoder. Its outputs are the symbols of targets, of which 0 is the start and the end."""
    symbols = symbols_of(checkpoint)
    return Portable(
        TRANSLATE,
        checkpoint.config,
        checkpoint.parameters,
        symbols.alphabet.codec,
        (*texts_of(symbols.alphabet.codec), UNKNOWN_CHARACTER.encode()),
        outputs=("", *symbols.outputs),
        unknown=symbols.alphabet.unknown,
        details={"form": symbols.form, "target_words": symbols.words, "longest": symbols.longest},
    )


def read_series(checkpoint: Checkpoint) -> Portable:
    """Return a forecaster, without the series that it has learned from."""
    about = read_forecaster(checkpoint)
    shape, levels = about.shape, sorted(checkpoint.config.quantiles)
    details = {"season": shape.season, "longer": shape.longer, "horizon": shape.horizon, "context": about.context}
    return Portable(FORECAST, checkpoint.config, checkpoint.parameters, None, details={**details, "quantiles": levels})


def texts_of(codec: Codec) -> tuple[bytes, ...]:
    """Return the text of each symbol, alone."""
    return tuple(codec.decode([symbol]) for symbol in range(len(codec)))


READERS: dict[str, Callable[[Checkpoint], Portable]] = {
    LANGUAGE: read_language,
    LABELLED: read_labels,
    CLASSIFY: read_classes,
    TAG: read_tags,
    TRANSLATE: read_translator,
    FORECAST: read_series,
}
BOUNDARY_MEANING = (
    f"symbol {BOUNDARY} is the boundary: as an input it starts a text, with all states zero; as an output it ends one"
)
