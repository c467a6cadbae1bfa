"""How kernels pass operands: a matrix in a flat array, a right-hand operand packed into panels, one panel of it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from rnn_cli.kernels.compiler.jit import kernel

ONE = np.intp(1)


class Matrix(NamedTuple):
    """Numbers in a flat array: element (r, k) is at start + r * stride + k * step.

    A stride of 0 makes one row serve for all, as a bias does.
    """

    array: Any
    start: int
    stride: int
    step: int


class Panel(NamedTuple):
    """A panel of B (depth, width): up to TILE_VECTORS vectors of neighbouring columns, stored row after row.

    `start` counts elements of `array`. An element is a number, or a pair of numbers of the depth in bfloat16.
    """

    array: Any
    start: int
    depth: int
    width: int


class Scratch(NamedTuple):
    """Room in `array` from element `start` on."""

    array: Any
    start: int


class Packed(NamedTuple):
    """A right-hand operand B (depth, columns) packed into panels, which begin at number `start` of `panels`.

    `scratch` has room to convert a left-hand operand to the same element type.
    """

    panels: Any
    start: int
    depth: int
    columns: int
    scratch: Any


class SharedPacked(NamedTuple):
    """A packed operand of which one thread multiplies its share of the panels, number `part` of `parts`."""

    panels: Any
    start: int
    depth: int
    columns: int
    scratch: Any
    part: int
    parts: int


class Span(NamedTuple):
    """Rows k .. k + depth of a window of T * B rows, and the columns of a panel from `first` on."""

    k: int
    depth: int
    first: int


@kernel
def block(m, row, column):
    """Return a matrix from one of its rows and columns on; the columns of a row are contiguous if `column` is not 0."""
    return Matrix(m.array, m.start + row * m.stride + column, m.stride, m.step)
