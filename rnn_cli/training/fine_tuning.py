"""Fine-tuning: the weights of a trained model are the first ones of another, which may have more symbols."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rnn_cli.network.model import Model


def initialise_from(model: Model, known: Mapping[str, np.ndarray]) -> None:
    """Initialise a model with another model's weights, in PyTorch's names and layout.

    The symbols of the other model come first. The input and output weights of those that only this model has stay as
    they were drawn; their output bias is the lowest of the other model's, that of its least likely symbol.
    """
    if known.keys() == (tensors := model.to_torch()).keys() and all(
        tensor.shape == known[name].shape for name, tensor in tensors.items()
    ):
        model.layout.from_torch(model.parameters, known)
        return
    outputs = len(known["decoder.bias"])
    for name, tensor in known.items():
        if name.startswith("rnn.weight_ih_l0"):  # of both directions
            tensors[name][:, : tensor.shape[1]] = tensor
        else:
            tensors[name][: len(tensor)] = tensor
    tensors["decoder.bias"][outputs:] = known["decoder.bias"].min()
    model.layout.from_torch(model.parameters, tensors)
