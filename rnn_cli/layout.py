"""Where each parameter lives: the names and shapes of PyTorch, and their places in one flat vector."""

from __future__ import annotations

from rnn_cli.cells import find_cell
from rnn_cli.config import ModelConfig


def torch_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Return the shape of each tensor, by its name in a torch module with the members `rnn` and `decoder`.

    Layer k has weight_ih (G H, I), weight_hh (G H, H), bias_ih and bias_hh (G H), where G is the number of gates and
    I the vocabulary for layer 0, else H. The decoder has weight (V, H) and bias (V).
    """
    rows = len(find_cell(config.cell, config.activation).torch_gates) * config.hidden_size
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in range(config.num_layers):
        inputs = config.hidden_size if layer else config.vocab_size
        shapes[f"rnn.weight_ih_l{layer}"] = (rows, inputs)
        shapes[f"rnn.weight_hh_l{layer}"] = (rows, config.hidden_size)
        shapes[f"rnn.bias_ih_l{layer}"] = (rows,)
        shapes[f"rnn.bias_hh_l{layer}"] = (rows,)
    shapes["decoder.weight"] = (config.vocab_size, config.hidden_size)
    shapes["decoder.bias"] = (config.vocab_size,)
    return shapes
