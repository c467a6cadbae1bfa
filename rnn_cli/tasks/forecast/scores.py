"""How good forecasts are: errors beside those of the seasonal naive forecast."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

NAIVE = "seasonal naive forecast"


def errors(actual: Sequence[np.ndarray], found: Sequence[np.ndarray], scales: Sequence[float]) -> dict[str, Any]:
    """Return the errors of the forecasts of several series, JSON-ready.

    mae, rmse  over all points
    mape       mean of |error| / |actual| in percent, over all points; None if an actual value is 0
    smape      mean over the series of the mean of 200 |error| / (|actual| + |forecast|), in percent, as in M4
    mase       mean over the series of mean |error| / scale; the scale is the mean |y_t - y_(t-m)| of the past
    """
    error = np.concatenate([f - a for a, f in zip(actual, found)])
    values = np.abs(np.concatenate(list(actual)))
    smape = []
    for a, f in zip(actual, found):
        size = np.abs(a) + np.abs(f)
        smape.append(np.mean(200 * np.abs(f - a) / np.where(size > 0, size, 1)))
    return {
        "mae": float(np.abs(error).mean()),
        "rmse": float(np.sqrt(np.square(error).mean())),
        "mape": float(100 * (np.abs(error) / values).mean()) if values.all() else None,
        "smape": float(np.mean(smape)),
        "mase": float(np.mean([np.abs(f - a).mean() / scale for a, f, scale in zip(actual, found, scales)])),
    }


def coverage(actual: Sequence[np.ndarray], found: Sequence[np.ndarray]) -> float | None:
    """Return the share of values between the lowest and the highest quantile (h, Q); None for one quantile."""
    if found[0].shape[-1] < 2:
        return None
    inside = [(a >= f[:, 0]) & (a <= f[:, -1]) for a, f in zip(actual, found)]
    return float(np.concatenate(inside).mean())
