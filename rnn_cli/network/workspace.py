"""What one step of a network reads."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

IGNORED = -1


class Batch(NamedTuple):
    """The inputs and targets of one step: B rows of T positions, time-major.

    inputs (T, B) int32      symbols; or (T, B, K) several symbols a position, or float (T, B, F)
    starts (T, B) uint8      1 if the row starts from the zero state at this position
    targets (T, B) int32     symbols, IGNORED (-1) where nothing is scored; or float (T, B, F), NaN for the same

    Padding is input 0 with a start of 1 and an ignored target: it changes no loss and no gradient.
    """

    inputs: np.ndarray
    starts: np.ndarray
    targets: np.ndarray


def count_scored(targets: np.ndarray) -> int:
    """Return how many positions of targets are scored."""
    if targets.dtype.kind == "f":
        return int(np.count_nonzero(~np.isnan(targets).all(axis=-1)))
    return int(np.count_nonzero(targets >= 0))
