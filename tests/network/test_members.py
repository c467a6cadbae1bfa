"""Several networks side by side: one function in three forms, and the gradient of the kernels."""

from dataclasses import replace

import numpy as np
import pytest

from rnn_cli.errors import UsageError
from rnn_cli.kernels.network.dropconnect import DropConnect
from rnn_cli.kernels.threads import Team
from rnn_cli.network.config import NetworkConfig
from rnn_cli.network.members import as_one, joined
from rnn_cli.network.model import Model
from rnn_cli.network.workspace import Batch, TrainingWindow, Window

LENGTH, ROWS, SYMBOLS = 7, 5, 11
CELLS = [("lstm", "tanh"), ("gru", "tanh"), ("rnn", "relu")]


def batch(seed=3):
    generator = np.random.default_rng(seed)
    inputs, targets = generator.integers(0, SYMBOLS, (2, LENGTH, ROWS), np.int32)
    targets[2, 1] = -1
    return Batch(inputs, (generator.random((LENGTH, ROWS)) < 0.2).astype(np.uint8), targets)


def several(kind, activation, layers, units, count, dtype=np.float32, **others):
    config = NetworkConfig.for_symbols(
        SYMBOLS, cell=kind, activation=activation, hidden_size=units, num_layers=layers, **others
    )
    models = [Model.initialised(config, np.random.default_rng(number), dtype) for number in range(count)]
    for model in models:
        model.parameters += 0.05
        model.layout.from_torch(model.parameters, model.to_torch())
    return config, models


def logits_of(model, threads=2):
    window = Window(model, LENGTH, ROWS, Team(threads))
    window.load(batch())
    window.state[:] = 0.3
    window.pack()
    window.score()
    return window.losses.copy(), window.state.copy()


@pytest.mark.parametrize("kind, activation", CELLS)
@pytest.mark.parametrize("layers, units, count", [(1, 13, 3), (2, 16, 2), (3, 5, 4)])
def test_members_are_the_mean_of_their_logits(kind, activation, layers, units, count):
    config, models = several(kind, activation, layers, units, count)
    together = Model.from_torch(*joined(config, [model.to_torch() for model in models]))
    log_likelihoods = []
    for model in models:
        window = Window(model, LENGTH, ROWS, Team(1))
        window.load(batch())
        window.state[:] = 0.3
        window.pack()
        window.targets.fill(-1)  # the loss leaves no gradient in the outputs; the outputs come from all targets
        rows = []
        for symbol in range(SYMBOLS):
            window.load(batch())
            window.state[:] = 0.3
            window.targets.fill(symbol)
            window.score()
            rows.append(-window.losses.copy())
        log_likelihoods.append(np.stack(rows))
    mean = np.mean(log_likelihoods, axis=0)
    mean -= np.log(np.exp(mean).sum(axis=0))
    targets = batch().targets
    expected = -np.take_along_axis(mean, np.maximum(targets, 0)[None], axis=0)[0] * (targets >= 0)
    losses, states = logits_of(together)
    np.testing.assert_allclose(losses, expected, atol=2e-6)
    one = Model.from_torch(*as_one(together.config, together.to_torch()))
    as_one_losses, as_one_states = logits_of(one)
    np.testing.assert_allclose(losses, as_one_losses, atol=2e-6)
    side_by_side = states.reshape(layers, count, *states.shape[1:]).transpose(0, 2, 3, 1, 4)
    np.testing.assert_allclose(side_by_side.reshape(as_one_states.shape), as_one_states, atol=2e-6)


@pytest.mark.parametrize("kind, activation", CELLS)
@pytest.mark.parametrize("layers, units, count, threads", [(1, 13, 3, 1), (2, 6, 3, 2)])
def test_gradient_is_that_of_central_differences(kind, activation, layers, units, count, threads):
    config, models = several(kind, activation, layers, units, count, np.float64)
    config, tensors = joined(config, [model.to_torch() for model in models])
    model = Model.from_torch(config, tensors, np.float64)
    window = TrainingWindow(model, LENGTH, ROWS, Team(threads))
    generator = np.random.default_rng(9)
    window.mask[..., :units] = generator.uniform(0.5, 1.5, window.mask[..., :units].shape)

    def loss():
        window.load(batch())
        window.state[:] = 0.3
        return window.gradient(DropConnect())

    loss()
    grad = window.grad.copy()
    used = np.flatnonzero(grad)
    assert len(used) > 0.2 * sum(tensor.size for tensor in tensors.values())
    for index in generator.choice(used, 40, replace=False):
        at = model.parameters[index]
        model.parameters[index] = at + 1e-5
        above = loss()
        model.parameters[index] = at - 1e-5
        below = loss()
        model.parameters[index] = at
        assert grad[index] == pytest.approx((above - below) / 2e-5, rel=1e-5, abs=1e-9)


def test_bits_do_not_depend_on_threads():
    config, models = several("lstm", "tanh", 1, 24, 3)
    together = Model.from_torch(*joined(config, [model.to_torch() for model in models]))
    for first, second in zip(logits_of(together, 1), logits_of(together, 2)):
        np.testing.assert_array_equal(first, second)


def test_state_is_carried_from_window_to_window():
    config, models = several("gru", "tanh", 1, 9, 2)
    together = Model.from_torch(*joined(config, [model.to_torch() for model in models]))
    whole, _ = logits_of(together)
    window = Window(together, 1, ROWS, Team(1))
    window.state[:] = 0.3
    window.pack()
    each = batch()
    for t in range(LENGTH):
        window.load(Batch(each.inputs[t : t + 1], each.starts[t : t + 1], each.targets[t : t + 1]))
        window.score()
        np.testing.assert_allclose(window.losses[0], whole[t], atol=2e-6)


@pytest.mark.parametrize("readout", ["last", "mean"])
@pytest.mark.parametrize("layers, units, count", [(1, 13, 3), (2, 6, 2)])
def test_members_in_both_directions_are_one_network(readout, layers, units, count):
    both = {"directions": 2, "readout": readout}
    config, models = several("lstm", "tanh", layers, units, count, **both)
    together = Model.from_torch(*joined(config, [model.to_torch() for model in models]))
    one = Model.from_torch(*as_one(together.config, together.to_torch()))
    losses, _ = logits_of(together)
    np.testing.assert_allclose(losses, logits_of(one)[0], atol=2e-6)
    alone = np.mean([logits_of(model)[0] for model in models], axis=0)
    assert abs(losses - alone).max() < 0.5 * abs(losses - logits_of(models[0])[0]).max()


def test_words_have_no_members():
    with pytest.raises(UsageError, match="members"):
        NetworkConfig.for_symbols(5, members=2, embedding="tied")


def test_networks_that_are_too_large_as_one_are_refused():
    config, models = several("rnn", "tanh", 1, 16, 2)
    config, tensors = joined(config, [model.to_torch() for model in models])
    with pytest.raises(UsageError, match="2 networks of 8,000 units are too large to be one network"):
        as_one(replace(config, hidden_size=8000), tensors)
