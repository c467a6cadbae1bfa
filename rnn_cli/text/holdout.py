"""Holding a part of a text out: the last one of a stream, or lines at random."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rnn_cli.rng import HELD_OUT, generator
from rnn_cli.text.codecs import BOUNDARY
from rnn_cli.text.spool import PIECE, Spool, pieces

DEFAULT_FRACTION = 0.1
FEWEST_LINES = 20  # below this, nothing is held out
# Of a stream below this, nothing is held out if it was not asked for: to learn from the last tenth too is worth 0.04 to
# 0.05 bits per character at 10,000 and 30,000 characters of tinyshakespeare, more than what validation saves.
FEWEST_OF_STREAM = 50_000
FEWEST_CHARACTERS = 100  # in a held-out part

Split = tuple[np.ndarray, np.ndarray | None, str]


def boundaries(ids: np.ndarray) -> int:
    """Return how many boundaries there are among symbols."""
    return sum(len(piece) - int(np.count_nonzero(piece)) for piece in pieces(ids))


def scored_symbols(ids: np.ndarray, line_mode: bool) -> int:
    """Return how many symbols of a text are scored: in a stream, the boundaries are not."""
    return len(ids) - 1 if line_mode else len(ids) - boundaries(ids)


def split_lines(ids: np.ndarray, fraction: float | None, random_seed: int) -> Split:
    """Return the lines to train on, those to hold out, each in their order, and what was done."""
    fraction, count = DEFAULT_FRACTION if fraction is None else fraction, boundaries(ids) - 1
    if fraction == 0:
        return ids, None, "none, as it was asked for"
    if count < FEWEST_LINES:
        return ids, None, f"none, as there are fewer than {FEWEST_LINES} lines"
    drawn = held_lines(count, fraction, random_seed)
    waiting, goes_on, total = np.zeros(0, bool), False, 0  # `goes_on`: the line that the next piece begins with is held
    with Spool() as training, Spool() as validation:
        for piece in pieces(ids[:-1]):
            starts = np.flatnonzero(piece == BOUNDARY)  # a line goes with the boundary before it
            if len(waiting) < len(starts):
                waiting = np.concatenate([waiting, next(drawn)])
            held, waiting = np.append(goes_on, waiting[: len(starts)]), waiting[len(starts) :]
            held_symbols = np.repeat(held, np.diff(starts, prepend=0, append=len(piece)))
            training.write(piece[~held_symbols])
            validation.write(piece[held_symbols])
            total += int(np.count_nonzero(held[1:]))
            goes_on = held[-1]
        training.write(ids[-1:])
        validation.write(ids[-1:])
        return training.array(ids.dtype), validation.array(ids.dtype), f"{total:,} of {count:,} lines, at random"


def held_lines(count: int, fraction: float, random_seed: int) -> Iterator[np.ndarray]:
    """Yield for each line whether it is held out, for at least as many lines at a time as a piece can have."""
    draws = generator([random_seed, HELD_OUT])
    for first in range(0, count, PIECE):
        held = np.zeros(min(PIECE, count - first), bool)
        held[draws.permutation(len(held))[: max(1, round(fraction * len(held)))]] = True
        yield held


def split_stream(ids: np.ndarray, fraction: float | None) -> Split:
    """Return the first part to train on, the last one, with a boundary before it, and what was done."""
    if fraction is None and len(ids) < FEWEST_OF_STREAM:
        return ids, None, "none, as so short a text is needed whole"
    fraction = DEFAULT_FRACTION if fraction is None else fraction
    if fraction == 0:
        return ids, None, "none, as it was asked for"
    cut = len(ids) - round(fraction * len(ids))
    training, rest = ids[:cut], ids[cut:]
    count = scored_symbols(rest, line_mode=False)
    if count < FEWEST_CHARACTERS:
        return ids, None, f"none, as it would have fewer than {FEWEST_CHARACTERS} characters"
    reason = f"the last {count:,} of {scored_symbols(training, line_mode=False) + count:,} characters"
    if rest[0] == BOUNDARY:  # it begins with a document
        return training, rest, reason
    with Spool() as validation:
        validation.write(ids[:1])
        for piece in pieces(rest):
            validation.write(piece)
        return training, validation.array(ids.dtype), reason
