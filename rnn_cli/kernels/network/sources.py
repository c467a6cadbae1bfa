"""What a layer reads at each step, chosen by type: one-hot symbols or rows of numbers.

A source answers four questions, each with a kernel: how the pre-activations start from it, what its gradient is, how it
is read for the weight gradient, and how that gradient is summed.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from rnn_cli.kernels.compiler.jit import chosen_by_type, kernel
from rnn_cli.kernels.matmul.matrix import ONE, Matrix, Packed, block
from rnn_cli.kernels.matmul.packing import ZERO, transposed
from rnn_cli.kernels.matmul.product import multiply_onto
from rnn_cli.kernels.network.arrays import add_row, copy_to_rows
from rnn_cli.kernels.network.deep_products import add_product, scatter_rows
from rnn_cli.kernels.network.memory import scratch_for
from rnn_cli.kernels.shared_row import meet, own_columns
from rnn_cli.kernels.simd.pointer import address
from rnn_cli.kernels.simd.vector import lanes


class OneHot(NamedTuple):
    """Symbols (T, B, per_step): x_t is the sum of `per_step` one-hot vectors, so x_t W_ih is a sum of rows of W_ih.

    `width` is 0: there is no product.
    """

    symbols: Any
    per_step: int
    width: int


class Dense(NamedTuple):
    """Numbers (T, B, width), a multiple of the lanes of a vector, from element `start` of `values` on.

    Their gradient goes to `grad`, from `grad_start` on: it is dropped if `mode` is 0, stored if 1, added if 2.
    """

    values: Any
    start: int
    width: int
    grad: Any
    grad_start: int
    mode: int


@chosen_by_type
def source_address(source):
    """Return a source with the address of its array."""
    return symbols_address if source.instance_class is OneHot else numbers_address


@kernel
def symbols_address(source):
    """Return the source."""
    return OneHot(address(source.symbols), source.per_step, source.width)


@kernel
def numbers_address(source):
    """Return the source."""
    return Dense(
        address(source.values), source.start, source.width, address(source.grad), source.grad_start, source.mode
    )


@chosen_by_type
def preactivations(source, layer, t, rows):
    """Compute preact_t = x_t W_ih + h_(t-1) W_hh + b for some rows of a layer.

    The first product starts from the bias; the bias is copied into the columns that it does not reach.
    """
    return from_symbols if source.instance_class is OneHot else from_numbers


@kernel
def from_symbols(source, layer, t, rows):
    """Compute the pre-activations; x_t W_ih is a gather of rows of W_ih."""
    sizes, arrays, count = layer.sizes, layer.arrays, rows.last - rows.first
    width, hidden = sizes.blocks * sizes.hidden, sizes.hidden
    recurrent = width - sizes.recurrent_columns
    scratch = scratch_for(sizes, arrays, rows)
    preact = Matrix(arrays.preact, rows.first * width, width, ONE)
    h = Matrix(arrays.states, layer.before + (t * sizes.batch + rows.first) * hidden, hidden, ONE)
    weight_hh = Packed(arrays.packed, layer.weight_hh, hidden, sizes.recurrent_columns, scratch)
    copy_to_rows(preact, count, arrays.parameters, layer.bias, recurrent)
    bias = Matrix(arrays.parameters, layer.bias + recurrent, ZERO, ONE)
    multiply_onto(block(preact, ZERO, recurrent), bias, h, rows, weight_hh)
    first, last = own_columns(rows, sizes.input_columns, lanes(arrays.preact))
    for row in range(count):
        at = (t * sizes.batch + rows.first + row) * source.per_step
        for k in range(at, at + source.per_step):
            weights = layer.weight_ih + source.symbols[k] * sizes.input_columns + first
            add_row(arrays.preact, preact.start + row * width + first, arrays.parameters, weights, last - first)
    meet(rows)


@kernel
def from_numbers(source, layer, t, rows):
    """Compute the pre-activations with two products."""
    sizes, arrays, count = layer.sizes, layer.arrays, rows.last - rows.first
    width, hidden, rest = sizes.blocks * sizes.hidden, sizes.hidden, sizes.input_columns
    recurrent = width - sizes.recurrent_columns
    scratch = scratch_for(sizes, arrays, rows)
    preact = Matrix(arrays.preact, rows.first * width, width, ONE)
    h = Matrix(arrays.states, layer.before + (t * sizes.batch + rows.first) * hidden, hidden, ONE)
    x = Matrix(source.values, source.start + (t * sizes.batch + rows.first) * source.width, source.width, ONE)
    weight_ih = Packed(arrays.packed, layer.weight_ih, source.width, rest, scratch)
    weight_hh = Packed(arrays.packed, layer.weight_hh, hidden, sizes.recurrent_columns, scratch)
    copy_to_rows(block(preact, ZERO, rest), count, arrays.parameters, layer.bias + rest, width - rest)
    multiply_onto(preact, Matrix(arrays.parameters, layer.bias, ZERO, ONE), x, rows, weight_ih)
    sums = block(preact, ZERO, recurrent)
    multiply_onto(sums, sums, h, rows, weight_hh)


@chosen_by_type
def input_gradient(source, layer, back, t, rows):
    """Compute the gradient in x_t from that in the pre-activations: grad_x_t = grad_preact_t W_ih^T."""
    return no_gradient if source.instance_class is OneHot else numbers_gradient


@kernel
def no_gradient(source, layer, back, t, rows):
    """Do nothing: symbols have no gradient."""


@kernel
def numbers_gradient(source, layer, back, t, rows):
    """Compute the gradient in numbers."""
    if source.mode == 0:
        return
    sizes, arrays = layer.sizes, layer.arrays
    k = t * sizes.batch + rows.first
    grad_x = Matrix(source.grad, source.grad_start + k * source.width, source.width, ONE)
    grad_preact = Matrix(arrays.gates, layer.gates + k * sizes.gates, sizes.gates, ONE)
    scratch = scratch_for(sizes, arrays, rows)
    weight = Packed(back.packed_transposed, layer.weight_ih, sizes.input_columns, source.width, scratch)
    initial = Matrix(back.zeros, ZERO, ZERO, ONE) if source.mode == 1 else grad_x
    multiply_onto(grad_x, initial, grad_preact, rows, weight)


@chosen_by_type
def transposed_input(source, layer, k, depth, scratch):
    """Return the transpose of rows k .. k + depth of the input, as the product for the weight gradient reads it."""
    return not_transposed if source.instance_class is OneHot else transposed_numbers


@kernel
def not_transposed(source, layer, k, depth, scratch):
    """Return a matrix that is not used: symbols are scattered."""
    return scratch


@kernel
def transposed_numbers(source, layer, k, depth, scratch):
    """Return the transpose of rows of numbers."""
    x = Matrix(source.values, source.start + k * source.width, source.width, ONE)
    return transposed(scratch.array, x, depth, scratch)


@chosen_by_type
def add_input_product(source, layer, grad, x, panel, span):
    """Add to the columns of a panel of grad_W_ih the sum of x^T grad_preact over the rows of a span (gradients.py).

    `x` is what `transposed_input` returned, `grad` the matrix of these columns.
    """
    return add_scattered_rows if source.instance_class is OneHot else add_product_of_numbers


@kernel
def add_product_of_numbers(source, layer, grad, x, panel, span):
    """Add the product."""
    add_product(grad, x, source.width, panel, span.k == 0)


@kernel
def add_scattered_rows(source, layer, grad, x, panel, span):
    """Add each row of the gradient to the rows of its symbols."""
    stride = layer.sizes.gates
    grad_preact = Matrix(layer.arrays.gates, layer.gates + span.k * stride + span.first, stride, ONE)
    scatter_rows(grad, grad_preact, layer.sizes.input_size, panel.columns, source, span)
