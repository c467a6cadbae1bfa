"""Rows of flat arrays: clear, copy, add, prefetch. Except for `clear`, counts are multiples of a vector's lanes."""

from __future__ import annotations

from rnn_cli.kernels.compiler.jit import kernel
from rnn_cli.kernels.simd.vector import lanes, load, prefetch, store


@kernel
def clear(array, start, count):
    """Set `count` elements to 0."""
    for k in range(start, start + count):
        array[k] = 0


@kernel
def clear_rows(m, rows, width):
    """Set the rows (rows, width) of a matrix to 0."""
    for row in range(rows):
        clear(m.array, m.start + row * m.stride, width)


@kernel
def copy(target, target_start, source, source_start, count):
    """Copy `count` elements."""
    for k in range(0, count, lanes(target)):
        store(target, target_start + k, load(source, source_start + k))


@kernel
def copy_to_rows(m, rows, source, source_start, count):
    """Copy the same `count` elements into each of the rows of a matrix."""
    for row in range(rows):
        copy(m.array, m.start + row * m.stride, source, source_start, count)


@kernel
def add_row(target, target_start, source, source_start, count):
    """Add `count` elements."""
    for k in range(0, count, lanes(target)):
        store(target, target_start + k, load(target, target_start + k) + load(source, source_start + k))


@kernel
def prefetch_blocks(array, index, stride, blocks):
    """Prefetch `blocks` elements, `stride` apart, to overlap memory latency with computation."""
    for block in range(blocks):
        prefetch(array, index + block * stride)
