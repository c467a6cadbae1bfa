"""The limits of a training step: the peak of the products, and the bandwidth at which data reach them.

Three kinds of work take turns in a step, and each has a limit of its own. Its share is the time that this work would
take at its limit alone, divided by the time of the step. The largest share names the limit that is nearest.

- products: useful operations at the speed of the tile kernel on a product that fits the caches.
- window: arrays of T * B rows, which are larger than the inner caches, are read and written in passes over all of them.
  The limit is the bandwidth of a triad, c = a + s b, over arrays that are as large together. A small window stays in a
  cache; so the bandwidth of the memory itself, which no cache helps, stands beside it.
- weights: at each step of time each thread reads the packed weights of a layer. The limit is the speed at which all
  threads read an array of that size again and again.

Bytes are those that the program reads and writes; that a cache reads a line before it is written is not counted, in
the triad neither.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rnn_cli.kernels.compiler.jit import kernel
from rnn_cli.kernels.matmul.matrix import Matrix, Packed, Scratch
from rnn_cli.kernels.matmul.product import multiply_panels
from rnn_cli.kernels.matmul.tile import install_tile
from rnn_cli.kernels.network.optimizer import vector_range
from rnn_cli.kernels.simd.aligned import aligned_zeros
from rnn_cli.kernels.simd.cpu import HAS_AMX, TILE_ROWS, TILE_VECTORS, VECTOR_BYTES
from rnn_cli.kernels.simd.vector import lanes, load, store, sum_lanes
from rnn_cli.kernels.threads import Share, Team
from rnn_cli.network.parameters import round_up
from rnn_cli.network.workspace import TrainingWindow, operand_type

CACHES = 4
LEAST_BYTES = 128 << 20  # of the arrays of the triad, together
CHAINS = 8  # independent sums
READ_AT_ONCE = CHAINS * VECTOR_BYTES
BYTES_READ = 20_000_000  # by a call, at least
Call = tuple[int, Callable[[], Any]]
"""The bytes that a call moves, or the operations that it makes, and the call."""


@kernel
def sum_repeatedly(array, repeats):  # type: ignore[no-untyped-def]
    """Return the sum of `repeats` passes over an array, whose size is a multiple of CHAINS vectors."""
    count = lanes(array)
    a = b = c = d = e = f = g = h = load(array, 0)
    for _ in range(repeats):
        for j in range(0, array.size, CHAINS * count):
            a = a + load(array, j)
            b = b + load(array, j + count)
            c = c + load(array, j + 2 * count)
            d = d + load(array, j + 3 * count)
            e = e + load(array, j + 4 * count)
            f = f + load(array, j + 5 * count)
            g = g + load(array, j + 6 * count)
            h = h + load(array, j + 7 * count)
    return sum_lanes(a + b + c + d + e + f + g + h)


@kernel
def sum_on_each(part, parts, array, repeats, sums):  # type: ignore[no-untyped-def]
    """Sum the array on each thread."""
    sums[part] = sum_repeatedly(array, repeats)


@kernel
def triad(part, parts, a, b, c, repeats):  # type: ignore[no-untyped-def]
    """Compute c = a + s b again and again, this share of the vectors."""
    for _ in range(repeats):
        for k in vector_range(c, Share(part, parts)):
            store(c, k, load(a, k) + 0.5 * load(b, k))


def readable(size: int) -> np.ndarray:
    """Return an array of about `size` bytes that `sum_repeatedly` can read."""
    array = aligned_zeros(round_up(size, READ_AT_ONCE) // 4, np.float32)
    array.fill(1)
    return array


def last_cache() -> int:
    """Return the bytes of the largest cache, 0 if unknown."""
    sizes = Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size")
    units = {"K": 1 << 10, "M": 1 << 20}
    return max((int(text[:-1]) * units[text[-1]] for text in (path.read_text().strip() for path in sizes)), default=0)


def triad_call(team: Team, size: int) -> Call:
    """Return a triad over arrays of `size` bytes together, on all threads of a team."""
    arrays = [readable(size // 3) for _ in range(3)]
    moved = sum(array.nbytes for array in arrays)
    repeats = -(-BYTES_READ // moved)
    return moved * repeats, partial(team.run, triad, *arrays, repeats)


def memory_size() -> int:
    """Return the bytes of arrays that no cache holds."""
    return max(LEAST_BYTES, CACHES * last_cache())


def weights_call(team: Team, size: int) -> Call:
    """Return a call in which each thread reads the same `size` bytes again and again."""
    array = readable(size)
    repeats = -(-BYTES_READ // array.nbytes)
    sums = np.zeros(team.threads, np.float32)
    return team.threads * repeats * array.nbytes, partial(team.run, sum_on_each, array, repeats, sums)


@kernel
def repeat_product(part, parts, sums, left, rows, right, repeats):  # type: ignore[no-untyped-def]
    """Add A (rows, depth) @ packed B (depth, columns) to this thread's sums, `repeats` times."""
    target = Matrix(sums, part * rows * right.columns, right.columns, left.step // left.step)
    for _ in range(repeats):
        multiply_panels(target, target, left, rows, right)


def peak_call(team: Team, precision: str) -> Call:
    """Return a call of the tile kernel on all threads of a team; its operations take the place of the bytes.

    A has the layout that the tile reads fastest: by columns; for matrix registers by rows, padded so that no two rows
    start in the same cache set.
    """
    panel, repeats = TILE_VECTORS * VECTOR_BYTES // 4, 1000
    rows, depth, columns = 16 * TILE_ROWS, 256, panel
    strides = (1, rows)
    if precision == "bfloat16" and HAS_AMX:
        rows, depth, columns = 32, 512, 2 * panel
        strides = (depth // 2 + 16, 1)
    operand = operand_type(precision, np.float32)
    install_tile(operand)
    left = Matrix(aligned_zeros(rows * (depth + 16), operand), 0, *strides)
    panels = aligned_zeros(depth * columns, operand)
    right = Packed(panels, 0, depth, columns, Scratch(panels, 0))
    sums = aligned_zeros(team.threads * rows * columns, np.float32)
    call = partial(team.run, repeat_product, sums, left, rows, right, repeats)
    return 2 * rows * depth * columns * repeats * team.threads, call


class Traffic(NamedTuple):
    """The bytes of a training step.

    held     the arrays of a window
    window   what is read and written of them
    layer    the packed weights of the largest layer
    weights  what is read and written of weights, of their gradient and of the moments
    """

    held: int
    window: int
    layer: int
    weights: int


def traffic(window: TrainingWindow) -> Traffic:
    """Return the bytes of a training step of symbols, in one direction."""
    sizes, arrays, threads = window.sizes, window.arrays, window.team.threads
    grad_output = window.back.grad_output.nbytes
    hidden_states = arrays.states.nbytes // sizes.states
    moved = (
        4 * arrays.gates.nbytes  # written; read and replaced by the gradient in them; read for the weight gradient
        + 2 * arrays.states.nbytes  # written; read by the backward pass
        + threads * hidden_states  # read for the weight gradient: each thread has columns of its own
        + 2 * arrays.output.nbytes  # written; read by the layer above, or the readout
        + threads * arrays.output.nbytes  # read for the weight gradient
        + 2 * sizes.layers * grad_output  # written; read
        + (1 + threads) * arrays.logits.nbytes  # the gradient in them written; read for the weight gradient
    )
    item, operand = arrays.parameters.itemsize, window.operand.itemsize / window.numbers
    recurrent = sizes.hidden * sizes.recurrent_columns
    above = recurrent + sizes.width * sizes.input_columns
    multiplied = recurrent + (sizes.layers - 1) * above + sizes.width * sizes.columns
    blocks = -(-sizes.length * sizes.batch // window.back.depth)
    weights = (
        2 * multiplied * (item + operand)  # packed, and packed transposed
        + 2 * threads * sizes.length * multiplied * operand  # read at each step of time, forward and back
        + 2 * blocks * multiplied * item  # sums of the weight gradient, read and written
        + 8 * arrays.parameters.nbytes  # norm and update: gradient twice, parameters and two moments there and back
    )
    held = sum(array.nbytes for array in (arrays.gates, arrays.states, arrays.output, arrays.logits)) + grad_output
    layer = (above if sizes.layers > 1 else recurrent) * operand
    return Traffic(held, moved, int(layer), int(weights))


class Limits(NamedTuple):
    """What was measured: seconds of a step, its share of the peak, and bytes a second.

    memory   of a triad over arrays that no cache holds
    window   of a triad over arrays as large as those of the window
    weights  of reading as much as the weights of a layer again and again
    """

    seconds: float
    of_peak: float
    memory: float
    window: float
    weights: float


HEADERS = ["of peak", "window MB", "GB/s", "memory GB/s", "of memory", "triad GB/s", "of triad"]
HEADERS += ["weights MB", "GB/s", "caches GB/s", "of caches", "nearest limit"]


def limit_cells(moved: Traffic, limits: Limits) -> list[str]:
    """Return the cells of a row under HEADERS."""
    window, weights = moved.window / limits.seconds, moved.weights / limits.seconds
    shares = {"products": limits.of_peak, "window": window / limits.window, "weights": weights / limits.weights}
    cells = [f"{limits.of_peak:.0%}", f"{moved.window / 1e6:.1f}", f"{window / 1e9:.1f}"]
    cells += [f"{limits.memory / 1e9:.1f}", f"{window / limits.memory:.0%}"]
    cells += [f"{limits.window / 1e9:.1f}", f"{shares['window']:.0%}"]
    cells += [f"{moved.weights / 1e6:.1f}", f"{weights / 1e9:.1f}"]
    cells += [f"{limits.weights / 1e9:.1f}", f"{shares['weights']:.0%}"]
    return [*cells, max(shares, key=lambda name: shares[name])]
