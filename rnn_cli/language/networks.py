"""The network of a language model that reads and writes the symbols of a codec."""

from __future__ import annotations

from typing import Any

from rnn_cli.network.config import NetworkConfig
from rnn_cli.text.codecs import Codec

# Words are many and each is seen seldom, so what the network reads of a word is also what it predicts the word with.
WORDS = {"embedding": "tied"}


def network_for(codec: Codec, **values: Any) -> NetworkConfig:
    """Return the configuration of a network for a codec; `values` are fields of NetworkConfig."""
    own = WORDS if codec.unit == "word" else {}
    return NetworkConfig.for_symbols(**{"vocab_size": len(codec)} | own | values)
