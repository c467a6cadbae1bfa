"""exp and the activations on SIMD vectors, free of branches; errors are about one unit in the last place of 1.

Loading this module lets compiled code call the functions of kernels/activations.py on vectors.
"""

from __future__ import annotations

import math

from numba import types
from numba.core.extending import overload, register_jitable

from rnn_cli.kernels import activations
from rnn_cli.kernels.vector import VectorType, fma, is_positive, maximum, minimum, power_of_two, round_even

# exp(x) = 2^n exp(r) with n = round(x / log 2) and |r| <= log(2) / 2, where the Taylor series is short. log 2 is taken
# off in two parts, the first of which has so few bits that n times it is exact.
LOG2_E = 1 / math.log(2)
LOG_2_SINGLE = (0.693359375, -2.12194440054690583e-4)
LOG_2_DOUBLE = (0.693147180369123816490, 1.90821492927058770002e-10)
LIMIT_SINGLE, LIMIT_DOUBLE = 80.0, 700.0


def exp(x):
    """Return e to the power of each lane of the vector x, which is limited to +-80 (float32) or +-700 (float64)."""
    raise TypeError("exp on vectors is for compiled code")


@overload(exp, jit_options={"error_model": "numpy"})
def compile_exp(x):
    """Choose the length of the series by the type of the numbers."""
    if not isinstance(x, VectorType):
        return None
    single = x.dtype == types.float32
    high, low = LOG_2_SINGLE if single else LOG_2_DOUBLE
    limit = LIMIT_SINGLE if single else LIMIT_DOUBLE
    series = single_series if single else double_series

    def compiled(x):
        # The limits stand first, because then a lane that is not a number stays one.
        x = minimum(limit, maximum(-limit, x))
        n = round_even(x * LOG2_E)
        r = fma(n, -low, fma(n, -high, x))
        return series(r) * power_of_two(n)

    return compiled


@register_jitable
def single_series(r):
    """Return 1 + r + r^2/2! + ... + r^7/7!."""
    return lower_terms(r, 1 / 5040)


@register_jitable
def double_series(r):
    """Return 1 + r + r^2/2! + ... + r^13/13!."""
    p = fma(r, 1 / 6227020800, 1 / 479001600)
    p = fma(r, p, 1 / 39916800)
    p = fma(r, p, 1 / 3628800)
    p = fma(r, p, 1 / 362880)
    p = fma(r, p, 1 / 40320)
    return lower_terms(r, fma(r, p, 1 / 5040))


@register_jitable
def lower_terms(r, p):
    """Return 1 + r + r^2/2! + ... + r^6/6! + r^7 p."""
    p = fma(r, p, 1 / 720)
    p = fma(r, p, 1 / 120)
    p = fma(r, p, 1 / 24)
    p = fma(r, p, 1 / 6)
    p = fma(r, p, 1 / 2)
    p = fma(r, p, 1)
    return fma(r, p, 1)


@overload(activations.sigmoid)
def compile_sigmoid(x):
    """Compile 1 / (1 + exp(-x))."""
    if isinstance(x, VectorType):
        return lambda x: 1 / (1 + exp(-x))
    return None


@overload(activations.tanh)
def compile_tanh(x):
    """Compile 1 - 2 / (1 + exp(2 x)), whose error is absolute, not relative, near 0."""
    if isinstance(x, VectorType):
        return lambda x: 1 - 2 / (1 + exp(x + x))
    return None


@overload(activations.relu)
def compile_relu(x):
    """Compile max(x, 0)."""
    if isinstance(x, VectorType):
        return lambda x: maximum(0, x)
    return None


@overload(activations.step)
def compile_step(x):
    """Compile 1 where x > 0, else 0."""
    if isinstance(x, VectorType):
        return lambda x: is_positive(x)
    return None
