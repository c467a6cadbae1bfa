"""Hiding symbols while a network is trained, so that it learns what to do about symbols that it does not know."""

from __future__ import annotations

import numpy as np

from rnn_cli.network.workspace import Batch
from rnn_cli.rng import HIDDEN_SYMBOLS, generator
from rnn_cli.training.task import Batches


class HidingBatches(Batches):
    """Batches in which a share of the symbols, others in each step, is replaced by the unknown one."""

    def __init__(self, batches: Batches, share: float, unknown: int, random_seed: int) -> None:
        self._batches, self._share, self._unknown, self._seed = batches, share, unknown, random_seed
        self.batch_size, self.steps_per_epoch = batches.batch_size, batches.steps_per_epoch
        self.units_per_epoch = batches.units_per_epoch

    def batch(self, step: int) -> Batch:
        """Return the batch of a step; padding, which is 0, stays."""
        batch = self._batches.batch(step)
        assert isinstance(batch, Batch)
        draws = generator([self._seed, HIDDEN_SYMBOLS, step]).random(batch.inputs.shape, np.float32)
        return batch._replace(inputs=np.where((draws < self._share) & (batch.inputs > 0), self._unknown, batch.inputs))
