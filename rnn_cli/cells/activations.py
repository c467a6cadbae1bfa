"""The non-linear functions of the cells, on NumPy arrays.

The same names, on SIMD vectors, are compiled from kernels/simd/vector.py; these serve wherever no compiler is loaded:
in a class room, in the tests that compare the two, and for the reader.
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
    """Return 1 where x > 0, else 0: the derivative of relu."""
    return np.where(x > 0, np.ones_like(x), np.zeros_like(x))
