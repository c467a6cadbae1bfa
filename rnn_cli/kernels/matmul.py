"""The matrix product: C = S + A B, with B packed into panels, on register tiles of explicit vectors.

S is what the sums start from: C itself, or one row for all rows of C, as a bias is.

A panel is up to TILE_VECTORS vectors of neighbouring columns of B, its rows one behind the other, so that a tile reads
it as a stream. A tile is up to TILE_ROWS rows of C by one panel: its sums stay in registers while it runs through the
whole depth,

    for k in depth:  for each row r, vector v:  sum[r, v] += A[r, k] * B[k, v]

which is one fused multiply-add for each vector of B that is read and each number of A that is spread. Rows and columns
are split evenly over tiles, so that the last ones are nearly as large as the first.

The operands are numbers of C's type, or pairs in bfloat16 (see bfloat16.py) while C stays float32: then a step of the
loop goes two numbers deep. The type of the panels decides; what is packed or read as A is rounded on its way.

Each sum adds its terms in the order of k, whatever the tile: a row of C does not depend on how many rows are computed
beside it, nor on the thread. This is what makes results repeat for any number of threads and of streams.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
from llvmlite import binding, ir
from numba.core import cgutils, types
from numba.core.extending import intrinsic, overload

from rnn_cli.kernels.bfloat16 import WORDS, multiply_add_pairs, store_neighbours, store_pairs
from rnn_cli.kernels.cache import cached_library
from rnn_cli.kernels.host import TILE_ROWS, TILE_VECTORS
from rnn_cli.kernels.jit import kernel
from rnn_cli.kernels.vector import (
    VectorType,
    call_llvm,
    element_pointer,
    element_type,
    lanes,
    load,
    register_type,
    splat,
    store,
)

INDEX = ir.IntType(64)
PAIRS = types.uint32
AHEAD = 512  # elements of the panels that are read ahead of a single row

ZERO, ONE = np.intp(0), np.intp(1)  # for a plain 0 or 1 the compiler would make a further version of a kernel


class Packed(NamedTuple):
    """Right-hand sides packed into panels, and room for a left-hand side that has to be made of the same numbers.

    Places in `panels` are counted in numbers, of which an element holds two where they are pairs.
    """

    panels: Any
    left: Any


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


def left_side(packed, a, start, stride, rows, depth):
    """Return A (rows, depth) in the numbers of `packed`: (array, first element, elements from row to row).

    That is A itself or, for pairs, a copy in `packed.left`; the depth is a multiple of the lanes of a vector.
    """


@overload(left_side)
def compile_left_side(packed, a, start, stride, rows, depth):
    """Choose by the type of the panels."""
    if packed[0].dtype != PAIRS:
        return lambda packed, a, start, stride, rows, depth: (a, start, stride)

    def narrow(packed, a, start, stride, rows, depth):
        for row in range(rows):
            for k in range(0, depth, 2 * WORDS):
                at = start + row * stride + k
                # Where half a vector is left over, what is stored behind it belongs to the next row, which follows.
                beyond = min(WORDS, depth - WORDS - k)
                store_neighbours(packed.left, (row * depth + k) // 2, load(a, at), load(a, at + beyond))
        return packed.left, ZERO, depth // 2

    return narrow


@intrinsic
def multiply_tile(
    typingctx,
    rows,
    vectors,
    c,
    c_start,
    c_stride,
    s,
    s_start,
    s_stride,
    a,
    a_start,
    a_row_stride,
    a_depth_stride,
    b,
    b_start,
    depth,
):
    """Compute a tile of C = S + A B, with C and S (rows, vectors), A (rows, depth) and a panel B (depth, vectors).

    Each matrix is an array and the number of its first element; strides count elements. depth is at least 1, in
    elements of A and B.
    """
    index = types.intp

    def lower(context, builder, sig, args):
        rows, vectors, c, c_start, c_stride, s, s_start, s_stride = args[:8]
        a, a_start, a_row_stride, a_depth_stride, b, b_start, depth = args[8:]
        vector = VectorType(sig.args[12].dtype)
        install_tile(vector.dtype)
        tile = cgutils.get_or_insert_function(builder.module, tile_type(vector), tile_name(vector))
        builder.call(
            tile,
            [
                builder.add(builder.mul(rows, INDEX(TILE_VECTORS + 1)), vectors),
                element_pointer(context, builder, sig.args[2], c, c_start),
                c_stride,
                element_pointer(context, builder, sig.args[5], s, s_start),
                s_stride,
                element_pointer(context, builder, sig.args[8], a, a_start),
                a_row_stride,
                a_depth_stride,
                element_pointer(context, builder, sig.args[12], b, b_start),
                depth,
            ],
        )
        return context.get_dummy_value()

    sig = types.void(index, index, c, index, index, s, index, index, a, index, index, index, b, index, index)
    return sig, lower


def tile_name(vector):
    """Return the name under which machine code finds the tile."""
    return f"rnn_tile_{vector.dtype}"


def sum_vector(vector):
    """Return the type of a tile's sums: that of its operands, or float32 for pairs."""
    return VectorType(types.float32) if vector.dtype == PAIRS else vector


def tile_type(vector):
    """Return the LLVM type of the tile.

    That is (shape, c, c_stride, s, s_stride, a, a_row_stride, a_depth_stride, b, depth).
    """
    operand, result = element_type(vector).as_pointer(), element_type(sum_vector(vector)).as_pointer()
    matrices = [result, INDEX, result, INDEX, operand, INDEX, INDEX, operand]
    return ir.FunctionType(ir.VoidType(), [INDEX, *matrices, INDEX])


installed: dict[str, object] = {}


def install_tile(dtype):
    """Make the tile for this type of numbers known to all machine code of the process, compiled once or from the cache.

    It is compiled apart, because otherwise every kernel above it would compile it once more.
    """
    vector = VectorType(numba.from_dtype(dtype) if isinstance(dtype, np.dtype) else dtype)
    name = tile_name(vector)
    if name not in installed:
        library = cached_library(name, lambda module: emit_tiles(module, vector))
        binding.add_symbol(name, library.get_pointer_to_function(name))
        installed[name] = library  # which holds the code's memory


def emit_tiles(module, vector):
    """Emit the LLVM function of the tile, which has one loop for each number of rows and of vectors."""
    function = ir.Function(module, tile_type(vector), tile_name(vector))
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    leave = function.append_basic_block("leave")
    choice = builder.switch(function.args[0], leave)
    for rows in range(1, TILE_ROWS + 1):
        for vectors in range(1, TILE_VECTORS + 1):
            block = function.append_basic_block(f"tile_{rows}x{vectors}")
            choice.add_case(INDEX(rows * (TILE_VECTORS + 1) + vectors), block)
            builder.position_at_end(block)
            emit_tile(builder, vector, rows, vectors, *function.args[1:])
            builder.branch(leave)
    builder.position_at_end(leave)
    builder.ret_void()


def prefetch(builder, pointer):
    """Emit the advice to bring what is at `pointer` into the caches; there need be nothing."""
    word = ir.IntType(32)
    for_reading, near, data = word(0), word(3), word(1)
    arguments = [builder.bitcast(pointer, ir.IntType(8).as_pointer()), for_reading, near, data]
    kind = ir.FunctionType(ir.VoidType(), [argument.type for argument in arguments])
    builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0"), arguments)


def emit_tile(builder, vector, rows, vectors, c, c_stride, s, s_stride, a, a_row_stride, a_depth_stride, b, depth):
    """Emit the loop over the depth for one shape of tile."""
    register, sum_register = register_type(vector), register_type(sum_vector(vector))
    count, align = register.count, vector.dtype.bitwidth // 8

    def vector_pointer(start, offset):
        kind = sum_register if start.type == c.type else register
        return builder.bitcast(builder.gep(start, [offset]), kind.as_pointer())

    def multiply_add(number, panel, total):
        if vector.dtype == PAIRS:
            return multiply_add_pairs(builder, number, panel, total)
        return call_llvm(builder, "llvm.fmuladd", register, [number, panel, total])

    def row_of_vectors(start, stride, r):
        first = builder.gep(start, [builder.mul(stride, INDEX(r))])
        return [vector_pointer(first, INDEX(v * count)) for v in range(vectors)]

    initial = [[builder.load(pointer, align=align) for pointer in row_of_vectors(s, s_stride, r)] for r in range(rows)]
    row_starts = [builder.mul(a_row_stride, INDEX(r)) for r in range(rows)]
    before, loop = builder.block, builder.append_basic_block("depth")
    after = builder.append_basic_block("sums")
    builder.branch(loop)

    builder.position_at_end(loop)
    k, a_k, b_k = builder.phi(INDEX), builder.phi(a.type), builder.phi(b.type)
    running = [[builder.phi(sum_register) for _ in row] for row in initial]
    if rows == 1:  # which waits for memory, as each number that it reads is used but once
        for v in range(vectors):
            prefetch(builder, builder.gep(b_k, [INDEX(AHEAD + v * count)]))
    panel = [builder.load(vector_pointer(b_k, INDEX(v * count)), align=align) for v in range(vectors)]
    added = []
    for r in range(rows):
        number = splat(builder, builder.load(builder.gep(a_k, [row_starts[r]])), register)
        added.append([multiply_add(number, panel[v], running[r][v]) for v in range(vectors)])
    k_next = builder.add(k, INDEX(1))
    steps = [
        (k, INDEX(0), k_next),
        (a_k, a, builder.gep(a_k, [a_depth_stride])),
        (b_k, b, builder.gep(b_k, [INDEX(vectors * count)])),
    ]
    for r in range(rows):
        steps += zip(running[r], initial[r], added[r])
    for phi, first, following in steps:
        phi.add_incoming(first, before)
        phi.add_incoming(following, loop)
    builder.cbranch(builder.icmp_signed("<", k_next, depth), loop, after)

    builder.position_at_end(after)
    for r in range(rows):
        for pointer, value in zip(row_of_vectors(c, c_stride, r), added[r]):
            builder.store(value, pointer, align=align)


@kernel
def panel_count(columns, count):
    """Return into how many panels so many columns go, with vectors of `count` numbers; columns is a multiple of it."""
    return (columns // count + TILE_VECTORS - 1) // TILE_VECTORS


@kernel
def even_start(part, parts, total):
    """Return where `part` begins when `total` things are split evenly into `parts`."""
    return part * total // parts


@kernel
def panel_span(panel, columns, count):
    """Return the first column of a panel, and how many it has; see `panel_count`."""
    panels = panel_count(columns, count)
    first = even_start(panel, panels, columns // count) * count
    return first, even_start(panel + 1, panels, columns // count) * count - first


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


@kernel
def own_panels(columns, count, part, parts):
    """Return the first of this part's panels, and the one behind its last."""
    panels = panel_count(columns, count)
    return even_start(part, parts, panels), even_start(part + 1, parts, panels)


@kernel
def place_of(panel, group, count):
    """Return the first column of a panel, and how many it has, where each group of columns has its own panels."""
    each = panel_count(group, count)
    first, width = panel_span(panel % each, group, count)
    return panel // each * group + first, width


@kernel
def pack_panel(source, start, stride, depth, width, packed, packed_start):
    """Pack one panel: B[k, j] (depth, width) stands at start + k stride + j; the panel begins at `packed_start`.

    Where the last of the pairs has but one number, the other one is 0.
    """
    step = depth_step(packed)
    for k in range(steps_of(packed, depth)):
        at, paired = start + k * step * stride, k * step + step <= depth
        for j in range(0, width, lanes(source)):
            low = load(source, at + j)
            high = load(source, at + (step - 1) * stride + j) if paired else low - low
            store_steps(packed, packed_start + k * width + j, low, high)


@kernel
def pack(source, start, stride, depth, columns, packed, packed_start, part, parts):
    """Pack B (depth, columns), with B[k, j] at start + k stride + j of `source`, this part's panels."""
    own = own_panels(columns, lanes(source), part, parts)
    for panel in range(own[0], own[1]):
        first, width = panel_span(panel, columns, lanes(source))
        target = packed_start // depth_step(packed) + first * steps_of(packed, depth)
        pack_panel(source, start + first, stride, depth, width, packed, target)


@kernel
def pack_transposed(source, start, stride, depth, columns, packed, packed_start, part, parts):
    """Pack B (depth, columns) of which the transpose is stored: B[k, j] at start + j stride + k."""
    own = own_panels(columns, lanes(source), part, parts)
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


def transposed(panels, a, start, depth, rows, left, left_start):
    """Return the transpose of A (depth, rows), which is contiguous, in the numbers of `panels`: (array, first element).

    From one step of the depth to the next it is `rows` elements. That is A itself or, for pairs, a copy in `left`; the
    second number of a last pair that has but one does not matter, because in the panels it meets a 0.
    """


@overload(transposed)
def compile_transposed(panels, a, start, depth, rows, left, left_start):
    """Choose by the type of the panels."""
    if panels.dtype != PAIRS:
        return lambda panels, a, start, depth, rows, left, left_start: (a, start)

    def paired(panels, a, start, depth, rows, left, left_start):
        for k in range(0, depth, 2):
            for j in range(0, rows, WORDS):
                low = load(a, start + k * rows + j)
                high = load(a, start + min(k + 1, depth - 1) * rows + j)
                store_pairs(left, left_start + k // 2 * rows + j, low, high)
        return left, left_start

    return paired
