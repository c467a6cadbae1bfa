"""The register tile of the matrix product, on explicit vectors: where the time of a training goes.

A tile is up to TILE_ROWS rows of C by one panel, which is up to TILE_VECTORS vectors of neighbouring columns of B,
stored row after row. Its sums stay in registers while it runs through the whole depth,

    for k in depth:  for each row r, vector v:  sum[r, v] += A[r, k] * B[k, v]

one fused multiply-add for each vector of B that is loaded and each number of A that is broadcast. Each sum adds its
terms in the order of k, whatever the shape of the tile.

The operands are numbers of C's type, or pairs in bfloat16 (see bfloat16.py) while C stays float32: then a step of the
loop goes two numbers deep. The type of the panel decides.
"""

from __future__ import annotations

import numba
import numpy as np
from llvmlite import binding, ir
from numba.core import cgutils, types
from numba.core.extending import intrinsic

from rnn_cli.kernels.compiler.cache import cached_library
from rnn_cli.kernels.simd.bfloat16 import multiply_add_pairs
from rnn_cli.kernels.simd.cpu import HAS_AMX, TILE_ROWS, TILE_VECTORS
from rnn_cli.kernels.simd.pointer import element_pointer
from rnn_cli.kernels.simd.vector import (
    INDEX,
    VectorType,
    call_llvm,
    element_type,
    emit_prefetch,
    lanes_of,
    register_type,
    splat,
)

PAIRS = types.uint32
PREFETCH_DISTANCE = 512  # elements of the panels that are prefetched ahead of a single row


@intrinsic
def multiply_tile(typingctx, rows, c, s, a, b, steps):
    """Compute a tile of C = S + A B, with C and S (rows, b.width), A (rows, steps) and the panel b (steps, b.width).

    C, S and A are matrices (matrix.py). `steps`, at least 1, is the depth in elements of A and b.
    """

    def lower(context, builder, sig, args):
        rows, c, s, a, b, steps = args
        vector = VectorType(sig.args[4][0].dtype)
        install_tile(vector.dtype)
        tile = cgutils.get_or_insert_function(builder.module, tile_type(vector), tile_name(vector))

        def unpack(index):
            """Return the address of the first element of an operand, and its other fields."""
            array, start, *others = cgutils.unpack_tuple(builder, args[index], 4)
            return element_pointer(context, builder, sig.args[index][0], array, start), *others

        (c, c_stride, _), (s, s_stride, _), (a, a_stride, a_step), (b, _, width) = map(unpack, range(1, 5))
        vectors = builder.sdiv(width, INDEX(lanes_of(sum_vector(vector).dtype)))
        shape = builder.add(builder.mul(rows, INDEX(TILE_VECTORS + 1)), vectors)
        builder.call(tile, [shape, c, c_stride, s, s_stride, a, a_stride, a_step, b, steps])
        return context.get_dummy_value()

    return types.void(types.intp, c, s, a, b, types.intp), lower


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
    """Make the tile for this element type known to all machine code of the process, compiled once or from the cache.

    It is compiled by itself, because otherwise every kernel above it would compile it again. There is none for pairs
    if matrix registers multiply them.
    """
    vector = VectorType(numba.from_dtype(dtype) if isinstance(dtype, np.dtype) else dtype)
    name = tile_name(vector)
    if name not in installed and not (vector.dtype == PAIRS and HAS_AMX):
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
            emit_tile(builder, vector, rows, vectors, function.args[1:])
            builder.branch(leave)
    builder.position_at_end(leave)
    builder.ret_void()


def emit_tile(builder, vector, rows, vectors, arguments):
    """Emit the loop over the depth for one shape of tile; `arguments` are those of `tile_type` after the shape."""
    c, c_stride, s, s_stride, a, a_row_stride, a_depth_stride, b, depth = arguments
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
    if rows == 1:  # bound by memory, because each number that is loaded is used only once
        for v in range(vectors):
            emit_prefetch(builder, builder.gep(b_k, [INDEX(PREFETCH_DISTANCE + v * count)]))
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
