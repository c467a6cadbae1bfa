"""A language model in plain NumPy, so that each of its numbers can be read, and a text as it reads it."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from rnn_cli.cells import Cell
from rnn_cli.checkpoint.checkpoint import LANGUAGE, Checkpoint
from rnn_cli.errors import CheckpointError, UsageError
from rnn_cli.network.config import NetworkConfig
from rnn_cli.network.parameters import Layout
from rnn_cli.network.plain import NetworkWeights, one_hot, weights_of
from rnn_cli.text.codecs import BOUNDARY, Codec

MOST_VALUES = 1 << 26  # numbers that are kept of one text


class Symbols(NamedTuple):
    """A text as a network reads it: symbol t is read at step t, and targets[t] comes next; -1 if the text ends there.

    The first step reads the boundary, from which each text starts.
    """

    inputs: np.ndarray  # (T) int32
    targets: np.ndarray  # (T) int32

    @property
    def starts(self) -> np.ndarray:
        """Where a text starts from the zero state: (T)."""
        return self.inputs == BOUNDARY

    @property
    def scored(self) -> np.ndarray:
        """The steps with a target."""
        return np.flatnonzero(self.targets >= 0)

    def first(self, count: int) -> Symbols:
        """Return the first steps that have a target, at most `count`."""
        return Symbols(*(each[: min(count, len(self.scored))] for each in self))


@dataclass(frozen=True)
class PlainModel:
    """The weights of a network as `network/plain.py` takes them: float32, or float64 to compare with derivatives."""

    config: NetworkConfig
    cell: Cell
    weights: NetworkWeights

    @classmethod
    def of_checkpoint(cls, checkpoint: Checkpoint, dtype: Any = np.float32) -> PlainModel:
        """Return the network of a language model. Raises TaskError for a model of another task."""
        checkpoint.expect(LANGUAGE)
        layout = Layout(checkpoint.config, 1)
        flat = np.zeros(layout.size, np.float32)
        layout.from_torch(flat, checkpoint.parameters)
        return cls(checkpoint.config, layout.cell, weights_of(layout, flat, dtype))

    @classmethod
    def fresh(cls, config: NetworkConfig, random_seed: int, gain: float = 1.0, dtype: Any = np.float32) -> PlainModel:
        """Return an untrained network, its recurrent weights multiplied by `gain`."""
        layout = Layout(config, 1)
        flat = np.zeros(layout.size, np.float32)
        layout.initialise(flat, np.random.default_rng(random_seed))
        weights = weights_of(layout, flat, dtype)
        for (layer,) in weights.layers:
            layer.weight_hh[:] *= gain
        return cls(config, layout.cell, weights)

    @property
    def dtype(self) -> np.dtype:
        """The type of the weights."""
        return self.weights.decoder_bias.dtype

    def inputs_of(self, symbols: np.ndarray) -> tuple[NetworkWeights, np.ndarray]:
        """Return the weights that a text uses, and what each of its T steps reads: (T, I).

        Only the rows of W_ih of symbols that occur are kept: of a large vocabulary a text uses few.
        """
        if self.config.embedding == "tied":
            return self.weights, self.weights.decoder_weight.T[symbols]
        used, index = np.unique(symbols, return_inverse=True)
        ((first,), *others) = self.weights.layers
        first = first._replace(weight_ih=first.weight_ih[used])
        return self.weights._replace(layers=[[first], *others]), one_hot(index, len(used)).astype(self.dtype)


def read_symbols(codec: Codec, text: str | bytes, unknown: str = "error") -> Symbols:
    """Return a text as symbols. Raises UsageError for an unknown character, which `unknown="skip"` leaves out."""
    ids = codec.encode_prompt(text, unknown, "the text")
    framed = np.concatenate([[BOUNDARY], ids]).astype(np.int32)
    if len(framed) > 1 and framed[-1] == BOUNDARY:  # the text ends there
        return Symbols(framed[:-1], framed[1:])
    return Symbols(framed, np.append(framed[1:], np.int32(-1)))


def check_length(symbols: Symbols, values: int) -> None:
    """Raise UsageError if a text has so many steps, of `values` numbers each, that they would fill the memory."""
    most = MOST_VALUES // values
    if len(symbols.inputs) > most:
        raise UsageError(
            f"the text has {len(symbols.inputs) - 1:,} symbols, and this model takes up to {most - 1:,}; "
            "give a part of it"
        )


def pieces_of(codec: Codec, inputs: np.ndarray) -> list[str]:
    """Return the text that each symbol adds to the text before it; a boundary inside is a newline.

    Of a character of several bytes, each a symbol, the last byte adds it.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    previous, pieces = BOUNDARY, []
    for index, symbol in enumerate(inputs.tolist()):
        data = b"\n" * (index > 0) if symbol == BOUNDARY else codec.decode_after(previous, [symbol])
        pieces.append(decoder.decode(data))
        previous = symbol
    return pieces


def check_finite(values: np.ndarray) -> None:
    """Raise CheckpointError if numbers of a model are not finite."""
    if not np.isfinite(values).all():
        raise CheckpointError("the model's outputs are not finite: its weights overflow")
