"""The configuration of a network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from rnn_cli.config import Config, check_range, limited, one_of
from rnn_cli.errors import UsageError

MAX_SYMBOLS = 1_114_113  # every code point of Unicode, and the boundary


@dataclass(frozen=True)
class NetworkConfig(Config):
    """A stack of recurrent layers and a linear readout.

    inputs, outputs  what a step reads and predicts: "symbols" are indices below the size, "numbers" vectors of it
    directions       2: each layer also runs from the end of a text to its start
    members          networks side by side, each of which reads the input; their logits are added (network/members.py)
    embedding        "tied": symbols are read as rows of the decoder's weight, of hidden_size numbers each
    readout          what the linear map reads at a step: "last", the output of the last layer at this step, or "mean",
                     the mean of its outputs from the start of the text up to this step
    quantiles        of numbers that are predicted: output j is the quantile of level quantiles[j % len(quantiles)];
                     empty: the mean, by the squared error
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
    directions: int = limited(
        1, 2, 1, automatic=True, group="The network", help="2: each layer also reads from the end, to label texts."
    )
    members: int = limited(1, 64, 1)
    embedding: str = one_of("none", "tied")
    readout: str = one_of(
        "last", "mean", group="The network", help="To classify: what the label is read from, over the text."
    )
    quantiles: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        tied = ("symbols", "symbols", self.input_size, 1)
        if self.embedding == "tied" and (self.inputs, self.outputs, self.output_size, self.directions) != tied:
            raise UsageError("a tied embedding is for a network with one direction and one vocabulary")
        if self.members > 1 and self.embedding == "tied":
            raise UsageError("several members are for a network without a tied embedding")
        if not isinstance(self.quantiles, list | tuple):
            raise UsageError(f"quantiles must be a list of levels, not {self.quantiles}")
        object.__setattr__(self, "quantiles", tuple(self.quantiles))  # JSON has lists
        for level in self.quantiles:
            check_range("quantiles", level, 0.001, 0.999)
        if self.quantiles and (self.outputs != "numbers" or self.output_size % len(self.quantiles)):
            raise UsageError("quantiles are for outputs that are numbers, a multiple of as many as there are levels")

    @property
    def runs(self) -> int:
        """How often each layer runs, each time with weights of its own: once for each direction of each member."""
        return self.directions * self.members

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build the configuration from a dictionary of its fields; older files lack `members`."""
        config: Self = super().from_dict({"members": 1, **values})
        return config

    @classmethod
    def for_symbols(cls, vocab_size: int, **others: Any) -> Self:
        """Return the configuration of a network that reads and predicts the symbols of one vocabulary."""
        return cls(input_size=vocab_size, output_size=vocab_size, **others)


@dataclass(frozen=True)
class EncoderDecoderConfig(NetworkConfig):
    """An encoder that reads a source, and a decoder that writes a target and attends to what the encoder has read.

    input_size, output_size  symbols of the source, symbols of the target
    directions               of the encoder; the decoder has one
    """

    kind: str = one_of("encoder-decoder")

    def __post_init__(self) -> None:
        super().__post_init__()
        usual = ("symbols", "symbols", "none", "last", 1)
        if (self.inputs, self.outputs, self.embedding, self.readout, self.members) != usual:
            raise UsageError("an encoder with a decoder reads and predicts symbols, without a tied embedding or a mean")

    @property
    def encoder(self) -> NetworkConfig:
        """The encoder as a network; its readout makes the keys that the decoder compares its output with."""
        return self._part(input_size=self.input_size, output_size=self.hidden_size, directions=self.directions)

    @property
    def decoder(self) -> NetworkConfig:
        """The decoder as a network: it reads and predicts the symbols of the target."""
        return self._part(input_size=self.output_size, output_size=self.output_size)

    def _part(self, **sizes: Any) -> NetworkConfig:
        own: dict[str, Any] = {
            name: getattr(self, name) for name in ("cell", "activation", "hidden_size", "num_layers")
        }
        return NetworkConfig(**own, **sizes)


def network_from_dict(values: Mapping[str, Any]) -> NetworkConfig:
    """Return the configuration that `to_dict` of one of the classes above wrote. Raises UsageError for others."""
    network: NetworkConfig = (EncoderDecoderConfig if "kind" in values else NetworkConfig).from_dict(values)
    return network
