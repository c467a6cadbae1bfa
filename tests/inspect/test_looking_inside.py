"""What looks inside a network, against numeric derivatives, PyTorch, the kernels and planted units."""

import numpy as np
import pytest
from random_models import make_checkpoint, random_text

from rnn_cli.errors import UsageError
from rnn_cli.inspect import gradcheck
from rnn_cli.inspect.activations import GATE_VALUES, activations, find_unit
from rnn_cli.inspect.gradcheck import check_gradients
from rnn_cli.inspect.gradient_flow import (
    backward,
    compared,
    connectivity,
    gradient_norm,
    meaning,
    norm_of,
    spectral_radius,
    train_briefly,
)
from rnn_cli.inspect.plain_model import PlainModel, pieces_of, read_symbols
from rnn_cli.inspect.units import contexts, find_units, logit_effect, ranks_of
from rnn_cli.language.prediction import predictions
from rnn_cli.network.plain import cross_entropy, network_forward
from rnn_cli.text.codecs import ByteCodec

TEXT = "abcahcabfdeab"


@pytest.fixture
def model(cell):
    """A network of two layers, and a text for it."""
    checkpoint = make_checkpoint(False, cell)
    return PlainModel.of_checkpoint(checkpoint), read_symbols(checkpoint.codec, TEXT)


def loss_from(model, symbols, states, start, step):
    """Return the loss at a step if the network has these states before it reads symbol `start`."""
    weights, inputs = model.for_symbols(symbols.inputs)
    mask = np.ones((model.config.num_layers, 1, model.config.hidden_size))
    part = slice(start, step + 1)
    starts = symbols.starts[part] & (start == 0)
    logits, _, _ = network_forward(model.cell, weights, inputs[part, None], starts, states, mask)
    return cross_entropy(logits, symbols.targets[part, None])[0][-1, 0]


@pytest.mark.parametrize("lag", [1, 2, 5])
def test_gradient_over_lag_is_that_of_central_differences(model, lag):
    network, symbols = model
    step = 9
    norms, _ = backward(network, symbols, np.array([4, step]))
    acts = activations(network, symbols)
    states = np.array(
        [[[acts.states[name][layer, step - lag][None]] for name in network.cell.states] for layer in (0, 1)]
    )
    states = states.reshape(network.zero_state.shape)
    numeric, epsilon = np.zeros(states.shape), 1e-6
    for index in np.ndindex(states.shape):
        shift = np.zeros(states.shape)
        shift[index] = epsilon
        above, below = (loss_from(network, symbols, states + sign * shift, step - lag + 1, step) for sign in (1, -1))
        numeric[index] = (above - below) / (2 * epsilon)
    assert norms[1, lag - 1] == pytest.approx(np.linalg.norm(numeric), rel=1e-4)
    assert np.isnan(norms[0, 4:]).all()


def test_connectivity_is_that_of_numeric_derivatives(model):
    network, symbols = model
    step, epsilon = 7, 1e-6
    weights, (mask, starts) = network.weights, (np.ones((2, 1, 16)), symbols.starts)
    one_hot = np.eye(network.config.input_size)[symbols.inputs][:, None]

    def loss(inputs):
        logits, _, _ = network_forward(network.cell, weights, inputs, starts, network.zero_state, mask)
        return cross_entropy(logits, symbols.targets[:, None])[0][step, 0]

    norms = connectivity(network, symbols, step)
    for s in (0, 3, step):
        grad = []
        for k in range(network.config.input_size):
            shift = np.zeros(one_hot.shape)
            shift[s, 0, k] = epsilon
            grad.append((loss(one_hot + shift) - loss(one_hot - shift)) / (2 * epsilon))
        assert norms[s] == pytest.approx(np.linalg.norm(grad), rel=1e-4, abs=1e-9)
    assert len(norms) == step + 1


def test_predictions_are_those_of_the_kernels(cell):
    checkpoint = make_checkpoint(True, cell)
    acts = activations(PlainModel.of_checkpoint(checkpoint), read_symbols(checkpoint.codec, TEXT))
    for step, expected in enumerate(predictions(checkpoint, TEXT, 3)):
        ours = acts.expected(step, 3)
        assert [symbol for symbol, _ in ours] == [symbol for symbol, _ in expected.expected]
        assert ours[0][1] == pytest.approx(expected.expected[0][1], abs=1e-5)
        if expected.probability is not None:
            assert 2 ** -acts.bits[step] == pytest.approx(expected.probability, abs=1e-5)


def test_states_and_gates_are_those_of_pytorch(cell):
    if cell.activation == "sigmoid":
        return  # which PyTorch lacks; test_predictions_are_those_of_the_kernels has it
    torch = pytest.importorskip("torch")
    checkpoint = make_checkpoint(False, cell)
    symbols = read_symbols(checkpoint.codec, TEXT)
    acts = activations(PlainModel.of_checkpoint(checkpoint), symbols)
    size = checkpoint.config.input_size
    kind = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}[cell.name]
    network = kind(size, 16, 2, **({"nonlinearity": cell.activation} if cell.name == "rnn" else {}))
    tensors = {name: torch.from_numpy(value) for name, value in checkpoint.parameters.items()}
    network.load_state_dict({name[4:]: value for name, value in tensors.items() if name.startswith("rnn.")})
    x = torch.eye(size)[torch.from_numpy(symbols.inputs.astype(np.int64))]
    with torch.no_grad():
        output, _ = network(x)
        assert np.abs(output.numpy() - acts.states["h"][1]).max() < 1e-4
        for t in range(len(x)):
            _, final = network(x[: t + 1])
            if cell.name == "lstm":
                assert np.abs(final[1].numpy() - acts.states["c"][:, t]).max() < 1e-4
    if cell.name != "rnn":
        own, hidden = tensors["rnn.weight_ih_l1"] @ torch.from_numpy(acts.states["h"][0].T).float(), acts.states["h"][1]
        before = np.vstack([np.zeros(16), hidden[:-1]])
        preact = own.numpy().T + before @ tensors["rnn.weight_hh_l1"].numpy().T
        preact += (tensors["rnn.bias_ih_l1"] + tensors["rnn.bias_hh_l1"]).numpy()
        for index, gate in enumerate(cell.torch_gates):
            if gate in ("i", "f", "o", "r", "z"):
                values = 1 / (1 + np.exp(-preact[:, 16 * index : 16 * index + 16]))
                assert np.abs(values - acts.gates[gate][1]).max() < 1e-4


def test_each_cell_has_names_for_its_gates(cell):
    assert len(GATE_VALUES[cell.name]) == cell.blocks


def test_planted_unit_is_found():
    generator = np.random.default_rng(5)
    pieces = list("".join('he said "it is so" to 12 men. ' if k % 2 else "She went on and on\n" for k in range(40)))
    h = generator.standard_normal((2, len(pieces), 30))
    inside, digit = 0, []
    for t, piece in enumerate(pieces):
        inside = inside ^ (piece == '"')
        h[1, t, 6] = 3 * inside + 0.5 * generator.standard_normal()
        h[0, t, 2] = -2 * piece.isdigit() + 0.1 * generator.standard_normal()
        digit.append(piece.isdigit())
    found = {each.label: each for each in find_units({"h": h}, pieces)}
    assert (found["inside quotes"].unit, found["inside quotes"].sign) == ("2:7", 1)
    assert (found["digit"].unit, found["digit"].sign) == ("1:3", -1)
    assert found["inside quotes"].score > 0.99 > 0.9 > found["inside quotes"].chance
    assert found["vowel"].score < found["vowel"].chance  # which no unit tracks


def test_ranks_share_ties():
    assert ranks_of(np.array([[3.0], [1.0], [3.0], [2.0]]))[:, 0].tolist() == [3.5, 1, 3.5, 2]


def test_contexts_are_apart():
    values = np.array([0, 5, 4, 0, 3, 0.0])
    assert contexts(values, list("abcdef"), 2, width=2) == [(1, 5.0, "ab", "cd"), (4, 3.0, "de", "f")]


def test_effect_of_a_last_unit_is_its_decoder_row(model):
    network, symbols = model
    acts = activations(network, symbols)
    low, high = np.quantile(acts.states["h"][1, :, 3], [0.1, 0.9])
    expected = (high - low) * network.weights.decoder_weight[3]
    assert np.allclose(logit_effect(network, acts, "2:4"), expected)
    assert np.abs(logit_effect(network, acts, "1:4")).max() > 0


def test_unit_out_of_range_is_refused():
    states = {"h": np.zeros((2, 3, 8))}
    assert find_unit("2:8", states) == ("h", 1, 7)
    for name in ("3:1", "0:1", "1:9", "1", "1:1:c", "a:b", "1:\u0663"):
        with pytest.raises(UsageError, match="`unit` is L:K"):
            find_unit(name, states)


@pytest.mark.parametrize("num_layers", [1, 2, 4])
def test_gradients_of_small_networks_are_right(cell, num_layers):
    checkpoint = make_checkpoint(False, cell)
    config = type(checkpoint.config)(**{**checkpoint.config.to_dict(), "num_layers": num_layers})
    blocks = check_gradients(config, np.array([0, 1, 2, 3, 1, 2, 5, 1]))
    assert all(block.right for block in blocks), blocks
    assert len(blocks) == 3 * min(num_layers, 3) + 3


def test_wrong_gradient_is_found(monkeypatch):
    right = gradcheck.network_backward

    def wrong(*arguments):
        grad, *others = right(*arguments)
        grad.layers[0][0].weight_hh[0, 0] += 1e-3
        return (grad, *others)

    monkeypatch.setattr(gradcheck, "network_backward", wrong)
    blocks = check_gradients(make_checkpoint(False).config, np.array([0, 1, 2, 3, 1, 2]))
    assert [block.name for block in blocks if not block.right] == ["weight_hh, layer 1"]


def test_spectral_radius_is_the_largest_eigenvalue():
    matrix = np.random.default_rng(3).standard_normal((30, 30))
    assert spectral_radius(matrix) == pytest.approx(np.abs(np.linalg.eigvals(matrix)).max(), rel=1e-4)
    assert spectral_radius(np.zeros((3, 3))) == 0


def test_large_recurrent_weights_explode_and_small_ones_vanish():
    checkpoint = make_checkpoint(False)
    network = PlainModel.of_checkpoint(checkpoint)
    symbols = read_symbols(checkpoint.codec, random_text(40, False))
    fresh, large = (compared(network, symbols, 1, gain)["rnn relu"].over_lag for gain in (0.5, 6.0))
    assert "vanishes" in meaning(fresh)
    assert "explodes" in meaning(large)
    assert "too short" in meaning(fresh[:1])


def test_brief_training_lowers_the_loss(model):
    network, symbols = model
    before = gradient_norm(network, symbols)
    train_briefly(network, symbols, 20, rate=0.05)
    assert gradient_norm(network, symbols)[0] < before[0]
    assert norm_of(before[2]) > 0


def test_character_of_several_bytes_is_one_piece():
    codec = ByteCodec(True)
    assert pieces_of(codec, read_symbols(codec, "\u00e9a\nb").inputs) == ["", "", "\u00e9", "a", "\n", "b"]
