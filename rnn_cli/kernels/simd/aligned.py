"""Memory for vectors: arrays that begin at a cache line, so that no vector lies across two."""

from __future__ import annotations

from typing import Any

import numpy as np

CACHE_LINE = 64


def aligned_zeros(shape: int | tuple[int, ...], dtype: Any) -> np.ndarray:
    """Return an array of zeros whose first byte lies at a multiple of a cache line; a vector may be read at its end."""
    dtype = np.dtype(dtype)
    size = int(np.prod(shape)) * dtype.itemsize
    raw = np.zeros(size + 2 * CACHE_LINE, np.uint8)
    start = -raw.ctypes.data % CACHE_LINE
    return raw[start : start + size].view(dtype).reshape(shape)
