"""Arrays for vectors: they begin at a cache line, so that no vector crosses two."""

from __future__ import annotations

from typing import Any

import numpy as np

CACHE_LINE = 64


def aligned_zeros(shape: int | tuple[int, ...], dtype: Any) -> np.ndarray:
    """Return an array of zeros aligned to a cache line, with room to load a whole vector at its end."""
    dtype = np.dtype(dtype)
    size = int(np.prod(shape)) * dtype.itemsize
    raw = np.zeros(size + 2 * CACHE_LINE, np.uint8)
    start = -raw.ctypes.data % CACHE_LINE
    return raw[start : start + size].view(dtype).reshape(shape)
