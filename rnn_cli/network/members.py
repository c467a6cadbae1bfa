"""Networks that predict together: joined side by side, and as one network that any program can run.

The logits of N members are averaged, so the prediction is proportional to the geometric mean of theirs. A joined
network has their layers as runs (parameters.py), and the decoder adds what they say:

    logits = sum over members m of (h_m W_m + b_m) / N

The decoder's weight (V, N H) holds W_m^T / N side by side; with two directions, both of a member stand together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from rnn_cli.cells import find_cell
from rnn_cli.errors import UsageError
from rnn_cli.network.config import NetworkConfig
from rnn_cli.network.parameters import runs_of, torch_shapes

MOST_UNITS = 8192  # of a layer of a NetworkConfig
KINDS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")  # of the tensors of a layer
DECODER = ("decoder.weight", "decoder.bias")
Tensors = Mapping[str, np.ndarray]  # of a network, with the names and shapes of `torch_shapes`


def joined(config: NetworkConfig, members: Sequence[Tensors]) -> tuple[NetworkConfig, dict[str, np.ndarray]]:
    """Return the network of several networks of one configuration, and its tensors."""
    together = replace(config, members=len(members))
    tensors: dict[str, np.ndarray] = {}
    for name, shape in torch_shapes(together).items():
        tensors[name] = np.zeros(shape, np.float32)
    width = config.runs * config.hidden_size
    for layer, number, suffix in runs_of(together):
        member, own = number // config.runs, suffix_in_member(number, layer, config)
        for kind in KINDS:
            target = tensors[f"rnn.{kind}_{suffix}"]
            if kind == "weight_ih" and layer:  # a member reads nothing of the others
                target = target[:, member * width : (member + 1) * width]
            target[...] = members[member][f"rnn.{kind}_{own}"]
    tensors["decoder.weight"] = np.concatenate([each["decoder.weight"] for each in members], axis=1) / len(members)
    tensors["decoder.bias"] = np.mean([each["decoder.bias"] for each in members], axis=0)
    return together, {name: tensor.astype(np.float32) for name, tensor in tensors.items()}


def as_one(config: NetworkConfig, tensors: Tensors) -> tuple[NetworkConfig, dict[str, np.ndarray]]:
    """Return the same function as a network without members: one of torch.nn.LSTM, GRU or RNN.

    Its layers have N H units, and its recurrent weights are block-diagonal, so it takes N times the memory and time.
    """
    if config.members == 1:
        return config, dict(tensors)
    if config.members * config.hidden_size > MOST_UNITS:
        raise UsageError(f"{config.members} networks of {config.hidden_size:,} units are too large to be one network")
    one = replace(config, members=1, hidden_size=config.members * config.hidden_size)
    gates = len(find_cell(config.cell, config.activation).torch_gates)
    result = {name: side_by_side(tensors[name], config) if "weight" in name else tensors[name] for name in DECODER}
    for layer, direction, own in runs_of(one):
        own_runs = (run for run in runs_of(config) if run[0] == layer and run[1] % config.directions == direction)
        suffixes = [suffix for _, _, suffix in own_runs]
        for kind in KINDS:
            parts = [tensors[f"rnn.{kind}_{suffix}"] for suffix in suffixes]
            if kind == "weight_hh":
                parts = [beside_zeros(part, number, config) for number, part in enumerate(parts)]
            if kind == "weight_ih" and layer:
                parts = [side_by_side(part, config) for part in parts]
            split = [part.reshape(gates, -1, *part.shape[1:]) for part in parts]  # each gate has the rows of all parts
            result[f"rnn.{kind}_{own}"] = np.concatenate(split, axis=1).reshape(-1, *parts[0].shape[1:])
    return one, result


def suffix_in_member(number: int, layer: int, config: NetworkConfig) -> str:
    """Return the suffix of the tensors of a run in its own network."""
    return f"l{layer}" + "_reverse" * (number % config.directions)


def beside_zeros(part: np.ndarray, number: int, config: NetworkConfig) -> np.ndarray:
    """Return the columns of member `number` in N H columns, those of the other members being 0."""
    wide = np.zeros((len(part), config.members * config.hidden_size), part.dtype)
    wide[:, number * config.hidden_size : (number + 1) * config.hidden_size] = part
    return wide


def side_by_side(weight: np.ndarray, config: NetworkConfig) -> np.ndarray:
    """Return the columns, which are the directions of one member after the other, by direction and then by member."""
    columns = weight.reshape(len(weight), config.members, config.directions, config.hidden_size)
    return columns.transpose(0, 2, 1, 3).reshape(weight.shape)
