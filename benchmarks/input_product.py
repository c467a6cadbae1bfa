"""Would a layer above the first be faster if it multiplied its input for several steps of time at once?

A layer computes preact_t = x_t W_ih + b + h_(t-1) W_hh step by step, so each step reads both packed weights from the
outer caches. The input product does not wait for the step before. In blocks of steps, a panel of W_ih stays in the
inner caches for all steps of a block, but the sums go to memory and come back. The bits are the same: this script
compares them. It times both products of all steps, forward and in the shapes of the way back, without the cell.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any

import numpy as np
from common import alternate, options, report, table

from rnn_cli.cpu_count import usable_cores
from rnn_cli.kernels.compiler.jit import entry_kernel, kernel
from rnn_cli.kernels.matmul.matrix import ONE, Matrix, Packed, Scratch, block
from rnn_cli.kernels.matmul.packing import ZERO, pack, panel_at, panel_count, panel_span, steps_of
from rnn_cli.kernels.matmul.product import multiply_onto
from rnn_cli.kernels.matmul.tile import install_tile, multiply_tile
from rnn_cli.kernels.simd.aligned import aligned_zeros
from rnn_cli.kernels.simd.cpu import TILE_ROWS
from rnn_cli.kernels.simd.pointer import address
from rnn_cli.kernels.simd.vector import lanes
from rnn_cli.kernels.threads import Share, Team, rows_of_share, share_start

STEPS, GATES = 64, 4
BLOCKS = (2, 4, 8, 16)  # steps at once


@kernel
def pack_flat(source, target, depth, columns):  # type: ignore[no-untyped-def]
    """Pack a matrix (depth, columns)."""
    scratch = Scratch(address(target), ZERO)
    pack(
        Matrix(address(source), ZERO, columns, ONE), Packed(address(target), ZERO, depth, columns, scratch), Share(0, 1)
    )


@kernel
def multiply_steps(sums, bias, left, stride, rows, right, steps):  # type: ignore[no-untyped-def]
    """Compute S_t = bias + A_t B for some steps, panel by panel; A_t and S_t are `stride` rows apart."""
    tiles, count = (rows + TILE_ROWS - 1) // TILE_ROWS, lanes(sums.array)
    for index in range(panel_count(right.columns, count)):
        first, width = panel_span(index, right.columns, count)
        panel, depth = panel_at(right, first, width), steps_of(right.panels, right.depth)
        for t in range(steps):
            for tile in range(tiles):
                row, after = share_start(tile, tiles, rows), share_start(tile + 1, tiles, rows)
                at = t * stride + row
                target, source = block(sums, at, first), block(left, at, ZERO)
                multiply_tile(after - row, target, block(bias, ZERO, first), source, panel, depth)


@entry_kernel
def run_layer(part, parts, arrays, shape, at_once):  # type: ignore[no-untyped-def]
    """Compute both products of all steps, this share's rows; `at_once` 0: step by step."""
    x, h, packed_ih, packed_hh, bias, between, preact = arrays
    batch, depth, columns = shape
    rows = rows_of_share(Share(part, parts), batch)
    count = rows.last - rows.first
    scratch = Scratch(address(packed_ih), ZERO)
    weight_ih = Packed(address(packed_ih), ZERO, depth, columns, scratch)
    weight_hh = Packed(address(packed_hh), ZERO, depth, columns, scratch)
    start = Matrix(address(bias), ZERO, ZERO, ONE)
    target = Matrix(address(preact), rows.first * columns, columns, ONE)
    for t in range(STEPS):
        at = t * batch + rows.first
        left = Matrix(address(x), at * depth, depth, ONE)
        if at_once == 0:
            sums = target
            multiply_onto(sums, start, left, rows, weight_ih)
        else:
            sums = Matrix(address(between), at * columns, columns, ONE)
            if t % at_once == 0:
                multiply_steps(sums, start, left, batch, count, weight_ih, at_once)
        multiply_onto(target, sums, Matrix(address(h), at * depth, depth, ONE), rows, weight_hh)


def contenders(hidden: int, batch: int, team: Team, back: bool) -> dict[str, Callable[[], Any]]:
    """Return the calls by name. Raises RuntimeError if their results differ in a bit."""
    depth, columns = (GATES * hidden, hidden) if back else (hidden, GATES * hidden)
    generator = np.random.default_rng(0)

    def numbers(count: int) -> np.ndarray:
        array = aligned_zeros(count, np.float32)
        array[:] = generator.standard_normal(count) / hidden
        return array

    packed = []
    for _ in range(2):
        packed.append(aligned_zeros(depth * columns, np.float32))
        pack_flat(numbers(depth * columns), packed[-1], depth, columns)
    preact = aligned_zeros(batch * columns, np.float32)
    inputs = [numbers(STEPS * batch * depth) for _ in range(2)]
    arrays = (*inputs, *packed, numbers(columns), aligned_zeros(STEPS * batch * columns, np.float32), preact)
    calls, results = {}, set()
    for at_once in (0, *BLOCKS):
        calls[f"{at_once} at once" if at_once else "one by one"] = call = partial(
            team.run, run_layer, arrays, (batch, depth, columns), at_once
        )
        call()
        results.add(preact.tobytes())
    if len(results) != 1:
        raise RuntimeError("the blocks compute something else")
    return calls


def main() -> None:
    """Measure as the options say."""
    parser = options(__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--hidden-sizes", nargs="+", type=int, default=[256, 512])
    parser.add_argument("--batches", nargs="+", type=int, default=[64])
    parser.add_argument("--threads", nargs="+", type=int, default=[usable_cores()])
    chosen = parser.parse_args()
    install_tile(np.dtype(np.float32))
    rows: list[list[str]] = []
    for hidden, batch, threads in product(
        [32] if chosen.quick else chosen.hidden_sizes, chosen.batches, chosen.threads
    ):
        for back in (False, True):
            calls = contenders(hidden, batch, Team(threads), back)
            times = alternate(calls, 0.02 if chosen.quick else chosen.seconds)
            speeds = [4 * STEPS * batch * GATES * hidden**2 / time / 1e9 for time in times.values()]
            gain = max(speeds[1:]) / speeds[0]
            name = [f"{hidden}, {batch} rows", "back" if back else "forward", str(threads)]
            rows.append([*name, *(f"{speed:.0f}" for speed in speeds), f"{gain:.2f}"])
    headers = [
        "hidden size",
        "products",
        "threads",
        "one by one, GFLOP/s",
        *(f"{at_once} at once" for at_once in BLOCKS),
    ]
    report("input-product", [f"float32, {STEPS} steps.", table([*headers, "best / one by one"], rows)], chosen.save)


if __name__ == "__main__":
    main()
