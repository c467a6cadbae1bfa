"""The gradient in the weights: products as deep as all steps of all rows, split over the threads by columns.

Each column of a gradient is summed by one thread, over all steps and rows in their order. So no thread needs a gradient
of its own, nothing is added up between threads, and the bits do not depend on their number.

The gradient in the pre-activations, which is too large for the caches, is read once: a block of its rows is packed, and
all that it has to be multiplied with passes by.
"""

from __future__ import annotations

from rnn_cli.kernels.jit import kernel
from rnn_cli.kernels.layer import clear
from rnn_cli.kernels.matmul import ONE, ZERO, multiply_packed, own_panels, pack_left, pack_rows, place_of, steps_of
from rnn_cli.kernels.vector import lanes, load, store

DEPTH_BLOCK = 128  # rows that are packed for one product: they stay in the inner caches


@kernel
def add_product(grad, grad_start, columns, skipped, left, rows, depth, group, own, panels, fresh):
    """Add to grad (rows, columns) the packed A^T (rows, depth) times those of this part's panels that it spans.

    The gradient's first column is column `skipped` of B. Where it is `fresh` it is set to 0 before.
    """
    count, steps = lanes(grad), steps_of(panels, depth)
    origin, _ = place_of(own[0], group, count)
    for panel in range(own[0], own[1]):
        first, width = place_of(panel, group, count)
        if skipped <= first < skipped + columns:
            target = grad_start + first - skipped
            if fresh:
                for row in range(rows):
                    clear(grad, target + row * columns, width)
            multiply_packed(grad, target, columns, left, rows, depth, panels, (first - origin) * steps, width)


@kernel
def add_column_sums(grad, grad_start, b, b_start, b_stride, depth, first, last, fresh):
    """Add to grad the sums of columns first..last of B (depth, b_stride)."""
    if fresh:
        clear(grad, grad_start + first, last - first)
    for k in range(depth):
        for j in range(first, last, lanes(grad)):
            store(grad, grad_start + j, load(grad, grad_start + j) + load(b, b_start + k * b_stride + j))


@kernel
def scatter_rows(
    grad, grad_start, columns, symbols, k_start, vocab_size, b, b_start, b_stride, depth, first, last, fresh
):
    """Add to grad (vocab_size, columns) X^T B for one-hot X: row k of B goes to symbols[k]; columns first..last."""
    if fresh:
        for symbol in range(vocab_size):
            clear(grad, grad_start + symbol * columns + first, last - first)
    for k in range(depth):
        target = grad_start + symbols[k_start + k] * columns
        for j in range(first, last, lanes(grad)):
            store(grad, target + j, load(grad, target + j) + load(b, b_start + k * b_stride + j))


@kernel
def layer_gradients(net, layer, inputs, gates, states, output, grad, places, left, panels, part, parts):
    """Compute the gradient in one layer's parameters, of which each part does its columns.

    grad_W_hh = sum h_(t-1)^T grad_preact_t    grad_W_ih = sum x_t^T grad_preact_t    grad_b = sum grad_preact_t
    """
    depth, hidden, width = net.length * net.batch, net.hidden, net.blocks * net.hidden
    gates_at = layer * depth * width
    states_at = layer * net.states * (depth + net.batch) * hidden
    input_at = (layer - 1) * depth * hidden
    own = own_panels(net.blocks, hidden, lanes(grad), part, parts)
    if own[0] == own[1]:
        return
    first, _ = place_of(own[0], hidden, lanes(grad))
    last = sum(place_of(own[1] - 1, hidden, lanes(grad)))
    for k in range(0, depth, DEPTH_BLOCK):
        block, fresh, rows_at = min(DEPTH_BLOCK, depth - k), k == 0, gates_at + k * width
        pack_rows(gates, rows_at, width, block, hidden, own, panels, -first * steps_of(panels, block))
        pack_left(states, states_at + k * hidden, hidden, block, left)
        add_product(grad, places[layer, 1], net.recurrent_columns, width - net.recurrent_columns, left, hidden, block,
                    hidden, own, panels, fresh)  # fmt: skip
        if layer > 0:
            pack_left(output, input_at + k * hidden, hidden, block, left)
            add_product(grad, places[layer, 0], net.input_columns, ZERO, left, hidden, block, hidden, own, panels,
                        fresh)  # fmt: skip
        else:
            scatter_rows(grad, places[layer, 0], net.input_columns, inputs, k, net.vocab_size, gates, rows_at, width,
                         block, first, min(last, net.input_columns), fresh)  # fmt: skip
        add_column_sums(grad, places[layer, 2], gates, rows_at, width, block, first, last, fresh)


@kernel
def decoder_gradients(net, output, logits, grad, places, left, panels, part, parts):
    """Compute the gradient in the decoder's parameters: sum output_t^T grad_logits_t, and sum grad_logits_t."""
    depth, columns = net.length * net.batch, net.columns
    output_at = (net.layers - 1) * depth * net.hidden
    own = own_panels(ONE, columns, lanes(grad), part, parts)
    if own[0] == own[1]:
        return
    first, _ = place_of(own[0], columns, lanes(grad))
    last = sum(place_of(own[1] - 1, columns, lanes(grad)))
    for k in range(0, depth, DEPTH_BLOCK):
        block, fresh = min(DEPTH_BLOCK, depth - k), k == 0
        pack_rows(logits, k * columns, columns, block, columns, own, panels, -first * steps_of(panels, block))
        pack_left(output, output_at + k * net.hidden, net.hidden, block, left)
        add_product(grad, places[net.layers, 0], columns, ZERO, left, net.hidden, block, columns, own, panels, fresh)
        add_column_sums(grad, places[net.layers, 1], logits, k * columns, columns, block, first, last, fresh)


@kernel
def weight_gradients(net, inputs, gates, states, output, logits, grad, places, left, panels, part, parts):
    """Compute the gradient in all parameters, of which each part does its columns."""
    for layer in range(net.layers):
        layer_gradients(net, layer, inputs, gates, states, output, grad, places, left, panels, part, parts)
    decoder_gradients(net, output, logits, grad, places, left, panels, part, parts)
