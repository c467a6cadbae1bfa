"""The order in which an epoch reads a text, which may be larger than the memory: rotated, or by shuffled lines."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np

from rnn_cli.rng import generator
from rnn_cli.text.codecs import BOUNDARY
from rnn_cli.text.spool import PIECE, release

GATHER = 1 << 20  # pairs that are reordered at a time


class EpochOrder:
    """The symbols of an epoch, in segments that are made when they are read."""

    def __init__(self, starts: Sequence[int], segment: Callable[[int], np.ndarray]) -> None:
        """Take the position at which each segment starts, and a function that returns the symbols of a segment.

        The first symbol of the next segment may follow them.
        """
        self._starts, self._segment = starts, segment

    def _from(self, position: int, count: int) -> np.ndarray:
        """Return up to `count` symbols from a position on, at least one."""
        index = bisect_right(self._starts, position) - 1
        first = position - self._starts[index]
        return self._segment(index)[first : first + count]

    def read(self, position: int, row: np.ndarray) -> None:
        """Fill a row with the symbols from a position on."""
        done = 0
        while done < len(row):
            part = self._from(position + done, len(row) - done)
            row[done : done + len(part)] = part
            done += len(part)

    def next_of(self, marks: Sequence[int], position: int, reach: int) -> int:
        """Return the next position, within `reach`, of the first of `marks` that occurs; otherwise `position`."""
        symbols = self._from(position, reach + 1)
        for mark in marks:
            found = symbols == mark
            offset = int(found.argmax())
            if found[offset]:
                return position + offset
        return position


def rotated(ids: np.ndarray, offset: int) -> EpochOrder:
    """Return the order of a stream text that begins at an offset and wraps around."""
    return EpochOrder([0, len(ids) - offset], [ids[offset:], ids[: offset + 1]].__getitem__)


def shuffled(ids: np.ndarray, blocks: np.ndarray, seed: Sequence[int], cached: int) -> EpochOrder:
    """Return an order of the lines of a text: blocks of lines are shuffled, and the lines within each block.

    `blocks` holds the start of each block and the end of the last one. Up to `cached` blocks are in memory at once.
    """
    order = generator(seed).permutation(len(blocks) - 1).tolist()

    @lru_cache(cached)
    def segment(index: int) -> np.ndarray:
        block = order[index]
        part = ids[blocks[block] : blocks[block + 1] + 1]
        if np.count_nonzero(part) == len(part) - 2:  # one line, which may be too long to copy
            return part
        starts = np.flatnonzero(part == BOUNDARY)
        lines = generator(seed if len(order) == 1 else [*seed, block + 1]).permutation(len(starts) - 1)
        symbols = reordered(part, starts, lines)
        release(ids)
        return symbols

    return EpochOrder([0, *np.cumsum(np.diff(blocks)[order])[:-1].tolist()], segment)


def line_blocks(ids: np.ndarray, size: int, piece: int = PIECE) -> tuple[np.ndarray, int]:
    """Cut a text into blocks of whole lines of about `size` symbols; return them and the length of the longest line.

    The blocks are the start of each one and the end of the last one. A line of more than `size` symbols is a block. The
    text is read `piece` symbols at a time.
    """
    blocks, last, longest = [0], 0, 0
    step = min(size, piece)
    for first in range(0, len(ids), step):
        starts = first + np.flatnonzero(ids[first : first + step] == BOUNDARY)
        if len(starts):
            start = int(starts[0])
            if start - blocks[-1] >= size:
                blocks += [last, start] if start - last > size else [start]
            longest = max(longest, int(np.diff(starts, prepend=last).max()))
            last = int(starts[-1])
        release(ids)
    return np.unique([*blocks, last]), longest


def reordered(ids: np.ndarray, line_starts: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Return a text with its lines in another order; the last of `line_starts` is the end of the text."""
    lengths = np.diff(line_starts)[order]
    starts = np.append(0, np.cumsum(lengths))
    sequence = np.zeros_like(ids)
    splits = np.searchsorted(starts, np.arange(0, len(ids), GATHER)).tolist()
    for first, last in pairwise([*splits, len(order)]):
        shifts = line_starts[order[first:last]] - starts[first:last]
        positions = np.arange(starts[first], starts[last])
        sequence[starts[first] : starts[last]] = ids[positions + np.repeat(shifts, lengths[first:last])]
    return sequence
