"""Quantiles that hold on values which were not trained on.

A network that has read its series often is too certain: fewer of the held-out values lie between two quantiles than
should. With m the forecast, each other quantile q of a step becomes m + s (q - m), with one factor s for each level.
Outputs are linear in the weights of the last layer, so the factors are put into these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

FACTORS = np.geomspace(0.25, 4, 81)  # that are tried
PRIOR = 50.0  # values of average loss that a factor of e has to save, so that few held-out values say little


def pinball(errors: np.ndarray, level: float | np.ndarray) -> np.ndarray:
    """Return the pinball loss of a quantile, whose errors are what came less what it said."""
    return np.maximum(level * errors, (level - 1) * errors)


def fit_factors(actual: np.ndarray, found: np.ndarray, levels: Sequence[float], middle: int) -> np.ndarray:
    """Return a factor for each level, 1 for that of the forecast.

    `actual` (N,) are held-out values and `found` (N, Q) their quantiles, of `levels`. A factor s has the least
    sum of pinball losses plus PRIOR times the mean loss of s = 1 times log(s)^2.
    """
    factors = np.ones(len(levels))
    for index, level in enumerate(levels):
        if index != middle:
            away = found[:, index] - found[:, middle]
            losses = [pinball(actual - found[:, middle] - factor * away, level).sum() for factor in FACTORS]
            average = pinball(actual - found[:, index], level).mean()
            factors[index] = FACTORS[np.argmin(losses + PRIOR * average * np.log(FACTORS) ** 2)]
    return factors


def with_factors(parameters: Mapping[str, np.ndarray], factors: np.ndarray, middle: int) -> dict[str, np.ndarray]:
    """Return the parameters, in PyTorch's names, of the network whose outputs (steps x levels) have these factors."""
    changed = dict(parameters)
    for name in ("decoder.weight", "decoder.bias"):
        rows = parameters[name].reshape(-1, len(factors), *parameters[name].shape[1:])
        forecast = rows[:, middle : middle + 1]
        scale = factors.astype(np.float32).reshape(1, -1, *[1] * (rows.ndim - 2))
        moved = forecast + scale * (rows - forecast)
        changed[name] = np.where(scale == 1, rows, moved).reshape(parameters[name].shape)
    return changed
