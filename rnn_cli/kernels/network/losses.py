"""What a row of outputs means, chosen by type: the loss against a target, and its gradient in the row."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from rnn_cli.kernels.compiler.jit import chosen_by_type, kernel
from rnn_cli.kernels.network.arrays import clear
from rnn_cli.kernels.network.tied import TiedCrossEntropy
from rnn_cli.kernels.simd.vector import broadcast, first_lanes, lanes, load, maximum, maximum_lane, store, sum_lanes
from rnn_cli.kernels.simd.vector_math import LOG2_E, exp2

NEVER = -1e30  # the logit of a symbol that cannot occur


class CrossEntropy(NamedTuple):
    """Softmax and cross-entropy in nats against `targets` (T, B), int32; -1: the step is not scored."""

    targets: Any


class SquaredError(NamedTuple):
    """Half the squared error, summed over the outputs, against `targets` (T, B, columns); NaN: not scored.

    loss = sum_j (y_j - target_j)^2 / 2    grad_y_j = y_j - target_j
    """

    targets: Any


class Quantile(NamedTuple):
    """The pinball loss, summed over the outputs, against `targets` (T, B, columns); NaN: not scored.

    With q the level of output j, `levels` (columns), and e = target_j - y_j (Koenker and Bassett 1978):

    loss = sum_j max(q e, (q - 1) e)    grad_y_j = -q if e > 0, 1 - q if e < 0, else 0
    """

    targets: Any
    levels: Any


@chosen_by_type
def loss_and_gradient(loss, sizes, outputs, k, weight):
    """Return the loss of row k of T * B, and replace its row of `outputs` by `weight` times the gradient in it."""
    rows = {
        CrossEntropy: cross_entropy_row,
        TiedCrossEntropy: tied_row,
        SquaredError: squared_error_row,
        Quantile: quantile_row,
    }
    return rows[loss.instance_class]


@chosen_by_type
def has_targets(loss, sizes, t, rows):
    """Return whether any of some rows is scored at step t: of a label of a text, most steps are not."""
    return any_target if loss.instance_class in (CrossEntropy, TiedCrossEntropy) else always


@kernel
def any_target(loss, sizes, t, rows):
    """Return whether any row has a target."""
    highest = -1
    for k in range(t * sizes.batch + rows.first, t * sizes.batch + rows.last):
        highest = max(highest, loss.targets[k])
    return highest >= 0


@kernel
def always(loss, sizes, t, rows):
    """Return True: numbers are scored at nearly every step."""
    return True


@kernel
def cross_entropy_row(loss, sizes, outputs, k, weight):
    """Return softmax cross-entropy of a row; see `softmax_cross_entropy`."""
    return softmax_cross_entropy(sizes, outputs, k % sizes.logit_rows * sizes.columns, loss.targets[k], weight)


@kernel
def tied_row(loss, sizes, outputs, k, weight):
    """Return softmax cross-entropy of a row, and keep the log of its normaliser (tied.py)."""
    start, target = k % sizes.logit_rows * sizes.columns, loss.targets[k]
    logit = outputs[start + max(target, 0)]
    value = softmax_cross_entropy(sizes, outputs, start, target, weight)
    loss.normalisers[k] = value + logit
    return value


@kernel
def squared_error_row(loss, sizes, outputs, k, weight):
    """Return half the squared error of a row."""
    total, start = 0.0, k % sizes.logit_rows * sizes.columns
    for j in range(start, start + sizes.columns):
        error = outputs[j] - loss.targets[j] if j < start + sizes.output_size else 0.0
        if math.isnan(error) and not math.isnan(outputs[j]):  # a target that is NaN
            error = 0.0
        total += 0.5 * error * error
        outputs[j] = weight * error
    return total


@kernel
def quantile_row(loss, sizes, outputs, k, weight):
    """Return the pinball loss of a row."""
    total, start = 0.0, k % sizes.logit_rows * sizes.columns
    for j in range(start, start + sizes.columns):
        error = loss.targets[j] - outputs[j] if j < start + sizes.output_size else 0.0
        if math.isnan(error) and not math.isnan(outputs[j]):
            error = 0.0
        q = loss.levels[j - start]
        total += max(q * error, (q - 1) * error)
        slope = -q if error > 0 else (1 - q if error < 0 else 0.0 * error)
        outputs[j] = weight * slope
    return total


@kernel
def largest(values, start, count, padded):
    """Return the largest of `count` values, or NEVER; the padding after them does not matter."""
    end, highest = start + count, broadcast(values, NEVER)
    for j in range(start, start + padded, lanes(values)):
        highest = maximum(highest, first_lanes(load(values, j), end - j, NEVER))
    return maximum_lane(highest)


@kernel
def softmax_cross_entropy(sizes, logits, start, target, weight):
    """Return -log softmax(logits)[target] in nats, and turn the row of logits into `weight` times its gradient.

    grad_logits = weight (softmax(logits) - onehot(target))

    A negative target is not scored: loss and gradient are 0.
    """
    columns = sizes.columns
    if target < 0:
        clear(logits, start, columns)
        return 0.0
    end, top = start + sizes.output_size, largest(logits, start, sizes.output_size, columns)
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
