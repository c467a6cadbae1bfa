"""A network: its configuration, and all its parameters in one flat vector."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnn_cli.kernels.compiler.cell_inlining import Equations
from rnn_cli.kernels.simd.aligned import aligned_zeros
from rnn_cli.kernels.simd.cpu import VECTOR_BYTES
from rnn_cli.network.config import NetworkConfig
from rnn_cli.network.encoder_decoder import layout_of

PAD = VECTOR_BYTES // 4  # a whole vector of float32, and whole vectors of float64


class Model:
    """Parameters with their layout. `parameters` is one vector, float32 in use and float64 to check gradients."""

    def __init__(self, config: NetworkConfig, dtype: Any = np.float32, parameters: np.ndarray | None = None) -> None:
        """Make a model without weights, or one of the given vector, which is not copied."""
        self.config = config
        self.layout = layout_of(config, PAD)
        self.parameters = aligned_zeros(self.layout.size, dtype) if parameters is None else parameters
        cell = self.layout.cell
        self.equations = Equations(cell.blocks, len(cell.states), cell.forward, cell.backward)

    @classmethod
    def initialised(cls, config: NetworkConfig, generator: np.random.Generator, dtype: Any = np.float32) -> Model:
        """Return a model with random weights."""
        model = cls(config, dtype)
        model.layout.initialise(model.parameters, generator)
        return model

    @classmethod
    def from_torch(cls, config: NetworkConfig, tensors: dict[str, np.ndarray], dtype: Any = np.float32) -> Model:
        """Return a model with the weights of tensors in PyTorch's names and layout."""
        model = cls(config, dtype)
        model.layout.from_torch(model.parameters, tensors)
        return model

    def to_torch(self) -> dict[str, np.ndarray]:
        """Return copies of the weights in PyTorch's names and layout."""
        return self.layout.to_torch(self.parameters)
