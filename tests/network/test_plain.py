"""BPTT in plain NumPy against central differences, the reference, PyTorch, and the kernels."""

import numpy as np
import pytest
import reference
from gradcheck import assert_same_gradient, numeric_gradient

from rnn_cli.cells import CELLS
from rnn_cli.network.config import NetworkConfig
from rnn_cli.network.parameters import Layout
from rnn_cli.network.plain import (
    NetworkWeights,
    Weights,
    arrays,
    cross_entropy,
    layer_backward,
    layer_forward,
    network_backward,
    network_forward,
    one_hot,
    training_step,
    weights_of,
    write_weights,
)

NETWORKS = [(1, 1), (2, 1), (3, 1), (1, 2), (3, 2)]  # layers, directions
LENGTH, BATCH, INPUTS, HIDDEN, OUTPUTS = 6, 3, 4, 5, 7


@pytest.fixture(params=NETWORKS, ids=lambda sizes: f"{sizes[0]}-layers-{sizes[1]}-directions")
def sizes(request):
    """The numbers of layers and directions."""
    return request.param


def random_weights(cell, generator, inputs, hidden=HIDDEN):
    """Return random weights of one layer in one direction."""
    shapes = (
        (inputs, len(cell.input_gates) * hidden),
        (hidden, len(cell.recurrent_gates) * hidden),
        (cell.blocks * hidden,),
    )
    weights = Weights(*(0.6 * generator.standard_normal(shape) for shape in shapes))
    weights.bias[:] += 0.5  # keeps most units of relu above 0
    return weights


class Problem:
    """A random network and a window for it: states and masks that differ, texts that start inside the window."""

    def __init__(self, cell, num_layers, directions, length=LENGTH, batch=BATCH):
        generator = np.random.default_rng(11)
        self.cell = cell
        layers = [
            [random_weights(cell, generator, directions * HIDDEN if layer else INPUTS) for _ in range(directions)]
            for layer in range(num_layers)
        ]
        decoder = generator.standard_normal((directions * HIDDEN, OUTPUTS)), generator.standard_normal(OUTPUTS)
        self.network = NetworkWeights(layers, *decoder)
        self.inputs = generator.standard_normal((length, batch, INPUTS))
        self.targets = generator.integers(-1, OUTPUTS, (length, batch))
        self.starts = np.zeros((length, batch), np.uint8)
        self.starts[[2, 3, 0, 4], [0, 0, 1, 1]] = 1
        self.states = generator.standard_normal((num_layers, directions, len(cell.states), batch, HIDDEN))
        self.mask = generator.choice([0, 1.25, 1.75], (num_layers, batch, directions * HIDDEN))
        self.grad_final = generator.standard_normal(self.states.shape)

    def forward(self):
        """Return the logits, the states after the window, and the trace."""
        return network_forward(self.cell, self.network, self.inputs, self.starts, self.states, self.mask)

    def loss(self):
        """Return the sum of the losses, plus one that depends on the states after the window."""
        logits, final, _ = self.forward()
        losses, _ = cross_entropy(logits, self.targets)
        return losses.sum() + (self.grad_final * final).sum()

    def gradients(self):
        """Return the gradients of `loss` in the weights, the inputs, and the initial states."""
        logits, _, trace = self.forward()
        _, grad_logits = cross_entropy(logits, self.targets)
        return network_backward(self.cell, self.network, trace, grad_logits, self.grad_final)


def numeric(loss, array):
    """Return the numeric gradient of loss(), which depends on the values in `array`."""
    original = array.copy()

    def loss_at(values):
        array[:] = values
        result = loss()
        array[:] = original
        return result

    return numeric_gradient(loss_at, original)


def torch_tensors(cell, network):
    """Return the weights in PyTorch's names and layout; of two biases that are added, the second one is 0."""
    tensors = {"decoder.weight": network.decoder_weight.T, "decoder.bias": network.decoder_bias}
    for layer, directions in enumerate(network.layers):
        for weights, suffix in zip(directions, ("", "_reverse")):
            end = f"l{layer}{suffix}"
            own = [cell.input_gates.index(gate) for gate in cell.torch_gates]
            recurrent = [cell.recurrent_gates.index(gate) for gate in cell.torch_gates]
            for name, array, order in (("ih", weights.weight_ih, own), ("hh", weights.weight_hh, recurrent)):
                gates = array.reshape(len(array), len(order), -1)[:, order]
                tensors[f"rnn.weight_{name}_{end}"] = gates.transpose(1, 2, 0).reshape(-1, len(array))
            bias = weights.bias.reshape(cell.blocks, -1)
            second = bias[[cell.recurrent_block + block for block in recurrent]].copy()
            second[[cell.recurrent_block + block < len(own) for block in recurrent]] = 0
            tensors[f"rnn.bias_ih_{end}"], tensors[f"rnn.bias_hh_{end}"] = bias[own].ravel(), second.ravel()
    return tensors


# Central differences


def test_gradient_of_each_parameter(cell, sizes):
    problem = Problem(cell, *sizes)
    grad, _, _ = problem.gradients()
    for number, (array, analytic) in enumerate(zip(arrays(problem.network), arrays(grad), strict=True)):
        assert_same_gradient(analytic, numeric(problem.loss, array), f"array {number}")


def test_gradient_of_the_inputs(cell, sizes):
    problem = Problem(cell, *sizes)
    _, analytic, _ = problem.gradients()
    assert_same_gradient(analytic, numeric(problem.loss, problem.inputs), "inputs")


def test_gradient_of_the_initial_states(cell, sizes):
    problem = Problem(cell, *sizes)
    _, _, analytic = problem.gradients()
    expected = numeric(problem.loss, problem.states)
    for index in np.ndindex(expected.shape[:3]):
        assert_same_gradient(analytic[index], expected[index], f"layer, direction, state {index}")
    assert not analytic[:, 0, :, 1].any()  # row 1 starts from zero


@pytest.mark.parametrize("direction", [0, 1])
def test_gradient_of_a_layer(cell, direction):
    problem = Problem(cell, 1, 1)
    weights, state, x = problem.network.layers[0][0], problem.states[0, 0], problem.inputs
    grad_output = np.random.default_rng(3).standard_normal((LENGTH, BATCH, HIDDEN))
    grad_state = problem.grad_final[0, 0]

    def loss():
        steps, final = layer_forward(cell, weights, x, problem.starts, state, direction)
        output = np.array([step.state[0] for step in steps])
        return (output * grad_output).sum() + (final * grad_state).sum()

    steps, _ = layer_forward(cell, weights, x, problem.starts, state, direction)
    grad, grad_x, grad_initial = layer_backward(cell, weights, steps, grad_output, grad_state, direction)
    pairs = {"x": (grad_x, x), "state": (grad_initial, state)} | dict(zip(Weights._fields, zip(grad, weights)))
    for name, (analytic, array) in pairs.items():
        assert_same_gradient(analytic, numeric(loss, array), name)


def test_no_gradient_flows_past_a_start(cell, sizes):
    """Texts in one window do not see each other, whatever the direction."""
    problem = Problem(cell, *sizes)
    problem.targets[:] = -1
    problem.targets[3, 0] = 1  # the text of the steps 3 .. 5 in row 0
    problem.grad_final[:], problem.mask[:] = 0, 1
    _, grad_x, _ = problem.gradients()
    assert problem.starts[:, 0].nonzero()[0].tolist() == [2, 3]
    reached = grad_x.any(axis=2)
    assert not reached[:3].any()
    assert not reached[:, 1].any()
    assert reached[3, 0]
    assert reached[4:, 0].any() == (sizes[1] == 2)


# Other implementations


@pytest.mark.parametrize("length", [5, 9])
def test_network_follows_the_reference(cell, sizes, length):
    problem = Problem(cell, *sizes, length=length, batch=2)
    num_layers, directions = sizes
    expected = reference.forward(
        reference.STEPS[cell.name, cell.activation],
        torch_tensors(cell, problem.network),
        problem.inputs,
        problem.targets,
        problem.states.reshape(num_layers * directions, *problem.states.shape[2:]),
        problem.mask,
        problem.starts,
    )
    logits, final, _ = problem.forward()
    losses, _ = cross_entropy(logits, problem.targets)
    for ours, theirs in zip((losses, logits, final), expected):
        assert np.abs(ours - theirs.reshape(ours.shape)).max() < 1e-12


@pytest.fixture
def torch():
    """PyTorch, if it is installed."""
    return pytest.importorskip("torch")


def torch_network(torch, cell, network, num_layers, directions):
    """Return torch.nn's recurrent network and decoder with the weights of a network."""
    kind = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}[cell.name]
    extra = {"nonlinearity": cell.activation} if cell.name == "rnn" else {}
    module = torch.nn.Module()
    module.rnn = kind(INPUTS, HIDDEN, num_layers, bidirectional=directions == 2, **extra)
    module.decoder = torch.nn.Linear(directions * HIDDEN, OUTPUTS)
    tensors = {name: torch.tensor(array) for name, array in torch_tensors(cell, network).items()}
    module.double().load_state_dict(tensors, strict=True)
    return module


IN_TORCH = [cell for cell in CELLS if cell.activation != "sigmoid"]


@pytest.mark.parametrize("kind", IN_TORCH, ids=lambda cell: f"{cell.name}-{cell.activation}")
def test_network_and_gradients_follow_pytorch(torch, kind, sizes):
    problem = Problem(kind, *sizes)
    problem.starts[:], problem.mask[:], problem.grad_final[:] = 0, 1, 0
    module = torch_network(torch, kind, problem.network, *sizes)
    inputs = torch.tensor(problem.inputs, requires_grad=True)
    states = [
        torch.tensor(problem.states[:, :, number].reshape(-1, BATCH, HIDDEN), requires_grad=True)
        for number in range(len(kind.states))
    ]
    output, final = module.rnn(inputs, tuple(states) if len(states) > 1 else states[0])
    expected = module.decoder(output)
    targets = torch.tensor(problem.targets, dtype=torch.int64).flatten()
    torch.nn.functional.cross_entropy(expected.flatten(0, 1), targets, ignore_index=-1, reduction="sum").backward()

    logits, our_final, _ = problem.forward()
    grad, grad_inputs, grad_states = problem.gradients()
    pairs = [(logits, expected), (grad_inputs, inputs.grad)]
    for number, state in enumerate(states):
        their_final = final[number] if len(states) > 1 else final
        pairs += [(our_final[:, :, number], their_final), (grad_states[:, :, number], state.grad)]
    ours = torch_tensors(kind, grad)
    for name, parameter in module.named_parameters():
        theirs = parameter.grad.detach().numpy().copy()
        if "bias_hh" in name:  # the same as in bias_ih wherever the two are added
            theirs[ours[name] == 0] = 0
        pairs.append((ours[name], torch.tensor(theirs)))
    for mine, theirs in pairs:
        assert np.abs(mine - theirs.detach().numpy().reshape(mine.shape)).max() < 1e-10


@pytest.mark.parametrize("kind", IN_TORCH, ids=lambda cell: f"{cell.name}-{cell.activation}")
def test_padded_texts_follow_packed_sequences(torch, kind, sizes):
    """Texts of unlike length side by side: padding begins with a start and is not scored."""
    problem = Problem(kind, *sizes)
    lengths = [4, LENGTH, 1]
    problem.states[:], problem.mask[:], problem.starts[:] = 0, 1, 0
    for row, length in enumerate(lengths):
        problem.starts[length:, row] = 1
        problem.targets[length:, row] = -1
    module = torch_network(torch, kind, problem.network, *sizes)
    packed = torch.nn.utils.rnn.pack_padded_sequence(torch.tensor(problem.inputs), lengths, enforce_sorted=False)
    output, _ = torch.nn.utils.rnn.pad_packed_sequence(module.rnn(packed)[0])
    expected = module.decoder(output).detach().numpy()
    logits, _, _ = problem.forward()
    for row, length in enumerate(lengths):
        assert np.abs(logits[:length, row] - expected[:length, row]).max() < 1e-12


def kernels_have_directions():
    """Say whether the flat vector of parameters holds a second direction."""
    one, two = (Layout(NetworkConfig.for_symbols(3, directions=number), 1).size for number in (1, 2))
    return two > one


@pytest.mark.parametrize("directions", [1, 2] if kernels_have_directions() else [1])
@pytest.mark.parametrize("num_layers", [1, 3])
def test_kernels_follow_plain(make_window, cell, num_layers, directions):
    window = make_window(cell, num_layers=num_layers, directions=directions)
    layout, hidden_size = window.model.layout, window.model.config.hidden_size
    batch, shape = window.inputs.shape[1], (num_layers, directions)
    starts = window.starts
    states = window.state.reshape(*shape, len(cell.states), batch, hidden_size)
    mask = window.mask[..., :hidden_size].reshape(*shape, batch, hidden_size).swapaxes(1, 2)
    mask = mask.reshape(num_layers, batch, directions * hidden_size)
    network = weights_of(layout, window.model.parameters)
    inputs = one_hot(window.inputs, window.model.config.input_size)
    logits, final, trace = network_forward(cell, network, inputs, starts, states, mask)
    losses, grad_logits = cross_entropy(logits, window.targets)
    grad_logits /= np.count_nonzero(window.targets >= 0)
    grad, _, grad_states = network_backward(cell, network, trace, grad_logits, np.zeros_like(states))

    window.gradient()
    assert np.abs(window.losses - losses).max() < 1e-12
    assert_close(window.carry[..., :hidden_size].reshape(grad_states.shape), grad_states)
    for ours, plain in zip(arrays(weights_of(layout, window.grad)), arrays(grad), strict=True):
        assert_close(ours, plain)
    if directions == 1:
        assert_close(window.state.reshape(final.shape), final)


def assert_close(ours, theirs):
    """Fail if the largest error exceeds 1e-12, or there is nothing to compare."""
    assert np.abs(theirs).max() > 1e-5
    assert np.abs(ours - theirs).max() < 1e-12


# Parameters and training


def test_weights_round_trip_through_the_flat_vector(make_window, cell):
    model = make_window(cell).model
    flat = np.zeros_like(model.parameters)
    write_weights(model.layout, flat, weights_of(model.layout, model.parameters))
    assert np.array_equal(flat, model.parameters)
    assert flat.any()


def test_training_steps_down_the_gradient(cell, sizes):
    problem = Problem(cell, *sizes)
    before = [array.copy() for array in arrays(problem.network)]
    data = (problem.inputs, problem.starts, problem.targets), problem.states, problem.mask
    first, grad, _ = training_step(cell, problem.network, *data, learning_rate=0.01)
    for array, old, slope in zip(arrays(problem.network), before, arrays(grad), strict=True):
        assert np.array_equal(array, old - 0.01 * slope)
    second, _, _ = training_step(cell, problem.network, *data)
    assert second < first


def test_no_scored_target_gives_no_loss(cell):
    problem = Problem(cell, 1, 1)
    problem.targets[:] = -1
    data = (problem.inputs, problem.starts, problem.targets), problem.states, problem.mask
    loss, grad, _ = training_step(cell, problem.network, *data)
    assert loss == 0
    assert not any(array.any() for array in arrays(grad))


def test_an_infinite_gradient_of_h_is_not_carried(cell):
    """In LSTM and RNN, h_(t-1) gets its gradient through W_hh only; 0 times infinity would be NaN."""
    preact = tuple(np.full((cell.blocks, 3), 0.5))
    previous = tuple(np.full((len(cell.states), 3), 0.25))
    gates, _ = cell.forward(preact, previous)
    grad = (np.array([1, np.inf, -np.inf]), *np.zeros((len(cell.states) - 1, 3)))
    _, grad_previous = cell.backward(gates, previous, grad)
    if cell.name != "gru":
        assert np.array_equal(grad_previous[0], [0, 0, 0])
    assert not np.isnan(grad_previous[0]).any()
