"""Batches of pairs of about the same lengths, so that little is padding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rnn_cli.network.pair_window import PairBatch
from rnn_cli.rng import WHOLE_TEXTS, generator
from rnn_cli.training.task import Batches

JITTER = 2.0  # symbols by which lengths are blurred when they are sorted, so that batches differ from epoch to epoch


class PairBatches(Batches):
    """Each pair once in an epoch. `random_seed` None: the same order in every epoch."""

    def __init__(
        self,
        sources: Sequence[np.ndarray],
        targets: Sequence[np.ndarray],
        batch_size: int,
        random_seed: int | None = None,
    ) -> None:
        self._sources, self._targets, self._seed = sources, targets, random_seed
        self._lengths = np.array([len(source) + len(target) for source, target in zip(sources, targets)], np.float64)
        self.steps_per_epoch = -(-len(sources) // batch_size)
        self.batch_size = -(-len(sources) // self.steps_per_epoch)
        self.units_per_epoch = sum(1 + len(target) for target in targets)
        self._epoch = -1

    def batch(self, step: int) -> PairBatch:
        """Return the batch of a step."""
        epoch, index = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._arrange(epoch)
        index = int(self._batch_order[index])
        first, last = (number * len(self._sources) // self.steps_per_epoch for number in (index, index + 1))
        chosen = self._order[first:last].tolist()
        return PairBatch.of([self._sources[k] for k in chosen], [self._targets[k] for k in chosen])

    def _arrange(self, epoch: int) -> None:
        """Sort the pairs by length, and order the batches."""
        blurred, self._batch_order = self._lengths, np.arange(self.steps_per_epoch)
        if self._seed is not None:
            draws = generator([self._seed, WHOLE_TEXTS, epoch])
            blurred = blurred + JITTER * draws.random(len(blurred))
            self._batch_order = draws.permutation(self.steps_per_epoch)
        self._order, self._epoch = np.argsort(blurred, kind="stable"), epoch
