"""Clipping by the global norm, and the step of the optimiser, over the one flat vector of all parameters."""

from __future__ import annotations

import math
from typing import NamedTuple

from rnn_cli.kernels.compiler.jit import kernel
from rnn_cli.kernels.simd.vector import broadcast, fma, lanes, load, square_root, store, sum_lanes
from rnn_cli.kernels.threads import share_start

# Elements whose squares are summed by one thread: fixed, so that the norm has the same bits for any number of them.
BLOCK = 4096


class OptimizerRule(NamedTuple):
    """An optimiser as the numbers of `update`; those that PyTorch has for the same name."""

    decay1: float
    gain1: float
    decay2: float
    gain2: float
    epsilon: float
    corrected: bool


ADAM = OptimizerRule(0.9, 1 - 0.9, 0.999, 1 - 0.999, 1e-8, corrected=True)  # Kingma and Ba 2015
RULES = {
    "adam": ADAM,
    "sgd": OptimizerRule(
        0.9, 1.0, 0.0, 0.0, 1.0, corrected=False
    ),  # v stays 0, so the divisor is 1; decay1 is the momentum
    "rmsprop": OptimizerRule(0.0, 1.0, 0.99, 1 - 0.99, 1e-8, corrected=False),  # Tieleman and Hinton 2012
    "adagrad": OptimizerRule(0.0, 1.0, 1.0, 1.0, 1e-10, corrected=False),  # Duchi, Hazan and Singer 2011
}


@kernel
def block_count(vector):
    """Return how many blocks a vector has; the last one may be shorter."""
    return (vector.size + BLOCK - 1) // BLOCK


@kernel
def vector_range(array, part, parts):
    """Return the first elements of this part's SIMD vectors."""
    count = lanes(array)
    vectors = array.size // count
    return range(share_start(part, parts, vectors) * count, share_start(part + 1, parts, vectors) * count, count)


@kernel
def square_sums(grad, sums, part, parts):
    """Put the sum of the squares of each block of `grad` into `sums`, for this part's blocks."""
    blocks = block_count(grad)
    for block in range(share_start(part, parts, blocks), share_start(part + 1, parts, blocks)):
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
def update(parameters, grad, moment1, moment2, scale, rate, weight_decay, rule, number, part, parts):
    """Make step `number` (the first is 1) of an optimiser on this part of the vectors.

    g = scale grad    m = decay1 m + gain1 g    v = decay2 v + gain2 g^2
    p = (1 - rate weight_decay) p - rate / (1 - decay1^number) * m / (sqrt(v / (1 - decay2^number)) + epsilon)

    with both corrections only where the rule is `corrected`. The weights decay apart from the gradient, and all
    parameters do, as in AdamW (Loshchilov and Hutter 2019).
    """
    step_size, correction = rate, 1.0
    if rule.corrected:
        step_size = rate / (1 - rule.decay1**number)
        correction = 1 / math.sqrt(1 - rule.decay2**number)
    kept = 1 - rate * weight_decay
    for k in vector_range(parameters, part, parts):
        g = load(grad, k) * scale
        m = fma(rule.decay1, load(moment1, k), rule.gain1 * g)
        v = fma(rule.decay2, load(moment2, k), rule.gain2 * g * g)
        store(moment1, k, m)
        store(moment2, k, v)
        store(parameters, k, load(parameters, k) * kept - step_size * m / (square_root(v) * correction + rule.epsilon))


@kernel
def average_in(average, parameters, weight, part, parts):
    """Compute average = (1 - weight) average + weight parameters, this part of the vectors."""
    for k in vector_range(parameters, part, parts):
        store(average, k, fma(weight, load(parameters, k), (1 - weight) * load(average, k)))
