"""The order in which an epoch reads a text that may be larger than the memory: rotated, or by shuffled lines."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np

from rnn_cli.rng import generator
from rnn_cli.text.codecs import BOUNDARY
from rnn_cli.text.spool import PIECE, release

GATHER = 1 << 20  # pairs that are put in order at a time


class EpochOrder:
    """The symbols of an epoch, in segments that are made when they are read."""

    def __init__(self, places: Sequence[int], segment: Callable[[int], np.ndarray]) -> None:
        """Take where each segment begins and what returns it: its symbols, and possibly the first of the next."""
        self._places, self._segment = places, segment

    def _from(self, place: int, count: int) -> np.ndarray:
        """Return up to `count` symbols from a place on, at least one."""
        number = bisect_right(self._places, place) - 1
        first = place - self._places[number]
        return self._segment(number)[first : first + count]

    def read(self, place: int, row: np.ndarray) -> None:
        """Fill a row with the symbols from a place on."""
        done = 0
        while done < len(row):
            part = self._from(place + done, len(row) - done)
            row[done : done + len(part)] = part
            done += len(part)

    def next_of(self, marks: Sequence[int], place: int, reach: int) -> int:
        """Return where the first of some symbols that there is stands next, up to `reach` away, or the place itself."""
        symbols = self._from(place, reach + 1)
        for mark in marks:
            found = symbols == mark
            step = int(found.argmax())
            if found[step]:
                return place + step
        return place


def rotated(ids: np.ndarray, offset: int) -> EpochOrder:
    """Return the order of a stream text that begins at an offset, and goes round."""
    return EpochOrder([0, len(ids) - offset], [ids[offset:], ids[: offset + 1]].__getitem__)


def shuffled(ids: np.ndarray, blocks: np.ndarray, seed: Sequence[int], kept: int) -> EpochOrder:
    """Return an order of the lines of a text: blocks of them are shuffled, and the lines within each block.

    `blocks` is where the blocks begin and where the last one ends. Up to `kept` of them are in memory at once.
    """
    order = generator(seed).permutation(len(blocks) - 1).tolist()

    @lru_cache(kept)
    def segment(number: int) -> np.ndarray:
        block = order[number]
        part = ids[blocks[block] : blocks[block + 1] + 1]
        if np.count_nonzero(part) == len(part) - 2:  # one line, which may be too long to be copied
            return part
        starts = np.flatnonzero(part == BOUNDARY)
        lines = generator(seed if len(order) == 1 else [*seed, block + 1]).permutation(len(starts) - 1)
        symbols = reordered(part, starts, lines)
        release(ids)
        return symbols

    return EpochOrder([0, *np.cumsum(np.diff(blocks)[order])[:-1].tolist()], segment)


def line_blocks(ids: np.ndarray, size: int) -> tuple[np.ndarray, int]:
    """Cut a text into blocks of whole lines with about `size` symbols; return also the length of the longest line.

    Returned is where the blocks begin and where the last one ends. A line of more than `size` is a block.
    """
    blocks, last, longest = [0], 0, 0
    step = min(size, PIECE)
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
    """Return a text with its lines in another order; `line_starts` ends with the end of the text."""
    lengths = np.diff(line_starts)[order]
    starts = np.append(0, np.cumsum(lengths))
    sequence = np.zeros_like(ids)
    splits = np.searchsorted(starts, np.arange(0, len(ids), GATHER)).tolist()
    for first, last in pairwise([*splits, len(order)]):
        shifts = line_starts[order[first:last]] - starts[first:last]
        places = np.arange(starts[first], starts[last])
        sequence[starts[first] : starts[last]] = ids[places + np.repeat(shifts, lengths[first:last])]
    return sequence
