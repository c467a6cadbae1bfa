"""The matrix product: C = S + A B, with B packed into panels (packing.py).

It runs on register tiles (tile.py) or, in bfloat16, on matrix registers where the processor has them (amx.py). S is
what the sums start from: C itself, or one row for all rows of C, as a bias is.

Each sum adds its terms in an order that depends on the depth alone: a row of C does not depend on how many rows are
computed beside it, nor on the thread. This is what makes results repeat for any number of threads and of streams.
"""

from __future__ import annotations

from numba.core.extending import overload

from rnn_cli.kernels.compiler.jit import kernel
from rnn_cli.kernels.matmul.amx import multiply_pairs
from rnn_cli.kernels.matmul.packing import ONE, depth_step, left_side, panel_count, panel_span, steps_of
from rnn_cli.kernels.matmul.tile import PAIRS, multiply_tile
from rnn_cli.kernels.simd.cpu import HAS_AMX, TILE_ROWS
from rnn_cli.kernels.simd.vector import lanes
from rnn_cli.kernels.threads import share_start


@kernel
def multiply_on_tiles(
    c, c_start, c_stride, s, s_start, s_stride, a, a_start, a_stride, a_step, rows, panels, start, steps, columns
):
    """Compute `multiply_panels` on register tiles: rows are split evenly over them, so that none is much smaller."""
    tiles = (rows + TILE_ROWS - 1) // TILE_ROWS
    for panel in range(panel_count(columns, lanes(panels))):
        first, width = panel_span(panel, columns, lanes(panels))
        row = 0
        for tile in range(tiles):
            following = share_start(tile + 1, tiles, rows)
            multiply_tile(following - row, width // lanes(panels), c, c_start + row * c_stride + first, c_stride,
                          s, s_start + row * s_stride + first, s_stride, a, a_start + row * a_stride, a_stride, a_step,
                          panels, start + first * steps, steps)  # fmt: skip
            row = following


def multiply_panels(
    c, c_start, c_stride, s, s_start, s_stride, a, a_start, a_stride, a_step, rows, panels, start, steps, columns
):
    """Compute C = S + A B, with C and S (rows, columns), A (rows, steps) and the panels of B from `start` on.

    `steps` and the places in A and in the panels are counted in elements, of which pairs hold two numbers of the depth.
    A[r, k] stands at a_start + r a_stride + k a_step; see `transposed` in packing.py.
    """


@overload(multiply_panels)
def compile_multiply_panels(
    c, c_start, c_stride, s, s_start, s_stride, a, a_start, a_stride, a_step, rows, panels, start, steps, columns
):
    """Choose by the type of the panels."""
    multiply = multiply_pairs if panels.dtype == PAIRS and HAS_AMX else multiply_on_tiles

    def compiled(
        c, c_start, c_stride, s, s_start, s_stride, a, a_start, a_stride, a_step, rows, panels, start, steps, columns
    ):
        multiply(c, c_start, c_stride, s, s_start, s_stride, a, a_start, a_stride, a_step, rows, panels, start, steps,
                 columns)  # fmt: skip

    return compiled


@kernel
def multiply_onto(
    c, c_start, c_stride, s, s_start, s_stride, a, a_start, a_stride, rows, depth, packed, packed_start, columns
):
    """Compute C = S + A B, with C and S (rows, columns), A (rows, depth) and the packed B (depth, columns).

    C[r, j] stands at c_start + r c_stride + j, and so do S[r, j] and A[r, k]; s_stride 0 makes one row serve for all.
    """
    left, left_start, left_stride = left_side(packed, a, a_start, a_stride, rows, depth)
    multiply_panels(c, c_start, c_stride, s, s_start, s_stride, left, left_start, left_stride, ONE, rows, packed.panels,
                    packed_start // depth_step(packed.panels), steps_of(packed.panels, depth), columns)  # fmt: skip


@kernel
def multiply(c, c_start, c_stride, a, a_start, a_stride, rows, depth, packed, packed_start, columns):
    """Add to C (rows, columns) the product of A (rows, depth) and the packed B, as `multiply_onto` has them."""
    multiply_onto(c, c_start, c_stride, c, c_start, c_stride, a, a_start, a_stride, rows, depth,
                  packed, packed_start, columns)  # fmt: skip
