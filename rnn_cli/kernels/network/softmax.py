"""The readout: logits, softmax and cross entropy, and their gradient."""

from __future__ import annotations

import math

from rnn_cli.kernels.compiler.jit import kernel
from rnn_cli.kernels.matmul.packing import ZERO
from rnn_cli.kernels.matmul.product import multiply_onto
from rnn_cli.kernels.network.layer import clear
from rnn_cli.kernels.simd.vector import broadcast, first_lanes, lanes, load, maximum, maximum_lane, store, sum_lanes
from rnn_cli.kernels.simd.vector_math import LOG2_E, exp2

NEVER = -1e30  # the logit of what cannot come


@kernel
def largest(values, start, count, padded):
    """Return the largest of `count` values, or NEVER; those that fill the last vector do not matter."""
    end, highest = start + count, broadcast(values, NEVER)
    for j in range(start, start + padded, lanes(values)):
        highest = maximum(highest, first_lanes(load(values, j), end - j, NEVER))
    return maximum_lane(highest)


@kernel
def softmax_cross_entropy(logits, start, vocab_size, columns, target, weight):
    """Return -log softmax(logits)[target] in nats, and turn the row of logits into `weight` times its gradient.

    grad_logits = weight (softmax(logits) - onehot(target))

    A negative target is not scored: loss and gradient are 0. `columns` is vocab_size, padded.
    """
    if target < 0:
        clear(logits, start, columns)
        return 0.0
    end, top = start + vocab_size, largest(logits, start, vocab_size, columns)
    target_logit = logits[start + target]
    total = broadcast(logits, 0)
    for j in range(start, start + columns, lanes(logits)):
        e = exp2((load(logits, j) - top) * LOG2_E)
        store(logits, j, e)
        total = total + first_lanes(e, end - j, 0)
    denominator = sum_lanes(total)
    scale = weight / denominator
    for j in range(start, start + columns, lanes(logits)):
        store(logits, j, first_lanes(load(logits, j) * scale, end - j, 0))
    logits[start + target] -= weight
    return math.log(denominator) + (top - target_logit)


@kernel
def readout_forward(net, t, output, logits, parameters, packed, places, first, last):
    """Compute logits_t (B, V) = output_t of the last layer (B, H) times the decoder, for rows first..last."""
    weight, bias = places[net.layers, 0], places[net.layers, 1]
    output_at = (((net.layers - 1) * net.length + t) * net.batch + first) * net.hidden
    multiply_onto(logits, (t * net.batch + first) * net.columns, net.columns, parameters, bias, ZERO,
                  output, output_at, net.hidden, last - first, net.hidden, packed, weight, net.columns)  # fmt: skip


@kernel
def readout_backward(net, t, logits, grad_output, zeros, packed_transposed, places, first, last):
    """Compute the gradient in output_t of the last layer (B, H) from grad_logits_t (B, V), for rows first..last."""
    at = (t * net.batch + first) * net.hidden
    multiply_onto(grad_output, at, net.hidden, zeros, ZERO, ZERO, logits, (t * net.batch + first) * net.columns,
                  net.columns, last - first, net.columns, packed_transposed, places[net.layers, 0],
                  net.hidden)  # fmt: skip
