"""The one way to compile: every kernel releases the interpreter's lock and is kept in the cache.

No fast-math flag is set: each operation is rounded as it is written, so that the same equations give the same bits
in training, sampling and scoring, and a test for NaN stays true. What may be fused says `fma`.
"""

from __future__ import annotations

import numba

import rnn_cli.kernels.vector_math  # noqa: F401 - makes the vector type and its functions known to the compiler

kernel = numba.njit(nogil=True, cache=True, error_model="numpy")
