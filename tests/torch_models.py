"""Networks of ours as modules of PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnn_cli.network.config import NetworkConfig


def torch_network(torch: Any, config: NetworkConfig, parameters: dict[str, np.ndarray]) -> tuple[Any, Any]:
    """Return PyTorch's recurrent layers and readout with the weights of a network, in float64."""
    kind = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}[config.cell]
    options = {"nonlinearity": config.activation} if config.cell == "rnn" else {}
    layers = kind(config.input_size, config.hidden_size, config.num_layers, **options).double()
    readout = torch.nn.Linear(config.hidden_size, config.output_size).double()
    tensors = {name: torch.from_numpy(value).double() for name, value in parameters.items()}
    layers.load_state_dict({name[4:]: value for name, value in tensors.items() if name.startswith("rnn.")})
    readout.load_state_dict({name[8:]: value for name, value in tensors.items() if name.startswith("decoder.")})
    return layers, readout
