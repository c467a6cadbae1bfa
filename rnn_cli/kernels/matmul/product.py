"""The matrix product: C = S + A B, with B packed into panels (packing.py).

It runs on register tiles (tile.py) or, in bfloat16, on matrix registers if the processor has them (amx.py). S holds the
initial sums: C itself, or one row for all rows of C, as a bias is.

Each sum adds its terms in an order that depends on the depth alone: a row of C does not depend on how many rows are
computed beside it, nor on the thread. This is why results repeat for any number of threads and of streams.
"""

from __future__ import annotations

from rnn_cli.kernels.compiler.jit import chosen_by_type, kernel
from rnn_cli.kernels.matmul.amx import multiply_pairs
from rnn_cli.kernels.matmul.matrix import SharedPacked, block
from rnn_cli.kernels.matmul.packing import ZERO, left_side, own_panels, panel_at, panel_span, steps_of
from rnn_cli.kernels.matmul.tile import PAIRS, multiply_tile
from rnn_cli.kernels.shared_row import SharedRow, meet
from rnn_cli.kernels.simd.cpu import HAS_AMX, TILE_ROWS
from rnn_cli.kernels.simd.vector import lanes
from rnn_cli.kernels.threads import share_start


@kernel
def multiply_on_tiles(c, s, a, rows, b):
    """Compute `multiply_panels` on register tiles: rows are split evenly over them, so that no tile is much smaller."""
    tiles = (rows + TILE_ROWS - 1) // TILE_ROWS
    steps = steps_of(b.panels, b.depth)
    count = lanes(c.array)
    first_panel, last_panel = own_panels(b, count)
    for index in range(first_panel, last_panel):
        first, width = panel_span(index, b.columns, count)
        panel = panel_at(b, first, width)
        row = 0
        for tile in range(tiles):
            following = share_start(tile + 1, tiles, rows)
            multiply_tile(
                following - row, block(c, row, first), block(s, row, first), block(a, row, ZERO), panel, steps
            )
            row = following


@chosen_by_type
def multiply_panels(c, s, a, rows, b):
    """Compute C = S + A B, with C and S (rows, b.columns), A (rows, b.depth) and the packed B.

    A is in the element type of the panels: its `stride` and `step` count elements, of which pairs hold two numbers.
    """
    return multiply_pairs if b[0].dtype == PAIRS and HAS_AMX else multiply_on_tiles


@chosen_by_type
def multiply_onto(c, s, a, rows, b):
    """Compute C = S + A B, with C and S (rows, b.columns), A (rows, b.depth) and the packed B, for some `Rows`.

    Of a `SharedRow` each thread computes columns, and waits for the others.
    """
    return multiply_shared_row if rows.instance_class is SharedRow else multiply_rows


@kernel
def multiply_rows(c, s, a, rows, b):
    """Compute the rows of one thread."""
    count = rows.last - rows.first
    multiply_panels(c, s, left_side(b, a, count), count, b)


@kernel
def multiply_shared_row(c, s, a, rows, b):
    """Compute this thread's columns of a row."""
    own = SharedPacked(b.panels, b.start, b.depth, b.columns, b.scratch, rows.part, rows.parts)
    multiply_panels(c, s, left_side(b, a, 1), 1, own)
    meet(rows)
