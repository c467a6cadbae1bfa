"""The gradient in the weights: the sum over time of backpropagation through time, as products over all steps and rows.

    grad_W_hh = sum_t h_(t-1)^T grad_preact_t    grad_W_ih = sum_t x_t^T grad_preact_t    grad_b = sum_t grad_preact_t

They are split over the threads by columns. Each column of a gradient is summed by one thread, over all steps and rows
in their order. So no thread needs a gradient of its own, nothing is added up between threads, and the bits do not
depend on their number.

The gradient in the pre-activations, which is too large for the caches, is read once: see deep_products.py.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from rnn_cli.kernels.compiler.jit import kernel
from rnn_cli.kernels.matmul.matrix import ONE, Matrix, Packed, Panel, Scratch, Span
from rnn_cli.kernels.matmul.packing import (
    ZERO,
    pack_panel,
    panel_count,
    panel_in_group,
    panel_range,
    panel_span,
    transposed,
)
from rnn_cli.kernels.network.deep_products import add_product, add_sums
from rnn_cli.kernels.network.memory import decoder_offset, top_output
from rnn_cli.kernels.network.sources import add_input_product, transposed_input
from rnn_cli.kernels.simd.cpu import HAS_AMX
from rnn_cli.kernels.simd.vector import lanes


def depth_block(operand: Any) -> int:
    """Return how many rows are multiplied at once for this element type.

    A packed panel of them stays in the inner caches. Matrix registers multiply so fast that loading and storing the
    sums weighs more.
    """
    return 512 if HAS_AMX and operand == np.uint32 else 128


@kernel
def packed_panel(source, panel, span, width):
    """Pack the columns of a span of the matrix `source` (T * B, columns) into the scratch `panel`."""
    at = source.start + span.k * source.stride + span.first
    pack_panel(Matrix(source.array, at, source.stride, ONE), Panel(panel, ZERO, span.depth, width))
    return Packed(panel, ZERO, span.depth, width, Scratch(panel, ZERO))


@kernel
def products_before(source, sizes, column):
    """Return the number of columns of products before a column of the gates, if both products can reach it.

    A thread has the panels that begin in its share of them, so that all threads do equal work (see cells/cell.py).
    """
    recurrent = max(0, column - (sizes.blocks * sizes.hidden - sizes.recurrent_columns))
    return recurrent + (min(column, sizes.input_columns) if source.width > 0 else 0)


@kernel
def layer_gradients(source, layer, back, share):
    """Compute the gradient in the parameters of one layer and direction, this share's columns."""
    sizes, grad = layer.sizes, back.grad
    depth, hidden, width = sizes.length * sizes.batch, sizes.hidden, sizes.blocks * sizes.hidden
    gates = Matrix(layer.arrays.gates, layer.gates, sizes.gates, ONE)
    without_recurrent = width - sizes.recurrent_columns
    all_products = products_before(source, sizes, width)
    for k in range(0, depth, back.depth):
        rows = min(back.depth, depth - k)
        states = Matrix(layer.arrays.states, layer.before + k * hidden, hidden, ONE)
        h = transposed(back.panel, states, rows, Matrix(back.lhs_scratch, ZERO, hidden, ONE))
        scratch = Matrix(back.lhs_scratch, back.depth * hidden, hidden, ONE)
        x = transposed_input(source, layer, k, rows, scratch)
        for index in range(sizes.blocks * panel_count(hidden, lanes(grad))):
            first, columns = panel_in_group(index, hidden, lanes(grad))
            if products_before(source, sizes, first) * share.parts // all_products != share.part:
                continue
            span = Span(k, rows, first)
            packed = packed_panel(gates, back.panel, span, columns)
            if first >= without_recurrent:
                start = layer.weight_hh + first - without_recurrent
                add_product(Matrix(grad, start, sizes.recurrent_columns, ONE), h, hidden, packed, k == 0)
            if first < sizes.input_columns:
                grad_ih = Matrix(grad, layer.weight_ih + first, sizes.input_columns, ONE)
                add_input_product(source, layer, grad_ih, x, packed, span)
            add_sums(grad, layer.bias + first, back.ones, packed, k == 0)


class Map(NamedTuple):
    """A linear map of `depth` rows of x, `width` wide: where its weight and its bias lie; -1: it has no bias."""

    weight: int
    bias: int
    width: int
    depth: int


@kernel
def decoder_gradients(network, arrays, back, objective, share):
    """Compute the gradient in the decoder: sum output_t^T grad_logits_t and sum grad_logits_t, this share's columns."""
    sizes = network.sizes
    weight, bias = decoder_offset(sizes, arrays, ZERO), decoder_offset(sizes, arrays, ONE)
    readout = Map(weight, bias, sizes.width, sizes.length * sizes.batch)
    grad_logits = Matrix(arrays.logits, ZERO, sizes.columns, ONE)
    map_gradients(readout, top_output(sizes, arrays, ZERO), grad_logits, back, share)


@kernel
def map_gradients(linear, x, grad_y, back, share):
    """Compute the gradient in a linear map y = x W + b: sum x^T grad_y and sum grad_y, this share's columns.

    The rows of x and of grad_y are contiguous: their strides are their widths.
    """
    grad, columns = back.grad, grad_y.stride
    first_panel, last_panel = panel_range(columns, lanes(grad), share)
    for k in range(0, linear.depth, back.depth):
        rows = min(back.depth, linear.depth - k)
        scratch = Matrix(back.lhs_scratch, ZERO, linear.width, ONE)
        left = transposed(back.panel, Matrix(x.array, x.start + k * x.stride, x.stride, ONE), rows, scratch)
        for index in range(first_panel, last_panel):
            first, width = panel_span(index, columns, lanes(grad))
            packed = packed_panel(grad_y, back.panel, Span(k, rows, first), width)
            add_product(Matrix(grad, linear.weight + first, columns, ONE), left, linear.width, packed, k == 0)
            if linear.bias >= 0:
                add_sums(grad, linear.bias + first, back.ones, packed, k == 0)
