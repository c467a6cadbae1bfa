"""Random numbers: each kind of choice draws its own, which follow from the random seed, its purpose and a count."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# What numbers are drawn for: the second part of a seed, after the random seed.
WEIGHTS, HELD_OUT, ORDER, DROPOUT, RESETS, DROPCONNECT, DRAWN_TEXT, WHOLE_TEXTS, HIDDEN_SYMBOLS, SERIES_WINDOWS = range(
    10
)
SWEEP_TRIALS, CANDIDATES = 10, 11


def generator(seed: Sequence[int]) -> np.random.Generator:
    """Return the generator of random numbers that follows from some numbers."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed)))
