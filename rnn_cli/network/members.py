"""Networks that predict together: joined side by side, and as one network that any program can run.

The logits of N members are averaged, so the prediction is proportional to the geometric mean of theirs. A joined
network has their layers as runs (parameters.py), and the decoder adds what they say:

    logits = sum over members m of (h_m W_m + b_m) / N

The decoder's weight (V, N H) holds W_m^T / N side by side.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from rnn_cli.cells import find_cell
from rnn_cli.network.config import NetworkConfig
from rnn_cli.network.parameters import runs_of, torch_shapes

Tensors = Mapping[str, np.ndarray]  # of a network, with the names and shapes of `torch_shapes`


def joined(config: NetworkConfig, members: Sequence[Tensors]) -> tuple[NetworkConfig, dict[str, np.ndarray]]:
    """Return the network of several networks of one configuration, and its tensors."""
    together = replace(config, members=len(members))
    tensors: dict[str, np.ndarray] = {}
    for name, shape in torch_shapes(together).items():
        tensors[name] = np.zeros(shape, np.float32)
    units = config.hidden_size
    for layer, number, suffix in runs_of(together):
        for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            target, own = tensors[f"rnn.{kind}_{suffix}"], members[number][f"rnn.{kind}_l{layer}"]
            if kind == "weight_ih" and layer:  # a member reads nothing of the others
                target = target[:, number * units : (number + 1) * units]
            target[...] = own
    tensors["decoder.weight"] = np.concatenate([each["decoder.weight"] for each in members], axis=1) / len(members)
    tensors["decoder.bias"] = np.mean([each["decoder.bias"] for each in members], axis=0)
    return together, {name: tensor.astype(np.float32) for name, tensor in tensors.items()}


def as_one(config: NetworkConfig, tensors: Tensors) -> tuple[NetworkConfig, dict[str, np.ndarray]]:
    """Return the same function as a network without members: one of torch.nn.LSTM, GRU or RNN.

    Its layers have N H units, and its recurrent weights are block-diagonal, so it takes N times the memory and time.
    """
    if config.members == 1:
        return config, dict(tensors)
    one = replace(config, members=1, hidden_size=config.members * config.hidden_size)
    gates = len(find_cell(config.cell, config.activation).torch_gates)
    result = {name: tensors[name] for name in ("decoder.weight", "decoder.bias")}
    for layer in range(config.num_layers):
        suffixes = [suffix for number, _, suffix in runs_of(config) if number == layer]
        for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            parts = [tensors[f"rnn.{kind}_{suffix}"] for suffix in suffixes]
            if kind == "weight_hh":
                parts = list(beside_zeros(parts))
            result[f"rnn.{kind}_l{layer}"] = interleaved(parts, gates)
    return one, result


def beside_zeros(parts: Sequence[np.ndarray]) -> Iterable[np.ndarray]:
    """Yield each part (rows, H) with N H columns, those of the other parts being 0."""
    for number, part in enumerate(parts):
        wide = np.zeros((len(part), len(parts) * part.shape[1]), part.dtype)
        wide[:, number * part.shape[1] : (number + 1) * part.shape[1]] = part
        yield wide


def interleaved(parts: Sequence[np.ndarray], gates: int) -> np.ndarray:
    """Return the rows of all parts, gate by gate, each part having H rows for each gate."""
    split = [part.reshape(gates, -1, *part.shape[1:]) for part in parts]
    return np.concatenate(split, axis=1).reshape(-1, *parts[0].shape[1:])
