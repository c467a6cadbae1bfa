"""The unrolled network on a text: states, gates and the prediction of the next symbol at each step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rnn_cli.cells import Cell
from rnn_cli.errors import UsageError
from rnn_cli.inspect.plain_model import PlainModel, Symbols, check_finite, check_length
from rnn_cli.network.plain import TimeStep, network_forward

# The gates that open and close, by their names in the equations of each cell, and what people call them.
GATES = {"lstm": {"i": "input", "f": "forget", "o": "output"}, "gru": {"r": "reset", "z": "update"}, "rnn": {}}
FLOOR = -1e4  # nats of a symbol whose probability is too small for the numbers


@dataclass(frozen=True)
class Activations:
    """What a network does on a text of T steps, by network/plain.py.

    states     h, and c if the cell has one: (L, T, H), after each step
    values     what `forward` of the cell returns as its gates: each (L, T, H)
    log_probs  of the next symbol, in nats: (T, V)
    """

    symbols: Symbols
    cell: Cell
    states: dict[str, np.ndarray]
    values: tuple[np.ndarray, ...]
    log_probs: np.ndarray

    @property
    def gates(self) -> dict[str, np.ndarray]:
        """The gates, and the candidate, by their names in the cell's equations: (L, T, H); none for the plain cell."""
        return dict(zip(self.cell.input_gates, self.values)) if self.cell.name != "rnn" else {}

    @property
    def bits(self) -> np.ndarray:
        """What the symbol that came next cost at each step (T); NaN if the text ends."""
        return np.where(self.symbols.targets < 0, np.nan, -self._chosen / np.log(2))

    @property
    def ranks(self) -> np.ndarray:
        """The rank (T) of the symbol that came among all symbols: 1 if none was more probable; 0 if the text ends."""
        above = (self.log_probs > self._chosen[:, None]).sum(axis=1)
        return np.where(self.symbols.targets < 0, 0, 1 + above)

    @property
    def _chosen(self) -> np.ndarray:
        targets = self.symbols.targets
        return self.log_probs[np.arange(len(targets)), np.maximum(targets, 0)]

    def expected(self, step: int, count: int) -> list[tuple[int, float]]:
        """Return the `count` most probable next symbols at a step with their probabilities."""
        log_probs = self.log_probs[step]
        return [(int(k), float(np.exp(log_probs[k]))) for k in np.argsort(-log_probs, kind="stable")[:count]]

    def most_active(self, step: int, count: int) -> list[tuple[int, int, float]]:
        """Return (layer, unit, h) of the units that are furthest from their mean over the text; both count from 1."""
        h = self.states["h"]
        away = np.abs(h[:, step] - h.mean(axis=1))
        order = np.argsort(-away, axis=None, kind="stable")[:count]
        return [(int(k) // h.shape[2] + 1, int(k) % h.shape[2] + 1, float(h[:, step].flat[k])) for k in order]

    def unit(self, name: str) -> np.ndarray:
        """Return the values (T) of a unit. Raises UsageError for a name that is not L:K, or L:K:c of an LSTM."""
        state, layer, unit = find_unit(name, self.states)
        values: np.ndarray = self.states[state][layer, :, unit]
        return values

    def before(self, layer: int, steps: np.ndarray) -> np.ndarray:
        """Return the states (S, N, H) of a layer before some steps (N): zero if a text starts there."""
        states = np.array([self.states[name][layer, steps - 1] for name in self.cell.states])
        return np.where(self.symbols.starts[steps, None], 0, states)

    def time_steps(self, layer: int, steps: np.ndarray) -> TimeStep:
        """Return some steps (N) of a layer side by side, as the rows of one; without what they read."""
        return TimeStep(
            x=np.zeros((len(steps), 0)),
            starts=self.symbols.starts[steps, None],
            previous=self.before(layer, steps),
            gates=tuple(each[layer, steps] for each in self.values),
            state=np.array([self.states[name][layer, steps] for name in self.cell.states]),
        )


def find_unit(name: str, states: dict[str, np.ndarray]) -> tuple[str, int, int]:
    """Return the state of a unit, and its layer and its index, both from 0, by its name, which counts from 1."""
    parts = name.split(":")
    state = parts[2] if len(parts) == 3 else "h"
    layers, _, units = states["h"].shape
    if len(parts) in (2, 3) and all(part.isascii() and part.isdigit() and len(part) < 9 for part in parts[:2]):
        layer, unit = int(parts[0]), int(parts[1])
        if 1 <= layer <= layers and 1 <= unit <= units and state in states:
            return state, layer - 1, unit - 1
    cells = ", or L:K:c for its cell state c" if "c" in states else ""
    raise UsageError(f"`unit` is L:K{cells}, with a layer L from 1 to {layers} and a unit K from 1 to {units}")


def unit_name(state: str, layer: int, unit: int) -> str:
    """Return the name of a unit whose layer and index count from 0. Pair of `find_unit`."""
    return f"{layer + 1}:{unit + 1}" + (":c" if state == "c" else "")


def activations(model: PlainModel, symbols: Symbols) -> Activations:
    """Return what a network does on a text.

    Raises UsageError if the text is too long to keep it all, CheckpointError if the outputs are not finite.
    """
    config, cell = model.config, model.cell
    width = config.num_layers * config.hidden_size * (cell.blocks + 3 * len(cell.states))
    check_length(symbols, width + 2 * config.output_size)
    weights, inputs = model.inputs_of(symbols.inputs)
    zeros = np.zeros((config.num_layers, 1, len(cell.states), 1, config.hidden_size), model.dtype)
    mask = np.ones((config.num_layers, 1, config.hidden_size), model.dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        logits, _, trace = network_forward(cell, weights, inputs[:, None], symbols.starts[:, None], zeros, mask)
    check_finite(logits)
    layers = [steps for (steps,) in trace.steps]
    states = {
        name: np.array([[step.state[k, 0] for step in steps] for steps in layers]) for k, name in enumerate(cell.states)
    }
    values = tuple(np.array([[step.gates[k][0] for step in steps] for steps in layers]) for k in range(cell.blocks))
    shifted = logits[:, 0] - logits[:, 0].max(axis=1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return Activations(symbols, cell, states, values, np.maximum(log_probs, FLOOR))
