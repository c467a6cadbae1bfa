"""exp, log and the activations on SIMD vectors, free of branches; errors are about one unit in the last place of 1.

Loading this module lets compiled code call the functions of cells/activations.py on vectors.
"""

from __future__ import annotations

import math

from llvmlite import ir
from numba import types
from numba.core.extending import overload

from rnn_cli.cells import activations
from rnn_cli.kernels.simd.cpu import HAS_SCALING
from rnn_cli.kernels.simd.vector import (
    VectorType,
    call_llvm,
    emit_call,
    exponent,
    fma,
    is_positive,
    maximum,
    minimum,
    power_of_two,
    register_type,
    round_even,
    vector_function,
)

# 2^f = 1 + c_1 f + c_2 f^2 + ... for |f| <= 1/2. In float32 six terms with the smallest relative error, 2e-9, in
# float64 thirteen of the Taylor series.
SERIES_SINGLE = (0.6931472029, 0.2402264791, 0.05550332471, 0.009618437358, 0.001339887487, 0.0001535336194)
SERIES_DOUBLE = tuple(math.log(2) ** k / math.factorial(k) for k in range(1, 14))
LOG2_E = 1 / math.log(2)
# log 2 in two parts, the first with so few bits that its product with a whole number is exact.
LOG_2_SINGLE = (0.693359375, -2.12194440054690583e-4)
LOG_2_DOUBLE = (0.693147180369123816490, 1.90821492927058770002e-10)
LIMIT_SINGLE, LIMIT_DOUBLE = 80.0, 700.0
# log m = 2 (s + s^3 / 3 + s^5 / 5 + ...) with s = (m - 1) / (m + 1), so |s| < 0.172 if m is in [sqrt(1/2), sqrt(2)).
LOG_TERMS_SINGLE, LOG_TERMS_DOUBLE = 5, 11


@vector_function(1)
def short_power(builder, vector, f):
    """Return 2^f for |f| <= 1/2."""
    register = register_type(vector)
    total = None
    for number in reversed((1.0, *(SERIES_SINGLE if vector.dtype == types.float32 else SERIES_DOUBLE))):
        term = ir.Constant(register, [number] * register.count)
        total = term if total is None else call_llvm(builder, "llvm.fmuladd", register, [f, total, term])
    return total


def call_wide(builder, name, register, args):
    """Emit a call of an AVX-512 instruction on all lanes of a vector, with the default rounding."""
    suffix = "ps" if register.element == ir.FloatType() else "pd"
    nothing, everywhere, usual = ir.Constant(register, None), ir.IntType(register.count)(-1), ir.IntType(32)(4)
    args = [*args, nothing, everywhere, usual]
    return emit_call(builder, f"llvm.x86.avx512.mask.{name}.{suffix}.512", register, args)


@vector_function(1)
def fraction(builder, vector, x):
    """Return x minus the nearest whole number; 0 for an infinity. Only if HAS_SCALING."""
    return call_wide(builder, "reduce", register_type(vector), [x, ir.IntType(32)(0)])


@vector_function(2)
def scaled(builder, vector, x, n):
    """Return x times 2^n for any whole number n. Only if HAS_SCALING."""
    return call_wide(builder, "scalef", register_type(vector), [x, n])


def exp2(x):
    """Return 2 to the power of each lane of the vector x; results that overflow or underflow may be limited.

    2^x = 2^n 2^f with n = round(x) and f = x - n
    """
    raise TypeError("exp2 on vectors is for compiled code")


@overload(exp2)
def compile_exp2(x):
    """Choose by the processor."""
    if not isinstance(x, VectorType):
        return None
    if HAS_SCALING:
        return lambda x: scaled(short_power(fraction(x)), round_even(x))
    limit = 126.0 if x.dtype == types.float32 else 1022.0

    def bounded(x):
        # The limits come first, because then NaN stays NaN.
        x = minimum(limit, maximum(-limit, x))
        n = round_even(x)
        return short_power(x - n) * power_of_two(n)

    return bounded


def exp(x):
    """Return e to the power of each lane of the vector x, which is limited to +-80 (float32) or +-700 (float64).

    exp(x) = 2^n exp(r) with n = round(x / log 2) and r = x - n log 2, so the relative error is small everywhere.
    """
    raise TypeError("exp on vectors is for compiled code")


@overload(exp)
def compile_exp(x):
    """Choose the constants by the type of the numbers."""
    if not isinstance(x, VectorType):
        return None
    single = x.dtype == types.float32
    high, low = LOG_2_SINGLE if single else LOG_2_DOUBLE
    limit = LIMIT_SINGLE if single else LIMIT_DOUBLE

    def compiled(x):
        x = minimum(limit, maximum(-limit, x))
        n = round_even(x * LOG2_E)
        r = fma(n, -low, fma(n, -high, x))
        return short_power(r * LOG2_E) * power_of_two(n)

    return compiled


def log(x):
    """Return the natural logarithm of each lane of the vector x, whose numbers are positive and normal.

    log x = n log 2 + log m with n = exponent(x) and m = x / 2^n
    """
    raise TypeError("log on vectors is for compiled code")


@vector_function(1)
def log_series(builder, vector, square):
    """Return 2 + 2/3 s^2 + 2/5 s^4 + ..., given s^2."""
    register = register_type(vector)
    total = None
    for k in reversed(range(LOG_TERMS_SINGLE if vector.dtype == types.float32 else LOG_TERMS_DOUBLE)):
        term = ir.Constant(register, [2 / (2 * k + 1)] * register.count)
        total = term if total is None else call_llvm(builder, "llvm.fmuladd", register, [square, total, term])
    return total


@overload(log)
def compile_log(x):
    """Choose the constants by the type of the numbers."""
    if not isinstance(x, VectorType):
        return None
    high, low = LOG_2_SINGLE if x.dtype == types.float32 else LOG_2_DOUBLE

    def compiled(x):
        n = exponent(x)
        m = x * power_of_two(-n)
        s = (m - 1) / (m + 1)
        return fma(n, high, fma(n, low, s * log_series(s * s)))

    return compiled


@vector_function(1)
def zero_vector(builder, vector, x):
    """Return 0 in each lane."""
    return ir.Constant(register_type(vector), None)


@overload(activations.sigmoid, jit_options={"error_model": "numpy"})
def compile_sigmoid(x):
    """Compile 1 / (1 + exp(-x))."""
    if isinstance(x, VectorType):
        return lambda x: 1 / (1 + exp2(x * -LOG2_E))
    return None


@overload(activations.tanh, jit_options={"error_model": "numpy"})
def compile_tanh(x):
    """Compile 1 - 2 / (1 + exp(2 x)), whose error is absolute, not relative, near 0."""
    if isinstance(x, VectorType):
        return lambda x: 1 - 2 / (1 + exp2(x * (2 * LOG2_E)))
    return None


@overload(activations.relu)
def compile_relu(x):
    """Compile max(x, 0)."""
    if isinstance(x, VectorType):
        return lambda x: maximum(0, x)
    return None


@overload(activations.step)
def compile_step(x):
    """Compile 1 if x > 0, else 0."""
    if isinstance(x, VectorType):
        return lambda x: is_positive(x)
    return None


@overload(activations.zeros_like)
def compile_zeros_like(x):
    """Compile 0 in each lane."""
    if isinstance(x, VectorType):
        return lambda x: zero_vector(x)
    return None
