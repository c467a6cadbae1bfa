"""The gradient in the weights: products as deep as all steps of all rows, split over the threads by columns.

Each column of a gradient is summed by one thread, over all steps and rows in their order. So no thread needs a gradient
of its own, nothing is added up between threads, and the bits do not depend on their number.
"""

from __future__ import annotations

from rnn_cli.kernels.jit import kernel
from rnn_cli.kernels.layer import clear
from rnn_cli.kernels.matmul import ONE, ZERO, even_start, multiply, pack, panel_count, panel_span
from rnn_cli.kernels.vector import lanes, load, store

DEPTH_BLOCK = 128  # rows of a panel that are packed at a time: they stay in the inner caches


@kernel
def deep_product(
    grad,
    grad_start,
    a,
    a_start,
    rows,
    b,
    b_start,
    b_stride,
    columns,
    depth,
    scratch,
    scratch_start,
    part,
    parts,
):
    """Compute grad (rows, columns) = A^T B for this part's panels; A is (depth, rows), B (depth, columns).

    A block of A stays in the inner cache while all panels of the gradient pass by.
    """
    panels = panel_count(columns, lanes(grad))
    own = range(even_start(part, parts, panels), even_start(part + 1, parts, panels))
    for k in range(0, depth, DEPTH_BLOCK):
        block = min(DEPTH_BLOCK, depth - k)
        for panel in own:
            first, width = panel_span(panel, columns, lanes(grad))
            if k == 0:
                for row in range(rows):
                    clear(grad, grad_start + row * columns + first, width)
            pack(b, b_start + k * b_stride + first, b_stride, block, width, scratch, scratch_start, ZERO, ONE)
            multiply(grad, grad_start + first, columns, a, a_start + k * rows, ONE, rows, rows, block,
                     scratch, scratch_start, width)  # fmt: skip


@kernel
def column_sums(grad, grad_start, b, b_start, columns, depth, part, parts):
    """Compute grad (columns) = the sum of the rows of B (depth, columns), for this part's columns."""
    count = lanes(grad)
    first = even_start(part, parts, columns // count) * count
    last = even_start(part + 1, parts, columns // count) * count
    clear(grad, grad_start + first, last - first)
    for k in range(depth):
        for j in range(first, last, count):
            store(grad, grad_start + j, load(grad, grad_start + j) + load(b, b_start + k * columns + j))


@kernel
def scatter_rows(grad, grad_start, symbols, vocab_size, b, b_start, b_stride, columns, depth, part, parts):
    """Compute grad (vocab_size, columns) = X^T B for one-hot X, row k of B going to symbols[k]; this part's columns."""
    count = lanes(grad)
    first = even_start(part, parts, columns // count) * count
    last = even_start(part + 1, parts, columns // count) * count
    for symbol in range(vocab_size):
        clear(grad, grad_start + symbol * columns + first, last - first)
    for k in range(depth):
        target = grad_start + symbols[k] * columns
        for j in range(first, last, count):
            store(grad, target + j, load(grad, target + j) + load(b, b_start + k * b_stride + j))


@kernel
def weight_gradients(net, inputs, gates, states, output, logits, grad, places, scratch, part, parts):
    """Compute the gradient in all parameters, of which each part does its columns.

    grad_W_hh = sum h_(t-1)^T grad_preact_t    grad_W_ih = sum x_t^T grad_preact_t    grad_b = sum grad_preact_t
    grad_decoder = sum output_t^T grad_logits_t
    """
    depth = net.length * net.batch
    width = net.blocks * net.hidden
    scratch_start = part * (scratch.size // parts)
    for layer in range(net.layers):
        gates_at = layer * depth * width
        states_at = layer * net.states * (depth + net.batch) * net.hidden
        recurrent = width - net.recurrent_columns
        deep_product(grad, places[layer, 1], states, states_at, net.hidden, gates, gates_at + recurrent, width,
                     net.recurrent_columns, depth, scratch, scratch_start, part, parts)  # fmt: skip
        if layer > 0:
            deep_product(grad, places[layer, 0], output, (layer - 1) * depth * net.hidden, net.hidden, gates, gates_at,
                         width, net.input_columns, depth, scratch, scratch_start, part, parts)  # fmt: skip
        else:
            scatter_rows(grad, places[layer, 0], inputs, net.vocab_size, gates, gates_at, width,
                         net.input_columns, depth, part, parts)  # fmt: skip
        column_sums(grad, places[layer, 2], gates, gates_at, width, depth, part, parts)
    deep_product(grad, places[net.layers, 0], output, (net.layers - 1) * depth * net.hidden, net.hidden, logits, ZERO,
                 net.columns, net.columns, depth, scratch, scratch_start, part, parts)  # fmt: skip
    column_sums(grad, places[net.layers, 1], logits, ZERO, net.columns, depth, part, parts)
