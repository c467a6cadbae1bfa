"""Arrays as they are embedded in a page: few of them, few bytes each, and principal components."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np


def packed(values: np.ndarray) -> dict[str, Any]:
    """Return an array (..., n) as int8 in base64, with the factor that gives the values back, for each of the n.

    The error of a value is at most 1/254 of the greatest magnitude in its column.
    """
    flat = values.reshape(-1, values.shape[-1])
    scales = np.maximum(np.abs(flat).max(axis=0), 1e-12) / 127
    whole = np.rint(flat / scales).astype(np.int8)
    return {"data": base64.b64encode(whole.tobytes()).decode(), "scales": rounded(scales), "shape": list(values.shape)}


def evenly(count: int, most: int) -> np.ndarray:
    """Return up to `most` indices below `count`, which is positive, at equal distances; the last one is among them."""
    return np.unique(np.linspace(0, count - 1, most).round().astype(int))


def rounded(values: np.ndarray, digits: int = 4) -> list[Any]:
    """Return an array as nested lists of numbers of so many significant digits."""
    with np.errstate(divide="ignore"):
        magnitude = np.floor(np.log10(np.where(values == 0, 1, np.abs(values))))
    factor = 10.0 ** (digits - 1 - magnitude)
    return (np.rint(values * factor) / factor).tolist()


def principal_components(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the two principal components (n, 2) of rows (n, H), and the share of the variance of each (2,).

    Columns are centred, and divided by their standard deviation. The sign makes the greatest magnitude positive.
    """
    centred = rows - rows.mean(axis=0)
    centred = centred / np.maximum(centred.std(axis=0), 1e-9)
    left, singular, _ = np.linalg.svd(centred, full_matrices=False)
    points = np.zeros((len(rows), 2))
    kept = min(2, len(singular))
    points[:, :kept] = left[:, :kept] * singular[:kept]
    greatest = points[np.abs(points).argmax(axis=0), [0, 1]]
    shares = np.zeros(2)
    shares[:kept] = singular[:kept] ** 2 / max(float((singular**2).sum()), 1e-30)
    return points * np.where(greatest < 0, -1, 1), shares
