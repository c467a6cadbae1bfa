"""The two ways to compile: `kernel` for what other kernels call, `entry_kernel` for what Python calls.

Both release the interpreter's lock. Only entries are kept in the cache, each with all that it calls.

No fast-math flag is set: each operation is rounded as it is written, so that the same equations give the same bits
in training, sampling and scoring, and a test for NaN stays true. What may be fused says `fma`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba

import rnn_cli.kernels.vector_math  # noqa: F401 - makes the vector type and its functions known to the compiler
from rnn_cli.kernels.cache import KernelCache

kernel = numba.njit(nogil=True, error_model="numpy")


def entry_kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function that Python calls, and keep it in the cache."""
    dispatcher = kernel(function)
    dispatcher._cache = KernelCache(function)
    return dispatcher
