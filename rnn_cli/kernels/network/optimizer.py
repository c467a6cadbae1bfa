"""Clipping by the global norm, and the optimizer step, over the one flat vector of all parameters."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from rnn_cli.kernels.compiler.jit import entry_kernel, kernel
from rnn_cli.kernels.simd.vector import broadcast, fma, lanes, load, square_root, store, sum_lanes
from rnn_cli.kernels.threads import Share, share_start, wait_for_all

# Elements whose squares are summed by one thread: fixed, so that the norm has the same bits for any number of threads.
BLOCK = 4096


class OptimizerRule(NamedTuple):
    """An optimizer as the coefficients of `update`, with PyTorch's defaults."""

    decay1: float
    gain1: float
    decay2: float
    gain2: float
    epsilon: float
    corrected: bool


ADAM = OptimizerRule(0.9, 1 - 0.9, 0.999, 1 - 0.999, 1e-8, corrected=True)  # Kingma and Ba 2015
RULES = {
    "adam": ADAM,
    # v stays 0, so the divisor is 1; decay1 is the momentum.
    "sgd": OptimizerRule(0.9, 1.0, 0.0, 0.0, 1.0, corrected=False),
    "rmsprop": OptimizerRule(0.0, 1.0, 0.99, 1 - 0.99, 1e-8, corrected=False),  # Tieleman and Hinton 2012
    "adagrad": OptimizerRule(0.0, 1.0, 1.0, 1.0, 1e-10, corrected=False),  # Duchi, Hazan and Singer 2011
}


class Vectors(NamedTuple):
    """The flat vectors of an update, each of the size of the parameters.

    `average` is the running mean of the parameters. `sums` has an element for each block of the gradient; `norm` (1) is
    the norm of the gradient before it is clipped. `barrier` is that of the team.
    """

    parameters: Any
    grad: Any
    moment1: Any
    moment2: Any
    average: Any
    sums: Any
    norm: Any
    barrier: Any


class Step(NamedTuple):
    """The numbers of one optimizer step, the first of which has `number` 1.

    The parameters after the step are number `averaged` of those whose mean is kept; 0: they do not count.
    """

    number: int
    learning_rate: float
    clip_norm: float
    rule: OptimizerRule = ADAM
    weight_decay: float = 0.0
    averaged: int = 0


@kernel
def block_count(vector):
    """Return the number of blocks of a vector; the last one may be shorter."""
    return (vector.size + BLOCK - 1) // BLOCK


@kernel
def vector_range(array, share):
    """Return the first elements of this share's SIMD vectors."""
    count = lanes(array)
    vectors = array.size // count
    first, last = share_start(share.part, share.parts, vectors), share_start(share.part + 1, share.parts, vectors)
    return range(first * count, last * count, count)


@kernel
def square_sums(grad, sums, share):
    """Put the sum of the squares of each block of `grad` into `sums`, for this share's blocks."""
    blocks = block_count(grad)
    for block in range(share_start(share.part, share.parts, blocks), share_start(share.part + 1, share.parts, blocks)):
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
    """Return the factor that scales a norm above `clip_norm` down to it, as torch's clip_grad_norm_ does."""
    return min(1.0, clip_norm / (norm + 1e-6))


@kernel
def update(vectors, step, scale, share):
    """Make one step of an optimizer on this share of the vectors.

    g = scale grad    m = decay1 m + gain1 g    v = decay2 v + gain2 g^2
    p = (1 - rate weight_decay) p - rate / (1 - decay1^number) * m / (sqrt(v / (1 - decay2^number)) + epsilon)

    with both corrections only if the rule is `corrected`. The weight decay is decoupled from the gradient and applies
    to all parameters, as in AdamW (Loshchilov and Hutter 2019).
    """
    parameters, grad, moment1, moment2, rule = (
        vectors.parameters,
        vectors.grad,
        vectors.moment1,
        vectors.moment2,
        step.rule,
    )
    rate = step.learning_rate
    step_size, correction = rate, 1.0
    if rule.corrected:
        step_size = rate / (1 - rule.decay1**step.number)
        correction = 1 / math.sqrt(1 - rule.decay2**step.number)
    kept = 1 - rate * step.weight_decay
    for k in vector_range(parameters, share):
        g = load(grad, k) * scale
        m = fma(rule.decay1, load(moment1, k), rule.gain1 * g)
        v = fma(rule.decay2, load(moment2, k), rule.gain2 * g * g)
        store(moment1, k, m)
        store(moment2, k, v)
        store(parameters, k, load(parameters, k) * kept - step_size * m / (square_root(v) * correction + rule.epsilon))


@kernel
def average_in(average, parameters, weight, share):
    """Compute average = (1 - weight) average + weight parameters, this share of the vectors."""
    for k in vector_range(parameters, share):
        store(average, k, fma(weight, load(parameters, k), (1 - weight) * load(average, k)))


@entry_kernel
def update_step(part, parts, vectors, step):
    """Clip the gradient by its global norm and make one optimizer step; each thread calls it with its part.

    A gradient that is not finite never reaches the parameters.
    """
    share = Share(part, parts)
    wait_for_all(vectors.barrier, parts)  # until the gradient is complete
    square_sums(vectors.grad, vectors.sums, share)
    wait_for_all(vectors.barrier, parts)
    norm = norm_of_sums(vectors.sums)
    if part == 0:
        vectors.norm[0] = norm
    if np.isfinite(norm):
        update(vectors, step, clip_scale(norm, step.clip_norm), share)
        if step.averaged > 0:
            average_in(vectors.average, vectors.parameters, 1 / step.averaged, share)
