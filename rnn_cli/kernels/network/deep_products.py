"""Products whose depth is all steps of all rows: what a weight gradient is a sum of.

A block of the gradient in the pre-activations is packed panel by panel, and each panel is multiplied at once with all
that was read in these rows. If `fresh`, the target is set to 0 first.
"""

from __future__ import annotations

from rnn_cli.kernels.compiler.jit import kernel
from rnn_cli.kernels.matmul.matrix import ONE, Matrix
from rnn_cli.kernels.matmul.packing import ZERO
from rnn_cli.kernels.matmul.product import multiply_panels
from rnn_cli.kernels.network.arrays import add_row, clear, clear_rows


@kernel
def add_product(grad, left, rows, panel, fresh):
    """Add to grad (rows, panel.columns) the product of A^T (rows, depth) and the packed panel.

    `left` is A^T as `transposed` (packing.py) returns it.
    """
    if fresh:
        clear_rows(grad, rows, panel.columns)
    multiply_panels(grad, grad, left, rows, panel)


@kernel
def add_sums(grad, start, ones, panel, fresh):
    """Add to grad (panel.columns) the sums of the columns of the packed panel: a row of ones times the panel."""
    if fresh:
        clear(grad, start, panel.columns)
    sums = Matrix(grad, start, ZERO, ONE)
    multiply_panels(sums, sums, Matrix(ones, ZERO, ZERO, ONE), ONE, panel)


@kernel
def scatter_rows(grad, b, symbols, width, source, span):
    """Add to grad (symbols, width) X^T B: row j of B (depth, width) goes to the rows of the symbols of step k + j."""
    if span.k == 0:
        clear_rows(grad, symbols, width)
    for j in range(span.depth):
        for at in range((span.k + j) * source.per_step, (span.k + j + 1) * source.per_step):
            add_row(grad.array, grad.start + source.symbols[at] * grad.stride, b.array, b.start + j * b.stride, width)
