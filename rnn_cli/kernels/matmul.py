"""The matrix product: C += A B, with B packed into panels, on register tiles of explicit vectors.

A panel is up to TILE_VECTORS vectors of neighbouring columns of B, its rows one behind the other, so that a tile reads
it as a stream. A tile is up to TILE_ROWS rows of C by one panel: its sums stay in registers while it runs through the
whole depth,

    for k in depth:  for each row r, vector v:  sum[r, v] += A[r, k] * B[k, v]

which is one fused multiply-add for each vector of B that is read and each number of A that is spread. Rows and columns
are split evenly over tiles, so that the last ones are nearly as large as the first.

Each sum adds its terms in the order of k, whatever the tile: a row of C does not depend on how many rows are computed
beside it, nor on the thread. This is what makes results repeat for any number of threads and of streams.
"""

from __future__ import annotations

import numba
import numpy as np
from llvmlite import binding, ir
from numba.core import cgutils, types
from numba.core.extending import intrinsic

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


ZERO, ONE = np.intp(0), np.intp(1)  # for a plain 0 or 1 the compiler would make a further version of a kernel


@intrinsic
def multiply_tile(
    typingctx,
    rows,
    vectors,
    c,
    c_start,
    c_stride,
    a,
    a_start,
    a_row_stride,
    a_depth_stride,
    b,
    b_start,
    depth,
):
    """Add to a tile of C (rows, vectors) the product of A (rows, depth) and a panel B (depth, vectors).

    Each matrix is an array and the number of its first element; strides count elements. depth is at least 1.
    """
    index = types.intp

    def lower(context, builder, sig, args):
        rows, vectors, c, c_start, c_stride, a, a_start, a_row_stride, a_depth_stride, b, b_start, depth = args
        vector = VectorType(sig.args[2].dtype)
        install_tile(vector.dtype)
        tile = cgutils.get_or_insert_function(builder.module, tile_type(vector), tile_name(vector))
        builder.call(
            tile,
            [
                builder.add(builder.mul(rows, INDEX(TILE_VECTORS + 1)), vectors),
                element_pointer(context, builder, sig.args[2], c, c_start),
                c_stride,
                element_pointer(context, builder, sig.args[5], a, a_start),
                a_row_stride,
                a_depth_stride,
                element_pointer(context, builder, sig.args[9], b, b_start),
                depth,
            ],
        )
        return context.get_dummy_value()

    sig = types.void(index, index, c, index, index, a, index, index, index, b, index, index)
    return sig, lower


def tile_name(vector):
    """Return the name under which machine code finds the tile."""
    return f"rnn_tile_{vector.dtype}"


def tile_type(vector):
    """Return the LLVM type of the tile: (shape, c, c_stride, a, a_row_stride, a_depth_stride, b, depth)."""
    element = element_type(vector).as_pointer()
    return ir.FunctionType(ir.VoidType(), [INDEX, element, INDEX, element, INDEX, INDEX, element, INDEX])


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


def emit_tile(builder, vector, rows, vectors, c, c_stride, a, a_row_stride, a_depth_stride, b, depth):
    """Emit the loop over the depth for one shape of tile."""
    register = register_type(vector)
    count, align = register.count, vector.dtype.bitwidth // 8

    def vector_pointer(start, offset):
        return builder.bitcast(builder.gep(start, [offset]), register.as_pointer())

    sums = [
        [vector_pointer(builder.gep(c, [builder.mul(c_stride, INDEX(r))]), INDEX(v * count)) for v in range(vectors)]
        for r in range(rows)
    ]
    initial = [[builder.load(pointer, align=align) for pointer in row] for row in sums]
    row_starts = [builder.mul(a_row_stride, INDEX(r)) for r in range(rows)]
    before, loop = builder.block, builder.append_basic_block("depth")
    after = builder.append_basic_block("sums")
    builder.branch(loop)

    builder.position_at_end(loop)
    k, a_k, b_k = builder.phi(INDEX), builder.phi(a.type), builder.phi(b.type)
    running = [[builder.phi(register) for _ in row] for row in sums]
    panel = [builder.load(vector_pointer(b_k, INDEX(v * count)), align=align) for v in range(vectors)]
    added = []
    for r in range(rows):
        number = splat(builder, builder.load(builder.gep(a_k, [row_starts[r]])), register)
        added.append(
            [call_llvm(builder, "llvm.fmuladd", register, [number, panel[v], running[r][v]]) for v in range(vectors)]
        )
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
        for pointer, value in zip(sums[r], added[r]):
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
def multiply(
    c, c_start, c_stride, a, a_start, a_row_stride, a_depth_stride, rows, depth, packed, packed_start, columns
):
    """Add to C (rows, columns) the product of A (rows, depth) and the packed B (depth, columns).

    C[r, j] stands at c_start + r c_stride + j, A[r, k] at a_start + r a_row_stride + k a_depth_stride.
    """
    tiles = (rows + TILE_ROWS - 1) // TILE_ROWS
    for panel in range(panel_count(columns, lanes(packed))):
        first, width = panel_span(panel, columns, lanes(packed))
        for tile in range(tiles):
            row = even_start(tile, tiles, rows)
            multiply_tile(
                even_start(tile + 1, tiles, rows) - row,
                width // lanes(packed),
                c,
                c_start + row * c_stride + first,
                c_stride,
                a,
                a_start + row * a_row_stride,
                a_row_stride,
                a_depth_stride,
                packed,
                packed_start + first * depth,
                depth,
            )


@kernel
def pack(source, start, stride, depth, columns, packed, packed_start, part, parts):
    """Pack B (depth, columns), with B[k, j] at start + k stride + j of `source`, this part's panels."""
    panels = panel_count(columns, lanes(source))
    for panel in range(even_start(part, parts, panels), even_start(part + 1, parts, panels)):
        first, width = panel_span(panel, columns, lanes(source))
        target = packed_start + first * depth
        for k in range(depth):
            for j in range(0, width, lanes(source)):
                store(packed, target + k * width + j, load(source, start + k * stride + first + j))


@kernel
def pack_transposed(source, start, stride, depth, columns, packed, packed_start, part, parts):
    """Pack B (depth, columns) of which the transpose is stored: B[k, j] at start + j stride + k."""
    panels = panel_count(columns, lanes(source))
    for panel in range(even_start(part, parts, panels), even_start(part + 1, parts, panels)):
        first, width = panel_span(panel, columns, lanes(source))
        target = packed_start + first * depth
        # Sixteen rows at a time: what is read are whole cache lines, what is written stays near.
        for block in range(0, depth, 16):
            for j in range(width):
                for k in range(block, min(block + 16, depth)):
                    packed[target + k * width + j] = source[start + (first + j) * stride + k]
