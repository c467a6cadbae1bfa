"""Losses, gradients, training and saved weights against PyTorch, where it is installed."""

import numpy as np
import pytest

from rnn_cli.cells import CELLS
from rnn_cli.kernels.network.optimizer import RULES, Step
from rnn_cli.training.schedule import learning_rate

torch = pytest.importorskip("torch")


@pytest.fixture(autouse=True)
def _pytorch_has_the_cell(request):
    if "cell" in request.fixturenames and request.getfixturevalue("cell").activation == "sigmoid":
        pytest.skip("PyTorch has no plain cell with a sigmoid")


class Network(torch.nn.Module):
    """The members `rnn` and `decoder`, as anyone would write them in PyTorch."""

    def __init__(self, config):
        super().__init__()
        sizes = (config.output_size, config.hidden_size, config.num_layers)
        both = config.directions == 2
        if config.cell == "rnn":
            self.rnn = torch.nn.RNN(*sizes, nonlinearity=config.activation, bidirectional=both)
        else:
            self.rnn = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[config.cell](*sizes, bidirectional=both)
        self.decoder = torch.nn.Linear(config.directions * config.hidden_size, config.output_size)
        self.output_size = config.output_size

    def forward(self, inputs, state):
        """Return logits (T, B, V) and the last state, for symbols (T, B) and a state as PyTorch wants it."""
        one_hot = torch.nn.functional.one_hot(inputs, self.output_size).to(self.decoder.weight.dtype)
        output, state = self.rnn(one_hot, state)
        return self.decoder(output), state


def make_pair(make_window, cell, dtype, **sizes):
    """Return a window without boundaries and mask, which PyTorch lacks, and a network of the same weights."""
    window = make_window(cell, dtype, **sizes)
    window.inputs[window.inputs == 0] = 1
    window.starts[:] = 0
    window.mask[:] = 1
    network = Network(window.model.config).to(torch.float64 if dtype == np.float64 else torch.float32)
    tensors = {name: torch.from_numpy(tensor) for name, tensor in window.model.to_torch().items()}
    network.load_state_dict(tensors, strict=True)
    return window, network


def torch_state(window):
    """Return the window's state (L, S, B, H) as PyTorch's leaves: h, or h and c, each (L, B, H)."""
    return [torch.tensor(window.state[:, number], requires_grad=True) for number in range(window.sizes.states)]


def torch_loss(network, inputs, targets, states):
    """Return the mean loss over the scored symbols, and the logits."""
    state = tuple(states) if len(states) > 1 else states[0]
    logits, _ = network(torch.tensor(inputs, dtype=torch.int64), state)
    scored = torch.tensor(targets, dtype=torch.int64).flatten()
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), scored, ignore_index=-1), logits


def assert_near(ours, theirs, tolerance):
    """Fail where the error exceeds `tolerance` of the largest element, or there is nothing to compare."""
    largest = np.abs(theirs).max()
    assert largest > 1e-5
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() < tolerance * largest


@pytest.mark.parametrize("dtype, tolerance", [(np.float64, 1e-10), (np.float32, 1e-5)], ids=["float64", "float32"])
@pytest.mark.parametrize("sizes", [(1, 1), (3, 1), (1, 2), (2, 2), (3, 2)], ids=str)
def test_loss_and_gradients(make_window, cell, sizes, dtype, tolerance):
    window, network = make_pair(make_window, cell, dtype, num_layers=sizes[0], directions=sizes[1])
    states = torch_state(window)
    loss, _ = torch_loss(network, window.inputs, window.targets, states)
    loss.backward()
    mean = window.gradient()
    assert abs(mean - loss.item()) < tolerance * loss.item()
    ours = window.model.layout.to_torch(window.grad)
    for name, parameter in network.named_parameters():
        if "bias_hh" not in name:
            assert_near(ours[name], parameter.grad.numpy(), tolerance)
        elif cell.name == "gru":
            candidate = slice(-window.model.config.hidden_size, None)
            assert_near(ours[name][candidate], parameter.grad.numpy()[candidate], tolerance)
    for number, state in enumerate(states):
        carry = window.carry[:, number, :, : window.model.config.hidden_size]
        assert_near(carry, state.grad.numpy(), tolerance)


@pytest.mark.parametrize("dtype, tolerance", [(np.float64, 1e-12), (np.float32, 2e-5)], ids=["float64", "float32"])
@pytest.mark.parametrize("directions", [1, 2])
def test_saved_weights_give_the_same_logits(make_window, cell, dtype, tolerance, directions):
    window, network = make_pair(make_window, cell, dtype, directions=directions)
    window.targets[:] = 1
    with torch.no_grad():
        _, logits = torch_loss(network, window.inputs, window.targets, torch_state(window))
    window.pack()
    window.score()
    probabilities = window.logits[..., : network.output_size].copy()
    probabilities[..., 1] += 1  # scoring leaves softmax - onehot
    expected = (logits - logits.logsumexp(-1, keepdim=True)).numpy()
    likely = expected > -10  # the loss has no digits of smaller probabilities
    assert np.mean(likely) > 0.2
    assert np.abs(np.log(probabilities[likely]) - expected[likely]).max() < tolerance * np.abs(expected).max()


OPTIMIZERS = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": lambda parameters, lr: torch.optim.SGD(parameters, lr, momentum=0.9),
    "rmsprop": torch.optim.RMSprop,
    "adagrad": torch.optim.Adagrad,
}
WEIGHT_DECAY = {"adamw": 0.01}  # the default of PyTorch


def test_twenty_steps_of_adam(make_window, cell):
    follow_pytorch(make_window, cell, "adam")


@pytest.mark.parametrize("chosen", [name for name in OPTIMIZERS if name != "adam"])
def test_twenty_steps_of_another_optimiser(make_window, chosen):
    follow_pytorch(make_window, CELLS[0], chosen)


def follow_pytorch(make_window, cell, chosen):
    """Make twenty steps of an optimiser here and in PyTorch, half of them clipped; the weights stay the same."""
    rate = 0.2 if chosen == "sgd" else 0.01
    window, network = make_pair(make_window, cell, np.float64)
    layout, hidden_size = window.model.layout, window.model.config.hidden_size
    before = layout.to_torch(window.model.parameters)
    optimizer = OPTIMIZERS[chosen](network.parameters(), lr=rate)
    rule = RULES[chosen.removesuffix("w")]
    states = [state.detach() for state in torch_state(window)]
    generator = np.random.default_rng(5)
    clipped = 0
    for number in range(1, 21):
        window.inputs[:] = generator.integers(1, network.output_size, window.inputs.shape)
        window.targets[:] = generator.integers(-1, network.output_size, window.targets.shape)
        for each, state in enumerate(states):
            window.state[:, each] = state.numpy()
        optimizer.zero_grad()
        loss, _ = torch_loss(network, window.inputs, window.targets, states)
        loss.backward()
        for name, parameter in network.named_parameters():
            if "bias_hh" in name:  # of two biases of one sum, ours is one
                parameter.grad[: -hidden_size if cell.name == "gru" else None] = 0
        clip_norm = 0.25 if number % 2 else 100.0
        theirs = torch.nn.utils.clip_grad_norm_(network.parameters(), clip_norm).item()
        optimizer.step()
        mean, norm = window.train(Step(number, rate, clip_norm, rule, WEIGHT_DECAY.get(chosen, 0.0)))
        assert abs(mean - loss.item()) < 1e-9
        assert abs(norm - theirs) < 1e-9
        clipped += norm > clip_norm
    assert 5 <= clipped <= 15
    after = layout.to_torch(window.model.parameters)
    for name, parameter in network.named_parameters():
        assert np.abs(after[name] - parameter.detach().numpy()).max() < 1e-9
        if "bias_hh" not in name or cell.name == "gru":
            assert np.abs(after[name] - before[name]).max() > 0.01


@pytest.mark.parametrize(
    "schedule, make",
    [
        ("linear", lambda sgd: torch.optim.lr_scheduler.LinearLR(sgd, 1.0, 1e-30, total_iters=100)),
        ("cosine", lambda sgd: torch.optim.lr_scheduler.CosineAnnealingLR(sgd, T_max=100)),
        ("step", lambda sgd: torch.optim.lr_scheduler.StepLR(sgd, step_size=25, gamma=0.3)),
        ("constant", lambda sgd: torch.optim.lr_scheduler.ConstantLR(sgd, factor=1.0)),
    ],
)
def test_schedules_decay_as_in_pytorch(schedule, make):
    sgd = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.5)
    scheduler = make(sgd)
    first = 0.3 if schedule == "step" else 1  # ours goes down one stair where the decay begins
    for step in range(100, 200):
        assert learning_rate(0.5, step, 200, schedule) == pytest.approx(first * sgd.param_groups[0]["lr"], rel=1e-9)
        sgd.step()
        scheduler.step()


class TiedNetwork(torch.nn.Module):
    """A network whose decoder has the weight of its embedding, as anyone would write it in PyTorch."""

    def __init__(self, config):
        super().__init__()
        sizes = (config.hidden_size, config.hidden_size, config.num_layers)
        self.encoder = torch.nn.Embedding(config.input_size, config.hidden_size)
        if config.cell == "rnn":
            self.rnn = torch.nn.RNN(*sizes, nonlinearity=config.activation)
        else:
            self.rnn = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[config.cell](*sizes)
        self.decoder = torch.nn.Linear(config.hidden_size, config.output_size)
        self.decoder.weight = self.encoder.weight

    def forward(self, inputs, state):
        """Return logits (T, B, V) and the last state."""
        output, state = self.rnn(self.encoder(inputs), state)
        return self.decoder(output), state


def test_tied_embedding_has_the_loss_and_gradients_of_pytorch(make_window, cell):
    window = make_window(cell, np.float64, vocab_size=37, hidden_size=21, num_layers=2, embedding="tied")
    window.starts[:] = 0
    window.mask[:] = 1
    network = TiedNetwork(window.model.config).to(torch.float64)
    tensors = {name: torch.from_numpy(tensor) for name, tensor in window.model.to_torch().items()}
    network.load_state_dict(tensors | {"decoder.weight": tensors["encoder.weight"]}, strict=True)
    loss, logits = torch_loss(network, window.inputs, window.targets, torch_state(window))
    loss.backward()
    state = window.state.copy()
    assert abs(window.gradient() - loss.item()) < 1e-10 * loss.item()
    ours = window.model.layout.to_torch(window.grad)
    for name in ("encoder.weight", "decoder.bias", "rnn.weight_ih_l0", "rnn.weight_hh_l1"):
        assert_near(ours[name], dict(network.named_parameters())[name].grad.numpy(), 1e-10)
    window.state[:] = state
    window.pack()
    window.score()
    scored = window.targets >= 0
    expected = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), torch.tensor(window.targets.ravel(), dtype=torch.int64), ignore_index=-1, reduction="none"
    )
    assert np.abs(window.losses[scored] - expected.detach().numpy().reshape(window.losses.shape)[scored]).max() < 1e-9
