"""Operands of the matrix product as the tile reads them: packed into panels, rounded to bfloat16 if panels hold that.

Columns are split evenly over the panels, so that the last panel is nearly as large as the first.

The element type of the panels decides: if it is a pair in bfloat16 (see bfloat16.py), the numbers that are packed, or
read as the left-hand operand, are rounded on the way.
"""

from __future__ import annotations

import numpy as np
from numba.core import types
from numba.core.extending import intrinsic

from rnn_cli.kernels.compiler.jit import chosen_by_type, kernel
from rnn_cli.kernels.matmul.matrix import ONE, Matrix, Panel, SharedPacked
from rnn_cli.kernels.matmul.tile import PAIRS
from rnn_cli.kernels.simd.bfloat16 import (
    WORDS,
    as_pairs,
    store_halves,
    store_neighbours,
    store_pairs,
    store_pairs_transposed,
)
from rnn_cli.kernels.simd.cpu import HAS_AMX, TILE_VECTORS
from rnn_cli.kernels.simd.vector import HALF, lanes, load, prefetch, store
from rnn_cli.kernels.threads import share_start

ZERO = np.intp(0)
STEPS_AHEAD = 16  # steps that are prefetched while one is packed


@kernel
def panel_count(columns, count):
    """Return the number of panels for `columns`, a multiple of `count`, the lanes of a vector."""
    return (columns // count + TILE_VECTORS - 1) // TILE_VECTORS


@kernel
def panel_span(panel, columns, count):
    """Return the first column and the width of a panel; see `panel_count`."""
    panels = panel_count(columns, count)
    first = share_start(panel, panels, columns // count) * count
    return first, share_start(panel + 1, panels, columns // count) * count - first


@kernel
def panel_range(columns, count, share):
    """Return the first panel of this share, and the one after its last."""
    panels = panel_count(columns, count)
    return share_start(share.part, share.parts, panels), share_start(share.part + 1, share.parts, panels)


@chosen_by_type
def own_panels(b, count):
    """Return the first panel of a packed operand that this thread multiplies, and the one after its last."""
    return panels_of_share if b.instance_class is SharedPacked else all_panels


@kernel
def all_panels(b, count):
    """Return all."""
    return 0, panel_count(b.columns, count)


@kernel
def panels_of_share(b, count):
    """Return those of a share."""
    return panel_range(b.columns, count, b)


@kernel
def panel_in_group(panel, group, count):
    """Return the first column and the width of a panel if each group of columns has panels of its own."""
    each = panel_count(group, count)
    first, width = panel_span(panel % each, group, count)
    return panel // each * group + first, width


@intrinsic
def depth_step(typingctx, array):
    """Return how many numbers of the depth an element of `array` holds: 2 for pairs, else 1."""

    def lower(context, builder, sig, args):
        return context.get_constant(types.intp, 2 if array.dtype == PAIRS else 1)

    return types.intp(array), lower


@kernel
def steps_of(array, depth):
    """Return how many elements of `array` hold `depth` numbers."""
    return (depth + depth_step(array) - 1) // depth_step(array)


@kernel
def panel_at(b, first, width):
    """Return the panel of a packed operand that begins at column `first`."""
    start = b.start // depth_step(b.panels) + first * steps_of(b.panels, b.depth)
    return Panel(b.panels, start, b.depth, width)


@chosen_by_type
def pack_step(target, index, source, low, high):
    """Store a vector of one step of the depth: of the row at `low`, or of pairs with the row at `high` (-1: with 0)."""
    if target.dtype != PAIRS:
        return pack_number
    return pack_halves if source.dtype == HALF else pack_pair


@kernel
def pack_number(target, index, source, low, high):
    """Store one row."""
    store(target, index, load(source, low))


@kernel
def pack_pair(target, index, source, low, high):
    """Store the pairs of two rows, rounded."""
    first = load(source, low)
    store_pairs(target, index, first, load(source, high) if high >= 0 else first - first)


@kernel
def pack_halves(target, index, source, low, high):
    """Store the pairs of two rows that are rounded already."""
    store_halves(target, index, source, low, high)


@kernel
def pack_panel(source, panel):
    """Pack one panel from the matrix `source` (depth, width). The missing half of a last pair is 0."""
    step, stride = depth_step(panel.array), source.stride
    for k in range(steps_of(panel.array, panel.depth)):
        at = source.start + k * step * stride
        second = at + (step - 1) * stride if k * step + step <= panel.depth else -1
        for j in range(0, panel.width, lanes(source.array)):
            for row in range(step):
                prefetch(source.array, at + (STEPS_AHEAD + row) * stride + j)
            high = second + j if second >= 0 else second
            pack_step(panel.array, panel.start + k * panel.width + j, source.array, at + j, high)


@kernel
def pack(source, b, share):
    """Pack the matrix `source` (depth, columns) into `b`, this share's panels."""
    first_panel, last_panel = panel_range(b.columns, lanes(source.array), share)
    for index in range(first_panel, last_panel):
        first, width = panel_span(index, b.columns, lanes(source.array))
        pack_panel(Matrix(source.array, source.start + first, source.stride, ONE), panel_at(b, first, width))


@kernel
def pack_transposed(source, b, share):
    """Pack into `b` (depth, columns) the matrix whose transpose `source` (columns, depth) is, this share's panels."""
    first_panel, last_panel = panel_range(b.columns, lanes(source.array), share)
    steps = steps_of(b.panels, b.depth)
    for index in range(first_panel, last_panel):
        first, width = panel_span(index, b.columns, lanes(source.array))
        target = panel_at(b, first, width).start
        rows = left_side(b, Matrix(source.array, source.start + first * source.stride, source.stride, ONE), width)
        # Sixteen steps at a time: whole cache lines are read, and the writes stay close to each other.
        for block in range(0, steps, 16):
            for j in range(width):
                for k in range(block, min(block + 16, steps)):
                    b.panels[target + k * width + j] = rows.array[rows.start + j * rows.stride + k]


@chosen_by_type
def left_side(b, a, rows):
    """Return the matrix A (rows, b.depth) in the element type of `b`: A itself or, for pairs, a copy in the scratch."""
    if b[0].dtype != PAIRS:
        return left_side_itself
    return left_side_in_place if a[0].dtype == HALF else left_side_of_pairs


@kernel
def left_side_in_place(b, a, rows):
    """Return A, which is in bfloat16: neighbouring numbers are pairs."""
    return Matrix(as_pairs(a.array), a.start // 2, a.stride // 2, ONE)


@kernel
def left_side_itself(b, a, rows):
    """Return A."""
    return a


@kernel
def left_side_of_pairs(b, a, rows):
    """Return a copy of A as pairs of neighbouring numbers. The depth is a multiple of the lanes of a vector.

    Rows of the copy are a vector further apart than they are long, to avoid cache-set conflicts.
    """
    row_stride = b.depth // 2 + WORDS
    for row in range(rows):
        for k in range(0, b.depth, 2 * WORDS):
            at = a.start + row * a.stride + k
            beyond = min(WORDS, b.depth - WORDS - k)  # if half a vector is left, the other half does not matter
            index = b.scratch.start + row * row_stride + k // 2
            store_neighbours(b.scratch.array, index, load(a.array, at), load(a.array, at + beyond))
    return Matrix(b.scratch.array, b.scratch.start, row_stride, ONE)


@chosen_by_type
def transposed(panels, a, depth, scratch):
    """Return the transpose of a contiguous A (depth, a.stride) in the element type of `panels`.

    It is A itself, read by columns or, for pairs, a copy in the array of the matrix `scratch`, from its start on. The
    second half of a last pair does not matter, because it meets a 0 in the panels. Matrix registers load whole rows.
    """
    if panels.dtype != PAIRS:
        return transposed_itself
    return transposed_pairs_by_rows if HAS_AMX else transposed_pairs


@kernel
def transposed_itself(panels, a, depth, scratch):
    """Return A, read by columns."""
    return Matrix(a.array, a.start, ONE, a.stride)


@kernel
def transposed_pairs(panels, a, depth, scratch):
    """Return a copy of A with pairs of neighbouring rows, read by columns."""
    rows = a.stride
    for k in range(0, depth, 2):
        for j in range(0, rows, WORDS):
            low = load(a.array, a.start + k * rows + j)
            high = load(a.array, a.start + min(k + 1, depth - 1) * rows + j)
            store_pairs(scratch.array, scratch.start + k // 2 * rows + j, low, high)
    return Matrix(scratch.array, scratch.start, ONE, rows)


@kernel
def transposed_pairs_by_rows(panels, a, depth, scratch):
    """Return the transpose of A with pairs of neighbouring numbers, its rows apart as those of `left_side`."""
    rows = a.stride
    row_stride = (depth + 2 * WORDS - 1) // (2 * WORDS) * WORDS + WORDS
    for k in range(0, depth, 2 * WORDS):
        for j in range(0, rows, WORDS):
            at = scratch.start + j * row_stride + k // 2
            source = Matrix(a.array, a.start + k * rows + j, rows, ONE)
            store_pairs_transposed(Matrix(scratch.array, at, row_stride, ONE), source, depth - k)
    return Matrix(scratch.array, scratch.start, row_stride, ONE)
