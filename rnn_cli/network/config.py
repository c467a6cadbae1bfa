"""The configuration of a network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from rnn_cli.config import Config, limited, one_of

MAX_SYMBOLS = 1_114_113  # every code point of Unicode, and the boundary


@dataclass(frozen=True)
class NetworkConfig(Config):
    """A stack of recurrent layers and a linear readout.

    inputs, outputs  what a step reads and predicts: "symbols" are indices below the size, "numbers" vectors of it
    directions       2: each layer also runs from the end of a text to its start
    """

    cell: str = one_of("lstm", "gru", "rnn", group="The network", help="Recurrent cell.")
    activation: str = one_of(
        "tanh", "relu", "sigmoid", group="The network", help="Activation function of the cell rnn."
    )
    inputs: str = one_of("symbols", "numbers")
    input_size: int = limited(1, MAX_SYMBOLS, 2)
    outputs: str = one_of("symbols", "numbers")
    output_size: int = limited(1, MAX_SYMBOLS, 2)
    hidden_size: int = limited(1, 8192, 128, automatic=True, group="The network", help="Units in each layer.")
    num_layers: int = limited(1, 16, 1, option="layers", group="The network", help="Recurrent layers.")
    directions: int = limited(1, 2, 1)

    @classmethod
    def for_symbols(cls, vocab_size: int, **others: Any) -> Self:
        """Return the configuration of a network that reads and predicts the symbols of one vocabulary."""
        return cls(input_size=vocab_size, output_size=vocab_size, **others)
