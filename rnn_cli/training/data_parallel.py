"""Data-parallel training: the gradient as a fixed tree over groups of rows, which ranks of MPI may share.

The rows of a batch are split into `groups`. Each has a gradient, and these are added as a binary tree: neighbours
first, then pairs of neighbours. The tree does not depend on who computes which group, so one process and any number
of ranks get the same bits. Each rank adds up whole subtrees of its own groups, sends each other rank its slice of
them, finishes the tree on its own slice, and gathers the slices of all (training/mpi.py).

Every rank makes the whole batch, the dropout and the update by itself, as these follow from the step alone. To share
the update among two ranks would save less than 1 % of a step, and take one more exchange, for the norm.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from rnn_cli.errors import UsageError
from rnn_cli.kernels.network.dropconnect import DropConnect
from rnn_cli.kernels.network.optimizer import Step
from rnn_cli.network.pair_window import PairBatch, PairWindow
from rnn_cli.network.workspace import Batch, TrainingWindow, count_scored
from rnn_cli.training.config import TrainingConfig

Node = tuple[int, int]  # level and index: the groups from index * 2**level up to (index + 1) * 2**level


def share(part: int, parts: int, total: int) -> range:
    """Return the items of one of the parts into which `total` items are split evenly."""
    return range(part * total // parts, (part + 1) * total // parts)


@cache
def subtrees(own: range, groups: int) -> list[Node]:
    """Return the largest subtrees that hold only groups of `own`, in their order; the last one may reach the end."""

    def end(first: int, level: int) -> int:
        return min(first + (1 << level), groups)

    nodes, first = [], own.start
    while first < own.stop:
        level = 0
        while first % (2 << level) == 0 and end(first, level) < groups and end(first, level + 1) <= own.stop:
            level += 1
        nodes.append((level, first >> level))
        first = end(first, level)
    return nodes


def tree_sum(values: dict[Node, Any], groups: int, node: Node | None = None) -> Any:
    """Return the sum over the groups under a node, by default over all, from the sums of some subtrees."""
    level, index = node or ((groups - 1).bit_length(), 0)
    if (level, index) in values:
        return values[level, index]
    left = tree_sum(values, groups, (level - 1, 2 * index))
    if (2 * index + 1) << (level - 1) >= groups:
        return left
    return left + tree_sum(values, groups, (level - 1, 2 * index + 1))


class Ranks:
    """The ranks that share the groups. This one is alone; `MpiRanks` is one of several.

    wish     returns the number of a signal that asks this rank to stop, 0 if there is none
    stopped  the wish that is obeyed: one of several ranks that all have agreed on, so that they stop after one step
    in_exchange  seconds that this rank has waited for the others
    """

    rank, size = 0, 1

    def __init__(self) -> None:
        self.wish: Callable[[], int] = lambda: 0
        self.in_exchange = 0.0

    @property
    def stopped(self) -> int:
        """The number of the signal at which to stop, or 0."""
        return self.wish()

    def clock(self) -> float:
        """Return the time, in seconds, that all ranks measure the run by."""
        return time.monotonic()

    def sum_of(self, sums: list[np.ndarray], groups: int, total: np.ndarray) -> None:
        """Put the sum over all groups into `total`. `sums` are those of the `subtrees` of this rank's groups."""
        total[:] = tree_sum(dict(zip(subtrees(range(groups), groups), sums)), groups)

    def gather(self, parts: list[np.ndarray]) -> list[np.ndarray]:
        """Return the arrays of all ranks; `parts` has an array for each, of which this rank's is filled in."""
        return parts

    def agree(self, losses: Sequence[float], groups: int) -> list[float]:
        """Return the losses of all groups from those of this rank's. Agrees on the clock and on whether to stop."""
        return list(losses)

    def first(self, value: float | None) -> float | None:
        """Return the value of the first rank, so that all decide alike."""
        return value

    def check_equal(self, parameters: np.ndarray) -> None:
        """Raise RnnError if the ranks do not have the same parameters, as their processors compute differently."""


class GroupedWindow:
    """A training window whose gradient is a tree over groups of its rows. It has the arrays of the whole batch.

    `make` returns the window of a task for a number of rows: the memory for one group. After `train`, this rank's rows
    of `state` are those after the window; `gather_state` fetches the others.
    """

    def __init__(self, make: Callable[[int], TrainingWindow | PairWindow], batch: int, groups: int) -> None:
        """Make the memory for a group. Raises UsageError if there are more groups than rows."""
        if groups > batch:
            raise UsageError(f"`groups={groups}` is more than the {batch} rows of `batch_size`; give fewer groups")
        self.groups, self.ranks = groups, Ranks()
        self.rows = [share(group, groups, batch) for group in range(groups)]
        self.part: Any = make(-(-batch // groups))
        part = self.part
        self.model, self.moments, self.average = part.model, part.moments, part.average
        (layers, states, _, hidden), (runs, _, padded) = part.state.shape, part.mask.shape
        self.state = np.zeros((layers, states, batch, hidden), part.state.dtype)
        self.mask = np.ones((runs, batch, padded), part.mask.dtype)
        self.losses = np.zeros((0, batch), part.losses.dtype)
        self._batch: Batch | PairBatch | None = None

    @property
    def _own(self) -> range:
        """The groups that this rank computes."""
        return share(self.ranks.rank, self.ranks.size, self.groups)

    @property
    def targets(self) -> np.ndarray:
        """The targets of the batch that was loaded last."""
        assert self._batch is not None
        return self._batch.targets

    def load(self, batch: Batch | PairBatch) -> None:
        """Take a batch."""
        self._batch = batch

    def pack(self) -> None:
        """Pack the model's weights."""
        self.part.pack()

    def _enter(self, group: int) -> None:
        """Load the rows of a group."""
        assert self._batch is not None
        rows, part = self.rows[group], self.part
        span = slice(rows.start, rows.stop)
        part.load(type(self._batch)(*(each[span] if each.ndim == 1 else each[:, span] for each in self._batch)))
        part.state[:, :, : len(rows)] = self.state[:, :, span]
        part.mask[:, : len(rows)] = self.mask[:, span]

    def _leave(self, group: int) -> None:
        """Keep the states of the rows of a group."""
        rows = self.rows[group]
        self.state[:, :, rows.start : rows.stop] = self.part.state[:, :, : len(rows)]

    def score(self) -> None:
        """Run the batch forward: fills `losses`, on each rank those of all rows."""
        for group in self._own:
            self._enter(group)
            self.part.score()
            self._leave(group)
            rows = self.rows[group]
            if len(self.losses) != len(self.part.losses):  # of a batch of pairs, as many as its longest target has
                self.losses = np.zeros((len(self.part.losses), self.rows[-1].stop), self.losses.dtype)
            self.losses[:, rows.start : rows.stop] = self.part.losses[:, : len(rows)]
        self.losses[:] = self._gathered(self.losses.T).T

    def gather_state(self) -> None:
        """Fetch the states of the rows of other ranks."""
        by_row = np.moveaxis(self.state, 2, 0)
        by_row[:] = self._gathered(by_row)

    def _gathered(self, by_row: np.ndarray) -> np.ndarray:
        """Return an array with a first axis of rows, each as the rank has it that computes it."""
        ranks = self.ranks
        owned = [share(rank, ranks.size, self.groups) for rank in range(ranks.size)]
        parts = [by_row[self.rows[own.start].start : self.rows[own.stop - 1].stop] for own in owned]
        return np.concatenate(ranks.gather(parts))

    def train(self, step: Step, dropconnect: DropConnect) -> tuple[float, float]:
        """Compute the gradient and make an optimizer step; return the mean loss and the norm of its gradient."""
        own, part, losses = self._own, self.part, []
        gradients: dict[Node, np.ndarray] = {}
        scored = count_scored(self.targets)
        for group in own:
            self._enter(group)
            losses.append(part.gradient(dropconnect, scored))
            gradients[0, group] = part.grad if group == own[-1] else part.grad.copy()
            self._leave(group)
        sums = [tree_sum(gradients, self.groups, node) for node in subtrees(own, self.groups)]
        all_losses = self.ranks.agree(losses, self.groups)
        self.ranks.sum_of(sums, self.groups, part.grad)
        loss = tree_sum({(0, group): value for group, value in enumerate(all_losses)}, self.groups)
        return loss, part.update(step)


def check_ranks(ranks: Ranks, config: TrainingConfig) -> None:
    """Raise UsageError if a run has fewer groups than ranks."""
    if ranks.size > config.groups:
        groups = f"{config.groups} group{'s' * (config.groups > 1)}"
        raise UsageError(f"this run has {groups}, so it takes at most {config.groups} ranks, not {ranks.size}")
