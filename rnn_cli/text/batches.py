"""Batches for truncated BPTT: a text is cut into streams that are read side by side, in random order.

A text is an array of symbols with its boundaries (see Codec.frame). Each symbol and the one after it are a pair of an
input and a target. The boundary as an input makes the network start from the zero state; as a target it is the end of
a line. The end of a stream text is not learned, so there the boundary is not a target.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from rnn_cli.rng import ORDER, generator
from rnn_cli.text.augmentation import Augmenter
from rnn_cli.text.codecs import BOUNDARY
from rnn_cli.text.epoch_order import EpochOrder, line_blocks, rotated, shuffled
from rnn_cli.text.spool import IN_MEMORY, release

IGNORED = -1
LONG_LINE = 4096  # pairs; only lines longer than this may be cut in two for training
# Symbols to prefetch, at least one window. With a power of two, the rows would compete for the same sets of the
# processor's cache.
READ_AHEAD = 100_000


class StreamBatches:
    """Windows for truncated backpropagation through time; each depends on nothing but the number of its step.

    An epoch scores every symbol once. Its order follows from the seed and the number of the epoch: the lines are
    shuffled, or the text is rotated by a random offset (0 in epoch 0). Then it is cut into `batch_size` streams of
    about equal length, each of which starts from the zero state.

    Lines stay whole, as the rest of a cut line would be learned as if it were a beginning. Only a very long line, for
    which the other streams would have to wait, is cut. A stream text is cut after the first of the symbols `breaks`
    that occurs within a window, as what follows a cut is learned as a beginning, too. An `augmenter` adds another text
    in each epoch.

    The text may be larger than the memory. If the lines have more than `in_memory` symbols, they are shuffled within
    blocks, and the blocks among each other, so that only the blocks that the streams are in are held in memory.
    """

    def __init__(
        self,
        ids: np.ndarray,
        line_mode: bool,
        batch_size: int,
        sequence_length: int,
        random_seed: int,
        augmenter: Augmenter | None = None,
        breaks: Sequence[int] = (),
        *,
        in_memory: int = IN_MEMORY,
        read_ahead: int = READ_AHEAD,
    ) -> None:
        """Take a text with something to score, in line mode without empty lines."""
        self.ids, self.line_mode, self.batch_size = ids, line_mode, batch_size
        self.sequence_length, self.random_seed = sequence_length, random_seed
        self.augmenter = augmenter
        # A stream text wraps around: its last symbol is paired with its first boundary.
        self.pairs = len(ids) - line_mode + (augmenter.size if augmenter else 0)
        self._blocks, longest = None, 1
        if line_mode:
            size = in_memory if self.pairs <= in_memory else max(1, in_memory // batch_size)
            self._blocks, longest = line_blocks(ids, size)
        length = -(-self.pairs // batch_size)
        self._marks, self._reach = breaks, 0
        if line_mode:
            self._marks, self._reach = [BOUNDARY], min(longest - 1, max(length, LONG_LINE))
        elif breaks:  # to the end of a window, at least half a window
            self._reach = -(length + sequence_length // 2) % sequence_length + sequence_length // 2
        self.steps_per_epoch = -(-min(length + self._reach, self.pairs) // sequence_length)
        self._order: EpochOrder
        self._cuts = np.zeros(batch_size + 1, np.int64)
        self._times = np.arange(sequence_length)[:, None]
        # The symbols of every stream for some windows, with the symbol after them.
        fetched = sequence_length * max(1, read_ahead // (batch_size * sequence_length))
        self._rows = np.zeros((batch_size, fetched + 1), ids.dtype)
        self._epoch, self._first = -1, -1  # epoch of the rows, and the offset in each stream at which they begin

    def window(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the inputs and targets (T, B), int32, of a step: BOUNDARY and IGNORED after the end of a stream."""
        epoch, index = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._arrange(epoch)
        first = index * self.sequence_length
        offset = first % (self._rows.shape[1] - 1)
        if first - offset != self._first:
            self._fetch(first - offset)
        rows = self._rows[:, offset : offset + self.sequence_length + 1]
        inputs = rows[:, :-1].T.astype(np.int32, order="C")
        targets = rows[:, 1:].T.astype(np.int32, order="C")
        after_end = self._times >= np.diff(self._cuts) - first
        inputs[after_end] = BOUNDARY
        targets[after_end] = IGNORED
        if not self.line_mode:
            targets[targets == BOUNDARY] = IGNORED
        return inputs, targets

    def _arrange(self, epoch: int) -> None:
        """Put the symbols into the order of an epoch, and cut them into streams."""
        seed = [self.random_seed, ORDER, epoch]
        ids, blocks = self.ids, self._blocks
        if self.augmenter:
            ids = self.augmenter.text(epoch)
            blocks = None if blocks is None else np.array([0, len(ids) - 1])
        pairs = len(ids) - self.line_mode
        even = row_starts(pairs, self.batch_size).tolist()
        if blocks is None:
            self._order = rotated(ids, 0)
            if epoch:
                self._order = rotated(ids, self._start_near(self._order, int(generator(seed).integers(pairs))))
        else:
            # Keep, for each stream, the blocks in which a window begins and ends.
            self._order = shuffled(ids, blocks, seed, 2 * self.batch_size)
        cuts = [self._start_near(self._order, cut) if 0 < cut < pairs else cut for cut in even]
        self._cuts, self._epoch, self._first = np.array(cuts), epoch, -1

    def _start_near(self, order: EpochOrder, position: int) -> int:
        """Move a cut to the next good start: a line start, or the symbol after a break."""
        return order.next_of(self._marks, position, self._reach)

    def _fetch(self, first: int) -> None:
        """Fill the rows with the symbols of each stream from its offset `first` on."""
        for row, (start, end) in zip(self._rows, pairwise(self._cuts.tolist())):
            if start + first < end:
                self._order.read(start + first, row[: end - start - first + 1])
        if first == 0:
            self._rows[:, 0] = BOUNDARY
        release(self.ids)
        self._first = first


def row_starts(pairs: int, streams: int, line_starts: np.ndarray | None = None, reach: int = 0) -> np.ndarray:
    """Return the starts of streams of about equal length, and the end of the last one (streams + 1).

    With `line_starts`, whose last element is the end of the text, a cut moves to the next line start that is at most
    `reach` away.
    """
    even = np.minimum(np.arange(streams + 1) * -(-pairs // streams), pairs)
    if line_starts is None:
        return even
    following = line_starts[np.searchsorted(line_starts, even)]
    return np.where(following - even <= reach, following, even)
