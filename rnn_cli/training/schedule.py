"""The learning rate over a run: a short warm-up, then constant, and in the second half the decay of the schedule.

The first half does not depend on the run's length. So a run of minutes can fix its number of steps halfway, and a run
of that number of steps takes the same ones. That is why `cosine` and `step` begin at the middle, too.
"""

from __future__ import annotations

import math

WARM_UP_STEPS = 20
DECAY_FROM = 0.5
STAIRS, STAIR_FACTOR = 4, 0.3  # of `step`: at the end the rate is below a hundredth


def learning_rate(peak: float, step: int, total_steps: int | None, schedule: str = "linear") -> float:
    """Return the rate of a step (the first is 0) of a run of `total_steps`, None while that is not fixed.

    With t from 0 to 1 in the second half, the share of the peak is

    linear               1 - t
    cosine               (1 + cos(pi t)) / 2         (Loshchilov and Hutter 2017)
    step                 STAIR_FACTOR^(1 + floor(STAIRS t))
    constant, plateau    1                           (the Trainer halves it for `plateau`)
    """
    rate = peak * min(1.0, (step + 1) / WARM_UP_STEPS)
    if total_steps is None or step < int(DECAY_FROM * total_steps):
        return rate
    whole = total_steps - int(DECAY_FROM * total_steps)
    passed = whole - (total_steps - step)
    if schedule == "linear":
        return rate * ((whole - passed) / whole)
    if schedule == "cosine":
        return rate * (1 + math.cos(math.pi * passed / whole)) / 2
    if schedule == "step":
        return rate * STAIR_FACTOR ** (1 + STAIRS * passed // whole)
    return rate


def steps_that_fit(step: int) -> int:
    """Return the length of a run whose first part, before the decay, took `step` steps."""
    return max(1, round(step / DECAY_FROM))
