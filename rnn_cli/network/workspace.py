"""The memory in which a model runs on a window of T steps of B rows, forward and, for training, backward."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import numpy as np

from rnn_cli.errors import CheckpointError, UsageError
from rnn_cli.kernels.matmul.tile import install_tile
from rnn_cli.kernels.network.dropconnect import DropConnect
from rnn_cli.kernels.network.gradients import depth_block
from rnn_cli.kernels.network.losses import CrossEntropy, Quantile, SquaredError
from rnn_cli.kernels.network.memory import Backward, PooledSizes, Sizes, Workspace
from rnn_cli.kernels.network.optimizer import BLOCK, Step, Vectors, update_step
from rnn_cli.kernels.network.sources import Dense, OneHot
from rnn_cli.kernels.network.step import Network, Objective, gradient_step, pack_all, score_step
from rnn_cli.kernels.network.tied import DEPTH, TiedCrossEntropy
from rnn_cli.kernels.simd.aligned import aligned_zeros
from rnn_cli.kernels.simd.bfloat16 import ONES
from rnn_cli.kernels.simd.cpu import HAS_BFLOAT16, TILE_VECTORS, VECTOR_BYTES
from rnn_cli.kernels.threads import BARRIER_SIZE, Team
from rnn_cli.network.model import PAD, Model

IGNORED = -1  # the target of a position without a loss
GATES_PAD = 2 * PAD  # of a row of gates in bfloat16: rows that are multiplied in place shall not meet in a cache set


class Batch(NamedTuple):
    """The inputs and targets of one step: B rows of T positions, time-major.

    inputs (T, B) int32      symbols; or (T, B, K) several symbols a position, or float (T, B, F)
    starts (T, B) uint8      1 if the row starts from the zero state at this position
    targets (T, B) int32     symbols, IGNORED (-1) if nothing is scored; or float (T, B, F), NaN for the same

    Padding is input 0 with a start of 1 and an ignored target: it changes no loss and no gradient.
    """

    inputs: np.ndarray
    starts: np.ndarray
    targets: np.ndarray


def count_scored(targets: np.ndarray) -> int:
    """Return the number of positions of targets that are scored."""
    if targets.dtype.kind == "f":
        return int(np.count_nonzero(~np.isnan(targets).all(axis=-1)))
    return int(np.count_nonzero(targets >= 0))


def operand_type(precision: str, dtype: Any) -> np.dtype:
    """Return the element type of packed operands. Raises UsageError if the CPU does not support the precision."""
    if precision == "float32":
        return np.dtype(dtype)
    if precision != "bfloat16":
        raise UsageError(f"precision must be float32 or bfloat16, not {precision}")
    if not HAS_BFLOAT16:
        raise UsageError('this processor has no products in bfloat16 (AVX512_BF16); use `precision="float32"`')
    return np.dtype(np.uint32)


def check_finite(values: np.ndarray) -> None:
    """Raise CheckpointError if outputs of a model are not finite."""
    if not np.isfinite(values).all():
        raise CheckpointError("the model's outputs are not finite: its weights overflow")


class Window:
    """A model with the memory to run it forward on windows, one after the other.

    inputs, starts, targets        see `Batch`
    losses (T, B)                  in nats, for symbols
    logits (T, B, padded V)        the outputs before the loss, which replaces them by the gradient in them
    state (L, S, B, H)             h, and c if the cell has one, before the window, for each run of each layer; with
                                   one direction, after a pass that after the window
    mask (L, B, padded H)          what the output of each run of each layer is multiplied with: dropout
    """

    def __init__(
        self, model: Model, length: int, batch: int, team: Team, precision: str = "float32", symbols: int = 1
    ) -> None:
        config, layout, dtype = model.config, model.layout, model.parameters.dtype
        self.operand = operand_type(precision, dtype)
        self.numbers = 2 if precision == "bfloat16" else 1  # in an element of an operand
        cell = layout.cell
        self.model, self.team = model, team
        numbers = 0 if self._reads_symbols else layout.input_size
        logit_rows = batch * (1 if self._keeps_one_step else length)
        self.widest = max(cell.blocks * layout.hidden, layout.columns, layout.width, numbers)
        self.sizes: Sizes = self._kind(
            layers=config.num_layers,
            runs=config.runs,
            reverse=config.directions - 1,
            length=length,
            batch=batch,
            units=config.hidden_size,
            hidden=layout.hidden,
            width=layout.width,
            blocks=cell.blocks,
            states=len(cell.states),
            input_columns=layout.input_columns,
            recurrent_columns=layout.recurrent_columns,
            input_size=layout.input_size,
            output_size=config.output_size,
            columns=layout.columns,
            plane=(length + 1) * batch * layout.hidden,
            gates=cell.blocks * layout.hidden + (0 if self.numbers == 1 else GATES_PAD),
            scratch=self.widest // self.numbers + PAD,
            logit_rows=logit_rows,
        )
        install_tile(self.operand)
        zeros, hidden, width = partial(aligned_zeros, dtype=dtype), layout.hidden, layout.width
        runs, steps = config.num_layers * config.runs, length * batch
        self.starts = np.zeros((length, batch), np.uint8)
        self._all_starts = np.zeros((config.directions, length, batch), np.uint8)
        if config.directions == 1:
            self.starts = self._all_starts[0]
        self._shares = np.ones((length, batch), dtype)
        self.mask = zeros((runs, batch, hidden))
        self.mask.fill(1)
        self.losses = zeros((length, batch))
        self.logits = zeros((logit_rows // batch, batch, layout.columns))
        slack = (config.directions - 1) * steps * hidden  # see layer_of in kernels/network/memory.py
        spacing = self.sizes.states * self.sizes.plane + slack
        self.arrays = Workspace(
            parameters=model.parameters,
            offsets=layout.offsets.ravel(),
            packed=aligned_zeros(layout.size // self.numbers, self.operand),
            scratch=aligned_zeros(max(batch, team.threads) * self.sizes.scratch, self.operand),
            starts=self._all_starts.ravel(),
            mask=self.mask.ravel(),
            preact=zeros(batch * cell.blocks * hidden),
            gates=aligned_zeros(runs * steps * self.sizes.gates, dtype if self.numbers == 1 else np.uint16),
            states=zeros(runs * spacing + slack),
            output=zeros(config.num_layers * steps * width),
            shares=self._shares.ravel(),
            pooled=zeros(1 if self._kind is Sizes else steps * width),
            logits=self.logits.ravel(),
            losses=self.losses.ravel(),
            barrier=aligned_zeros(BARRIER_SIZE, np.int64),
        )
        item = dtype.itemsize
        self._initial = np.ndarray(
            (runs, self.sizes.states, batch, hidden),
            dtype,
            self.arrays.states,
            slack * item,
            (spacing * item, self.sizes.plane * item, hidden * item, item),
        )
        self._set_roles(symbols)

    @property
    def _kind(self) -> Any:
        """The type of the sizes, by which kernels choose what the readout reads."""
        return PooledSizes if self.model.config.readout == "mean" else Sizes

    @property
    def _reads_symbols(self) -> bool:
        """Whether layer 0 gathers rows of its weight, rather than multiplying it with numbers."""
        return self.model.config.inputs == "symbols" and self.model.config.embedding == "none"

    @property
    def _keeps_one_step(self) -> bool:
        """Whether the logits of one step are kept at a time; here those of all steps are read afterwards."""
        return False

    def _set_roles(self, symbols: int) -> None:
        """Choose source and loss by the configuration, and make the arrays that they read."""
        config, sizes, arrays = self.model.config, self.sizes, self.arrays
        window = (sizes.length, sizes.batch)
        dtype = self.model.parameters.dtype
        source: OneHot | Dense
        if config.inputs == "numbers":
            numbers = aligned_zeros((*window, sizes.input_size), dtype)
            self.inputs = numbers[..., : config.input_size]
            source = Dense(numbers.ravel(), 0, sizes.input_size, arrays.output, 0, 0)
        else:
            indices = np.zeros((*window, symbols), np.int32)
            self.inputs = indices[..., 0] if symbols == 1 else indices
            source = OneHot(indices.ravel(), symbols, 0)
        loss: CrossEntropy | SquaredError | Quantile | TiedCrossEntropy
        if config.outputs == "numbers":
            levels = np.resize(np.array(config.quantiles or [0.5], dtype), sizes.columns)
            values = np.full((*window, sizes.columns), np.nan, dtype)
            self.targets = values[..., : config.output_size]
            loss = Quantile(values.ravel(), levels) if config.quantiles else SquaredError(values.ravel())
        else:
            self.targets = np.zeros(window, np.int32)
            loss = CrossEntropy(self.targets.ravel())
        if config.embedding == "tied":
            loss = self._tied_loss()
            source = Dense(loss.embedded, 0, sizes.width, loss.grad_embedded, 0, 1)
        self.network = Network(self.model.equations, source, loss, sizes)

    def _tied_loss(self) -> TiedCrossEntropy:
        """Return the loss of a tied embedding, with what training needs if this window is for training."""
        sizes, dtype, threads = self.sizes, self.model.parameters.dtype, self.team.threads
        steps, trained = sizes.length * sizes.batch, self._keeps_one_step
        tile = TILE_VECTORS * VECTOR_BYTES // dtype.itemsize
        depth = DEPTH if trained else 0
        part = (max(depth, tile) + PAD) * (max(sizes.width, tile) + PAD)
        return TiedCrossEntropy(
            targets=self.targets.ravel(),
            symbols=self.inputs.ravel(),
            embedded=aligned_zeros(steps * sizes.width, dtype),
            normalisers=aligned_zeros(steps, dtype),
            grad_embedded=aligned_zeros(steps * sizes.width if trained else 1, dtype),
            scratch=aligned_zeros((threads, 3, part), self.operand),
            block=aligned_zeros((threads, depth * tile), dtype),
        )

    @property
    def state(self) -> np.ndarray:
        """The states (L, S, B, H) that the next window starts from, without padding: a view."""
        return self._initial[..., : self.model.config.hidden_size]

    def load(self, batch: Batch) -> None:
        """Take a batch; the rows and positions that it does not fill are padding."""
        length, rows = batch.starts.shape
        self.inputs.fill(0)
        self.starts.fill(1)
        self.targets.fill(IGNORED if self.targets.dtype.kind == "i" else np.nan)
        self.inputs[:length, :rows] = batch.inputs
        self.starts[:length, :rows] = batch.starts
        self.targets[:length, :rows] = batch.targets

    def pack(self) -> None:
        """Pack the model's weights: once before scoring, and after they change."""
        self.team.run(pack_all, self.network, self.arrays)

    def score(self) -> None:
        """Run the window forward: fills `losses`."""
        self._follow_starts()
        self.team.run(score_step, self.network, self.arrays)

    def _follow_starts(self) -> None:
        """Derive from the starts where texts end, for the second direction, and the shares of steps in a mean.

        A window continues no text if its network has two directions, or reads the mean.
        """
        if self.model.config.directions == 2:
            self._all_starts[0], self._all_starts[1, :-1] = self.starts, self.starts[1:]
        if self.model.config.readout == "mean":
            steps = np.arange(self.sizes.length)[:, None]
            first = np.maximum.accumulate(np.where(self.starts != 0, steps, 0), axis=0)
            self._shares[:] = 1 / (steps - first + 1)


class TrainingWindow(Window):
    """A window with the memory to differentiate: gradients, the moments of the optimizer, the average of the weights.

    Arrays that a run does not use (the average, the dropped weights) are never touched, so the operating system commits
    no pages for them.
    """

    def __init__(
        self, model: Model, length: int, batch: int, team: Team, precision: str = "float32", symbols: int = 1
    ) -> None:
        super().__init__(model, length, batch, team, precision, symbols)
        sizes, size, dtype = self.sizes, model.layout.size, model.parameters.dtype
        self.grad = aligned_zeros(size, dtype)
        self.moments = aligned_zeros((2, size), dtype)
        self.average = aligned_zeros(size, dtype)
        tile_width = TILE_VECTORS * VECTOR_BYTES // dtype.itemsize
        block = depth_block(self.operand)
        layer_input = max(sizes.width, 0 if self._reads_symbols else sizes.input_size)
        left = max(block * (sizes.hidden + layer_input), tile_width * self.widest)
        self.carry = aligned_zeros((sizes.layers * sizes.runs, sizes.states, batch, sizes.hidden), dtype)
        self.back = Backward(
            packed_transposed=aligned_zeros(size // self.numbers, self.operand),
            dropped_weights=aligned_zeros(size, dtype),
            grad=self.grad,
            grad_output=aligned_zeros(sizes.runs * length * batch * sizes.width, dtype),
            zeros=aligned_zeros(max(sizes.width, sizes.input_size if not self._reads_symbols else 0), dtype),
            ones=np.full(block // self.numbers, ONES if self.numbers == 2 else 1, self.operand),
            carry=self.carry.ravel(),
            lhs_scratch=aligned_zeros((team.threads, left + PAD), self.operand),
            panel=aligned_zeros((team.threads, block * tile_width), self.operand),
            depth=block,
        )
        self.vectors = Vectors(
            parameters=model.parameters,
            grad=self.grad,
            moment1=self.moments[0],
            moment2=self.moments[1],
            average=self.average,
            sums=np.zeros(-(-size // BLOCK)),
            norm=np.zeros(1),
            barrier=self.arrays.barrier,
        )

    @property
    def _keeps_one_step(self) -> bool:
        """Whether the logits of one step are kept at a time: with a tied embedding, whose vocabulary may be large."""
        return self.model.config.embedding == "tied"

    def gradient(self, dropconnect: DropConnect = DropConnect(), scored: int | None = None) -> float:  # noqa: B008
        """Compute `losses` and `grad`, the gradient of the mean loss; return that mean (nats per scored step).

        The mean is over `scored` steps, by default those of this window; a part of a batch is given those of all.
        """
        objective = self._objective(dropconnect, scored)
        self.team.run(gradient_step, self.network, self.arrays, self.back, objective)
        return float(self.losses.sum(dtype=np.float64)) * objective.weight

    def update(self, step: Step) -> float:
        """Make an optimizer step with `grad`; return its norm. A gradient that is not finite changes nothing."""
        self.team.run(update_step, self.vectors, step)
        return float(self.vectors.norm[0])

    def train(self, step: Step, dropconnect: DropConnect = DropConnect()) -> tuple[float, float]:  # noqa: B008
        """Compute the gradient and make an optimizer step; return the mean loss and the norm of its gradient.

        The threads are woken once for both: to wake them twice takes up to 10 % of a short step.
        """
        objective = self._objective(dropconnect)

        def train_step(part: int, parts: int) -> None:
            gradient_step(part, parts, self.network, self.arrays, self.back, objective)
            update_step(part, parts, self.vectors, step)

        self.team.run(train_step)
        return float(self.losses.sum(dtype=np.float64)) * objective.weight, float(self.vectors.norm[0])

    def _objective(self, dropconnect: DropConnect, scored: int | None = None) -> Objective:
        self._follow_starts()
        scored = count_scored(self.targets) if scored is None else scored
        return Objective(1 / max(scored, 1), dropconnect)
