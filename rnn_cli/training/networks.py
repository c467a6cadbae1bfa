"""Several networks that one run trains, one after the other: whether it can, and those in the state of a run."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rnn_cli.errors import UsageError
from rnn_cli.network.config import EncoderDecoderConfig, NetworkConfig
from rnn_cli.network.parameters import torch_shapes
from rnn_cli.training.config import TrainingConfig
from rnn_cli.training.task import Task

MEMBER = "member."  # before the number and the names of the tensors of each network, that in training being the last


def check_networks(task: Task, config: TrainingConfig, fine_tuning: bool) -> None:
    """Raise UsageError if a run cannot train as many networks."""
    words_or_pairs = task.network.embedding == "tied" or isinstance(task.network, EncoderDecoderConfig)
    if config.networks > 1 and (fine_tuning or words_or_pairs):
        raise UsageError("`networks` is for a new model that writes characters, labels or tags; leave it out")
    if config.networks > 1 and config.patience is not None:
        raise UsageError("`patience` ends one network, and `networks` asks for several; give one of them")


def members_of(tensors: Mapping[str, np.ndarray], network: NetworkConfig) -> list[dict[str, np.ndarray]]:
    """Return the networks in the state of a run. Raises KeyError or ValueError if they do not have their shapes."""
    shapes = torch_shapes(network)
    count = len({name.split(".")[1] for name in tensors if name.startswith(MEMBER)})
    members = [{name: tensors[f"{MEMBER}{number}.{name}"] for name in shapes} for number in range(count)]
    for member in members:
        for name, tensor in member.items():
            if (tensor.shape, tensor.dtype) != (shapes[name], np.float32):
                raise ValueError(f"the tensor {name}")
    return members
