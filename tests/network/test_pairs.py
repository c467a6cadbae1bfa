"""An encoder with attention and a decoder: gradients by central differences, PyTorch, threads."""

import numpy as np
import pytest
from gradcheck import assert_same_gradient, numeric_gradient

from rnn_cli.kernels.network.dropconnect import DropConnect
from rnn_cli.kernels.threads import Team
from rnn_cli.network.config import EncoderDecoderConfig
from rnn_cli.network.model import Model
from rnn_cli.network.pair_window import PairBatch, PairWindow
from rnn_cli.network.parameters import parameter_count, torch_shapes

# Sources longer and shorter than their targets, of length one, and a target that is empty.
SOURCES, TARGETS = (6, 1, 3, 2), (2, 4, 0, 1)


def make(cell, team, dtype=np.float64, layers=1, directions=2, rows=5, precision="float32", hidden=5):
    config = EncoderDecoderConfig(
        cell.name,
        cell.activation,
        input_size=7,
        output_size=9,
        hidden_size=hidden,
        num_layers=layers,
        directions=directions,
    )
    generator = np.random.default_rng(5)
    model = Model.initialised(config, generator, dtype)
    tensors = {name: 1.5 * tensor for name, tensor in model.to_torch().items()}
    for name, tensor in tensors.items():
        if "bias" in name and "bias_hh" not in name:
            tensor += 0.3 * generator.standard_normal(tensor.shape)
    model.layout.from_torch(model.parameters, tensors)
    window = PairWindow(model, 8, rows, team, precision)
    sources = [generator.integers(1, 7, length).astype(np.int32) for length in SOURCES]
    targets = [generator.integers(1, 9, length).astype(np.int32) for length in TARGETS]
    window.load(PairBatch.of(sources, targets))
    kept = window.mask[..., : config.hidden_size]
    kept[:] = generator.choice([0, 1.25, 1.75], kept.shape)
    return window


@pytest.mark.parametrize("layers, directions", [(1, 2), (2, 2), (2, 1)])
def test_gradient_of_each_parameter(cell, team, layers, directions):
    window = make(cell, team, layers=layers, directions=directions)
    model, chosen = window.model, np.random.default_rng(1)
    window.gradient()
    analytic = model.layout.to_torch(window.grad)
    tensors = model.to_torch()
    assert sum(tensor.size for tensor in tensors.values()) >= parameter_count(model.config)
    for name, tensor in tensors.items():
        if cell.name != "gru" and "bias_hh" in name:
            continue
        flat = tensor.reshape(-1)
        # Some at random, and the largest: most weights of a symbol that is not read have no gradient.
        some = np.union1d(chosen.permutation(flat.size)[:6], np.abs(analytic[name]).ravel().argsort()[-6:])
        if "bias_hh" in name:  # only that of the candidate is one of its own
            some = 2 * model.config.hidden_size + chosen.permutation(model.config.hidden_size)

        def loss(values, name=name, some=some, flat=flat):
            before = flat[some].copy()
            flat[some] = values
            model.layout.from_torch(model.parameters, tensors)
            flat[some] = before
            return window.gradient()

        numeric = numeric_gradient(loss, flat[some].copy())
        assert_same_gradient(analytic[name].reshape(-1)[some], numeric, name)


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_do_not_change_a_bit(tanh_cell, team, threads):
    windows = [make(tanh_cell, each, np.float32, layers=2) for each in (team, Team(threads))]
    dropconnect = DropConnect(0.3, 2**40 + 3)
    losses = [window.gradient(dropconnect) for window in windows]
    assert losses[0] == losses[1]
    assert windows[0].grad.tobytes() == windows[1].grad.tobytes()


def test_weights_have_names_and_survive(cell):
    config = EncoderDecoderConfig(cell.name, cell.activation, input_size=4, output_size=5, hidden_size=3, num_layers=2)
    model = Model.initialised(config, np.random.default_rng(0))
    tensors = model.to_torch()
    assert {name: tensor.shape for name, tensor in tensors.items()} == torch_shapes(config)
    again = Model.from_torch(config, tensors)
    assert again.parameters.tobytes() == model.parameters.tobytes()
    layout = model.layout
    other = np.zeros_like(model.parameters)
    layout.expand(other, layout.compact(model.parameters))
    assert other.tobytes() == model.parameters.tobytes()


def torch_losses(window, sources, targets):
    """Return the losses of each pair by PyTorch's modules of the same weights, and the modules."""
    torch = pytest.importorskip("torch")
    config, tensors = window.model.config, window.model.to_torch()
    kinds = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}
    more = {"nonlinearity": config.activation} if config.cell == "rnn" else {}
    sizes = (config.hidden_size, config.num_layers)
    modules = torch.nn.ModuleDict(
        {
            "encoder": kinds[config.cell](config.input_size, *sizes, bidirectional=config.directions == 2, **more),
            "decoder": kinds[config.cell](config.output_size, *sizes, **more),
            "attention": torch.nn.Linear(config.directions * config.hidden_size, config.hidden_size, bias=False),
            "combine": torch.nn.Linear((1 + config.directions) * config.hidden_size, config.hidden_size),
            "bridge": torch.nn.Linear(*reversed(tensors["bridge.weight"].shape)),
            "output": torch.nn.Linear(config.hidden_size, config.output_size),
        }
    ).double()
    modules.load_state_dict({name: torch.from_numpy(tensor) for name, tensor in tensors.items()}, strict=True)
    total = 0.0
    for source, target in zip(sources, targets):
        one_hot = torch.nn.functional.one_hot
        read, _ = modules["encoder"](one_hot(torch.tensor(source).long(), config.input_size).double())
        units = config.hidden_size
        end = torch.cat([read[-1, :units], read[0, units:]])
        states = torch.tanh(modules["bridge"](end)).reshape(config.num_layers, -1, units)
        start = tuple(states[:, k].contiguous() for k in range(states.shape[1]))
        start = start if len(start) > 1 else start[0]
        inputs = torch.tensor([0, *target]).long()
        output, _ = modules["decoder"](one_hot(inputs, config.output_size).double(), start)
        weights = torch.softmax(output @ modules["attention"](read).T, dim=-1)
        z = torch.tanh(modules["combine"](torch.cat([output, weights @ read], dim=-1)))
        expected = torch.tensor([*target, 0]).long()
        total = total + torch.nn.functional.cross_entropy(modules["output"](z), expected, reduction="sum")
    return total / sum(len(target) + 1 for target in targets), modules


@pytest.mark.parametrize("layers, directions", [(1, 2), (2, 2), (2, 1)])
def test_loss_and_gradients_are_those_of_pytorch(cell, team, layers, directions):
    if cell.activation == "sigmoid":
        pytest.skip("PyTorch has no plain cell with a sigmoid")
    window = make(cell, team, layers=layers, directions=directions)
    window.mask.fill(1)
    generator = np.random.default_rng(8)
    sources = [generator.integers(1, 7, length).astype(np.int32) for length in SOURCES]
    targets = [generator.integers(1, 9, length).astype(np.int32) for length in TARGETS]
    loss, modules = torch_losses(window, sources, targets)
    loss.backward()
    window.load(PairBatch.of(sources, targets))
    assert window.gradient() == pytest.approx(loss.item(), rel=1e-12)
    ours = window.model.layout.to_torch(window.grad)
    for name, parameter in modules.named_parameters():
        if "bias_hh" not in name:
            theirs = parameter.grad.numpy()
            assert np.abs(ours[name] - theirs).max() <= 1e-10 * max(np.abs(theirs).max(), 1e-5), name


def test_scores_are_the_losses_of_the_gradient(tanh_cell, team):
    window = make(tanh_cell, team)
    window.gradient()
    expected = window.losses.copy()
    window.pack()
    window.score()
    np.testing.assert_array_equal(window.losses, expected)


def test_a_batch_is_its_pairs(cell, team):
    window = make(cell, team)
    window.mask.fill(1)
    generator = np.random.default_rng(8)
    sources = [generator.integers(1, 7, length).astype(np.int32) for length in SOURCES]
    targets = [generator.integers(1, 9, length).astype(np.int32) for length in TARGETS]
    window.load(PairBatch.of(sources, targets))
    window.pack()
    window.score()
    together = window.losses.sum(axis=0)
    for column, (source, target) in enumerate(zip(sources, targets)):
        window.load(PairBatch.of([source], [target]))
        window.score()
        assert window.losses[:, 0].sum() == pytest.approx(together[column], rel=1e-12)
