"""A classifier that starts from a language model: it has read the language before it learns the labels."""

from __future__ import annotations

import numpy as np

from rnn_cli.checkpoint.checkpoint import Checkpoint
from rnn_cli.network.config import NetworkConfig
from rnn_cli.network.model import Model
from rnn_cli.rng import WEIGHTS, generator


def first_weights(network: NetworkConfig, base: Checkpoint, random_seed: int) -> dict[str, np.ndarray]:
    """Return the first weights of a network that starts from another, in PyTorch's names and layout.

    The recurrent layers are those of the other model as far as it has them; its symbols come first. What it lacks (new
    symbols, the second direction, a readout of labels) is as a new network of this random seed draws it.
    """
    tensors = Model.initialised(network, generator([random_seed, WEIGHTS])).to_torch()
    keeps_labels = base.config.output_size == network.output_size and base.task["name"] == "classify"
    for name, known in base.parameters.items():
        if name not in tensors or (name.startswith("decoder.") and not keeps_labels):
            continue
        target = tensors[name]
        if target.ndim == known.ndim and all(own >= other for own, other in zip(target.shape, known.shape)):
            target[tuple(slice(size) for size in known.shape)] = known
    return tensors
