"""The gradients of every cell against central differences: parameters, initial states, a layer's input."""

import numpy as np
import pytest
from gradcheck import assert_same_gradient, numeric_gradient

from rnn_cli.kernels.network.dropconnect import DropConnect
from rnn_cli.kernels.simd.cpu import HAS_BFLOAT16
from rnn_cli.network.config import NetworkConfig
from rnn_cli.network.model import Model
from rnn_cli.network.parameters import parameter_count, runs_of
from rnn_cli.network.workspace import TrainingWindow

SIZES = [
    {"num_layers": 1, "hidden_size": 19, "length": 7, "batch": 5, "vocab_size": 11},
    {"num_layers": 3, "hidden_size": 6, "length": 8, "batch": 3, "vocab_size": 17},
    {"num_layers": 2, "hidden_size": 19, "length": 6, "batch": 4, "vocab_size": 9, "directions": 2},
    {"num_layers": 2, "hidden_size": 5, "length": 7, "batch": 3, "vocab_size": 10, "directions": 2, "readout": "mean"},
    {"num_layers": 2, "hidden_size": 21, "length": 6, "batch": 5, "vocab_size": 37, "embedding": "tied"},
]


@pytest.fixture(params=SIZES, ids=["1-layer", "3-layers", "2-directions", "mean", "tied"])
def window(request, make_window, cell):
    """A window whose losses and gradients are computed."""
    return make_window(cell, **request.param)


DROPCONNECT = DropConnect(probability=0.4, key=2**40 + 3)


def loss_by(window, array, dropconnect=DropConnect()):  # noqa: B008
    """Return the window's mean loss as a function of the values in `array`, a view of its memory."""
    state, original = window.state.copy(), array.copy()

    def loss(values):
        window.state[:] = state
        array[:] = values
        mean = window.gradient(dropconnect)
        array[:] = original
        return mean

    return loss


def parameter_views(layout, flat):
    """Return each parameter, or the gradient in it, as a view of the flat vector without the padding."""
    views = {}
    for layer, direction, _ in runs_of(layout.config):
        name = f"layer {layer}" + ", reverse" * direction
        views[f"W_ih of {name}"] = layout.input_weights(flat, layer, direction)
        views[f"W_hh of {name}"] = layout.recurrent_weights(flat, layer, direction)
        views[f"bias of {name}"] = layout.bias(flat, layer, direction)
    views["decoder weight"], views["decoder bias"] = layout.decoder(flat)
    return views


def test_gradient_of_each_parameter(window):
    layout = window.model.layout
    parameters = parameter_views(layout, window.model.parameters)
    assert sum(array.size for array in parameters.values()) == parameter_count(layout.config)
    state = window.state.copy()
    window.gradient()
    analytic = parameter_views(layout, window.grad.copy())
    for name, array in parameters.items():
        window.state[:] = state
        assert_same_gradient(analytic[name], numeric_gradient(loss_by(window, array), array.copy()), name)


def test_gradient_under_dropconnect(make_window, cell):
    window = make_window(cell, **SIZES[1])
    layout, state = window.model.layout, window.state.copy()
    window.gradient(DROPCONNECT)
    analytic = parameter_views(layout, window.grad.copy())
    parameters = parameter_views(layout, window.model.parameters)
    for name in ("W_hh of layer 0", "W_hh of layer 2", "bias of layer 0"):
        window.state[:] = state
        numeric = numeric_gradient(loss_by(window, parameters[name], DROPCONNECT), parameters[name].copy())
        assert_same_gradient(analytic[name], numeric, name)
        if "W_hh" in name:
            assert 0.2 < np.mean(numeric == 0) < 0.6
            assert not analytic[name][numeric == 0].any()


def test_gradient_of_the_initial_states(window):
    loss, state = loss_by(window, window.state), window.state.copy()
    window.gradient()
    analytic = window.carry[..., : state.shape[-1]].copy()
    numeric = numeric_gradient(loss, state)
    for layer in range(len(state)):
        for number, name in enumerate(window.model.layout.cell.states):
            assert_same_gradient(analytic[layer, number], numeric[layer, number], f"{name} of layer {layer}")


def test_boundary_cuts_the_gradient_to_earlier_steps(window):
    window.starts[0] = 1, 0, *window.starts[0, 2:]
    window.gradient()
    carry = window.carry[:: window.sizes.runs]  # the second direction starts at the other end
    assert not carry[:, :, 0].any()
    assert carry[:, :, 1].any()


def test_gradient_of_a_layers_input(make_window, cell):
    """Check the gradient that layer 1 hands down, by way of the mask on it.

    Layer 1 reads x = h mask, with h of layer 0. So the gradient in the mask is the sum over time of grad_x h.
    """
    window = make_window(cell, **SIZES[1])
    mask = window.mask[0]
    loss, shape = loss_by(window, mask), (window.sizes.length, *mask.shape)
    window.gradient()
    layer_input = window.arrays.output[: np.prod(shape)].reshape(shape)
    kept = np.nonzero(mask[:, : window.model.config.hidden_size])
    analytic = (window.back.grad_output.reshape(shape) * layer_input).sum(axis=0)[kept] / mask[kept]
    assert_same_gradient(analytic, numeric_gradient(loss, mask.copy())[kept], "the input of layer 1")


@pytest.mark.parametrize("others", [{}, {"directions": 2}, {"embedding": "tied"}], ids=str)
@pytest.mark.parametrize("precision, bound", [("float32", 1e-5), ("bfloat16", 0.05)])
def test_lower_precision_gradient_is_close_to_float64(make_window, cell, precision, bound, others):
    """Sizes of which none fills the tiles, the registers or the blocks of rows that products are made of."""
    if precision == "bfloat16" and not HAS_BFLOAT16:
        pytest.skip("the processor has no bfloat16")
    sizes = {"num_layers": 2, "hidden_size": 70, "length": 15, "batch": 37, "vocab_size": 21} | others
    exact, rounded = make_window(cell, **sizes), make_window(cell, np.float32, precision=precision, **sizes)
    losses = [window.gradient() for window in (exact, rounded)]
    bound *= 4 if cell.activation == "relu" else 1  # whose gradient jumps where a sum changes its sign
    assert losses[1] == pytest.approx(losses[0], rel=bound / 10)
    found = parameter_views(rounded.model.layout, rounded.grad)
    for name, gradient in parameter_views(exact.model.layout, exact.grad).items():
        assert np.linalg.norm(found[name] - gradient) <= bound * np.linalg.norm(gradient), name


NUMBERS = [
    {"inputs": "numbers", "input_size": 3, "outputs": "numbers", "output_size": 5},
    {"inputs": "numbers", "input_size": 18, "outputs": "numbers", "output_size": 6, "quantiles": (0.1, 0.5, 0.9)},
    {"inputs": "numbers", "input_size": 2, "outputs": "symbols", "output_size": 7},
    {"inputs": "symbols", "input_size": 11, "outputs": "numbers", "output_size": 1},
]


@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("kinds", NUMBERS, ids=lambda kinds: f"{kinds['inputs']}-{kinds['outputs']}-{len(kinds)}")
def test_gradient_with_numbers_read_or_predicted(cell, kinds, directions, team):
    config = NetworkConfig(cell.name, cell.activation, hidden_size=6, num_layers=2, directions=directions, **kinds)
    generator = np.random.default_rng(3)
    model = Model.initialised(config, generator, np.float64)
    model.parameters *= 2
    window = TrainingWindow(model, 5, 3, team)
    symbols = generator.integers(0, config.input_size, window.inputs.shape)
    window.inputs[:] = symbols if kinds["inputs"] == "symbols" else generator.standard_normal(window.inputs.shape)
    window.starts[0], window.starts[2, 1] = 1, 1
    if kinds["outputs"] == "symbols":
        window.targets[:] = generator.integers(-1, config.output_size, window.targets.shape)
    else:
        window.targets[:] = generator.standard_normal(window.targets.shape)
        window.targets[0, 0] = window.targets[1, 1, 0] = np.nan
    window.gradient()
    analytic = parameter_views(model.layout, window.grad.copy())
    for name, array in parameter_views(model.layout, model.parameters).items():
        if "layer 1" not in name or "W_ih" in name:
            assert_same_gradient(analytic[name], numeric_gradient(loss_by(window, array), array.copy()), name)


@pytest.mark.parametrize("others", [{}, {"directions": 2, "readout": "mean"}, {"embedding": "tied"}], ids=str)
def test_steps_without_targets_are_skipped_exactly(make_window, cell, others):
    sizes = {"num_layers": 2, "hidden_size": 9, "length": 6, "batch": 4, "vocab_size": 11}
    window = make_window(cell, **sizes | others)
    window.targets[[1, 3, 4]] = -1
    window.targets[0] = 2
    window.back.grad_output[:], window.logits[:], window.losses[:] = 7, 7, 7  # of a step before
    state = window.state.copy()
    window.gradient()
    assert not window.losses[[1, 3, 4]].any()
    analytic = parameter_views(window.model.layout, window.grad.copy())
    for name, array in parameter_views(window.model.layout, window.model.parameters).items():
        if "W_hh" in name or "decoder" in name:
            window.state[:] = state
            numeric = numeric_gradient(loss_by(window, array), array.copy())
            assert_same_gradient(analytic[name], numeric, name)


@pytest.mark.parametrize("count", [1, 3])
def test_gradient_of_several_symbols_a_step(cell, count, team):
    config = NetworkConfig(cell.name, cell.activation, input_size=9, output_size=4, hidden_size=5)
    generator = np.random.default_rng(3)
    model = Model.initialised(config, generator, np.float64)
    window = TrainingWindow(model, 4, 3, team, symbols=count)
    window.inputs[:] = generator.integers(0, 9, window.inputs.shape)
    window.targets[:] = generator.integers(0, 4, window.targets.shape)
    window.starts[0] = 1
    window.gradient()
    analytic = model.layout.input_weights(window.grad, 0).copy()
    weights = model.layout.input_weights(model.parameters, 0)
    assert_same_gradient(analytic, numeric_gradient(loss_by(window, weights), weights.copy()), "W_ih")
