"""The configuration of a network."""

from __future__ import annotations

from dataclasses import dataclass

from rnn_cli.config import Config, limited


@dataclass(frozen=True)
class ModelConfig(Config):
    """The network: a stack of recurrent layers and a linear readout."""

    cell: str = "lstm"
    activation: str = "tanh"
    vocab_size: int = limited(2, 1_114_113, 2)
    hidden_size: int = limited(1, 8192, 128)
    num_layers: int = limited(1, 16, 1, option="layers")
