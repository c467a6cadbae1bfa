"""The gradient in the weights: products as deep as all steps of all rows, split over the threads by columns.

Each column of a gradient is summed by one thread, over all steps and rows in their order. So no thread needs a gradient
of its own, nothing is added up between threads, and the bits do not depend on their number.

The gradient in the pre-activations, which is too large for the caches, is read once: for each block of its rows, one
panel of columns after the other is packed, and at once multiplied with all that was read in these rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rnn_cli.kernels.compiler.jit import kernel
from rnn_cli.kernels.matmul.packing import (
    ONE,
    ZERO,
    depth_step,
    pack_panel,
    panel_count,
    panel_in_group,
    panel_range,
    panel_span,
    steps_of,
    transposed,
)
from rnn_cli.kernels.matmul.product import multiply_panels
from rnn_cli.kernels.network.layer import add_row, clear
from rnn_cli.kernels.simd.cpu import HAS_AMX
from rnn_cli.kernels.simd.vector import lanes


def depth_block(operand: Any) -> int:
    """Return how many rows are multiplied at once in this type of numbers.

    A packed panel of them stays in the inner caches. Matrix registers multiply so fast that to load and store the sums
    weighs more.
    """
    return 512 if HAS_AMX and operand == np.uint32 else 128


@kernel
def clear_rows(grad, grad_start, columns, rows, width):
    """Set rows (rows, width), which are `columns` apart, to 0."""
    for row in range(rows):
        clear(grad, grad_start + row * columns, width)


@kernel
def add_product(grad, grad_start, columns, left, rows, panel, depth, width, fresh):
    """Add to grad (rows, width), whose rows are `columns` apart, A^T (rows, depth) times the packed `panel`.

    `left` is A^T as `transposed` returns it. Where it is `fresh` the gradient is set to 0 before.
    """
    if fresh:
        clear_rows(grad, grad_start, columns, rows, width)
    a, a_start, a_stride, a_step = left
    multiply_panels(grad, grad_start, columns, grad, grad_start, columns, a, a_start, a_stride, a_step, rows, panel,
                    ZERO, steps_of(panel, depth), width)  # fmt: skip


@kernel
def add_sums(grad, grad_start, ones, panel, depth, width, fresh):
    """Add to grad (width) the sums of the columns of the packed `panel`: the product of a row of ones with it."""
    if fresh:
        clear(grad, grad_start, width)
    multiply_panels(grad, grad_start, ZERO, grad, grad_start, ZERO, ones, ZERO, ZERO, ONE, ONE, panel, ZERO,
                    steps_of(panel, depth), width)  # fmt: skip


@kernel
def scatter_rows(grad, grad_start, columns, symbols, k_start, vocab_size, b, b_start, b_stride, depth, width, fresh):
    """Add to grad (vocab_size, width) X^T B for one-hot X: row k of B (depth, width) goes to symbols[k_start + k]."""
    if fresh:
        clear_rows(grad, grad_start, columns, vocab_size, width)
    for k in range(depth):
        add_row(grad, grad_start + symbols[k_start + k] * columns, b, b_start + k * b_stride, width)


@kernel
def products_before(net, layer, column):
    """Return how many columns of the products come before a column of the gates, where both products can reach it.

    A thread has the panels that begin in its share of them, so that all have as much to do (see cells/cell.py).
    """
    recurrent = max(0, column - (net.blocks * net.hidden - net.recurrent_columns))
    return recurrent + (min(column, net.input_columns) if layer > 0 else 0)


@kernel
def layer_gradients(net, layer, inputs, gates, states, output, grad, places, left, panel, ones, part, parts):
    """Compute the gradient in one layer's parameters, of which each part does its columns.

    grad_W_hh = sum h_(t-1)^T grad_preact_t    grad_W_ih = sum x_t^T grad_preact_t    grad_b = sum grad_preact_t
    """
    depth, hidden, width = net.length * net.batch, net.hidden, net.blocks * net.hidden
    deepest = ones.size * depth_step(ones)
    weight_ih, weight_hh, bias = places[layer, 0], places[layer, 1], places[layer, 2]
    gates_at = layer * depth * width
    states_at = layer * net.states * (depth + net.batch) * hidden
    input_at = (layer - 1) * depth * hidden
    without_recurrent = width - net.recurrent_columns
    all_products = products_before(net, layer, width)
    for k in range(0, depth, deepest):
        block, fresh = min(deepest, depth - k), k == 0
        h = transposed(panel, states, states_at + k * hidden, block, hidden, left, ZERO)
        x = h
        if layer > 0:
            x = transposed(panel, output, input_at + k * hidden, block, hidden, left, left.size // 2)
        for number in range(net.blocks * panel_count(hidden, lanes(grad))):
            first, columns = panel_in_group(number, hidden, lanes(grad))
            if products_before(net, layer, first) * parts // all_products != part:
                continue
            at = gates_at + k * width + first
            pack_panel(gates, at, width, block, columns, panel, ZERO)
            if first >= without_recurrent:
                add_product(grad, weight_hh + first - without_recurrent, net.recurrent_columns, h, hidden, panel, block,
                            columns, fresh)  # fmt: skip
            if first < net.input_columns:
                if layer > 0:
                    add_product(grad, weight_ih + first, net.input_columns, x, hidden, panel, block, columns, fresh)
                else:
                    scatter_rows(grad, weight_ih + first, net.input_columns, inputs, k, net.vocab_size,
                                 gates, at, width, block, columns, fresh)  # fmt: skip
            add_sums(grad, bias + first, ones, panel, block, columns, fresh)


@kernel
def decoder_gradients(net, output, logits, grad, places, left, panel, ones, part, parts):
    """Compute the gradient in the decoder's parameters: sum output_t^T grad_logits_t, and sum grad_logits_t."""
    depth, hidden, width = net.length * net.batch, net.hidden, net.columns
    deepest = ones.size * depth_step(ones)
    weight, bias = places[net.layers, 0], places[net.layers, 1]
    output_at = (net.layers - 1) * depth * hidden
    own = panel_range(width, lanes(grad), part, parts)
    for k in range(0, depth, deepest):
        block, fresh = min(deepest, depth - k), k == 0
        h = transposed(panel, output, output_at + k * hidden, block, hidden, left, ZERO)
        for number in range(own[0], own[1]):
            first, columns = panel_span(number, width, lanes(grad))
            at = k * width + first
            pack_panel(logits, at, width, block, columns, panel, ZERO)
            add_product(grad, weight + first, width, h, hidden, panel, block, columns, fresh)
            add_sums(grad, bias + first, ones, panel, block, columns, fresh)


@kernel
def weight_gradients(net, inputs, gates, states, output, logits, grad, places, left, panel, ones, part, parts):
    """Compute the gradient in all parameters, of which each part does its columns."""
    for layer in range(net.layers):
        layer_gradients(net, layer, inputs, gates, states, output, grad, places, left, panel, ones, part, parts)
    decoder_gradients(net, output, logits, grad, places, left, panel, ones, part, parts)
