"""The mean of the outputs of a text up to each step, which the readout may read instead of the last output.

    y_t = (1 - w_t) y_(t-1) + w_t h_t    with w_t = 1 / (steps of the text up to t)

At the last step of a text y_t is the mean of all its outputs; as the readout is linear, it then gives the mean of the
logits.
"""

from __future__ import annotations

from rnn_cli.kernels.compiler.jit import chosen_by_type, kernel
from rnn_cli.kernels.network.memory import PooledSizes
from rnn_cli.kernels.simd.vector import lanes, load, store


@chosen_by_type
def pool(top, rows):
    """Compute the means of some rows, if the readout reads them."""
    return pool_forward if is_pooled(top) else no_pooling


@chosen_by_type
def unpool(top, back, rows):
    """Replace the gradient in the means by that in the outputs, for some rows, if the readout reads the means."""
    return pool_backward if is_pooled(top) else no_pooling_backward


def is_pooled(top):
    """Return whether the Numba type of a layer is that of a network whose readout reads means."""
    return top.types[top.fields.index("sizes")].instance_class is PooledSizes


@kernel
def no_pooling(top, rows):
    """Do nothing."""


@kernel
def no_pooling_backward(top, back, rows):
    """Do nothing."""


@kernel
def pool_forward(top, rows):
    """Compute the means of some rows."""
    sizes, arrays = top.sizes, top.arrays
    step = sizes.batch * sizes.width
    for t in range(sizes.length):
        for row in range(rows.first, rows.last):
            share = arrays.shares[t * sizes.batch + row]
            at = t * step + row * sizes.width
            for j in range(at, at + sizes.width, lanes(arrays.output)):
                y = load(arrays.output, top.output + j) * share
                if share < 1:
                    y = y + load(arrays.pooled, j - step) * (1 - share)
                store(arrays.pooled, j, y)


@kernel
def pool_backward(top, back, rows):
    """Replace the gradient in the means by that in the outputs, for some rows.

    grad_h_t = w_t grad_y_t + grad_h_(t+1), without the last term at the end of a text
    """
    sizes, arrays = top.sizes, top.arrays
    step = sizes.batch * sizes.width
    for t in range(sizes.length - 1, -1, -1):
        for row in range(rows.first, rows.last):
            k = t * sizes.batch + row
            share, at = arrays.shares[k], top.grad_output + k * sizes.width
            continues = t + 1 < sizes.length and arrays.shares[k + sizes.batch] < 1
            for j in range(at, at + sizes.width, lanes(back.grad_output)):
                grad = load(back.grad_output, j) * share
                if continues:
                    grad = grad + load(back.grad_output, j + step)
                store(back.grad_output, j, grad)
