"""What many tests share: each cell in turn, a team of threads, and windows of random networks."""

import signal

import numpy as np
import pytest

from rnn_cli.cells import CELLS
from rnn_cli.kernels.threads import Team
from rnn_cli.network.config import NetworkConfig
from rnn_cli.network.model import Model
from rnn_cli.network.parameters import runs_of
from rnn_cli.network.workspace import TrainingWindow


def pytest_configure():
    """Answer to signals again where a shell's `&` or nohup has them ignored, which the programs under test inherit."""
    for name, handler in (("SIGINT", signal.default_int_handler), ("SIGHUP", signal.SIG_DFL)):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


def pytest_generate_tests(metafunc):
    """Run each test that takes a `cell` once for each cell of the registry, of a `tanh_cell` for those with tanh.

    How threads share the work does not depend on the activation, and compiling takes seconds.
    """
    for name, cells in (("cell", CELLS), ("tanh_cell", [cell for cell in CELLS if cell.activation == "tanh"])):
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, cells, ids=lambda cell: f"{cell.name}-{cell.activation}")


@pytest.fixture(scope="session")
def team():
    """Two threads."""
    return Team(2)


@pytest.fixture(scope="session")
def make_window(team):
    """Return a function that makes a training window of a random network, with a fixed seed and sizes that differ.

    It holds what is easily got wrong: boundaries, targets that are not scored, states, biases and a mask that
    differ everywhere.
    """

    def make(cell, dtype=np.float64, team=team, precision="float32", *, length=7, batch=5, **sizes):
        sizes = {"vocab_size": 11, "hidden_size": 19, "num_layers": 3} | sizes
        config = NetworkConfig.for_symbols(cell=cell.name, activation=cell.activation, **sizes)
        generator = np.random.default_rng(7)
        model = Model.initialised(config, generator, dtype)
        layout, parameters = model.layout, model.parameters
        parameters *= 2  # so that no gradient is too small to be compared
        biases = [layout.bias(parameters, layer, direction) for layer, direction, _ in runs_of(config)]
        for bias in [*biases, layout.decoder(parameters)[1]]:
            bias += 0.3 * generator.standard_normal(bias.shape)
        window = TrainingWindow(model, length, batch, team, precision)
        window.inputs[:] = generator.integers(0, config.input_size, (length, batch))
        window.targets[:] = generator.integers(-1, config.output_size, (length, batch))
        window.inputs[0, -1], window.inputs[length // 2, 0], window.targets[-1, 0] = 1, 0, 1
        window.starts[:] = window.inputs == 0
        window.state[:] = 0.5 * generator.standard_normal(window.state.shape)
        kept = window.mask[..., : config.hidden_size]
        kept[:] = generator.choice([0, 1.25, 1.75], kept.shape)
        return window

    return make
