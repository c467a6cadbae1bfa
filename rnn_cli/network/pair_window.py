"""The memory in which an encoder with a decoder runs on batches of pairs, forward and, for training, backward."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from rnn_cli.kernels.network.attention import Attention, AttentionGradient, Half, Pair
from rnn_cli.kernels.network.dropconnect import DropConnect
from rnn_cli.kernels.network.memory import AttentiveSizes
from rnn_cli.kernels.network.optimizer import BLOCK, Step, Vectors, update_step
from rnn_cli.kernels.network.pair_step import PairBackward, pack_pair, pair_gradient, score_pairs
from rnn_cli.kernels.network.step import Objective
from rnn_cli.kernels.simd.aligned import aligned_zeros
from rnn_cli.kernels.simd.cpu import TILE_VECTORS, VECTOR_BYTES
from rnn_cli.kernels.threads import Team
from rnn_cli.network.encoder_decoder import EncoderDecoderLayout
from rnn_cli.network.model import PAD, Model
from rnn_cli.network.parameters import round_up
from rnn_cli.network.workspace import IGNORED, TrainingWindow, Window, count_scored


class PairBatch(NamedTuple):
    """The pairs of one step, B of them, time-major.

    sources (S, B) int32   symbols, 0 after the end
    lengths (B,)           symbols of each source, at least 1
    inputs (T, B) int32    what the decoder reads: the boundary, then the target
    targets (T, B) int32   the target, then the boundary; IGNORED (-1) after that
    """

    sources: np.ndarray
    lengths: np.ndarray
    inputs: np.ndarray
    targets: np.ndarray

    @classmethod
    def of(cls, sources: Sequence[np.ndarray], targets: Sequence[np.ndarray] | None = None) -> PairBatch:
        """Return pairs of symbols as a batch. Without targets, none are scored."""
        targets = [np.zeros(0, np.int32)] * len(sources) if targets is None else targets
        lengths = np.fromiter(map(len, sources), np.int64, len(sources))
        steps = 1 + max(map(len, targets))
        read = np.zeros((int(lengths.max()), len(sources)), np.int32)
        inputs = np.zeros((steps, len(sources)), np.int32)
        scored = np.full((steps, len(sources)), IGNORED, np.int32)
        for column, (source, target) in enumerate(zip(sources, targets)):
            read[: len(source), column] = source
            inputs[1 : len(target) + 1, column] = target
            scored[: len(target), column], scored[len(target), column] = target, 0
        return cls(read, lengths, inputs, scored)


class DecoderWindow(Window):
    """A decoder, whose readout reads what attention makes of its output."""

    @property
    def _kind(self) -> Any:
        return AttentiveSizes


class TrainingDecoderWindow(TrainingWindow):
    """The same to be trained."""

    @property
    def _kind(self) -> Any:
        return AttentiveSizes


def part_models(model: Model) -> tuple[Model, Model]:
    """Return the encoder and the decoder of a model, on the same memory."""
    layout = model.layout
    assert isinstance(layout, EncoderDecoderLayout)
    encoder, decoder, _ = layout.parts(model.parameters)
    return Model(layout.config.encoder, parameters=encoder), Model(layout.config.decoder, parameters=decoder)


def attention_for(model: Model, encoder: Window, decoder: Window) -> Attention:
    """Return the arrays of the attention between two windows."""
    layout, dtype, operand = model.layout, model.parameters.dtype, encoder.operand
    assert isinstance(layout, EncoderDecoderLayout)
    zeros, sizes, read = partial(aligned_zeros, dtype=dtype), decoder.sizes, encoder.sizes.width
    positions, slots = sizes.length * sizes.batch, round_up(encoder.sizes.length, PAD)
    span = max(read, layout.hidden, layout.bridge_columns) // encoder.numbers + PAD
    mask = zeros((sizes.batch, sizes.hidden))
    mask.fill(1)
    return Attention(
        parameters=layout.parts(model.parameters)[2],
        offsets=layout.between.copy(),
        packed=aligned_zeros(int(layout.between[-1]) // encoder.numbers, operand),
        scratch=aligned_zeros(sizes.batch * span, operand),
        lengths=np.ones(encoder.sizes.batch, np.int64),
        columns=np.arange(sizes.batch, dtype=np.int64) % encoder.sizes.batch,
        weights=zeros(positions * slots),
        contexts=zeros(positions * read),
        combined=zeros(positions * sizes.hidden),
        mask=mask.ravel(),
        end=zeros(sizes.batch * read),
        initial=zeros(sizes.batch * layout.bridge_columns),
        slots=slots,
        span=span,
        bridge_columns=layout.bridge_columns,
    )


class PairWindow:
    """A model with the memory to train on batches of pairs, as `TrainingWindow` is for other networks.

    A batch has `batch` pairs of up to `length` symbols; a shorter one takes less time.
    mask (runs + 1, B, padded H)  dropout: of the runs of the encoder, of the layers of the decoder, and of z
    state                         zeros: a batch continues no other
    """

    def __init__(self, model: Model, length: int, batch: int, team: Team, precision: str = "float32") -> None:
        layout = model.layout
        assert isinstance(layout, EncoderDecoderLayout)
        self.model, self.team = model, team
        dtype, hidden = model.parameters.dtype, layout.hidden
        encoder, decoder = part_models(model)
        self.encoder = TrainingWindow(encoder, length, batch, team, precision)
        self.decoder = TrainingDecoderWindow(decoder, length, batch, team, precision)
        attention = attention_for(model, self.encoder, self.decoder)
        runs = layout.config.num_layers * layout.config.directions
        self.mask = aligned_zeros((runs + layout.config.num_layers + 1, batch, hidden), dtype)
        self.mask.fill(1)
        self.state = np.zeros((1, 1, batch, layout.config.hidden_size), dtype)
        self.grad, self.moments = aligned_zeros(layout.size, dtype), aligned_zeros((2, layout.size), dtype)
        self.average = aligned_zeros(layout.size, dtype)
        grads = layout.parts(self.grad)
        encoder_back, decoder_back = (
            window.back._replace(grad=grad) for window, grad in zip((self.encoder, self.decoder), grads)
        )
        tile = TILE_VECTORS * VECTOR_BYTES // dtype.itemsize
        widest = max(self.encoder.sizes.width, layout.bridge_columns)
        left = max(encoder_back.depth * self.encoder.sizes.width, tile * widest) + tile * PAD
        back = encoder_back._replace(
            packed_transposed=aligned_zeros(attention.packed.shape, attention.packed.dtype),
            grad=grads[2],
            lhs_scratch=aligned_zeros((team.threads, left), attention.packed.dtype),
            zeros=aligned_zeros(widest, dtype),
        )
        gradient = AttentionGradient(
            back, aligned_zeros(attention.contexts.shape, dtype), aligned_zeros(attention.weights.shape, dtype)
        )
        self._backward = PairBackward(encoder_back, decoder_back, gradient)
        self._pair = Pair(
            Half(self.encoder.network, self.encoder.arrays._replace(mask=self.mask[:runs].ravel())),
            Half(self.decoder.network, self.decoder.arrays._replace(mask=self.mask[runs:-1].ravel())),
            attention._replace(mask=self.mask[-1].ravel()),
        )
        self.vectors = Vectors(
            parameters=model.parameters,
            grad=self.grad,
            moment1=self.moments[0],
            moment2=self.moments[1],
            average=self.average,
            sums=np.zeros(-(-layout.size // BLOCK)),
            norm=np.zeros(1),
            barrier=self.decoder.arrays.barrier,
        )
        self.load(PairBatch.of([np.zeros(1, np.int32)]))

    def load(self, batch: PairBatch) -> None:
        """Take a batch; the rows that it does not fill are padding: a source of one symbol, and no target."""
        (steps, rows), columns = batch.targets.shape, self.encoder.sizes.batch
        lengths = self._pair.attention.lengths
        lengths[:rows], lengths[rows:] = batch.lengths, 1
        encoder, decoder, attention = self._pair
        encoder = self._shortened(encoder, self.encoder, len(batch.sources))
        decoder = self._shortened(decoder, self.decoder, steps)
        slots = round_up(len(batch.sources), PAD)
        self._pair = Pair(encoder, decoder, attention._replace(slots=slots))
        self.encoder.inputs.fill(0)
        self.encoder.inputs[: len(batch.sources), :rows] = batch.sources
        self.decoder.inputs.fill(0)
        self.decoder.inputs[:steps, :rows] = batch.inputs
        self.targets = self.decoder.targets[:steps]
        self.losses = self.decoder.losses[:steps]
        self.targets.fill(IGNORED)
        self.targets[:, :rows] = batch.targets
        directions = self.encoder.sizes.runs
        starts = encoder.arrays.starts[: directions * len(batch.sources) * columns]
        starts = starts.reshape(directions, len(batch.sources), columns)
        positions = np.arange(len(batch.sources))[:, None]
        starts[0] = (positions == 0) | (positions >= lengths)
        starts[-1] |= positions == 0
        if directions == 2:
            starts[1] = positions >= lengths - 1
        self.decoder.starts.fill(1)
        self.decoder.starts[0] = 0
        self.decoder.starts[1:steps, :rows] = batch.targets[1:] == IGNORED

    def _shortened(self, half: Half, window: Window, length: int) -> Half:
        """Return a half that runs over fewer steps."""
        sizes = window.sizes
        shorter = sizes._replace(
            length=length, plane=(length + 1) * sizes.batch * sizes.hidden, logit_rows=length * sizes.batch
        )
        return Half(half.network._replace(sizes=shorter), half.arrays)

    def pack(self) -> None:
        """Pack the model's weights: once before scoring, and after they change."""
        self.team.run(pack_pair, self._pair)

    def score(self) -> None:
        """Run the batch forward: fills `losses`."""
        self.team.run(score_pairs, self._pair)

    def gradient(self, dropconnect: DropConnect = DropConnect(), scored: int | None = None) -> float:  # noqa: B008
        """Compute `losses` and `grad`, the gradient of the mean loss; return that mean (nats per scored step).

        The mean is over `scored` steps, by default those of this window; a part of a batch is given those of all.
        """
        weight = 1 / max(count_scored(self.targets) if scored is None else scored, 1)
        self.team.run(pair_gradient, self._pair, self._backward, Objective(weight, dropconnect))
        return float(self.losses.sum(dtype=np.float64)) * weight

    def update(self, step: Step) -> float:
        """Make an optimizer step with `grad`; return its norm. A gradient that is not finite changes nothing."""
        self.team.run(update_step, self.vectors, step)
        return float(self.vectors.norm[0])

    def train(self, step: Step, dropconnect: DropConnect = DropConnect()) -> tuple[float, float]:  # noqa: B008
        """Compute the gradient and make an optimizer step; return the mean loss and the norm of its gradient."""
        return self.gradient(dropconnect), self.update(step)
