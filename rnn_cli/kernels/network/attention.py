"""Attention of a decoder to what an encoder has read (Luong, Pham and Manning 2015, "general"), and the bridge.

With E (S, D) the outputs of the encoder for one source, d_t (H) the output of the decoder, and C, Z of all steps:

    K = E W_k                            keys: the readout of the encoder
    a_t = softmax(K d_t)                 how much step t attends to each symbol of the source
    c_t = E^T a_t                        the context
    z_t = tanh(d_t W_d + c_t W_c + b)    what the readout of the decoder reads
    h_0, c_0 = tanh(e W_b + b_b)         the bridge: the states that each layer of the decoder starts from

e is the end of the encoder: its forward output at the last symbol, its backward output at the first. Each row of the
decoder attends to one row of the encoder, in `columns`; rows do not see each other, so any split of them is exact.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from rnn_cli.cells.activations import tanh
from rnn_cli.kernels.compiler.jit import kernel
from rnn_cli.kernels.matmul.matrix import ONE, Matrix, Packed, Scratch
from rnn_cli.kernels.matmul.packing import ZERO, pack, pack_transposed
from rnn_cli.kernels.matmul.product import multiply_onto
from rnn_cli.kernels.network.arrays import clear, copy
from rnn_cli.kernels.network.gradients import Map, map_gradients
from rnn_cli.kernels.network.losses import largest
from rnn_cli.kernels.network.memory import last_output, layer_of
from rnn_cli.kernels.simd.pointer import address
from rnn_cli.kernels.simd.vector import broadcast, first_lanes, fma, lanes, load, store, sum_lanes
from rnn_cli.kernels.simd.vector_math import LOG2_E, exp2


class Attention(NamedTuple):
    """The maps between an encoder and a decoder, and their values for T steps of B rows. Q is `bridge_columns`.

    parameters, packed   W_d (H, H), W_c (D, H), b (H), W_b (D, Q), b_b (Q), at the offsets (6)
    lengths, columns     symbols of each source, by the rows of the encoder; the encoder's row of each decoder's row
    weights (T, B, slots)  a
    contexts (T, B, D)   c
    combined (T, B, H)   z without its mask; afterwards the gradient in what the tanh takes
    mask (B, H)          dropout of z
    end (B, D), initial (B, Q)  e, and the states it becomes; afterwards the gradient in what the tanh takes
    scratch              room for `span` elements of operands for each row
    """

    parameters: Any
    offsets: Any
    packed: Any
    scratch: Any
    lengths: Any
    columns: Any
    weights: Any
    contexts: Any
    combined: Any
    mask: Any
    end: Any
    initial: Any
    slots: int
    span: int
    bridge_columns: int


class AttentionGradient(NamedTuple):
    """The further arrays of a gradient: `back` for products, and the gradients in contexts and weights."""

    back: Any
    grad_contexts: Any
    grad_weights: Any


class Half(NamedTuple):
    """A network, and the arrays that it runs in."""

    network: Any
    arrays: Any


class Pair(NamedTuple):
    """An encoder and a decoder with their attention."""

    encoder: Half
    decoder: Half
    attention: Attention


@kernel
def attention_addresses(a):
    """Return an attention with the addresses of its arrays."""
    return Attention(
        address(a.parameters),
        address(a.offsets),
        address(a.packed),
        address(a.scratch),
        address(a.lengths),
        address(a.columns),
        address(a.weights),
        address(a.contexts),
        address(a.combined),
        address(a.mask),
        address(a.end),
        address(a.initial),
        a.slots,
        a.span,
        a.bridge_columns,
    )


@kernel
def pack_between(pair, share):
    """Pack the maps for the forward products, this share's panels."""
    attention, hidden, read = pair.attention, pair.decoder.network.sizes.hidden, pair.encoder.network.sizes.width
    for part, depth, columns in ((0, hidden, hidden), (1, read, hidden), (3, read, attention.bridge_columns)):
        at = attention.offsets[part]
        target = Packed(attention.packed, at, depth, columns, Scratch(attention.scratch, ZERO))
        pack(Matrix(attention.parameters, at, columns, ONE), target, share)


@kernel
def pack_between_transposed(pair, back, share):
    """Pack the transposed maps for the backward products, this share's panels."""
    attention, hidden, read = pair.attention, pair.decoder.network.sizes.hidden, pair.encoder.network.sizes.width
    for part, depth, columns in ((0, hidden, hidden), (1, read, hidden), (3, read, attention.bridge_columns)):
        at = attention.offsets[part]
        target = Packed(back.packed_transposed, at, columns, depth, Scratch(back.lhs_scratch, ZERO))
        pack_transposed(Matrix(attention.parameters, at, columns, ONE), target, share)


@kernel
def sources_of(pair):
    """Return the outputs E of the encoder as a matrix, a row for each step and row."""
    return last_output(pair.encoder.network.sizes, pair.encoder.arrays, ZERO)


@kernel
def keys_of(pair):
    """Return the keys K as a matrix, a row for each step and row of the encoder."""
    return Matrix(pair.encoder.arrays.logits, ZERO, pair.encoder.network.sizes.columns, ONE)


@kernel
def dot(x, x_start, y, y_start, count):
    """Return the sum of the products of `count` elements."""
    total = broadcast(x, 0)
    for j in range(0, count, lanes(x)):
        total = fma(load(x, x_start + j), load(y, y_start + j), total)
    return sum_lanes(total)


@kernel
def add_mixture(target, at, factors, step, rows, count):
    """Add to `target.stride` elements from `at` on the sum over `count` rows of a factor times the row.

    The factors are `step.stride` apart from element `step.start` of `factors` on, the rows `rows.step` rows apart.
    """
    for j in range(0, target.stride, lanes(target.array)):
        total = load(target.array, at + j)
        for k in range(count):
            row = load(rows.array, rows.start + k * rows.step * rows.stride + j)
            total = fma(row, broadcast(target.array, factors[step.start + k * step.stride]), total)
        store(target.array, at + j, total)


@kernel
def softmax(weights, start, count, padded):
    """Replace `count` scores by their softmax; the padding becomes 0."""
    end, top = start + count, largest(weights, start, count, padded)
    total = broadcast(weights, 0)
    for j in range(start, start + padded, lanes(weights)):
        e = first_lanes(exp2((load(weights, j) - top) * LOG2_E), end - j, 0)
        store(weights, j, e)
        total = total + e
    scale = 1 / sum_lanes(total)
    for j in range(start, start + padded, lanes(weights)):
        store(weights, j, load(weights, j) * scale)


@kernel
def attention_forward(pair, rows):
    """Compute the weights, the contexts and z of all steps of some rows of the decoder."""
    attention, sizes, arrays = pair.attention, pair.decoder.network.sizes, pair.decoder.arrays
    batch, hidden, width = sizes.batch, sizes.hidden, attention.slots
    keys, sources, outputs = keys_of(pair), sources_of(pair), last_output(sizes, arrays, ZERO)
    contexts = Matrix(attention.contexts, ZERO, sources.stride, ONE)
    step = pair.encoder.network.sizes.batch  # rows from one symbol of a source to the next
    for row in range(rows.first, rows.last):
        column = attention.columns[row]
        count = attention.lengths[column]
        source = Matrix(sources.array, sources.start + column * sources.stride, sources.stride, step)
        for k in range(row, sizes.length * batch, batch):
            at, output = k * width, outputs.start + k * outputs.stride
            for s in range(count):
                key = keys.start + (s * step + column) * keys.stride
                attention.weights[at + s] = dot(outputs.array, output, keys.array, key, hidden)
            softmax(attention.weights, at, count, width)
            clear(attention.contexts, k * contexts.stride, contexts.stride)
            factors = Matrix(attention.weights, at, ONE, ONE)
            add_mixture(contexts, k * contexts.stride, attention.weights, factors, source, count)
    for t in range(sizes.length):
        combine(pair, t, rows)


@kernel
def combine(pair, t, rows):
    """Compute z of step t for some rows, and put it with its mask where the readout reads."""
    attention, sizes, arrays = pair.attention, pair.decoder.network.sizes, pair.decoder.arrays
    hidden, read, count = sizes.hidden, pair.encoder.network.sizes.width, rows.last - rows.first
    k = t * sizes.batch + rows.first
    scratch = Scratch(attention.scratch, rows.first * attention.span)
    z = Matrix(attention.combined, k * hidden, hidden, ONE)
    query = Packed(attention.packed, attention.offsets[0], hidden, hidden, scratch)
    context = Packed(attention.packed, attention.offsets[1], read, hidden, scratch)
    bias = Matrix(attention.parameters, attention.offsets[2], ZERO, ONE)
    multiply_onto(z, bias, last_output(sizes, arrays, k), rows, query)
    multiply_onto(z, z, Matrix(attention.contexts, k * read, read, ONE), rows, context)
    for row in range(count):
        for j in range(0, hidden, lanes(z.array)):
            at = z.start + row * hidden + j
            value = tanh(load(z.array, at))
            store(z.array, at, value)
            kept = load(attention.mask, (rows.first + row) * hidden + j)
            store(arrays.pooled, at, value * kept)


@kernel
def bridge_forward(pair, rows):
    """Compute the states that some rows of the decoder start from."""
    attention, sizes, arrays = pair.attention, pair.decoder.network.sizes, pair.decoder.arrays
    read, units, columns = pair.encoder.network.sizes.width, sizes.units, attention.bridge_columns
    sources, batch = sources_of(pair), pair.encoder.network.sizes.batch
    for row in range(rows.first, rows.last):
        column = attention.columns[row]
        last = (attention.lengths[column] - 1) * batch + column
        copy(attention.end, row * read, sources.array, sources.start + column * read, read)
        for j in range(units):
            attention.end[row * read + j] = sources.array[sources.start + last * read + j]
    initial = Matrix(attention.initial, rows.first * columns, columns, ONE)
    scratch = Scratch(attention.scratch, rows.first * attention.span)
    weight = Packed(attention.packed, attention.offsets[3], read, columns, scratch)
    bias = Matrix(attention.parameters, attention.offsets[4], ZERO, ONE)
    multiply_onto(initial, bias, Matrix(attention.end, rows.first * read, read, ONE), rows, weight)
    for index in range(sizes.layers):
        layer = layer_of(sizes, arrays, index, ZERO)
        for state in range(sizes.states):
            block = (index * sizes.states + state) * sizes.hidden
            for row in range(rows.first, rows.last):
                for j in range(0, sizes.hidden, lanes(initial.array)):
                    at = row * columns + block + j
                    value = tanh(load(initial.array, at))
                    store(initial.array, at, value)
                    store(arrays.states, layer.before + state * sizes.plane + row * sizes.hidden + j, value)


@kernel
def attention_backward(pair, back, gradient, rows):
    """Undo `attention_forward`. `back.grad_output` of the decoder holds the gradient in z, afterwards that in d.

    The gradient in the keys takes their place. That in the sources through the contexts: `add_context_gradient`.
    """
    attention, sizes, arrays = pair.attention, pair.decoder.network.sizes, pair.decoder.arrays
    batch, hidden, width = sizes.batch, sizes.hidden, attention.slots
    for t in range(sizes.length):
        combine_backward(pair, back, gradient, t, rows)
    keys, sources, outputs = keys_of(pair), sources_of(pair), last_output(sizes, arrays, ZERO)
    grad_outputs = Matrix(back.grad_output, layer_of(sizes, arrays, sizes.layers - 1, ZERO).grad_output, hidden, ONE)
    steps = sizes.length
    for row in range(rows.first, rows.last):
        count = attention.lengths[row]
        key_rows = Matrix(keys.array, keys.start + row * keys.stride, keys.stride, batch)
        for k in range(row, steps * batch, batch):
            at, total = k * width, 0.0
            for s in range(count):
                source = sources.start + (s * batch + row) * sources.stride
                grad = dot(gradient.grad_contexts, k * sources.stride, sources.array, source, sources.stride)
                gradient.grad_weights[at + s] = grad
                total += grad * attention.weights[at + s]
            for s in range(count):  # through the softmax
                gradient.grad_weights[at + s] = attention.weights[at + s] * (gradient.grad_weights[at + s] - total)
            factors = Matrix(gradient.grad_weights, at, ONE, ONE)
            target = grad_outputs.start + k * hidden
            add_mixture(grad_outputs, target, gradient.grad_weights, factors, key_rows, count)
        own = Matrix(outputs.array, outputs.start + row * hidden, hidden, batch)
        for s in range(pair.encoder.network.sizes.length):
            at = keys.start + (s * batch + row) * keys.stride
            clear(keys.array, at, keys.stride)
            if s < count:
                factors = Matrix(gradient.grad_weights, row * width + s, batch * width, ONE)
                add_mixture(keys, at, gradient.grad_weights, factors, own, steps)


@kernel
def combine_backward(pair, back, gradient, t, rows):
    """Compute the gradients in d_t and in the contexts of step t from that in z_t, for some rows."""
    attention, sizes, arrays = pair.attention, pair.decoder.network.sizes, pair.decoder.arrays
    hidden, read, count = sizes.hidden, pair.encoder.network.sizes.width, rows.last - rows.first
    k = t * sizes.batch + rows.first
    top = layer_of(sizes, arrays, sizes.layers - 1, ZERO).grad_output
    grad_output = Matrix(back.grad_output, top + k * hidden, hidden, ONE)
    grad = Matrix(attention.combined, k * hidden, hidden, ONE)
    for row in range(count):
        for j in range(0, hidden, lanes(grad.array)):
            z = load(grad.array, grad.start + row * hidden + j)
            kept = load(attention.mask, (rows.first + row) * hidden + j)
            grad_z = load(grad_output.array, grad_output.start + row * hidden + j) * kept
            store(grad.array, grad.start + row * hidden + j, grad_z * (1 - z * z))
    scratch = Scratch(attention.scratch, rows.first * attention.span)
    query = Packed(gradient.back.packed_transposed, attention.offsets[0], hidden, hidden, scratch)
    context = Packed(gradient.back.packed_transposed, attention.offsets[1], hidden, read, scratch)
    zeros = Matrix(gradient.back.zeros, ZERO, ZERO, ONE)
    multiply_onto(grad_output, zeros, grad, rows, query)
    multiply_onto(Matrix(gradient.grad_contexts, k * read, read, ONE), zeros, grad, rows, context)


@kernel
def add_context_gradient(pair, encoder_back, gradient, rows):
    """Add to the gradient in the outputs of the encoder what reaches them through the contexts, for some rows."""
    attention, sizes, steps = pair.attention, pair.encoder.network.sizes, pair.decoder.network.sizes.length
    batch, read, width = sizes.batch, sizes.width, attention.slots
    top = layer_of(sizes, pair.encoder.arrays, sizes.layers - 1, ZERO).grad_output
    target = Matrix(encoder_back.grad_output, top, read, ONE)
    for row in range(rows.first, rows.last):
        contexts = Matrix(gradient.grad_contexts, row * read, read, batch)
        for s in range(attention.lengths[row]):
            factors = Matrix(attention.weights, row * width + s, batch * width, ONE)
            add_mixture(target, top + (s * batch + row) * read, attention.weights, factors, contexts, steps)


@kernel
def bridge_backward(pair, backs, gradient, rows):
    """Undo `bridge_forward`: the carry of the decoder is the gradient in its initial states. `backs` are both ones."""
    encoder_back, back = backs
    attention, sizes = pair.attention, pair.decoder.network.sizes
    read, units, columns = pair.encoder.network.sizes.width, sizes.units, attention.bridge_columns
    batch = sizes.batch
    for index in range(sizes.layers * sizes.states):
        for row in range(rows.first, rows.last):
            for j in range(0, sizes.hidden, lanes(attention.initial)):
                at = row * columns + index * sizes.hidden + j
                value = load(attention.initial, at)
                grad = load(back.carry, (index * batch + row) * sizes.hidden + j)
                store(attention.initial, at, grad * (1 - value * value))
    scratch = Scratch(attention.scratch, rows.first * attention.span)
    weight = Packed(gradient.back.packed_transposed, attention.offsets[3], columns, read, scratch)
    zeros = Matrix(gradient.back.zeros, ZERO, ZERO, ONE)
    # The contexts of step 0 are done with, so their gradient has room for that in the end of the encoder.
    grad_end = Matrix(gradient.grad_contexts, rows.first * read, read, ONE)
    grad_initial = Matrix(attention.initial, rows.first * columns, columns, ONE)
    multiply_onto(grad_end, zeros, grad_initial, rows, weight)
    sizes = pair.encoder.network.sizes
    top = layer_of(sizes, pair.encoder.arrays, sizes.layers - 1, ZERO).grad_output
    for row in range(rows.first, rows.last):
        last = top + ((attention.lengths[row] - 1) * batch + row) * read
        for j in range(read):
            at = last + j if j < units else top + row * read + j
            encoder_back.grad_output[at] += gradient.grad_contexts[row * read + j]


@kernel
def between_gradients(pair, gradient, share):
    """Compute the gradient in the maps between the two, this share's columns."""
    attention, sizes, back = pair.attention, pair.decoder.network.sizes, gradient.back
    hidden, read, depth = sizes.hidden, pair.encoder.network.sizes.width, sizes.length * sizes.batch
    grad = Matrix(attention.combined, ZERO, hidden, ONE)
    outputs = last_output(sizes, pair.decoder.arrays, ZERO)
    map_gradients(Map(attention.offsets[0], attention.offsets[2], hidden, depth), outputs, grad, back, share)
    contexts = Matrix(attention.contexts, ZERO, read, ONE)
    map_gradients(Map(attention.offsets[1], -1, read, depth), contexts, grad, back, share)
    end = Matrix(attention.end, ZERO, read, ONE)
    initial = Matrix(attention.initial, ZERO, attention.bridge_columns, ONE)
    bridge = Map(attention.offsets[3], attention.offsets[4], read, sizes.batch)
    map_gradients(bridge, end, initial, back, share)
