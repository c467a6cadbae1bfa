"""Gradient checking: the gradient of training, by its own kernels in float64, against central differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from rnn_cli.network.encoder_decoder import EncoderDecoderLayout
from rnn_cli.network.pair_window import PairWindow
from rnn_cli.network.parameters import Layout, runs_of
from rnn_cli.network.plain import (
    arrays,
    cross_entropy,
    layer_views,
    network_backward,
    network_forward,
    one_hot,
    weights_of,
)
from rnn_cli.network.workspace import TrainingWindow, count_scored

EPSILON = 1e-5
TOLERANCE = 1e-6  # of the largest element
NOISE = 1e-10  # rounding of two losses, divided by their distance
STATES = "initial states"


class Block(NamedTuple):
    """The check of one block of parameters.

    largest     the largest element of its gradient
    difference  the largest difference from the numeric gradient
    plain       the largest difference from network/plain.py, None for a network that it does not have
    """

    name: str
    size: int
    largest: float
    difference: float
    plain: float | None

    @property
    def right(self) -> bool:
        """Whether the gradients agree to TOLERANCE of the largest element; one in the noise shows nothing."""
        apart = max(self.difference, self.plain or 0.0)
        return self.largest > 1e3 * NOISE and apart <= TOLERANCE * self.largest + NOISE


def check_gradients(window: TrainingWindow | PairWindow) -> list[Block]:
    """Check each block of parameters of a window in float64, and the initial states if these are not zero.

    numeric = (loss(w + epsilon) - loss(w - epsilon)) / (2 epsilon), for each single weight w
    """
    states = window.state.copy()

    def loss() -> float:
        window.state[:] = states
        return window.gradient()

    blocks = blocks_of(window.model.layout, window.model.parameters)
    loss()
    analytic = {name: view.copy() for name, view in blocks_of(window.model.layout, window.grad).items()}
    if isinstance(window, TrainingWindow) and states.any():
        blocks[STATES], analytic[STATES] = states, window.carry[..., : states.shape[-1]].copy()
    plain = plain_gradient(window, states)
    found = []
    for name, values in blocks.items():
        difference = float(np.abs(analytic[name] - numeric(loss, values)).max())
        apart = float(np.abs(analytic[name] - plain[name].reshape(values.shape)).max()) if name in plain else None
        found.append(Block(name, values.size, float(np.abs(analytic[name]).max()), difference, apart))
    return found


def numeric(loss: Callable[[], float], values: np.ndarray) -> np.ndarray:
    """Return the central differences of a loss that reads `values`, each of which is changed for a moment."""
    grad = np.zeros(values.shape)
    for index in np.ndindex(values.shape):
        value = values[index]
        values[index] = value + EPSILON
        above = loss()
        values[index] = value - EPSILON
        grad[index] = (above - loss()) / (2 * EPSILON)
        values[index] = value
    return grad


def blocks_of(layout: Layout, flat: np.ndarray) -> dict[str, np.ndarray]:
    """Return each block of a flat vector by its name, as a view without padding."""
    if not isinstance(layout, EncoderDecoderLayout):
        decoder = dict(zip(("decoder weight", "decoder bias"), layout.decoder(flat)))
        return layer_blocks(layout, flat) | decoder
    encoder, decoder_part, _ = layout.parts(flat)
    names = ("combine output", "combine context", "combine bias", "bridge weight", "bridge bias")
    output = layout.decoder_layout.decoder(decoder_part)
    return (
        layer_blocks(layout.encoder, encoder, "encoder ")
        | layer_blocks(layout.decoder_layout, decoder_part, "decoder ")
        | {"attention weight": layout.encoder.decoder(encoder)[0]}
        | dict(zip(names, layout.between_views(flat)))
        | {"output weight": output[0], "output bias": output[1]}
    )


def layer_blocks(layout: Layout, flat: np.ndarray, prefix: str = "") -> dict[str, np.ndarray]:
    """Return the weights of each layer and direction."""
    return {
        f"{prefix}{kind}, layer {layer + 1}" + ", reverse" * direction: view
        for layer, direction, _ in runs_of(layout.config)
        for kind, view in zip(("weight_ih", "weight_hh", "bias"), layer_views(layout, flat, layer, direction))
    }


def plain_gradient(window: TrainingWindow | PairWindow, states: np.ndarray) -> dict[str, np.ndarray]:
    """Return the gradient by network/plain.py, by the names of `blocks_of`; empty for a network that it does not have.

    It has those that read and predict symbols, with the output of each step as the readout.
    """
    config, layout = window.model.config, window.model.layout
    if isinstance(window, PairWindow) or (config.inputs, config.outputs, config.readout) != (
        "symbols",
        "symbols",
        "last",
    ):
        return {}
    weights = weights_of(layout, window.model.parameters)
    batch, hidden = window.starts.shape[1], config.hidden_size
    symbols = window.inputs.reshape(*window.starts.shape, -1)
    tied = config.embedding == "tied"
    inputs = weights.decoder_weight.T[symbols[..., 0]] if tied else one_hot(symbols, config.input_size).sum(axis=2)
    initial = states.reshape(config.num_layers, config.directions, -1, batch, hidden)
    mask = np.ones((config.num_layers, batch, config.directions * hidden))
    logits, _, trace = network_forward(layout.cell, weights, inputs, window.starts != 0, initial, mask)
    _, grad_logits = cross_entropy(logits, window.targets)
    grad_logits /= max(count_scored(window.targets), 1)
    grad, grad_inputs, grad_states = network_backward(layout.cell, weights, trace, grad_logits, np.zeros_like(initial))
    if tied:  # what is read are rows of the decoder's weight
        np.add.at(grad.decoder_weight.T, symbols[..., 0], grad_inputs)
    return dict(zip(blocks_of(layout, window.grad), arrays(grad))) | {STATES: grad_states}
