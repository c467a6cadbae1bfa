"""Where each parameter lies: the names and shapes of PyTorch, and offsets in one flat vector.

In the flat vector the weights stand as the products read them: W_ih (I, gates H) and W_hh (H, gates H) with a row for
each input, and one bias (blocks H) for each layer and direction; sizes are padded with zeros to whole vectors of the
machine. The padding is inert: it stays 0. In the file the tensors have the names, the order of gates and the layout of
torch.nn.LSTM, GRU and RNN; if both of PyTorch's biases reach the same sum, bias_hh is 0 and bias_ih holds it all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from rnn_cli.cells import Cell, find_cell
from rnn_cli.network.config import EncoderDecoderConfig, NetworkConfig

EMBEDDING_BOUND = 4.0
TIED_BOUND = 0.1  # Merity, Keskar and Socher 2018
RELU_EMBEDDING_BOUND = 2.0  # relu passes on any value, however large


def runs_of(config: NetworkConfig) -> Iterator[tuple[int, int, str]]:
    """Yield each run of each layer, in the order of their parameters, with the suffix of their names."""
    for layer in range(config.num_layers):
        for number in range(config.runs):
            member, direction = divmod(number, config.directions)
            yield layer, number, f"l{layer}" + f"_{member + 1}" * (member > 0) + "_reverse" * direction


def input_size_of(config: NetworkConfig, layer: int) -> int:
    """Return the number of inputs of a layer."""
    if layer:
        return config.runs * config.hidden_size
    return config.hidden_size if config.embedding == "tied" else config.input_size


def torch_shapes(config: NetworkConfig) -> dict[str, tuple[int, ...]]:
    """Return the shape of each tensor, by its name in a torch module with the members `rnn` and `decoder`.

    Layer k has weight_ih (G H, I), weight_hh (G H, H), bias_ih and bias_hh (G H), and the same again with the suffix
    `_reverse` if there are two directions, or `_2`, `_3` and so on for further members. G is the number of gates, I the
    size of the input for layer 0, else runs H. The decoder has weight (V, runs H) and bias (V). A tied embedding takes
    the place of its weight, as encoder.weight.

    An encoder with a decoder has such layers as encoder.* and decoder.*, and with D = directions H: attention.weight
    (H, D), which makes keys; combine.weight (H, H + D) and bias (H), of a decoder's output and its context;
    bridge.weight (L S H, D) and bias, which make the S states of each layer that the decoder starts from; and
    output.weight (V, H) and bias.
    """
    if isinstance(config, EncoderDecoderConfig):
        return encoder_decoder_shapes(config)
    rows = len(find_cell(config.cell, config.activation).torch_gates) * config.hidden_size
    shapes: dict[str, tuple[int, ...]] = {}
    for layer, _, suffix in runs_of(config):
        shapes[f"rnn.weight_ih_{suffix}"] = (rows, input_size_of(config, layer))
        shapes[f"rnn.weight_hh_{suffix}"] = (rows, config.hidden_size)
        shapes[f"rnn.bias_ih_{suffix}"] = (rows,)
        shapes[f"rnn.bias_hh_{suffix}"] = (rows,)
    shapes[decoder_name(config)] = (config.output_size, config.runs * config.hidden_size)
    shapes["decoder.bias"] = (config.output_size,)
    return shapes


def encoder_decoder_shapes(config: EncoderDecoderConfig) -> dict[str, tuple[int, ...]]:
    """Return `torch_shapes` of an encoder with a decoder."""
    hidden, read = config.hidden_size, config.directions * config.hidden_size
    states = config.num_layers * len(find_cell(config.cell, config.activation).states) * hidden
    shapes: dict[str, tuple[int, ...]] = {}
    for name, part in (("encoder", config.encoder), ("decoder", config.decoder)):
        layers = (item for item in torch_shapes(part).items() if item[0].startswith("rnn."))
        shapes |= {layer.replace("rnn.", f"{name}.", 1): shape for layer, shape in layers}
    return shapes | {
        "attention.weight": (hidden, read),
        "combine.weight": (hidden, hidden + read),
        "combine.bias": (hidden,),
        "bridge.weight": (states, read),
        "bridge.bias": (states,),
        "output.weight": (config.output_size, hidden),
        "output.bias": (config.output_size,),
    }


def decoder_name(config: NetworkConfig) -> str:
    """Return the name of the tensor that makes the logits."""
    return "encoder.weight" if config.embedding == "tied" else "decoder.weight"


def parameter_count(config: NetworkConfig) -> int:
    """Return the number of trained parameters; PyTorch's second bias counts if it is not the first one again."""
    cell = find_cell(config.cell, config.activation)
    twice = len(cell.input_gates) + len(cell.recurrent_gates) - cell.blocks
    total = sum(int(np.prod(shape)) for shape in torch_shapes(config).values())
    runs = config.num_layers * config.runs
    if isinstance(config, EncoderDecoderConfig):
        runs += config.num_layers
    return total - runs * twice * config.hidden_size


def round_up(number: int, multiple: int) -> int:
    """Return the next multiple."""
    return -(-number // multiple) * multiple


class Layout:
    """The offsets of a network's parameters in a flat vector whose sizes are padded to multiples of `pad`.

    `offsets` (layers * runs + 1, 3) holds the first elements of W_ih, W_hh and the bias of each run of each
    layer; in its last row those of the decoder's weight (W, V) and bias, and the size of the whole vector. `width`
    is the padded width W of a layer's output.
    """

    def __init__(self, config: NetworkConfig, pad: int) -> None:
        self.config = config
        self.cell: Cell = find_cell(config.cell, config.activation)
        self.hidden = round_up(config.hidden_size, pad)
        # The second run starts after the units of the first, and the last vector of the last run is whole, too.
        self.width = round_up((config.runs - 1) * config.hidden_size + self.hidden, pad)
        self.columns = round_up(config.output_size, pad)
        self.input_size = config.input_size if config.inputs == "symbols" else round_up(config.input_size, pad)
        if config.embedding == "tied":
            self.input_size = self.width
        self.input_columns = len(self.cell.input_gates) * self.hidden
        self.recurrent_columns = len(self.cell.recurrent_gates) * self.hidden
        self.offsets = np.zeros((config.num_layers * config.runs + 1, 3), np.int64)
        sizes = []
        for layer, _, _ in runs_of(config):
            sizes += [
                (self.width if layer else self.input_size) * self.input_columns,
                self.hidden * self.recurrent_columns,
                self.cell.blocks * self.hidden,
            ]
        sizes += [self.width * self.columns, self.columns]
        self.offsets.flat[1:] = np.cumsum(sizes)
        self.size = int(self.offsets[-1, 2])

    def input_weights(self, flat: np.ndarray, layer: int, direction: int = 0) -> np.ndarray:
        """Return a view (I, gates, H) of W_ih without its padding, the gates in the order of `cell.input_gates`."""
        rows = input_size_of(self.config, layer)
        start = self.offsets[layer * self.config.runs + direction, 0]
        block = flat[start : start + rows * self.input_columns].reshape(rows, -1, self.hidden)
        return block[:, :, : self.config.hidden_size]

    def recurrent_weights(self, flat: np.ndarray, layer: int, direction: int = 0) -> np.ndarray:
        """Return a view (H, gates, H) of W_hh without its padding, the gates in the order of `cell.recurrent_gates`."""
        start, hidden = self.offsets[layer * self.config.runs + direction, 1], self.config.hidden_size
        block = flat[start : start + self.hidden * self.recurrent_columns].reshape(self.hidden, -1, self.hidden)
        return block[:hidden, :, :hidden]

    def bias(self, flat: np.ndarray, layer: int, direction: int = 0) -> np.ndarray:
        """Return a view (blocks, H) of the bias without its padding."""
        start = self.offsets[layer * self.config.runs + direction, 2]
        block = flat[start : start + self.cell.blocks * self.hidden].reshape(-1, self.hidden)
        return block[:, : self.config.hidden_size]

    def decoder(self, flat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return views of the decoder's weight (runs H, V) and bias (V) without their padding."""
        weight, bias, _ = self.offsets[-1]
        rows, columns = self.config.runs * self.config.hidden_size, self.config.output_size
        if self.config.embedding == "tied":
            block = flat[weight:bias].reshape(self.columns, self.width).T
        else:
            block = flat[weight:bias].reshape(self.width, self.columns)
        return block[:rows, :columns], flat[bias : bias + columns]

    def to_torch(self, flat: np.ndarray) -> dict[str, np.ndarray]:
        """Return copies of the parameters, or of anything of their shape, as PyTorch names and lays them out."""
        cell = self.cell
        tensors: dict[str, np.ndarray] = {}
        for layer, direction, suffix in runs_of(self.config):
            for name, weights, gates in (
                ("weight_ih", self.input_weights(flat, layer, direction), cell.input_gates),
                ("weight_hh", self.recurrent_weights(flat, layer, direction), cell.recurrent_gates),
            ):
                order = [gates.index(gate) for gate in cell.torch_gates]
                rows = weights[:, order, :].transpose(1, 2, 0)
                tensors[f"rnn.{name}_{suffix}"] = rows.reshape(-1, weights.shape[0]).copy()
            bias = self.bias(flat, layer, direction)
            first, second = [], []
            for gate in cell.torch_gates:
                own = cell.input_gates.index(gate)
                recurrent = cell.recurrent_block + cell.recurrent_gates.index(gate)
                first.append(bias[own])
                second.append(bias[recurrent] if recurrent != own else np.zeros_like(bias[own]))
            tensors[f"rnn.bias_ih_{suffix}"] = np.concatenate(first)
            tensors[f"rnn.bias_hh_{suffix}"] = np.concatenate(second)
        weight, bias = self.decoder(flat)
        tensors[decoder_name(self.config)], tensors["decoder.bias"] = weight.T.copy(), bias.copy()
        return tensors

    def from_torch(self, flat: np.ndarray, tensors: Mapping[str, np.ndarray]) -> None:
        """Fill `flat` from tensors of PyTorch's names and layout; both biases of a gate are added if they meet."""
        cell, config = self.cell, self.config
        flat[:] = 0
        for layer, direction, suffix in runs_of(config):
            for name, weights, gates in (
                ("weight_ih", self.input_weights(flat, layer, direction), cell.input_gates),
                ("weight_hh", self.recurrent_weights(flat, layer, direction), cell.recurrent_gates),
            ):
                rows = tensors[f"rnn.{name}_{suffix}"].reshape(len(gates), config.hidden_size, -1)
                order = [gates.index(gate) for gate in cell.torch_gates]
                weights[:, order, :] = rows.transpose(2, 0, 1)
            bias = self.bias(flat, layer, direction)
            first = tensors[f"rnn.bias_ih_{suffix}"].reshape(-1, config.hidden_size)
            second = tensors[f"rnn.bias_hh_{suffix}"].reshape(-1, config.hidden_size)
            with np.errstate(over="ignore"):  # an infinite sum in a stranger's model shows in its outputs
                for index, gate in enumerate(cell.torch_gates):
                    bias[cell.input_gates.index(gate)] += first[index]
                    bias[cell.recurrent_block + cell.recurrent_gates.index(gate)] += second[index]
        weight, bias = self.decoder(flat)
        weight[:], bias[:] = tensors[decoder_name(config)].T, tensors["decoder.bias"]

    def compact(self, flat: np.ndarray) -> np.ndarray:
        """Return the values of `to_torch` in one vector: the same on every machine, whatever its padding."""
        return np.concatenate([tensor.ravel() for tensor in self.to_torch(flat).values()])

    def expand(self, flat: np.ndarray, compact: np.ndarray) -> None:
        """Fill `flat` from what `compact` returned."""
        shapes = torch_shapes(self.config)
        ends = np.cumsum([int(np.prod(shape)) for shape in shapes.values()])
        parts = np.split(compact, ends[:-1])
        self.from_torch(flat, {name: part.reshape(shapes[name]) for name, part in zip(shapes, parts)})

    def initialise(self, flat: np.ndarray, generator: np.random.Generator) -> None:
        """Sample the weights from U(-1/sqrt(H), 1/sqrt(H)), as PyTorch does; biases are 0, or what the cell says.

        For a one-hot input W_ih is an embedding: one row of it is all that a symbol contributes, against a whole sum
        from h. With PyTorch's bound it would take the first epoch to grow, so it is U(-4, 4).
        """
        config = self.config
        usual = config.hidden_size**-0.5
        embedding = RELU_EMBEDDING_BOUND if config.activation == "relu" else EMBEDDING_BOUND
        tensors = {}
        for name, shape in torch_shapes(config).items():
            symbols = config.inputs == "symbols" and config.embedding == "none" and name.startswith("rnn.weight_ih_l0")
            bound = embedding if symbols else TIED_BOUND if name == "encoder.weight" else usual
            sampled = generator.uniform(-bound, bound, shape)
            tensors[name] = np.zeros(shape) if "bias" in name else sampled
        self.from_torch(flat, tensors)
        for layer, direction, _ in runs_of(config):
            for gate, value in self.cell.initial_bias:
                self.bias(flat, layer, direction)[self.cell.input_gates.index(gate)] = value
