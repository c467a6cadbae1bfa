"""The network: a stack of recurrent layers and a linear readout over one flat vector of parameters."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnn_cli.errors import CheckpointError, UsageError
from rnn_cli.kernels.compiler.cell_inlining import Equations
from rnn_cli.kernels.matmul.tile import install_tile
from rnn_cli.kernels.network.gradients import depth_block
from rnn_cli.kernels.network.optimizer import BLOCK
from rnn_cli.kernels.network.step import Learning, Memory, Net, Step, pack_all, score_step, train_step
from rnn_cli.kernels.simd.aligned import aligned_zeros
from rnn_cli.kernels.simd.bfloat16 import ONES
from rnn_cli.kernels.simd.cpu import HAS_BFLOAT16, TILE_VECTORS, VECTOR_BYTES
from rnn_cli.kernels.threads import BARRIER_SIZE, Team
from rnn_cli.network.config import NetworkConfig
from rnn_cli.network.parameters import Layout

PAD = VECTOR_BYTES // 4  # a whole vector of float32, and whole vectors of float64


class Model:
    """Parameters with their layout. `parameters` is one vector, float32 in use and float64 to check gradients."""

    def __init__(self, config: NetworkConfig, dtype: Any = np.float32) -> None:
        self.config = config
        self.layout = Layout(config, PAD)
        self.parameters = aligned_zeros(self.layout.size, dtype)
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


def operand_type(precision: str, dtype: Any) -> np.dtype:
    """Return the type of what is packed for the products. Raises UsageError for one that the processor has not."""
    if precision == "float32":
        return np.dtype(dtype)
    if precision != "bfloat16":
        raise UsageError(f"precision must be float32 or bfloat16, not {precision}")
    if not HAS_BFLOAT16:
        raise UsageError("this processor has no products in bfloat16 (AVX512_BF16); use --precision float32")
    return np.dtype(np.uint32)


def check_finite(values: np.ndarray) -> None:
    """Raise CheckpointError where what a model predicts is no number."""
    if not np.isfinite(values).all():
        raise CheckpointError("what the model predicts is no number: its weights are too large, so it is of no use")


class Window:
    """A model with the memory to run it forward on windows of (length, batch) symbols, one after the other.

    inputs, targets (T, B) int32   what is read and what follows; input 0 starts from the zero state, target -1 is
                                   not scored
    losses (T, B)                  nats
    logits (T, B, padded V)        between the products and the softmax
    state (L, S, B, H)             h, and c where the cell has one, before the window; after a run, those after it
    """

    def __init__(self, model: Model, length: int, batch: int, team: Team, precision: str = "float32") -> None:
        config, layout, dtype = model.config, model.layout, model.parameters.dtype
        self.operand = operand_type(precision, dtype)
        self.numbers = 2 if precision == "bfloat16" else 1  # in an operand
        self.widest = max(layout.cell.blocks * layout.hidden, layout.columns)
        install_tile(self.operand)
        cell = layout.cell
        self.model, self.team = model, team
        self.net = Net(
            layers=config.num_layers,
            length=length,
            batch=batch,
            units=config.hidden_size,
            hidden=layout.hidden,
            blocks=cell.blocks,
            states=len(cell.states),
            input_columns=layout.input_columns,
            recurrent_columns=layout.recurrent_columns,
            vocab_size=config.output_size,
            columns=layout.columns,
        )
        layers, states, hidden = self.net.layers, self.net.states, layout.hidden
        self.inputs = np.zeros((length, batch), np.int32)
        self.starts = np.zeros((length, batch), np.uint8)
        self.targets = np.zeros((length, batch), np.int32)
        self.mask = aligned_zeros((layers, batch, hidden), dtype)
        self.mask.fill(1)
        self.losses = aligned_zeros((length, batch), dtype)
        self.logits = aligned_zeros((length, batch, layout.columns), dtype)
        self.memory = Memory(
            parameters=model.parameters,
            places=layout.places,
            packed=aligned_zeros(layout.size // self.numbers, self.operand),
            left=aligned_zeros(batch * (self.widest // self.numbers + PAD), self.operand),
            inputs=self.inputs.ravel(),
            targets=self.targets.ravel(),
            mask=self.mask.ravel(),
            preact=aligned_zeros(batch * cell.blocks * hidden, dtype),
            gates=aligned_zeros(layers * length * batch * cell.blocks * hidden, dtype),
            states=aligned_zeros(layers * states * (length + 1) * batch * hidden, dtype),
            output=aligned_zeros(layers * length * batch * hidden, dtype),
            logits=self.logits.ravel(),
            losses=self.losses.ravel(),
            barrier=aligned_zeros(BARRIER_SIZE, np.int64),
        )
        self._initial = self.memory.states.reshape(layers, states, length + 1, batch, hidden)[:, :, 0]

    @property
    def state(self) -> np.ndarray:
        """The states (L, S, B, H) that the next window starts from, without padding: a view."""
        return self._initial[..., : self.model.config.hidden_size]

    def pack(self) -> None:
        """Take over the model's weights, once before scoring."""
        self.team.run(pack_all, self.net, self.memory)

    def score(self) -> None:
        """Run the window forward: fills `losses`."""
        self.team.run(score_step, self.model.equations, self.net, self.memory)


class TrainingWindow(Window):
    """A window with the memory to differentiate: gradients, the moments of the optimiser, the average of the weights.

    What a run does not use (the average, the thinned weights) stays untouched, and the system gives it no memory.
    """

    def __init__(self, model: Model, length: int, batch: int, team: Team, precision: str = "float32") -> None:
        super().__init__(model, length, batch, team, precision)
        net, size, dtype = self.net, model.layout.size, model.parameters.dtype
        self.grad = aligned_zeros(size, dtype)
        self.moments = aligned_zeros((2, size), dtype)
        self.average = aligned_zeros(size, dtype)
        tile_width = TILE_VECTORS * VECTOR_BYTES // dtype.itemsize
        block = depth_block(self.operand)
        left = max(2 * block * net.hidden, tile_width * self.widest)
        self.carry = aligned_zeros((net.layers, net.states, batch, net.hidden), dtype)
        self.learning = Learning(
            packed_transposed=aligned_zeros(size // self.numbers, self.operand),
            thinned=aligned_zeros(size, dtype),
            grad=self.grad,
            grad_output=aligned_zeros(length * batch * net.hidden, dtype),
            zeros=aligned_zeros(net.hidden, dtype),
            ones=np.full(block // self.numbers, ONES if self.numbers == 2 else 1, self.operand),
            carry=self.carry.ravel(),
            left=aligned_zeros((team.threads, left + PAD), self.operand),
            panel=aligned_zeros((team.threads, block * tile_width), self.operand),
            moment1=self.moments[0],
            moment2=self.moments[1],
            average=self.average,
            sums=np.zeros(-(-size // BLOCK)),
            norm=np.zeros(1),
        )

    def train(self, step: Step) -> tuple[float, float]:
        """Make a training step on the window; return the mean loss in nats per symbol and the norm of its gradient.

        With a step of number 0 only the gradients are computed. A gradient that is not finite changes nothing.
        """
        scored = int(np.count_nonzero(self.targets >= 0))
        weight = 1 / max(scored, 1)
        self.team.run(train_step, self.model.equations, self.net, self.memory, self.learning, step, weight)
        return float(self.losses.sum(dtype=np.float64)) * weight, float(self.learning.norm[0])
