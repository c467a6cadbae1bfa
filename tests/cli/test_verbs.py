"""A model that is given to the wrong command: the error names the right one."""

import numpy as np
import pytest
from commands import run

from rnn_cli.checkpoint.checkpoint import Checkpoint, save_checkpoint
from rnn_cli.cli.verbs import VERBS
from rnn_cli.network.config import NetworkConfig
from rnn_cli.network.parameters import torch_shapes

COMMANDS = [
    ["sample"],
    ["complete", "a"],
    ["predict", "a"],
    ["train", "text", "--from", "model", "-m", "new"],
]


@pytest.fixture
def place(tmp_path):
    (tmp_path / "text").write_text("some text\n" * 9)
    return tmp_path


def save(place, task):
    """Save a model of a task."""
    config = NetworkConfig(input_size=4, output_size=3, hidden_size=2)
    parameters = {name: np.ones(shape, np.float32) for name, shape in torch_shapes(config).items()}
    save_checkpoint(place / "model", Checkpoint(config, {"name": task}, parameters))


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_the_wrong_command_names_the_right_one(place, command):
    save(place, "translate")
    done = run(*command, *([] if "-m" in command else ["-m", "model"]), cwd=place)
    assert (done.code, done.stdout) == (2, b"")
    assert done.stderr.splitlines()[-1] == "rnn: error: this model translates; use rnn translate"


def test_a_task_of_a_newer_rnn(place):
    save(place, "dance")
    done = run("sample", "-m", "model", cwd=place)
    assert done.code == 2
    assert "this model is for the task 'dance'" in done.stderr
    assert "install a newer rnn" in done.stderr


def test_each_verb_is_a_command():
    assert all(command.startswith("rnn ") for _, command in VERBS.values())
