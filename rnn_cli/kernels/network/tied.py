"""An embedding that is tied to the decoder: one matrix E (V, W) gives a symbol its input and an output its logits.

    x_t = E[symbol_t]    logits_t = h_t E^T + b

(Press and Wolf 2017.) V may be large, so logits are kept for one step of the window only. The gradient in E needs those
of all steps: it computes them again, panel by panel of V, from the log of the normaliser of each softmax. Each row of E
is summed by one thread, over all steps and rows in their order.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from rnn_cli.kernels.compiler.jit import kernel
from rnn_cli.kernels.matmul.matrix import ONE, Matrix, Packed, Scratch, Span
from rnn_cli.kernels.matmul.packing import (
    ZERO,
    left_side,
    pack,
    pack_panel,
    pack_transposed,
    panel_at,
    panel_count,
    panel_range,
    panel_span,
    transposed,
)
from rnn_cli.kernels.matmul.product import multiply_panels
from rnn_cli.kernels.network.arrays import add_row, clear, clear_rows, copy
from rnn_cli.kernels.network.memory import decoder_offset, top_output
from rnn_cli.kernels.simd.pointer import address
from rnn_cli.kernels.simd.vector import first_lanes, lanes, load, store
from rnn_cli.kernels.simd.vector_math import LOG2_E, exp2
from rnn_cli.kernels.threads import Rows

DEPTH = 512  # rows of the window that are multiplied at once


class TiedCrossEntropy(NamedTuple):
    """The loss of a network with a tied embedding: softmax and cross-entropy in nats.

    targets (T, B), int32        -1: the step is not scored
    symbols (T, B), int32        the inputs
    embedded (T, B, W)           their embeddings, which layer 0 reads
    normalisers (T, B)           the log of the normaliser of each softmax
    grad_embedded (T, B, W)      the gradient in the embeddings
    scratch                      for each thread: h packed, h as a left-hand operand, logits transposed, in the element
                                 type of the products
    block (threads, DEPTH, TILE) logits of a panel
    """

    targets: Any
    symbols: Any
    embedded: Any
    normalisers: Any
    grad_embedded: Any
    scratch: Any
    block: Any


@kernel
def embed(network, arrays, rows):
    """Copy the embeddings of the symbols of some rows."""
    sizes, loss = network.sizes, network.loss
    start = decoder_offset(sizes, arrays, ZERO)
    for t in range(sizes.length):
        for k in range(t * sizes.batch + rows.first, t * sizes.batch + rows.last):
            at = start + loss.symbols[k] * sizes.width
            copy(loss.embedded, k * sizes.width, arrays.parameters, at, sizes.width)


@kernel
def pack_tied(network, arrays, scratch, share):
    """Pack E^T (W, V), which gives the logits, this share's panels."""
    sizes = network.sizes
    at = decoder_offset(sizes, arrays, ZERO)
    own = Scratch(address(network.loss.scratch[share.part, 1]), ZERO)  # threads convert rows at the same time
    target = Packed(arrays.packed, at, sizes.width, sizes.columns, own)
    pack_transposed(Matrix(arrays.parameters, at, sizes.width, ONE), target, share)


@kernel
def pack_tied_transposed(network, arrays, back, share):
    """Pack E (V, W), which takes the gradient in the logits back, this share's panels."""
    sizes = network.sizes
    at = decoder_offset(sizes, arrays, ZERO)
    target = Packed(back.packed_transposed, at, sizes.columns, sizes.width, Scratch(back.lhs_scratch, ZERO))
    pack(Matrix(arrays.parameters, at, sizes.width, ONE), target, share)


@kernel
def logits_gradient(network, block, span, width, weight):
    """Replace logits (span.depth, width) of the columns from span.first on by `weight` times the gradient in them."""
    sizes, loss = network.sizes, network.loss
    for row in range(span.depth):
        k, at = span.k + row, row * width
        target = loss.targets[k]
        if target < 0:
            clear(block, at, width)
            continue
        for j in range(0, width, lanes(block)):
            p = exp2((load(block, at + j) - loss.normalisers[k]) * LOG2_E) * weight
            store(block, at + j, first_lanes(p, sizes.output_size - span.first - j, 0))
        if span.first <= target < span.first + width:
            block[at + target - span.first] -= weight


@kernel
def pack_output(sizes, arrays, panels, span):
    """Pack the rows of the output of the last layer (span.depth, W) into panels, and return them."""
    output = top_output(sizes, arrays, span.k)
    packed = Packed(panels, ZERO, span.depth, sizes.width, Scratch(panels, ZERO))
    for index in range(panel_count(sizes.width, lanes(output.array))):
        first, width = panel_span(index, sizes.width, lanes(output.array))
        pack_panel(Matrix(output.array, output.start + first, sizes.width, ONE), panel_at(packed, first, width))
    return packed


@kernel
def tied_gradients(network, arrays, back, objective, share):
    """Compute the gradient in E and the bias, this share's rows of E: as the decoder, then as the embedding."""
    sizes, loss, grad = network.sizes, network.loss, back.grad
    start, bias = decoder_offset(sizes, arrays, ZERO), decoder_offset(sizes, arrays, ONE)
    block = address(loss.block[share.part])
    panels, left_scratch = address(loss.scratch[share.part, 0]), address(loss.scratch[share.part, 1])
    turned = Matrix(address(loss.scratch[share.part, 2]), ZERO, ZERO, ONE)
    first_panel, last_panel = panel_range(sizes.columns, lanes(grad), share)
    total = sizes.length * sizes.batch
    for k in range(0, total, DEPTH):
        depth = min(DEPTH, total - k)
        packed_output = pack_output(sizes, arrays, panels, Span(k, depth, ZERO))
        whole = Packed(arrays.packed, start, sizes.width, sizes.columns, Scratch(left_scratch, ZERO))
        left = left_side(whole, top_output(sizes, arrays, k), depth)
        for index in range(first_panel, last_panel):
            first, width = panel_span(index, sizes.columns, lanes(grad))
            weight = Packed(arrays.packed, start + first * sizes.width, sizes.width, width, whole.scratch)
            logits = Matrix(block, ZERO, width, ONE)
            multiply_panels(logits, Matrix(arrays.parameters, bias + first, ZERO, ONE), left, depth, weight)
            logits_gradient(network, block, Span(k, depth, first), width, objective.weight)
            target = Matrix(grad, start + first * sizes.width, sizes.width, ONE)
            if k == 0:
                clear_rows(target, width, sizes.width)
                clear(grad, bias + first, width)
            for row in range(depth):
                add_row(grad, bias + first, block, row * width, width)
            multiply_panels(target, target, transposed(panels, logits, depth, turned), width, packed_output)
    add_embedding_gradient(network, arrays, back, Rows(first_panel, last_panel))


@kernel
def add_embedding_gradient(network, arrays, back, panels):
    """Add the gradient in the inputs to the rows of E of their symbols, if they are in these panels."""
    sizes, loss = network.sizes, network.loss
    if panels.first == panels.last:
        return
    count = lanes(back.grad)
    first, _ = panel_span(panels.first, sizes.columns, count)
    last, width = panel_span(panels.last - 1, sizes.columns, count)
    start = decoder_offset(sizes, arrays, ZERO)
    for k in range(sizes.length * sizes.batch):
        symbol = loss.symbols[k]
        if first <= symbol < last + width:
            add_row(back.grad, start + symbol * sizes.width, loss.grad_embedded, k * sizes.width, sizes.width)
