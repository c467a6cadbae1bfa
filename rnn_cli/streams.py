"""A text cut into streams that are read side by side, in random order.

A text is an array of symbols with its boundaries (see Vocabulary.frame). Each symbol and the one after it are
a pair of an input and a target. The boundary as an input makes the network start from the zero state; as a
target it is the end of a line. The end of a stream text is not learned, so the boundary is no target there.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from rnn_cli.vocabulary import BOUNDARY

IGNORED = -1
LONG_LINE = 4096  # in pairs; only lines longer than this may be cut in two for training
GATHER = 1 << 20  # pairs that are put in order at a time


class Streams:
    """Windows for truncated backpropagation through time, each determined by the number of its step alone.

    An epoch scores every symbol once. Its order comes from the seed and the number of the epoch: the lines
    are shuffled, or the text is rotated by a random offset (0 in epoch 0). Then it is cut into `batch_size`
    streams of about equal length, each of which starts from the zero state. Lines stay whole, because the
    rest of a cut one would be learned as if it were a start; only a very long line, for which the other
    streams would have to wait, is cut.
    """

    def __init__(self, ids: np.ndarray, lines: bool, batch_size: int, sequence_length: int, random_seed: int) -> None:
        """Take a text with something to score, in line mode one without empty lines."""
        self.ids, self.lines, self.batch_size = ids, lines, batch_size
        self.sequence_length, self.random_seed = sequence_length, random_seed
        # In a stream text the pair of the last symbol and the first boundary closes the circle.
        self.pairs = len(ids) - 1 if lines else len(ids)
        self._line_starts = np.flatnonzero(ids == BOUNDARY) if lines else None
        longest = 1 if self._line_starts is None else int(np.diff(self._line_starts).max())
        length = -(-self.pairs // batch_size)
        self._reach = min(longest - 1, max(length, LONG_LINE))
        self.steps_per_epoch = -(-min(length + self._reach, self.pairs) // sequence_length)
        self._epoch = -1
        self._times = np.arange(sequence_length)[:, None]
        self._rows = np.zeros((batch_size, self.steps_per_epoch * sequence_length + 1), ids.dtype)
        self._lengths = np.zeros(batch_size, np.int64)

    def first_of_epoch(self, step: int) -> bool:
        """Say whether an epoch begins with this step."""
        return step % self.steps_per_epoch == 0

    def window(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Return inputs and targets (T, B), int32, of any step: BOUNDARY and IGNORED after a stream's end."""
        epoch, number = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._arrange(epoch)
        first = number * self.sequence_length
        last = first + self.sequence_length
        inputs = self._rows[:, first:last].T.astype(np.int32, order="C")
        targets = self._rows[:, first + 1 : last + 1].T.astype(np.int32, order="C")
        after_end = self._times >= self._lengths - first
        inputs[after_end] = BOUNDARY
        targets[after_end] = IGNORED
        if not self.lines:
            targets[targets == BOUNDARY] = IGNORED
        return inputs, targets

    def _arrange(self, epoch: int) -> None:
        """Fill the rows, one for each stream, with the symbols of an epoch in its order."""
        seed = np.random.SeedSequence([self.random_seed, 2, epoch])
        generator = np.random.Generator(np.random.PCG64(seed))
        starts = self._line_starts
        if starts is None:
            offset = int(generator.integers(self.pairs)) if epoch else 0
            sequence = np.concatenate([self.ids[offset:], self.ids[: offset + 1]])
        else:
            sequence, starts = reordered(self.ids, starts, generator.permutation(len(starts) - 1))
        cuts = stream_cuts(self.pairs, self.batch_size, starts, self._reach)
        self._lengths = np.diff(cuts)
        for row, (start, end) in zip(self._rows, pairwise(cuts)):
            row[1 : end - start + 1] = sequence[start + 1 : end + 1]
        self._epoch = epoch


def stream_cuts(pairs: int, streams: int, line_starts: np.ndarray | None = None, reach: int = 0) -> np.ndarray:
    """Return where streams of about equal length begin (streams + 1); the last place is the end of the text.

    A cut moves on to the next of the `line_starts`, the last of which is the end, by at most `reach`.
    """
    even = np.minimum(np.arange(streams + 1) * -(-pairs // streams), pairs)
    if line_starts is None:
        return even
    following = line_starts[np.searchsorted(line_starts, even)]
    return np.where(following - even <= reach, following, even)


def reordered(ids: np.ndarray, line_starts: np.ndarray, order: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a text with its lines in another order, and where they start in it and the last one ends."""
    lengths = np.diff(line_starts)[order]
    starts = np.append(0, np.cumsum(lengths))
    sequence = np.zeros_like(ids)
    splits = np.searchsorted(starts, np.arange(0, len(ids), GATHER)).tolist()
    for first, last in pairwise([*splits, len(order)]):
        shifts = line_starts[order[first:last]] - starts[first:last]
        places = np.arange(starts[first], starts[last])
        sequence[starts[first] : starts[last]] = ids[places + np.repeat(shifts, lengths[first:last])]
    return sequence, starts
