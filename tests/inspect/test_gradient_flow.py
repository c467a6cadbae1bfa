"""The gradient over lag, against numeric derivatives, PyTorch and the trainer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from random_models import make_checkpoint, random_text
from torch_models import torch_network

from rnn_cli.errors import UsageError
from rnn_cli.inspect.activations import activations
from rnn_cli.inspect.gradient_flow import (
    compared,
    gradient_flow,
    mean_over_lag,
    meaning,
    norm_of,
    spectral_radius,
    spread,
    train_briefly,
    weight_gradient,
)
from rnn_cli.inspect.plain_model import PlainModel, Symbols, read_symbols
from rnn_cli.kernels.network.optimizer import Step
from rnn_cli.kernels.threads import Team
from rnn_cli.network.model import Model
from rnn_cli.network.plain import cross_entropy, network_forward
from rnn_cli.network.workspace import Batch, TrainingWindow
from rnn_cli.text.codecs import WordCodec

STEP = 9


def loss_at(network: PlainModel, symbols: Symbols, inputs: np.ndarray, states: np.ndarray, first: int) -> float:
    """Return the loss at STEP if the network reads `inputs` (T, I) from step `first` on, from these states."""
    mask = np.ones((network.config.num_layers, 1, network.config.hidden_size))
    part = slice(first, STEP + 1)
    starts = symbols.starts[part, None] & (first == 0)
    logits, _, _ = network_forward(network.cell, network.weights, inputs[part, None], starts, states, mask)
    return float(cross_entropy(logits, symbols.targets[part, None])[0][-1, 0])


def numeric_norm(function: Any, point: np.ndarray, epsilon: float = 1e-6) -> float:
    """Return the norm of the central differences of a function at a point."""
    grad = np.zeros(point.shape)
    for index in np.ndindex(point.shape):
        shift = np.zeros(point.shape)
        shift[index] = epsilon
        grad[index] = (function(point + shift) - function(point - shift)) / (2 * epsilon)
    return float(np.linalg.norm(grad))


def test_gradient_over_lag_is_that_of_central_differences(model: Any) -> None:
    network, symbols = model
    acts = activations(network, symbols)
    flow = gradient_flow(network, acts, np.array([4, STEP]))
    inputs = np.eye(network.config.input_size)[symbols.inputs]
    for lag in (1, 2, 5):
        states = np.array([[[each[layer, STEP - lag][None] for each in acts.states.values()]] for layer in (0, 1)])
        expected = numeric_norm(lambda s, k=lag: loss_at(network, symbols, inputs, s, STEP - k + 1), states)
        assert flow.states[1, lag - 1] == pytest.approx(expected, rel=1e-4)
    assert np.isnan(flow.states[0, 4:]).all()
    assert np.isfinite(flow.states[1, :STEP]).all()
    assert np.isnan(flow.states[1, STEP:]).all()


def test_influence_is_that_of_numeric_derivatives(model: Any) -> None:
    network, symbols = model
    flow = gradient_flow(network, activations(network, symbols), np.array([STEP]))
    inputs = np.eye(network.config.input_size)[symbols.inputs]
    zeros = np.zeros((2, 1, len(network.cell.states), 1, 16))
    for lag in (0, 1, 4, STEP):

        def loss(row: np.ndarray, at: int = STEP - lag) -> float:
            changed = inputs.copy()
            changed[at] = row
            return loss_at(network, symbols, changed, zeros, 0)

        assert flow.inputs[0, lag] == pytest.approx(numeric_norm(loss, inputs[STEP - lag]), rel=1e-4, abs=1e-9)
    assert np.isnan(flow.inputs[0, STEP + 1 :]).all()


def test_both_are_those_of_pytorch(model: Any, cell: Any) -> None:
    if cell.activation == "sigmoid":
        return  # which PyTorch lacks; central differences have it
    torch = pytest.importorskip("torch")
    network, symbols = model
    flow = gradient_flow(network, activations(network, symbols), spread(symbols))
    layers, readout = torch_network(torch, network.config, make_checkpoint(False, cell).parameters)
    x = torch.eye(network.config.input_size).double()[torch.from_numpy(symbols.inputs.astype(np.int64))]
    for row, step in enumerate(flow.steps.tolist()):
        for lag in (1, 3):
            if lag > step:
                continue
            _, final = layers(x[: step - lag + 1])
            leaves = tuple(part.detach().requires_grad_() for part in (final if cell.name == "lstm" else (final,)))
            later = x[step - lag + 1 : step + 1].clone().requires_grad_()
            output, _ = layers(later, leaves if cell.name == "lstm" else leaves[0])
            target = torch.tensor(int(symbols.targets[step]))
            torch.nn.functional.cross_entropy(readout(output[-1]), target).backward()
            expected = sum(float((leaf.grad**2).sum()) for leaf in leaves) ** 0.5
            assert flow.states[row, lag - 1] == pytest.approx(expected, rel=1e-6)
            np.testing.assert_allclose(flow.inputs[row, :lag][::-1], later.grad.norm(dim=1), rtol=1e-6)


def test_nothing_reaches_back_over_the_start_of_a_text() -> None:
    checkpoint = make_checkpoint(True)
    symbols = read_symbols(checkpoint.codec, "abc\nab\n")
    network = PlainModel.of_checkpoint(checkpoint)
    flow = gradient_flow(network, activations(network, symbols), symbols.scored)
    reached = (~np.isnan(flow.inputs)).sum(axis=1)
    assert reached.tolist() == [1, 2, 3, 4, 1, 2, 3]
    assert (~np.isnan(flow.states)).sum(axis=1).tolist() == [0, 1, 2, 3, 0, 1, 2]
    assert len(mean_over_lag(flow.states)) == 3


@pytest.mark.parametrize("words", [False, True], ids=["characters", "words"])
def test_norm_of_the_gradient_is_that_of_the_trainer(cell: Any, words: bool) -> None:
    codec = WordCodec(("a", "b", "c", "d"), True) if words else None
    checkpoint = make_checkpoint(False, cell, codec=codec)
    symbols = read_symbols(checkpoint.codec, "a b d c a d d" if words else "abcahcabfde").first(99)
    assert (checkpoint.config.embedding == "tied") == words
    model = Model.from_torch(checkpoint.config, checkpoint.parameters, np.float64)
    window = TrainingWindow(model, len(symbols.inputs), 1, Team(1))
    window.load(Batch(symbols.inputs[:, None], symbols.starts[:, None], symbols.targets[:, None]))
    _, norm = window.train(Step(number=1, learning_rate=0.1, clip_norm=1.0))
    network = PlainModel.of_checkpoint(checkpoint, np.float64)
    ours = weight_gradient(network, activations(network, symbols))
    assert norm_of(ours) == pytest.approx(norm, rel=1e-9)


def test_brief_training_lowers_the_loss(model: Any) -> None:
    network, symbols = model
    before = np.nanmean(activations(network, symbols).bits)
    train_briefly(network, symbols, 20, rate=0.05)
    assert np.nanmean(activations(network, symbols).bits) < before


def test_spectral_radius_is_the_largest_eigenvalue() -> None:
    for size in (1, 2, 30, 100):
        matrix = np.random.default_rng(3).standard_normal((size, size))
        assert spectral_radius(matrix) == pytest.approx(np.abs(np.linalg.eigvals(matrix)).max(), rel=1e-3)
    assert spectral_radius(np.zeros((3, 3))) == 0
    assert spectral_radius(np.eye(3, k=1)) == 0  # whose powers end


def test_large_recurrent_weights_explode_and_small_ones_vanish() -> None:
    checkpoint = make_checkpoint(False)
    network = PlainModel.of_checkpoint(checkpoint)
    symbols = read_symbols(checkpoint.codec, random_text(40, False))
    fresh, large = (mean_over_lag(compared(network, symbols, 1, gain)["rnn relu"].states) for gain in (0.5, 6.0))
    assert "vanishes" in meaning(fresh)
    assert "explodes" in meaning(large)
    assert "too short" in meaning(fresh[:1])
    assert np.isfinite(compared(network, symbols, 1, 10.0, 3)["rnn relu"].states[-1, :39]).all()
    with pytest.raises(UsageError, match="activations of rnn relu overflow"):
        compared(network, read_symbols(checkpoint.codec, random_text(300, False)), 1, 100.0)


def test_a_gradient_too_small_for_float32_is_measured() -> None:
    checkpoint = make_checkpoint(False)
    network = PlainModel.of_checkpoint(checkpoint)
    symbols = read_symbols(checkpoint.codec, random_text(120, False))
    norms = mean_over_lag(compared(network, symbols, 1, 0.1)["rnn sigmoid"].states)
    assert len(norms) == 100
    assert 0 < norms[-1] < 1e-60
