"""Where the parameters of an encoder with a decoder lie in one flat vector.

They are those of two networks, one after the other, and of what lies between them: the maps that combine an output of
the decoder with its context, and the bridge from the end of the encoder to the start of the decoder. The readout of the
encoder makes keys; its bias would add the same to all scores of a step, so it stays 0, as padding does.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rnn_cli.network.config import EncoderDecoderConfig, NetworkConfig
from rnn_cli.network.parameters import Layout, torch_shapes

QUERY, CONTEXT, BIAS, BRIDGE, BRIDGE_BIAS = range(5)


def layout_of(config: NetworkConfig, pad: int) -> Layout:
    """Return the layout of a network's parameters."""
    return EncoderDecoderLayout(config, pad) if isinstance(config, EncoderDecoderConfig) else Layout(config, pad)


class EncoderDecoderLayout(Layout):
    """The layouts `encoder` and `decoder`, and `between` (6), where each part between them begins, and its end."""

    def __init__(self, config: EncoderDecoderConfig, pad: int) -> None:
        super().__init__(config, pad)
        self.config: EncoderDecoderConfig = config
        self.encoder, self.decoder_layout = Layout(config.encoder, pad), Layout(config.decoder, pad)
        self.bridge_columns = config.num_layers * len(self.cell.states) * self.hidden
        read = self.encoder.width
        sizes = [self.hidden**2, read * self.hidden, self.hidden, read * self.bridge_columns, self.bridge_columns]
        self.between = np.append(0, np.cumsum(sizes)).astype(np.int64)
        self.size = self.encoder.size + self.decoder_layout.size + int(self.between[-1])

    def parts(self, flat: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return views of the parameters of the encoder, of the decoder, and of what is between them."""
        first, second = self.encoder.size, self.encoder.size + self.decoder_layout.size
        return flat[:first], flat[first:second], flat[second:]

    def between_views(self, flat: np.ndarray) -> list[np.ndarray]:
        """Return views without padding: (H, H), (D, H) and bias (H) to combine, the bridge (D, L S, H) and (L S, H)."""
        units, read = self.config.hidden_size, self.config.directions * self.config.hidden_size
        own, ends = self.parts(flat)[2], self.between
        blocks = [own[ends[k] : ends[k + 1]] for k in range(5)]
        wide = self.bridge_columns // self.hidden
        return [
            blocks[QUERY].reshape(-1, self.hidden)[:units, :units],
            blocks[CONTEXT].reshape(-1, self.hidden)[:read, :units],
            blocks[BIAS][:units],
            blocks[BRIDGE].reshape(-1, wide, self.hidden)[:read, :, :units],
            blocks[BRIDGE_BIAS].reshape(wide, self.hidden)[:, :units],
        ]

    def to_torch(self, flat: np.ndarray) -> dict[str, np.ndarray]:
        """Return copies of the parameters as PyTorch names and lays them out."""
        encoder, decoder, _ = self.parts(flat)
        tensors: dict[str, np.ndarray] = {}
        for name, layout, part in (("encoder", self.encoder, encoder), ("decoder", self.decoder_layout, decoder)):
            own = layout.to_torch(part)
            tensors |= {f"{name}.{key[4:]}": tensor for key, tensor in own.items() if key.startswith("rnn.")}
            if name == "encoder":
                tensors["attention.weight"] = own["decoder.weight"]
            else:
                tensors |= {"output.weight": own["decoder.weight"], "output.bias": own["decoder.bias"]}
        query, context, bias, bridge, bridge_bias = self.between_views(flat)
        tensors["combine.weight"] = np.concatenate([query, context]).T.copy()
        tensors["combine.bias"] = bias.copy()
        tensors["bridge.weight"] = bridge.reshape(len(bridge), -1).T.copy()
        tensors["bridge.bias"] = bridge_bias.ravel().copy()
        return {name: tensors[name] for name in torch_shapes(self.config)}

    def from_torch(self, flat: np.ndarray, tensors: Mapping[str, np.ndarray]) -> None:
        """Fill `flat` from tensors of PyTorch's names and layout."""
        flat[:] = 0
        encoder, decoder, _ = self.parts(flat)
        for name, layout, part in (("encoder", self.encoder, encoder), ("decoder", self.decoder_layout, decoder)):
            own = {key.replace(f"{name}.", "rnn.", 1): tensor for key, tensor in tensors.items()}
            if name == "encoder":
                own["decoder.weight"] = tensors["attention.weight"]
                own["decoder.bias"] = np.zeros(self.config.hidden_size)
            else:
                own["decoder.weight"], own["decoder.bias"] = tensors["output.weight"], tensors["output.bias"]
            layout.from_torch(part, own)
        query, context, bias, bridge, bridge_bias = self.between_views(flat)
        units = self.config.hidden_size
        combine = tensors["combine.weight"].T
        query[:], context[:], bias[:] = combine[:units], combine[units:], tensors["combine.bias"]
        bridge[:] = tensors["bridge.weight"].T.reshape(bridge.shape)
        bridge_bias[:] = tensors["bridge.bias"].reshape(bridge_bias.shape)

    def initialise(self, flat: np.ndarray, generator: np.random.Generator) -> None:
        """Sample the weights of both networks as their layouts do, and the maps between them as PyTorch does."""
        encoder, decoder, _ = self.parts(flat)
        self.encoder.initialise(encoder, generator)
        self.decoder_layout.initialise(decoder, generator)
        query, context, _, bridge, _ = self.between_views(flat)
        for view, inputs in ((query, len(query) + len(context)), (context, len(query) + len(context)), (bridge, None)):
            bound = (inputs or len(bridge)) ** -0.5
            view[:] = generator.uniform(-bound, bound, view.shape)
