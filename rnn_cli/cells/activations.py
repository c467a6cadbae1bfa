"""The nonlinear functions of the cells, on NumPy arrays.

kernels/simd/vector_math.py compiles functions of the same names for SIMD vectors. These serve network/plain.py, the
tests that compare the two, and the reader.
"""

import numpy as np


def sigmoid(x):
    """Return 1 / (1 + exp(-x))."""
    return 1 / (1 + np.exp(-x))


def tanh(x):
    """Return (exp(x) - exp(-x)) / (exp(x) + exp(-x))."""
    return np.tanh(x)


def relu(x):
    """Return max(x, 0)."""
    return np.maximum(x, 0)


def step(x):
    """Return 1 if x > 0, else 0: the derivative of relu."""
    return np.where(x > 0, np.ones_like(x), np.zeros_like(x))


def zeros_like(x):
    """Return 0 for each element of x, even for an infinite one."""
    return np.zeros_like(x)
