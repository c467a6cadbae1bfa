"""The unrolled network on a text: states, gates and the prediction of the next symbol at each step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rnn_cli.errors import UsageError
from rnn_cli.inspect.plain_model import PlainModel, Symbols, check_finite, check_length
from rnn_cli.network.plain import TimeStep, Trace, network_forward

# The names of what `forward` of each cell returns as its gates, in their order, and those that open and close.
GATE_VALUES = {"lstm": ("i", "f", "g", "o"), "gru": ("n", "r", "z", "u"), "rnn": ("h",)}
GATES = {"lstm": {"i": "input", "f": "forget", "o": "output"}, "gru": {"r": "reset", "z": "update"}, "rnn": {}}


@dataclass(frozen=True)
class Activations:
    """What a network does on a text of T steps.

    states     h, and c if the cell has one: (L, T, H), after each step
    gates      by their names in the cell's equations: (L, T, H); none for the plain cell
    log_probs  of the next symbol, in nats: (T, V)
    """

    symbols: Symbols
    states: dict[str, np.ndarray]
    gates: dict[str, np.ndarray]
    log_probs: np.ndarray

    @property
    def bits(self) -> np.ndarray:
        """What the symbol that came next cost at each step (T); NaN if the text ends."""
        targets = self.symbols.targets
        nats = -self.log_probs[np.arange(len(targets)), np.maximum(targets, 0)]
        return np.where(targets < 0, np.nan, nats / np.log(2))

    @property
    def ranks(self) -> np.ndarray:
        """How many symbols were more probable than the one that came (T); -1 if the text ends."""
        targets = self.symbols.targets
        chosen = self.log_probs[np.arange(len(targets)), np.maximum(targets, 0)]
        return np.where(targets < 0, -1, (self.log_probs > chosen[:, None]).sum(axis=1))

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


def trace_of(model: PlainModel, symbols: Symbols) -> tuple[np.ndarray, Trace]:
    """Run a network over a text; return the logits (T, V) and the trace. Raises CheckpointError if they overflow."""
    weights, inputs = model.for_symbols(symbols.inputs)
    mask = np.ones((model.config.num_layers, 1, model.config.hidden_size))
    with np.errstate(over="ignore", invalid="ignore"):
        logits, _, trace = network_forward(model.cell, weights, inputs[:, None], symbols.starts, model.zero_state, mask)
    check_finite(logits)
    return logits[:, 0], trace


def activations(model: PlainModel, symbols: Symbols) -> Activations:
    """Return what a network does on a text. Raises UsageError if the text is too long to keep it all."""
    config, cell = model.config, model.cell
    width = config.num_layers * config.hidden_size * (cell.blocks + 3 * len(cell.states))
    check_length(symbols, width + 2 * config.output_size)
    logits, trace = trace_of(model, symbols)
    layers: list[list[TimeStep]] = [directions[0] for directions in trace.steps]
    states = {
        name: np.array([[step.state[k, 0] for step in steps] for steps in layers]) for k, name in enumerate(cell.states)
    }
    gates = {
        name: np.array([[step.gates[k][0] for step in steps] for steps in layers])
        for k, name in enumerate(GATE_VALUES[cell.name])
        if cell.name != "rnn"
    }
    logits -= logits.max(axis=1, keepdims=True)
    return Activations(symbols, states, gates, logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)))
