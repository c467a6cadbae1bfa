"""A language model reading one text, with everything that its steps computed by network/plain.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rnn_cli.cells import Cell, find_cell
from rnn_cli.checkpoint.checkpoint import Checkpoint
from rnn_cli.errors import CheckpointError, UsageError
from rnn_cli.network.model import Model
from rnn_cli.network.plain import NetworkWeights, TimeStep, Weights, cross_entropy, network_forward, one_hot, weights_of
from rnn_cli.text.codecs import BOUNDARY

FLOOR = -1e4  # nats of a symbol whose probability is too small for float64


@dataclass(frozen=True)
class Reading:
    """T steps: step t reads `symbols[t]` and predicts `targets[t]`, the symbol that follows.

    starts      (T,)        whether a text starts at the step, from the zero state
    steps       [layer][t]  what the layer computed, with rows of one
    log_probs   (T, V)      natural logarithms of the probabilities of the next symbol
    unknown                 how many symbols of the text were left out, as the model does not know them
    """

    cell: Cell
    weights: NetworkWeights
    symbols: np.ndarray
    targets: np.ndarray
    starts: np.ndarray
    steps: list[list[TimeStep]]
    log_probs: np.ndarray
    unknown: int

    @property
    def bits(self) -> np.ndarray:
        """The surprisal (T,) of each target, in bits."""
        return -self.log_probs[np.arange(len(self.targets)), self.targets] / np.log(2)

    @property
    def ranks(self) -> np.ndarray:
        """The rank (T,) of each target among the next symbols: 1 if no symbol was more probable."""
        own = self.log_probs[np.arange(len(self.targets)), self.targets]
        return 1 + (self.log_probs > own[:, None]).sum(axis=1)

    def states(self, layer: int, state: int = 0) -> np.ndarray:
        """Return h, or another state of the cell, of a layer after each step: (T, H)."""
        return np.array([step.state[state, 0] for step in self.steps[layer]])

    def gates(self, layer: int) -> dict[str, np.ndarray]:
        """Return the gates of a layer by their names, each (T, H); those of the GRU are n, r, z."""
        return {
            name: np.array([step.gates[index][0] for step in self.steps[layer]])
            for index, name in enumerate(self.cell.input_gates)
        }


def read_text(checkpoint: Checkpoint, text: str | bytes, most: int, dtype: Any = np.float64) -> Reading:
    """Let a language model read up to `most` symbols of a text, from the zero state. float32 takes half the time.

    Raises TaskError for a model of another task, UsageError if the model knows no symbol of the text, CheckpointError
    if its outputs are not finite.
    """
    codec, config = checkpoint.codec, checkpoint.config
    encoded = codec.encode(text)
    known = codec.known(encoded).astype(np.int64)
    if not len(known):
        raise UsageError("the model knows no symbol of the text; give a text like the one that it was trained on")
    framed = codec.frame(known)[: most + 1]
    symbols, targets = framed[:-1], framed[1:]
    cell, layout = find_cell(config.cell, config.activation), Model.from_torch(config, checkpoint.parameters)
    weights = as_type(weights_of(layout.layout, layout.parameters), dtype)
    tied = config.embedding == "tied"
    inputs = weights.decoder_weight.T[symbols] if tied else one_hot(symbols, config.input_size).astype(dtype)
    starts = symbols == BOUNDARY
    states = np.zeros((config.num_layers, 1, len(cell.states), 1, config.hidden_size), dtype)
    mask = np.ones((config.num_layers, 1, config.hidden_size), dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        logits, _, trace = network_forward(cell, weights, inputs[:, None], starts[:, None], states, mask)
    if not np.isfinite(logits).all():
        raise CheckpointError("the model predicts values that are not finite on this text; train it again")
    of_first, _ = cross_entropy(logits, np.zeros((len(logits), 1), np.int64))
    log_probs = logits[:, 0] - logits[:, 0, :1] - of_first  # all differ from their logits by the same
    steps = [directions[0] for directions in trace.steps]
    unknown = int((encoded < 0).sum())
    return Reading(cell, weights, symbols, targets, starts, steps, np.maximum(log_probs, FLOOR), unknown)


def as_type(weights: NetworkWeights, dtype: Any) -> NetworkWeights:
    """Return the weights as numbers of this type."""
    layers = [[Weights(*(array.astype(dtype) for array in own)) for own in each] for each in weights.layers]
    return NetworkWeights(layers, weights.decoder_weight.astype(dtype), weights.decoder_bias.astype(dtype))
