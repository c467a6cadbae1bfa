"""A text cut into streams that are read side by side, in random order.

A text is an array of symbols with its boundaries (see Codec.frame). Each symbol and the one after it are
a pair of an input and a target. The boundary as an input makes the network start from the zero state; as a
target it is the end of a line. The end of a stream text is not learned, so the boundary is no target there.
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
LONG_LINE = 4096  # in pairs; only lines longer than this may be cut in two for training
# Symbols that are fetched at a time, or one window. With a power of two, the rows would compete for the same lines of
# the processor's cache.
READ_AHEAD = 100_000


class StreamBatches:
    """Windows for truncated backpropagation through time, each determined by the number of its step alone.

    An epoch scores every symbol once. Its order comes from the seed and the number of the epoch: the lines
    are shuffled, or the text is rotated by a random offset (0 in epoch 0). Then it is cut into `batch_size`
    streams of about equal length, each of which starts from the zero state. Lines stay whole, because the
    rest of a cut one would be learned as if it were a start; only a very long line, for which the other
    streams would have to wait, is cut. One stream text is cut behind the first of the `breaks` that is found
    within a window: what stands there is learned as a start, too. An `augmenter` adds another text for each epoch.

    The text may be larger than the memory. Lines of more than IN_MEMORY symbols are shuffled within blocks, and
    the blocks among each other, so that only the blocks that the streams are in have to be there.
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
    ) -> None:
        """Take a text with something to score, in line mode one without empty lines."""
        self.ids, self.line_mode, self.batch_size = ids, line_mode, batch_size
        self.sequence_length, self.random_seed = sequence_length, random_seed
        self.augmenter = augmenter
        # In a stream text the pair of the last symbol and the first boundary closes the circle.
        self.pairs = len(ids) - line_mode + (augmenter.size if augmenter else 0)
        self._blocks, longest = None, 1
        if line_mode:
            size = IN_MEMORY if self.pairs <= IN_MEMORY else max(1, IN_MEMORY // batch_size)
            self._blocks, longest = line_blocks(ids, size)
        length = -(-self.pairs // batch_size)
        self._marks, self._reach = breaks, 0
        if line_mode:
            self._marks, self._reach = [BOUNDARY], min(longest - 1, max(length, LONG_LINE))
        elif breaks:  # to the end of a window, at least half of one
            self._reach = -(length + sequence_length // 2) % sequence_length + sequence_length // 2
        self.steps_per_epoch = -(-min(length + self._reach, self.pairs) // sequence_length)
        self._order: EpochOrder
        self._cuts = np.zeros(batch_size + 1, np.int64)
        self._times = np.arange(sequence_length)[:, None]
        # What is fetched: a stretch of every stream, for some windows, with the symbol after it.
        stretch = sequence_length * max(1, READ_AHEAD // (batch_size * sequence_length))
        self._rows = np.zeros((batch_size, stretch + 1), ids.dtype)
        self._epoch, self._first = -1, -1  # of what is fetched

    def window(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Return inputs and targets (T, B), int32, of any step: BOUNDARY and IGNORED after a stream's end."""
        epoch, number = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._arrange(epoch)
        first = number * self.sequence_length
        place = first % (self._rows.shape[1] - 1)
        if first - place != self._first:
            self._fetch(first - place)
        rows = self._rows[:, place : place + self.sequence_length + 1]
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
            # Each stream keeps the blocks in which a window begins and ends.
            self._order = shuffled(ids, blocks, seed, 2 * self.batch_size)
        cuts = [self._start_near(self._order, cut) if 0 < cut < pairs else cut for cut in even]
        self._cuts, self._epoch, self._first = np.array(cuts), epoch, -1

    def _start_near(self, order: EpochOrder, place: int) -> int:
        """Return where a stream may well begin: the next line of lines, or what stands behind a break."""
        return order.next_of(self._marks, place, self._reach)

    def _fetch(self, first: int) -> None:
        """Fill the rows with the symbols of each stream from its symbol `first` on."""
        for row, (start, end) in zip(self._rows, pairwise(self._cuts.tolist())):
            if start + first < end:
                self._order.read(start + first, row[: end - start - first + 1])
        if first == 0:
            self._rows[:, 0] = BOUNDARY
        release(self.ids)
        self._first = first


def row_starts(pairs: int, streams: int, line_starts: np.ndarray | None = None, reach: int = 0) -> np.ndarray:
    """Return where streams of about equal length begin (streams + 1); the last place is the end of the text.

    A cut moves on to the next of the `line_starts`, the last of which is the end, by at most `reach`.
    """
    even = np.minimum(np.arange(streams + 1) * -(-pairs // streams), pairs)
    if line_starts is None:
        return even
    following = line_starts[np.searchsorted(line_starts, even)]
    return np.where(following - even <= reach, following, even)
