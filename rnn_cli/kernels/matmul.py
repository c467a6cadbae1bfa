"""The matrix product: C = S + A B, with B packed into panels (packing.py), on register tiles (tile.py).

S is what the sums start from: C itself, or one row for all rows of C, as a bias is. Rows are split evenly over tiles,
so that the last one is nearly as large as the first.

Each sum adds its terms in the order of the depth, whatever the tile: a row of C does not depend on how many rows are
computed beside it, nor on the thread. This is what makes results repeat for any number of threads and of streams.
"""

from __future__ import annotations

from rnn_cli.kernels.host import TILE_ROWS
from rnn_cli.kernels.jit import kernel
from rnn_cli.kernels.packing import ONE, depth_step, left_side, panel_count, panel_span, steps_of
from rnn_cli.kernels.threads import even_start
from rnn_cli.kernels.tile import multiply_tile
from rnn_cli.kernels.vector import lanes


@kernel
def multiply_panel(
    c, c_start, c_stride, s, s_start, s_stride, a, a_start, a_row_stride, a_depth_stride, rows, panels, panel_start,
    steps, width
):  # fmt: skip
    """Compute C = S + A B, with C and S (rows, width), A (rows, steps) and the panel of B at element `panel_start`.

    `steps` and the places in A and in the panels are counted in elements, of which pairs hold two numbers of the depth.
    """
    tiles = (rows + TILE_ROWS - 1) // TILE_ROWS
    row = 0
    for tile in range(tiles):
        following = even_start(tile + 1, tiles, rows)
        multiply_tile(following - row, width // lanes(panels), c, c_start + row * c_stride, c_stride,
                      s, s_start + row * s_stride, s_stride,
                      a, a_start + row * a_row_stride, a_row_stride, a_depth_stride, panels, panel_start,
                      steps)  # fmt: skip
        row = following


@kernel
def multiply_onto(
    c, c_start, c_stride, s, s_start, s_stride, a, a_start, a_stride, rows, depth, packed, packed_start, columns
):
    """Compute C = S + A B, with C and S (rows, columns), A (rows, depth) and the packed B (depth, columns).

    C[r, j] stands at c_start + r c_stride + j, and so do S[r, j] and A[r, k]; s_stride 0 makes one row serve for all.
    """
    left, left_start, left_stride = left_side(packed, a, a_start, a_stride, rows, depth)
    steps = steps_of(packed.panels, depth)
    start = packed_start // depth_step(packed.panels)
    for panel in range(panel_count(columns, lanes(packed.panels))):
        first, width = panel_span(panel, columns, lanes(packed.panels))
        multiply_panel(c, c_start + first, c_stride, s, s_start + first, s_stride, left, left_start, left_stride, ONE,
                       rows, packed.panels, start + first * steps, steps, width)  # fmt: skip


@kernel
def multiply(c, c_start, c_stride, a, a_start, a_stride, rows, depth, packed, packed_start, columns):
    """Add to C (rows, columns) the product of A (rows, depth) and the packed B, as `multiply_onto` has them."""
    multiply_onto(c, c_start, c_stride, c, c_start, c_stride, a, a_start, a_stride, rows, depth,
                  packed, packed_start, columns)  # fmt: skip
