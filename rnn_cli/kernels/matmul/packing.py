"""Operands of the matrix product as the tile reads them: panels, rounded to bfloat16 where that is what they hold.

A panel is up to TILE_VECTORS vectors of neighbouring columns of B, its rows one behind the other, so that a tile reads
it as a stream. Columns are split evenly over the panels, so that the last one is nearly as large as the first.

The type of the panels decides: what is packed, or read as A, is rounded on its way where they hold pairs in bfloat16
(see bfloat16.py). An element is a number or a pair of the depth.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba.core import types
from numba.core.extending import intrinsic, overload

from rnn_cli.kernels.compiler.jit import kernel
from rnn_cli.kernels.matmul.tile import PAIRS
from rnn_cli.kernels.simd.bfloat16 import WORDS, store_neighbours, store_pairs, store_pairs_turned
from rnn_cli.kernels.simd.cpu import HAS_AMX, TILE_VECTORS
from rnn_cli.kernels.simd.vector import lanes, load, prefetch, store
from rnn_cli.kernels.threads import share_start

ZERO, ONE = np.intp(0), np.intp(1)  # for a plain 0 or 1 the compiler would make a further version of a kernel
STEPS_AHEAD = 16  # that are on their way from memory while one is packed


class Packed(NamedTuple):
    """Right-hand sides packed into panels, and room for a left-hand side that has to be made of the same numbers.

    Places in `panels` are counted in numbers, of which an element holds two where they are pairs.
    """

    panels: Any
    left: Any


@kernel
def panel_count(columns, count):
    """Return into how many panels so many columns go, with vectors of `count` numbers; columns is a multiple of it."""
    return (columns // count + TILE_VECTORS - 1) // TILE_VECTORS


@kernel
def panel_span(panel, columns, count):
    """Return the first column of a panel, and how many it has; see `panel_count`."""
    panels = panel_count(columns, count)
    first = share_start(panel, panels, columns // count) * count
    return first, share_start(panel + 1, panels, columns // count) * count - first


@kernel
def panel_range(columns, count, part, parts):
    """Return the first of this part's panels, and the one behind its last."""
    panels = panel_count(columns, count)
    return share_start(part, parts, panels), share_start(part + 1, parts, panels)


@kernel
def panel_in_group(panel, group, count):
    """Return the first column of a panel, and how many it has, where each group of columns has its own panels."""
    each = panel_count(group, count)
    first, width = panel_span(panel % each, group, count)
    return panel // each * group + first, width


@intrinsic
def depth_step(typingctx, array):
    """Return how many numbers deep an element of `array` is: 2 for pairs, else 1."""

    def lower(context, builder, sig, args):
        return context.get_constant(types.intp, 2 if array.dtype == PAIRS else 1)

    return types.intp(array), lower


@kernel
def steps_of(array, depth):
    """Return how many elements of `array` hold so many numbers of the depth."""
    return (depth + depth_step(array) - 1) // depth_step(array)


def store_steps(target, index, low, high):
    """Store a vector of one step of the depth: of the row `low`, or of the pairs of the rows `low` and `high`."""


@overload(store_steps)
def compile_store_steps(target, index, low, high):
    """Choose by the type of `target`."""
    if target.dtype == PAIRS:
        return lambda target, index, low, high: store_pairs(target, index, low, high)
    return lambda target, index, low, high: store(target, index, low)


@kernel
def pack_panel(source, start, stride, depth, width, packed, packed_start):
    """Pack one panel: B[k, j] (depth, width) stands at start + k stride + j; the panel begins at `packed_start`.

    Where the last of the pairs has but one number, the other one is 0.
    """
    step = depth_step(packed)
    for k in range(steps_of(packed, depth)):
        at, paired = start + k * step * stride, k * step + step <= depth
        for j in range(0, width, lanes(source)):
            for row in range(step):
                prefetch(source, at + (STEPS_AHEAD + row) * stride + j)
            low = load(source, at + j)
            high = load(source, at + (step - 1) * stride + j) if paired else low - low
            store_steps(packed, packed_start + k * width + j, low, high)


@kernel
def pack(source, start, stride, depth, columns, packed, packed_start, part, parts):
    """Pack B (depth, columns), with B[k, j] at start + k stride + j of `source`, this part's panels."""
    own = panel_range(columns, lanes(source), part, parts)
    for panel in range(own[0], own[1]):
        first, width = panel_span(panel, columns, lanes(source))
        target = packed_start // depth_step(packed) + first * steps_of(packed, depth)
        pack_panel(source, start + first, stride, depth, width, packed, target)


@kernel
def pack_transposed(source, start, stride, depth, columns, packed, packed_start, part, parts):
    """Pack B (depth, columns) of which the transpose is stored: B[k, j] at start + j stride + k."""
    own = panel_range(columns, lanes(source), part, parts)
    step = depth_step(packed.panels)
    steps = steps_of(packed.panels, depth)
    for panel in range(own[0], own[1]):
        first, width = panel_span(panel, columns, lanes(source))
        target = packed_start // step + first * steps
        rows, rows_start, rows_stride = left_side(packed, source, start + first * stride, stride, width, depth)
        # Sixteen rows at a time: what is read are whole cache lines, what is written stays near.
        for block in range(0, steps, 16):
            for j in range(width):
                for k in range(block, min(block + 16, steps)):
                    packed.panels[target + k * width + j] = rows[rows_start + j * rows_stride + k]


def left_side(packed, a, start, stride, rows, depth):
    """Return A (rows, depth) in the numbers of `packed`: (array, first element, elements from row to row).

    That is A itself or, for pairs, a copy in `packed.left`; the depth is a multiple of the lanes of a vector. Rows of
    the copy are a vector further apart than they are long, lest all fall into the same lines of the cache.
    """


@overload(left_side)
def compile_left_side(packed, a, start, stride, rows, depth):
    """Choose by the type of the panels."""
    if packed[0].dtype != PAIRS:
        return lambda packed, a, start, stride, rows, depth: (a, start, stride)

    def narrow(packed, a, start, stride, rows, depth):
        apart = depth // 2 + WORDS
        for row in range(rows):
            for k in range(0, depth, 2 * WORDS):
                at = start + row * stride + k
                beyond = min(WORDS, depth - WORDS - k)  # where half a vector is left over, anything may stand behind it
                store_neighbours(packed.left, row * apart + k // 2, load(a, at), load(a, at + beyond))
        return packed.left, ZERO, apart

    return narrow


def transposed(panels, a, start, depth, rows, left, left_start):
    """Return the transpose of A (depth, rows), which is contiguous, in the numbers of `panels`.

    That is (array, first element, elements from row to row, elements from step to step of the depth): A itself or, for
    pairs, a copy in `left`. The second number of a last pair that has but one does not matter, because in the panels it
    meets a 0.
    """


@overload(transposed)
def compile_transposed(panels, a, start, depth, rows, left, left_start):
    """Choose by the type of the panels and, for pairs, by what multiplies them: matrix registers load whole rows."""
    if panels.dtype != PAIRS:
        return lambda panels, a, start, depth, rows, left, left_start: (a, start, ONE, rows)

    def paired(panels, a, start, depth, rows, left, left_start):
        for k in range(0, depth, 2):
            for j in range(0, rows, WORDS):
                low = load(a, start + k * rows + j)
                high = load(a, start + min(k + 1, depth - 1) * rows + j)
                store_pairs(left, left_start + k // 2 * rows + j, low, high)
        return left, left_start, ONE, rows

    def turned(panels, a, start, depth, rows, left, left_start):
        apart = (depth + 2 * WORDS - 1) // (2 * WORDS) * WORDS + WORDS
        for k in range(0, depth, 2 * WORDS):
            for j in range(0, rows, WORDS):
                at = left_start + j * apart + k // 2
                store_pairs_turned(left, at, apart, a, start + k * rows + j, rows, depth - k)
        return left, left_start, apart, ONE

    return turned if HAS_AMX else paired
