"""The learning rate over a run: a short warm-up, then constant, then down to nothing in the second half.

No rate of the first half depends on how long the run will be. So a run that is given minutes can decide at its middle
how many steps fit, and one that is given those steps from the start takes the same ones.
"""

from __future__ import annotations

WARM_UP_STEPS = 20
DECAY_FROM = 0.5


def learning_rate(peak: float, step: int, total_steps: int | None) -> float:
    """Return the rate for a step (the first is 0) of a run of so many steps; None while that is not decided."""
    warm = min(1.0, (step + 1) / WARM_UP_STEPS)
    if total_steps is None:
        return peak * warm
    decay_start = int(DECAY_FROM * total_steps)
    return peak * warm * min(1.0, (total_steps - step) / max(1, total_steps - decay_start))


def steps_that_fit(step: int) -> int:
    """Return how many steps a run takes in all when its first part, up to the decay, took `step`."""
    return max(1, round(step / DECAY_FROM))
