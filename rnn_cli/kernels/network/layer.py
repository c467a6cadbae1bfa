"""One recurrent layer on some rows of the batch: forward in time, and back through it.

Memory, all contiguous, H being the padded hidden size and S the number of states (h, or h and c):

    inputs  (T, B)            the symbol that is read; 0 is the boundary, where a text starts from the zero state
    preact  (B, blocks H)     the pre-activations of one step, which stay in the inner caches
    gates   (T, B, blocks H)  gates, then the gradient in the pre-activations
    states  (S, T + 1, B, H)  the states before each step; those after the last one stand at T
    output  (T, B, H)         h, thinned out by `mask` (B, H), as the next layer reads it
    carry   (layers, S, B, H) the gradient in the states, on its way back
"""

from __future__ import annotations

from rnn_cli.kernels.compiler.cell_inlining import cell_backward, cell_forward, load_blocks, load_states, store_tuple
from rnn_cli.kernels.compiler.jit import kernel
from rnn_cli.kernels.matmul.packing import ZERO
from rnn_cli.kernels.matmul.product import multiply, multiply_onto
from rnn_cli.kernels.simd.vector import lanes, load, prefetch, store


@kernel
def clear(array, start, count):
    """Set `count` elements to 0."""
    for k in range(start, start + count):
        array[k] = 0


@kernel
def copy(target, target_start, source, source_start, count):
    """Copy `count` elements, a multiple of the lanes of a vector."""
    for k in range(0, count, lanes(target)):
        store(target, target_start + k, load(source, source_start + k))


@kernel
def copy_to_rows(target, target_start, target_stride, rows, source, source_start, count):
    """Copy `count` elements into each of so many rows."""
    for row in range(rows):
        copy(target, target_start + row * target_stride, source, source_start, count)


@kernel
def add_row(target, target_start, source, source_start, count):
    """Add `count` elements, a multiple of the lanes of a vector."""
    for k in range(0, count, lanes(target)):
        store(target, target_start + k, load(target, target_start + k) + load(source, source_start + k))


@kernel
def prefetch_blocks(array, index, stride, blocks):
    """Have so many elements, `stride` apart, on their way: what comes from afar arrives while others are computed."""
    for block in range(blocks):
        prefetch(array, index + block * stride)


@kernel
def restart(net, inputs, states, start, first, last):
    """Set the state of the rows to zero whose first input is the boundary; states (S, T + 1, B, H) begin at `start`."""
    for row in range(first, last):
        if inputs[row] == 0:
            for state in range(net.states):
                plane = state * (net.length + 1) * net.batch
                clear(states, start + (plane + row) * net.hidden, net.hidden)


@kernel
def preactivations(net, layer, t, inputs, preact, states, output, parameters, packed, places, first, last):
    """Compute preact_t = x_t W_ih + h_(t-1) W_hh + b for rows first..last of one layer.

    Of layer 0 x_t is one-hot, and so x_t W_ih a row of W_ih. The first product starts from the bias; where no product
    reaches (see cells/cell.py), the bias is copied.
    """
    hidden, batch, width, rows = net.hidden, net.batch, net.blocks * net.hidden, last - first
    weight_ih, weight_hh, bias = places[layer, 0], places[layer, 1], places[layer, 2]
    at = first * width
    h = ((layer * net.states * (net.length + 1) + t) * batch + first) * hidden
    recurrent = width - net.recurrent_columns
    if layer == 0:
        copy_to_rows(preact, at, width, rows, parameters, bias, recurrent)
        multiply_onto(preact, at + recurrent, width, parameters, bias + recurrent, ZERO, states, h, hidden, rows,
                      hidden, packed, weight_hh, net.recurrent_columns)  # fmt: skip
        for row in range(rows):
            symbol = inputs[t * batch + first + row]
            add_row(preact, at + row * width, parameters, weight_ih + symbol * net.input_columns, net.input_columns)
    else:
        x = (((layer - 1) * net.length + t) * batch + first) * hidden
        rest = net.input_columns
        copy_to_rows(preact, at + rest, width, rows, parameters, bias + rest, width - rest)
        multiply_onto(preact, at, width, parameters, bias, ZERO, output, x, hidden, rows, hidden,
                      packed, weight_ih, net.input_columns)  # fmt: skip
        multiply(preact, at + recurrent, width, states, h, hidden, rows, hidden,
                 packed, weight_hh, net.recurrent_columns)  # fmt: skip


@kernel
def layer_forward(
    cell, net, layer, inputs, preact, gates, states, output, mask, parameters, packed, places, first, last
):
    """Run rows first..last of the batch through all steps of one layer."""
    hidden, batch, width = net.hidden, net.batch, net.blocks * net.hidden
    plane = (net.length + 1) * batch * hidden
    step_gates, step_output = batch * width, batch * hidden
    gates_at = layer * net.length * step_gates
    states_at = layer * net.states * plane
    output_at = layer * net.length * step_output
    restart(net, inputs, states, states_at, first, last)
    for t in range(net.length):
        preactivations(net, layer, t, inputs, preact, states, output, parameters, packed, places, first, last)
        for row in range(first, last):
            starts_anew = t + 1 < net.length and inputs[(t + 1) * batch + row] == 0
            for j in range(0, hidden, lanes(gates)):
                prefetch_blocks(gates, gates_at + (row + 1) * width + j, hidden, net.blocks)
                sums = load_blocks(cell, preact, row * width + j, hidden)
                previous = load_states(cell, states, states_at + row * hidden + j, plane)
                values, state = cell_forward(cell, sums, previous)
                store_tuple(gates, gates_at + row * width + j, hidden, values)
                store_tuple(states, states_at + step_output + row * hidden + j, plane, state)
                kept = load(mask, (layer * batch + row) * hidden + j)
                store(output, output_at + row * hidden + j, state[0] * kept)
            # What fills the last vector stays 0 whatever the cell makes of it, or weights would grow there.
            clear(states, states_at + step_output + row * hidden + net.units, hidden - net.units)
            clear(output, output_at + row * hidden + net.units, hidden - net.units)
            if starts_anew:
                for state in range(net.states):
                    clear(states, states_at + step_output + row * hidden + state * plane, hidden)
        gates_at += step_gates
        states_at += step_output
        output_at += step_output


@kernel
def layer_backward(
    cell, net, layer, inputs, gates, states, grad_output, carry, mask, zeros, packed_transposed, places, first, last
):
    """Undo `layer_forward`, last step first.

    `grad_output` (T, B, H) holds the gradient in this layer's output, and afterwards that in its input (not for layer
    0, whose input is one-hot). `carry` holds the gradient in the final states, and afterwards that in the initial ones.
    """
    hidden, batch, width = net.hidden, net.batch, net.blocks * net.hidden
    plane = (net.length + 1) * batch * hidden
    weight_ih, weight_hh = places[layer, 0], places[layer, 1]
    recurrent = width - net.recurrent_columns
    carry_at = layer * net.states * batch * hidden
    for t in range(net.length - 1, -1, -1):
        gates_at = (layer * net.length + t) * batch * width
        states_at = layer * net.states * plane + t * batch * hidden
        output_at = t * batch * hidden
        for row in range(first, last):
            for j in range(0, hidden, lanes(gates)):
                prefetch_blocks(gates, gates_at + (row + 1) * width + j, hidden, net.blocks)
                values = load_blocks(cell, gates, gates_at + row * width + j, hidden)
                previous = load_states(cell, states, states_at + row * hidden + j, plane)
                kept = load(mask, (layer * batch + row) * hidden + j)
                at = carry_at + row * hidden + j
                store(carry, at, load(carry, at) + load(grad_output, output_at + row * hidden + j) * kept)
                grad = load_states(cell, carry, at, batch * hidden)
                grad_preact, grad_previous = cell_backward(cell, values, previous, grad)
                store_tuple(gates, gates_at + row * width + j, hidden, grad_preact)
                store_tuple(carry, at, batch * hidden, grad_previous)
        multiply(carry, carry_at + first * hidden, hidden, gates, gates_at + first * width + recurrent, width,
                 last - first, net.recurrent_columns, packed_transposed, weight_hh, hidden)  # fmt: skip
        for row in range(first, last):
            if inputs[t * batch + row] == 0:  # the step started from zero, whatever was before
                for state in range(net.states):
                    clear(carry, carry_at + (state * batch + row) * hidden, hidden)
        if layer > 0:
            multiply_onto(grad_output, output_at + first * hidden, hidden, zeros, ZERO, ZERO,
                          gates, gates_at + first * width, width, last - first, net.input_columns,
                          packed_transposed, weight_ih, hidden)  # fmt: skip
