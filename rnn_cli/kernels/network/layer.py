"""One recurrent layer over time, in one direction, on some rows of the batch: forward, and backward through time.

Backpropagation through time (BPTT) is `layer_backward`: the same steps, last first. What a textbook adds up in that
loop, the sum over time of the gradient in the shared weights, is formed afterwards as one product over all steps
(gradients.py): here each step leaves its grad_preact in place of its gates. `network/plain.py` has the same algorithm
in NumPy, to read.
"""

from __future__ import annotations

from rnn_cli.kernels.compiler.cell_inlining import cell_backward, cell_forward, load_blocks, load_states, store_tuple
from rnn_cli.kernels.compiler.jit import kernel
from rnn_cli.kernels.matmul.matrix import ONE, Matrix, Packed
from rnn_cli.kernels.matmul.product import multiply_onto
from rnn_cli.kernels.network.arrays import clear, prefetch_blocks
from rnn_cli.kernels.network.memory import scratch_for
from rnn_cli.kernels.network.sources import input_gradient, preactivations
from rnn_cli.kernels.shared_row import meet, own_columns
from rnn_cli.kernels.simd.vector import first_lanes, lanes, load, store


@kernel
def layer_forward(cell, source, layer, rows):
    """Run some rows of the batch through all steps of a layer in its direction."""
    length = layer.sizes.length
    for step in range(length):
        t = length - 1 - step if layer.reverse else step
        restart(layer, t, rows)
        preactivations(source, layer, t, rows)  # preact_t = x_t W_ih + h_(t-1) W_hh + b
        cell_step(cell, layer, t, rows)  # gates_t, h_t = cell(preact_t, h_(t-1))


@kernel
def layer_backward(cell, source, layer, back, rows):
    """Undo `layer_forward`, last step first: backpropagation through time.

    `back.grad_output` holds the gradient in the output of the layer, and `source.grad` gets that in its input (the same
    array, if there is one direction). `back.carry` holds the gradient in the states after the last step, and afterwards
    that in the states before the first one.
    """
    length = layer.sizes.length
    for step in range(length - 1, -1, -1):
        t = length - 1 - step if layer.reverse else step
        cell_step_backward(cell, layer, back, t, rows)  # grad_preact_t, and what reaches h_(t-1) directly
        recurrent_gradient(layer, back, t, rows)  # grad_h_(t-1) += grad_preact_t W_hh^T
        input_gradient(source, layer, back, t, rows)  # grad_x_t = grad_preact_t W_ih^T


@kernel
def restart(layer, t, rows):
    """Set the states before step t of the rows that start there to zero."""
    sizes, arrays = layer.sizes, layer.arrays
    for row in range(t * sizes.batch + rows.first, t * sizes.batch + rows.last):
        if arrays.starts[layer.starts + row] != 0:
            for state in range(sizes.states):
                clear(arrays.states, layer.before + row * sizes.hidden + state * sizes.plane, sizes.hidden)


@kernel
def cell_step(cell, layer, t, rows):
    """Compute gates, states and output of step t from the pre-activations."""
    sizes, arrays = layer.sizes, layer.arrays
    gates, states, output = arrays.gates, arrays.states, arrays.output
    hidden, width, plane = sizes.hidden, sizes.blocks * sizes.hidden, sizes.plane
    gates_at = layer.gates + t * sizes.batch * sizes.gates
    output_at = layer.output + t * sizes.batch * sizes.width
    before, after = layer.before + t * sizes.batch * hidden, layer.after + t * sizes.batch * hidden
    first, last = own_columns(rows, hidden, lanes(gates))
    for row in range(rows.first, rows.last):
        for j in range(first, last, lanes(gates)):
            prefetch_blocks(gates, gates_at + (row + 1) * sizes.gates + j, hidden, sizes.blocks)
            preact = load_blocks(cell, arrays.preact, row * width + j, hidden)
            previous = load_states(cell, states, before + row * hidden + j, plane)
            values, state = cell_forward(cell, preact, previous)
            store_tuple(gates, gates_at + row * sizes.gates + j, hidden, values)
            store_tuple(states, after + row * hidden + j, plane, state)
            kept = load(arrays.mask, layer.mask + row * hidden + j)
            store(output, output_at + row * sizes.width + j, state[0] * kept)
        # Keep the padding at 0: a cell may map 0 to something else, and padded weights would then get gradients.
        clear(states, after + row * hidden + sizes.units, hidden - sizes.units)
        clear(output, output_at + row * sizes.width + sizes.units, hidden - sizes.units)
    meet(rows)


@kernel
def cell_step_backward(cell, layer, back, t, rows):
    """Undo `cell_step`: gates become the gradient in the pre-activations, and `carry` goes one step back."""
    sizes, arrays = layer.sizes, layer.arrays
    gates, carry = arrays.gates, back.carry
    hidden, carry_plane = sizes.hidden, sizes.batch * sizes.hidden
    gates_at = layer.gates + t * sizes.batch * sizes.gates
    output_at = layer.grad_output + t * sizes.batch * sizes.width
    before = layer.before + t * sizes.batch * hidden
    for row in range(rows.first, rows.last):
        for j in range(0, hidden, lanes(gates)):
            prefetch_blocks(gates, gates_at + (row + 1) * sizes.gates + j, hidden, sizes.blocks)
            values = load_blocks(cell, gates, gates_at + row * sizes.gates + j, hidden)
            previous = load_states(cell, arrays.states, before + row * hidden + j, sizes.plane)
            # In the padding of the first direction stands the gradient of the second one, which is not its own.
            kept = first_lanes(load(arrays.mask, layer.mask + row * hidden + j), sizes.units - j, 0)
            at = layer.carry + row * hidden + j
            grad_output = load(back.grad_output, output_at + row * sizes.width + j)
            store(carry, at, load(carry, at) + grad_output * kept)
            grad = load_states(cell, carry, at, carry_plane)
            grad_preact, grad_previous = cell_backward(cell, values, previous, grad)
            store_tuple(gates, gates_at + row * sizes.gates + j, hidden, grad_preact)
            store_tuple(carry, at, carry_plane, grad_previous)


@kernel
def recurrent_gradient(layer, back, t, rows):
    """Add to the gradient in h_(t-1) what reaches it through W_hh; it stays zero if step t started from zero."""
    sizes, arrays = layer.sizes, layer.arrays
    hidden, k = sizes.hidden, t * sizes.batch + rows.first
    recurrent = sizes.blocks * hidden - sizes.recurrent_columns
    scratch = scratch_for(sizes, arrays, rows)
    weight = Packed(back.packed_transposed, layer.weight_hh, sizes.recurrent_columns, hidden, scratch)
    grad_h = Matrix(back.carry, layer.carry + rows.first * hidden, hidden, ONE)
    grad_preact = Matrix(arrays.gates, layer.gates + k * sizes.gates + recurrent, sizes.gates, ONE)
    multiply_onto(grad_h, grad_h, grad_preact, rows, weight)
    for row in range(rows.first, rows.last):
        if arrays.starts[layer.starts + t * sizes.batch + row] != 0:
            for state in range(sizes.states):
                clear(back.carry, layer.carry + (state * sizes.batch + row) * hidden, hidden)
