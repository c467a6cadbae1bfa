"""Gradient checking: backpropagation through time against central differences, in float64."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from rnn_cli.inspect.plain_model import PlainModel
from rnn_cli.network.config import NetworkConfig
from rnn_cli.network.plain import Trace, cross_entropy, network_backward, network_forward, one_hot

HIDDEN, STEPS, MOST_LAYERS = 4, 10, 3
EPSILON = 1e-5
TOLERANCE = 1e-6  # of the largest element


class Block(NamedTuple):
    """The check of one block of parameters: its name and size, its largest gradient, and the largest difference."""

    name: str
    size: int
    largest: float
    difference: float

    @property
    def right(self) -> bool:
        """Whether the two gradients agree to TOLERANCE of the largest element; one that is 0 shows nothing."""
        return self.largest > 0 and self.difference <= TOLERANCE * self.largest


def check_gradients(config: NetworkConfig, symbols: np.ndarray, random_seed: int = 1) -> list[Block]:
    """Check each block of parameters of a small network of this kind on the first symbols of a text.

    numeric = (loss(w + epsilon) - loss(w - epsilon)) / (2 epsilon), for each single weight w
    """
    used, ids = np.unique(symbols[: STEPS + 1], return_inverse=True)
    size = max(len(used), 2)
    small = replace(
        config,
        input_size=size,
        output_size=size,
        hidden_size=HIDDEN,
        num_layers=min(config.num_layers, MOST_LAYERS),
        embedding="none",
    )
    model = PlainModel.fresh(small, random_seed)
    generator = np.random.default_rng(random_seed)
    inputs, targets = one_hot(ids[:-1], size)[:, None], ids[1:, None]
    starts, mask = np.zeros(targets.shape, bool), np.ones((small.num_layers, 1, HIDDEN))
    states = 0.5 * generator.standard_normal(model.zero_state.shape)

    def run() -> tuple[float, np.ndarray, Trace]:
        logits, _, trace = network_forward(model.cell, model.weights, inputs, starts, states, mask)
        losses, grad_logits = cross_entropy(logits, targets)
        return float(losses.sum()), grad_logits, trace

    def numeric(array: np.ndarray) -> np.ndarray:
        grad = np.zeros_like(array)
        for index in np.ndindex(array.shape):
            value = array[index]
            array[index] = value + EPSILON
            above = run()[0]
            array[index] = value - EPSILON
            grad[index] = (above - run()[0]) / (2 * EPSILON)
            array[index] = value
        return grad

    _, grad_logits, trace = run()
    grad, _, grad_states = network_backward(
        model.cell,
        model.weights,
        trace,
        grad_logits,
        np.zeros_like(states),
    )
    pairs = [
        (f"{name}, layer {layer + 1}", getattr(own, name), getattr(analytic, name))
        for layer, ((own,), (analytic,)) in enumerate(zip(model.weights.layers, grad.layers))
        for name in own._fields
    ]
    pairs += [
        ("decoder weight", model.weights.decoder_weight, grad.decoder_weight),
        ("decoder bias", model.weights.decoder_bias, grad.decoder_bias),
        ("initial states", states, grad_states),
    ]
    return [
        Block(name, array.size, float(np.abs(analytic).max()), float(np.abs(analytic - numeric(array)).max()))
        for name, array, analytic in pairs
    ]
