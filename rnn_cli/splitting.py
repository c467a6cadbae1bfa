"""Holding a part of a text out: the last one of a stream, or lines at random."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from rnn_cli.spool import PIECE, Spool, pieces
from rnn_cli.vocabulary import BOUNDARY

FEWEST_LINES = 20  # below this, nothing is held out
FEWEST_CHARACTERS = 100  # in a held-out part
DRAWN_TOGETHER = 1 << 20  # lines; at least as many as a piece can have
assert DRAWN_TOGETHER >= PIECE

Split = tuple[np.ndarray, np.ndarray | None, str]


def boundaries(ids: np.ndarray) -> int:
    """Return how many boundaries there are among symbols."""
    return sum(len(piece) - int(np.count_nonzero(piece)) for piece in pieces(ids))


def scored_symbols(ids: np.ndarray, lines: bool) -> int:
    """Return how many symbols of a text are scored: in a stream, the boundaries are not."""
    return len(ids) - 1 if lines else len(ids) - boundaries(ids)


def split_lines(ids: np.ndarray, fraction: float, random_seed: int) -> Split:
    """Return the lines to train on, those to hold out, each in their order, and what was done."""
    count = boundaries(ids) - 1
    if fraction == 0:
        return ids, None, "none, as it was asked for"
    if count < FEWEST_LINES:
        return ids, None, f"none, as there are fewer than {FEWEST_LINES} lines"
    draws = held_lines(count, fraction, random_seed)
    held, total = np.zeros(0, bool), 0  # what is drawn and not yet used
    side = 0  # of the line that goes on in the next piece
    with Spool() as training, Spool() as validation:
        spools = training, validation
        for piece in pieces(ids[:-1]):
            starts = np.flatnonzero(piece == BOUNDARY)  # a line goes with the boundary before it
            if len(held) < len(starts):
                held = np.concatenate([held, next(draws)])
            sides = np.append(side, held[: len(starts)])
            held = held[len(starts) :]
            total += int(np.count_nonzero(sides[1:]))
            # Neighbours on one side are moved together.
            cuts = [0, *starts[np.flatnonzero(np.diff(sides))].tolist(), len(piece)]
            runs = [piece.data[start:end] for start, end in pairwise(cuts)]
            spools[side].write(b"".join(runs[::2]))
            spools[1 - side].write(b"".join(runs[1::2]))
            side = int(sides[-1])
        for spool in spools:
            spool.write(ids[-1:])
        return training.array(ids.dtype), validation.array(ids.dtype), f"{total:,} of {count:,} lines, at random"


def held_lines(count: int, fraction: float, random_seed: int) -> Iterator[np.ndarray]:
    """Yield for each line whether it is held out, for as many lines as are drawn together."""
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence([random_seed, 1])))
    for first in range(0, count, DRAWN_TOGETHER):
        held = np.zeros(min(DRAWN_TOGETHER, count - first), bool)
        held[generator.permutation(len(held))[: max(1, round(fraction * len(held)))]] = True
        yield held


def split_stream(ids: np.ndarray, fraction: float) -> Split:
    """Return the first part to train on, the last one, with a boundary before it, and what was done."""
    if fraction == 0:
        return ids, None, "none, as it was asked for"
    cut = len(ids) - round(fraction * len(ids))
    training, rest = ids[:cut], ids[cut:]
    count = scored_symbols(rest, lines=False)
    if count < FEWEST_CHARACTERS:
        return ids, None, f"none, as it would have fewer than {FEWEST_CHARACTERS} characters"
    reason = f"the last {count:,} of {scored_symbols(training, lines=False) + count:,} characters"
    if rest[0] == BOUNDARY:  # it begins with a document
        return training, rest, reason
    with Spool() as validation:
        validation.write(ids[:1])
        for piece in pieces(rest):
            validation.write(piece)
        return training, validation.array(ids.dtype), reason
