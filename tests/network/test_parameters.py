"""The places of the parameters: names, shapes and gates of PyTorch, in a vector whose padding stays zero."""

import numpy as np
import pytest

from rnn_cli.kernels.network.optimizer import Step
from rnn_cli.network.config import NetworkConfig
from rnn_cli.network.parameters import Layout, parameter_count, round_up, torch_shapes

CONFIG_SIZES = [(2, 1, 1), (11, 5, 3), (64, 16, 2), (17, 33, 1)]


@pytest.fixture(params=CONFIG_SIZES, ids=lambda sizes: "-".join(map(str, sizes)))
def config(request, cell):
    """A configuration of the cell."""
    vocab_size, hidden_size, num_layers = request.param
    return NetworkConfig.for_symbols(
        vocab_size, cell=cell.name, activation=cell.activation, hidden_size=hidden_size, num_layers=num_layers
    )


def random_tensors(config):
    """Return tensors of PyTorch's names and shapes, all numbers of which differ."""
    generator = np.random.default_rng(3)
    return {name: generator.standard_normal(shape) for name, shape in torch_shapes(config).items()}


def test_shapes_are_those_of_pytorch(cell):
    gates = {"lstm": 4, "gru": 3, "rnn": 1}[cell.name]
    shapes = torch_shapes(
        NetworkConfig.for_symbols(11, cell=cell.name, activation=cell.activation, hidden_size=5, num_layers=2)
    )
    assert shapes == {
        "rnn.weight_ih_l0": (gates * 5, 11),
        "rnn.weight_hh_l0": (gates * 5, 5),
        "rnn.bias_ih_l0": (gates * 5,),
        "rnn.bias_hh_l0": (gates * 5,),
        "rnn.weight_ih_l1": (gates * 5, 5),
        "rnn.weight_hh_l1": (gates * 5, 5),
        "rnn.bias_ih_l1": (gates * 5,),
        "rnn.bias_hh_l1": (gates * 5,),
        "decoder.weight": (11, 5),
        "decoder.bias": (11,),
    }


def test_round_up():
    assert [round_up(number, 16) for number in (0, 1, 16, 17)] == [0, 16, 16, 32]
    assert round_up(5, 1) == 5


@pytest.mark.parametrize("pad", [1, 4, 16])
def test_tensors_round_trip(config, pad):
    layout, tensors = Layout(config, pad), random_tensors(config)
    flat = np.full(layout.size, 9.0)
    layout.from_torch(flat, tensors)
    back = layout.to_torch(flat)
    assert list(back) == list(torch_shapes(config))
    for name, shape in torch_shapes(config).items():
        assert back[name].shape == shape
        assert back[name].flags.c_contiguous
        if "bias_" not in name:
            assert np.array_equal(back[name], tensors[name])
    for layer in range(config.num_layers):
        names = f"rnn.bias_ih_l{layer}", f"rnn.bias_hh_l{layer}"
        ours, theirs = ([each[name] for name in names] for each in (back, tensors))
        together = np.tile(np.ones(config.hidden_size, bool), len(layout.cell.torch_gates))
        if layout.cell.name == "gru":
            together[-config.hidden_size :] = False
        assert np.array_equal(ours[0][together], (theirs[0] + theirs[1])[together])
        assert not ours[1][together].any()
        assert np.array_equal(ours[0][~together], theirs[0][~together])
        assert np.array_equal(ours[1][~together], theirs[1][~together])


def test_copies_do_not_share_memory(config):
    layout = Layout(config, 16)
    flat = np.zeros(layout.size)
    for tensor in layout.to_torch(flat).values():
        tensor += 1
    assert not flat.any()


def test_compact_is_the_same_for_any_padding(config):
    narrow, wide = Layout(config, 1), Layout(config, 16)
    flats = [np.zeros(layout.size, np.float32) for layout in (narrow, wide)]
    for layout, flat in zip((narrow, wide), flats):
        layout.from_torch(flat, random_tensors(config))
    compact = narrow.compact(flats[0])
    assert np.array_equal(compact, wide.compact(flats[1]))
    again = np.ones_like(flats[1])
    wide.expand(again, compact)
    assert np.array_equal(again, flats[1])


def test_each_parameter_has_its_own_offset(config):
    layout = Layout(config, 16)
    flat = np.zeros(layout.size)
    views = [*layout.decoder(flat)]
    for layer in range(config.num_layers):
        views += [layout.input_weights(flat, layer), layout.recurrent_weights(flat, layer)]
        views += [layout.bias(flat, layer)]
    for view in views:
        view += 1
    assert sum(view.size for view in views) == parameter_count(config)
    assert np.count_nonzero(flat == 1) == parameter_count(config)
    assert np.count_nonzero(flat) == parameter_count(config)
    assert np.array_equal(layout.offsets % 16, np.zeros_like(layout.offsets))


def test_gates_are_in_the_order_of_the_cell(cell):
    config = NetworkConfig.for_symbols(7, cell=cell.name, activation=cell.activation, hidden_size=5, num_layers=2)
    layout = Layout(config, 16)
    tensors = {name: np.zeros(shape) for name, shape in torch_shapes(config).items()}
    for number in range(len(cell.torch_gates)):
        rows = slice(5 * number, 5 * number + 5)
        tensors["rnn.weight_ih_l1"][rows] = 10 + number
        tensors["rnn.weight_hh_l1"][rows] = 20 + number
    tensors["rnn.weight_ih_l1"][0, 3] = 99  # unit 0 of the first gate, input 3
    flat = np.zeros(layout.size)
    layout.from_torch(flat, tensors)
    for number, gate in enumerate(cell.torch_gates):
        input_gate, recurrent_gate = cell.input_gates.index(gate), cell.recurrent_gates.index(gate)
        assert np.all(layout.input_weights(flat, 1)[4, input_gate] == 10 + number)
        assert np.all(layout.recurrent_weights(flat, 1)[:, recurrent_gate] == 20 + number)
    assert layout.input_weights(flat, 1)[3, cell.input_gates.index(cell.torch_gates[0]), 0] == 99


def test_initial_weights(cell):
    config = NetworkConfig.for_symbols(50, cell=cell.name, activation=cell.activation, hidden_size=25, num_layers=2)
    layout = Layout(config, 16)
    flat = np.zeros(layout.size)
    layout.initialise(flat, np.random.default_rng(1))
    embedding = 2 if cell.activation == "relu" else 4
    for name, tensor in layout.to_torch(flat).items():
        if "weight" in name:
            bound = embedding if name == "rnn.weight_ih_l0" else 0.2
            assert 0.95 * bound < np.abs(tensor).max() <= bound
            assert abs(tensor.mean()) < 0.1 * bound
        elif name.startswith("rnn.bias_ih") and cell.name == "lstm":
            assert np.array_equal(tensor.reshape(4, 25), np.outer([0, 1, 0, 0], np.ones(25)))
        else:
            assert not tensor.any()
    again = np.zeros(layout.size)
    layout.initialise(again, np.random.default_rng(1))
    assert np.array_equal(flat, again)


def test_padding_stays_zero_in_training(make_window, cell):
    window = make_window(cell)
    layout = window.model.layout
    padding = np.ones(layout.size)
    layout.expand(padding, np.ones(layout.compact(padding).size))
    padding = padding == 0
    assert not window.model.parameters[padding].any()
    _, norm = window.train(Step(number=1, learning_rate=0.1, clip_norm=1.0))
    assert not window.model.parameters[padding].any()
    assert not window.grad[padding].any()
    assert abs(norm - np.linalg.norm(layout.compact(window.grad))) < 1e-12 * norm
