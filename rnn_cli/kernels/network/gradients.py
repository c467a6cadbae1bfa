"""The gradient in the weights: the sum over time of backpropagation through time, as products over all steps and rows.

    grad_W_hh = sum_t h_(t-1)^T grad_preact_t    grad_W_ih = sum_t x_t^T grad_preact_t    grad_b = sum_t grad_preact_t

They are split over the threads by columns. Each column of a gradient is summed by one thread, over all steps and rows
in their order. So no thread needs a gradient of its own, nothing is added up between threads, and the bits do not
depend on their number.

The gradient in the pre-activations, which is too large for the caches, is read once: see deep_products.py.
"""

from __future__ import annotations

from typing import Any

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
    gates = Matrix(layer.arrays.gates, layer.gates, width, ONE)
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


@kernel
def decoder_gradients(network, arrays, back, objective, share):
    """Compute the gradient in the decoder: sum output_t^T grad_logits_t and sum grad_logits_t, this share's columns."""
    sizes, grad = network.sizes, back.grad
    width = sizes.columns
    depth = sizes.length * sizes.batch
    weight, bias = decoder_offset(sizes, arrays, ZERO), decoder_offset(sizes, arrays, ONE)
    logits = Matrix(arrays.logits, ZERO, width, ONE)
    first_panel, last_panel = panel_range(width, lanes(grad), share)
    for k in range(0, depth, back.depth):
        rows = min(back.depth, depth - k)
        scratch = Matrix(back.lhs_scratch, ZERO, sizes.width, ONE)
        output = transposed(back.panel, top_output(sizes, arrays, k), rows, scratch)
        for index in range(first_panel, last_panel):
            first, columns = panel_span(index, width, lanes(grad))
            packed = packed_panel(logits, back.panel, Span(k, rows, first), columns)
            add_product(Matrix(grad, weight + first, width, ONE), output, sizes.width, packed, k == 0)
            add_sums(grad, bias + first, back.ones, packed, k == 0)
