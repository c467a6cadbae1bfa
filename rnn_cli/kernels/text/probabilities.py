"""The normaliser of a row of logits."""

from __future__ import annotations

import math

from rnn_cli.kernels.compiler.jit import kernel
from rnn_cli.kernels.network.losses import largest
from rnn_cli.kernels.simd.vector import broadcast, first_lanes, lanes, load, sum_lanes
from rnn_cli.kernels.simd.vector_math import exp


@kernel
def log_sum_exp(values, start, count, padded):
    """Return the largest of `count` values, and the log of the sum of exp(value - largest); padding does not matter."""
    end, top = start + count, largest(values, start, count, padded)
    total = broadcast(values, 0)
    for j in range(start, start + padded, lanes(values)):
        total = total + first_lanes(exp(load(values, j) - top), end - j, 0)
    return top, math.log(sum_lanes(total))
