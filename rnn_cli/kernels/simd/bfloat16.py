"""bfloat16: numbers of 16 bits, the upper half of a float32, two of them in a word of 32 bits.

A pair holds what two neighbouring steps of a product's depth need, the earlier one in the lower half. One instruction
of the processor multiplies pairs and adds both products to a sum in float32:

    sum + a_low b_low + a_high b_high

Arrays of pairs have the type uint32. Rounding is to nearest, ties to even; NaN stays NaN.
"""

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.extending import intrinsic

from rnn_cli.kernels.simd.pointer import PointerType, element_pointer
from rnn_cli.kernels.simd.vector import INDEX, BFloat, emit_call, narrowed

WORDS = 16  # in a vector
ONES = 0x3F803F80  # the pair of 1 and 1
MULTIPLY_ADD = "llvm.x86.avx512bf16.dpbf16ps.512"


FLOATS = ir.VectorType(ir.FloatType(), WORDS)
PAIRS = ir.VectorType(ir.IntType(32), WORDS)
HALVES = ir.VectorType(ir.IntType(16), WORDS)
PAIRED_NUMBERS = ir.VectorType(BFloat(), 2 * WORDS)


def multiply_add_pairs(builder, a, b, total):
    """Emit total + the products of the pairs of `a` and `b`; the sums are float32."""
    pairs = [builder.bitcast(vector, PAIRED_NUMBERS) for vector in (a, b)]
    return emit_call(builder, MULTIPLY_ADD, FLOATS, [total, *pairs])


def store_words(context, builder, array_type, array, index, words):
    """Emit a store of a whole vector of words."""
    pointer = builder.bitcast(element_pointer(context, builder, array_type, array, index), words.type.as_pointer())
    builder.store(words, pointer, align=4)
    return context.get_dummy_value()


@intrinsic
def as_pairs(typingctx, array):
    """Return the address of an array in bfloat16 as that of its pairs of neighbouring numbers."""

    def lower(context, builder, sig, args):
        first = element_pointer(context, builder, sig.args[0], args[0], INDEX(0))
        return builder.bitcast(first, PAIRS.element.as_pointer())

    return PointerType(types.uint32)(array), lower


@intrinsic
def store_pairs(typingctx, array, index, low, high):
    """Store a vector of words, each a pair of the same lane of `low` and of `high`."""

    def lower(context, builder, sig, args):
        return store_words(context, builder, sig.args[0], *args[:2], paired(builder, *args[2:]))

    return types.void(array, types.intp, low, high), lower


@intrinsic
def store_halves(typingctx, array, index, source, low, high):
    """Store a vector of words, each a pair of the numbers at `low` and at `high` of a source in bfloat16; -1: of 0."""

    def lower(context, builder, sig, args):
        target, index, source, low, high = args

        def words_at(number):
            pointer = element_pointer(context, builder, sig.args[2], source, number)
            return builder.zext(builder.load(builder.bitcast(pointer, HALVES.as_pointer()), align=2), PAIRS)

        missing = builder.icmp_signed("<", high, INDEX(0))
        second = words_at(builder.select(missing, low, high))
        second = builder.select(missing, ir.Constant(PAIRS, None), second)
        words = builder.or_(words_at(low), builder.shl(second, ir.Constant(PAIRS, [16] * WORDS)))
        return store_words(context, builder, sig.args[0], target, index, words)

    return types.void(array, types.intp, source, types.intp, types.intp), lower


@intrinsic
def store_neighbours(typingctx, array, index, low, high):
    """Store a vector of words, each a pair of neighbouring lanes: first those of `low`, then those of `high`."""

    def lower(context, builder, sig, args):
        halves = [narrowed(builder, vector) for vector in args[2:]]
        order = ir.Constant(ir.VectorType(ir.IntType(32), 2 * WORDS), list(range(2 * WORDS)))
        words = builder.bitcast(builder.shuffle_vector(*halves, order), PAIRS)
        return store_words(context, builder, sig.args[0], *args[:2], words)

    return types.void(array, types.intp, low, high), lower


def paired(builder, low, high):
    """Emit the words of the pairs of the same lane of two vectors of float32."""
    words = [builder.zext(narrowed(builder, vector), PAIRS) for vector in (low, high)]
    return builder.or_(words[0], builder.shl(words[1], ir.Constant(PAIRS, [16] * WORDS)))


@intrinsic
def store_pairs_transposed(typingctx, target, source, depth):
    """Store the transpose of up to 32 rows of 16 numbers as 16 rows of 16 pairs; both are matrices (matmul/matrix.py).

    Only `depth` rows of the source are read; the last one stands for all after it.
    """

    def lower(context, builder, sig, args):
        (target, index, row_stride, _), (source, start, stride, _) = (
            cgutils.unpack_tuple(builder, matrix, 4) for matrix in args[:2]
        )
        last = builder.sub(args[2], INDEX(1))

        def row(k):
            k = builder.select(builder.icmp_signed("<", INDEX(k), last), INDEX(k), last)
            at = builder.add(start, builder.mul(k, stride))
            pointer = element_pointer(context, builder, sig.args[1][0], source, at)
            return builder.load(builder.bitcast(pointer, FLOATS.as_pointer()), align=4)

        words = [paired(builder, row(2 * k), row(2 * k + 1)) for k in range(WORDS)]
        for j, vector in enumerate(transpose16x16(builder, words)):
            at = builder.add(index, builder.mul(row_stride, INDEX(j)))
            store_words(context, builder, sig.args[0][0], target, at, vector)
        return context.get_dummy_value()

    return types.void(target, source, types.intp), lower


def transpose16x16(builder, rows):
    """Emit the transpose of 16 vectors of 16 words: swap off-diagonal blocks of size 1, 2, 4, 8, one size a round.

    In a round, lane i of the upper row of a pair of rows `side` apart stays if i & side is 0, and else comes from the
    lower row, lane i - side; the lower row keeps its other lanes, and gets lane i + side of the upper row.
    """
    for side in (1, 2, 4, 8):
        upper = [i if not i & side else WORDS + i - side for i in range(WORDS)]
        lower = [i + side if not i & side else WORDS + i for i in range(WORDS)]
        following = list(rows)
        for r in range(WORDS):
            if not r & side:
                for at, lanes in ((r, upper), (r + side, lower)):
                    order = ir.Constant(ir.VectorType(ir.IntType(32), WORDS), lanes)
                    following[at] = builder.shuffle_vector(rows[r], rows[r + side], order)
        rows = following
    return rows
