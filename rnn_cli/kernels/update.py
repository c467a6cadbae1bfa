"""Clipping by the global norm, and the step of the optimiser, over the one flat vector of all parameters."""

from __future__ import annotations

import math

from rnn_cli.kernels.jit import kernel
from rnn_cli.kernels.matmul import even_start
from rnn_cli.kernels.vector import broadcast, fma, lanes, load, square_root, store, sum_lanes

BLOCK = (
    4096  # elements whose squares are summed by one thread: fixed, so that the norm has the same bits for any number
)


@kernel
def square_sums(grad, sums, part, parts):
    """Put the sum of the squares of each block of `grad` into `sums`, for this part's blocks."""
    blocks = (grad.size + BLOCK - 1) // BLOCK
    for block in range(even_start(part, parts, blocks), even_start(part + 1, parts, blocks)):
        total = broadcast(grad, 0)
        for k in range(block * BLOCK, min((block + 1) * BLOCK, grad.size), lanes(grad)):
            g = load(grad, k)
            total = fma(g, g, total)
        sums[block] = sum_lanes(total)


@kernel
def norm_of_sums(sums):
    """Return the square root of the total of the blocks' sums."""
    total = 0.0
    for block in range(sums.size):
        total += sums[block]
    return math.sqrt(total)


@kernel
def clip_scale(norm, clip_norm):
    """Return the factor that brings a greater norm down to `clip_norm`, as torch's clip_grad_norm_ does."""
    return min(1.0, clip_norm / (norm + 1e-6))


@kernel
def adam(parameters, grad, moment1, moment2, scale, rate, beta1, beta2, epsilon, step, part, parts):
    """Make step number `step` (the first is 1) of Adam (Kingma and Ba 2015) on this part of the vectors.

    g = scale grad    m = beta1 m + (1 - beta1) g    v = beta2 v + (1 - beta2) g^2
    p = p - rate / (1 - beta1^step) * m / (sqrt(v) / sqrt(1 - beta2^step) + epsilon)
    """
    step_size = rate / (1 - beta1**step)
    correction = 1 / math.sqrt(1 - beta2**step)
    count = lanes(parameters)
    vectors = parameters.size // count
    for k in range(even_start(part, parts, vectors) * count, even_start(part + 1, parts, vectors) * count, count):
        g = load(grad, k) * scale
        m = fma(beta1, load(moment1, k), (1 - beta1) * g)
        v = fma(beta2, load(moment2, k), (1 - beta2) * g * g)
        store(moment1, k, m)
        store(moment2, k, v)
        store(parameters, k, load(parameters, k) - step_size * m / (square_root(v) * correction + epsilon))
