"""Attention in plain NumPy against central differences, and the kernels of an encoder with a decoder against it."""

import numpy as np
import pytest
from gradcheck import assert_same_gradient, numeric_gradient
from test_pairs import SOURCES, TARGETS, make

from rnn_cli.network.pair_window import PairBatch
from rnn_cli.network.plain import arrays, cross_entropy, one_hot
from rnn_cli.network.plain_attention import Masks, attend, attend_backward, pair_backward, pair_forward, pair_weights_of


def all_arrays(weights):
    """Return the arrays of the weights of a pair of networks."""
    return [*arrays(weights.encoder), *arrays(weights.decoder), *weights[2:]]


def test_gradient_of_attention():
    generator = np.random.default_rng(2)
    read, keys, written = (generator.standard_normal(shape) for shape in ((4, 6), (4, 3), (5, 3)))
    grad = generator.standard_normal((5, 6))
    attention, _ = attend(read, keys, written)
    np.testing.assert_allclose(attention.sum(axis=1), 1)
    analytic = attend_backward(read, keys, written, attention, grad)
    for number, own in enumerate(analytic):

        def loss(values, number=number):
            arguments = [read, keys, written]
            arguments[number] = values
            return (attend(*arguments)[1] * grad).sum()

        assert_same_gradient(own, numeric_gradient(loss, (read, keys, written)[number]), f"argument {number}")


@pytest.mark.parametrize("layers, directions", [(1, 2), (2, 2), (2, 1)])
def test_kernels_follow_plain(cell, team, layers, directions):
    window = make(cell, team, layers=layers, directions=directions)
    config, layout = window.model.config, window.model.layout
    units = config.hidden_size
    generator = np.random.default_rng(8)
    sources = [generator.integers(1, 7, length) for length in SOURCES]
    targets = [generator.integers(1, 9, length) for length in TARGETS]
    window.load(PairBatch.of(sources, targets))
    weights = pair_weights_of(layout, window.model.parameters)
    runs = layers * directions
    scored = sum(len(target) + 1 for target in targets)
    total, grads = 0.0, None
    for row, (source, target) in enumerate(zip(sources, targets)):
        own = window.mask[:, row, :units].astype(np.float64)
        encoder = own[:runs].reshape(layers, 1, directions * units)
        masks = Masks(encoder, own[runs:-1].reshape(layers, 1, units), own[-1])
        inputs = one_hot(np.array([0, *target]), config.output_size)
        logits, trace = pair_forward(cell, weights, one_hot(source, config.input_size), inputs, masks)
        losses, grad_logits = cross_entropy(logits, np.array([*target, 0]))
        total += losses.sum()
        found = all_arrays(pair_backward(cell, weights, trace, grad_logits / scored))
        grads = found if grads is None else [mine + more for mine, more in zip(grads, found)]
    assert window.gradient() == pytest.approx(total / scored, rel=1e-12)
    ours = all_arrays(pair_weights_of(layout, window.grad))
    for number, (mine, plain) in enumerate(zip(ours, grads, strict=True)):
        assert np.abs(mine - plain).max() <= 1e-12 * max(1, np.abs(plain).max()), number
