"""The matrix product on the matrix registers of Intel's processors (Advanced Matrix Extensions), in bfloat16.

There are eight registers of up to 16 rows of 64 bytes. One instruction multiplies up to 16 rows of A, 16 pairs each,
with 16 steps of a panel's pairs, 16 columns wide, and adds the products to 16 rows of sums in float32:

    C[r, j] += sum_k A[r, 2k] B[2k, j]  +  sum_k A[r, 2k + 1] B[2k + 1, j]

A product runs on a square of two times two registers of sums, so that what is loaded is used twice. Numbers too small
for a float32's full precision count as 0. How many rows a register has is configured, which takes as long as ten
products; so all panels are multiplied with some rows of A before others come.

Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, chapter 18.
"""

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.extending import intrinsic

from rnn_cli.kernels.jit import kernel
from rnn_cli.kernels.packing import panel_count, panel_span
from rnn_cli.kernels.vector import element_pointer

ROWS = 16  # of a register
WORDS = 16  # in a row of a register: pairs of a step of the depth, or sums
BYTE, INDEX, POINTER = ir.IntType(8), ir.IntType(64), ir.IntType(8).as_pointer()
SUMS_0, SUMS_1, SUMS_2, SUMS_3 = 0, 1, 2, 3  # the registers: sums of the upper rows and of the lower ones,
A_UPPER, A_LOWER, B_LEFT, B_RIGHT = 4, 5, 6, 7  # these rows of A, and the columns of B


def emit(builder, name, *args):
    """Emit an instruction on the matrix registers."""
    kind = ir.FunctionType(ir.VoidType(), [arg.type for arg in args])
    builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.x86.{name}"), args)


def register_number(number):
    """Return the constant for a register that was written as a plain number."""
    return BYTE(number.literal_value)


def emit_access(name, context, builder, sig, args):
    """Emit the load or store of a register: (register, array, first element, elements from row to row)."""
    array_type = sig.args[1]
    pointer = builder.bitcast(element_pointer(context, builder, array_type, args[1], args[2]), POINTER)
    stride = builder.mul(args[3], INDEX(array_type.dtype.bitwidth // 8))
    emit(builder, name, register_number(sig.args[0]), pointer, stride)
    return context.get_dummy_value()


@intrinsic(prefer_literal=True)
def load_rows(typingctx, register, array, start, stride):
    """Load a register; its rows begin at `start`, `stride` elements apart."""

    def lower(context, builder, sig, args):
        return emit_access("tileloadd64", context, builder, sig, args)

    return types.void(register, array, types.intp, types.intp), lower


@intrinsic(prefer_literal=True)
def store_rows(typingctx, register, array, start, stride):
    """Store a register as `load_rows` loads it."""

    def lower(context, builder, sig, args):
        return emit_access("tilestored64", context, builder, sig, args)

    return types.void(register, array, types.intp, types.intp), lower


@intrinsic(prefer_literal=True)
def add_products(typingctx, sums, a, b):
    """Add to the register `sums` the product of the registers `a` and `b`."""

    def lower(context, builder, sig, args):
        emit(builder, "tdpbf16ps", *map(register_number, sig.args))
        return context.get_dummy_value()

    return types.void(sums, a, b), lower


@intrinsic
def configure(typingctx, upper, lower, words):
    """Give the registers so many rows, and those of A so many words in a row, where it is not so yet.

    The configuration has 64 bytes: the number of the scheme, 1, at 0, bytes in a row in words of 16 bits from 16 on,
    and rows in bytes from 48 on.
    """

    def lower_it(context, builder, sig, args):
        upper, lower, words = args

        def spread(numbers, bits):
            """Return the numbers side by side in one word of 64 bits."""
            total = INDEX(0)
            for place, number in enumerate(numbers):
                total = builder.or_(total, builder.shl(number, INDEX(place * bits)))
            return total

        whole, part = INDEX(4 * WORDS), builder.mul(words, INDEX(4))
        wanted = {
            2: spread([whole] * 4, 16),
            3: spread([part, part, whole, whole], 16),
            6: spread([upper, upper, lower, lower, upper, lower, words, words], 8),
        }
        with builder.goto_entry_block():
            memory = builder.alloca(INDEX, 8)
            memory.align = 64
        block = builder.bitcast(memory, POINTER)
        emit(builder, "sttilecfg", block)
        differs = ir.IntType(1)(0)
        for place, value in wanted.items():
            current = builder.load(builder.gep(memory, [INDEX(place)]))
            differs = builder.or_(differs, builder.icmp_unsigned("!=", current, value))
        with builder.if_then(differs, likely=False):
            for place, value in {0: INDEX(1), 1: INDEX(0), 4: INDEX(0), 5: INDEX(0), 7: INDEX(0), **wanted}.items():
                builder.store(value, builder.gep(memory, [INDEX(place)]))
            emit(builder, "ldtilecfg", block)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp), lower_it


@kernel
def multiply_square(
    c, c_start, c_stride, s, s_start, s_stride, a, a_start, a_stride, b, b_start, b_stride, words, count, upper, lower,
    two_columns
):  # fmt: skip
    """Compute C = S + A B for one register of columns or two, and for `upper` and `lower` rows; lower may be 0.

    The depth is `count` times `words` pairs.
    """
    c_below, s_below, a_below = c_start + upper * c_stride, s_start + upper * s_stride, a_start + upper * a_stride
    load_rows(SUMS_0, s, s_start, s_stride)
    if two_columns:
        load_rows(SUMS_1, s, s_start + WORDS, s_stride)
    if lower > 0:
        load_rows(SUMS_2, s, s_below, s_stride)
        if two_columns:
            load_rows(SUMS_3, s, s_below + WORDS, s_stride)
    for k in range(count):
        a_k, b_k = k * words, b_start + k * words * b_stride
        load_rows(A_UPPER, a, a_start + a_k, a_stride)
        load_rows(B_LEFT, b, b_k, b_stride)
        add_products(SUMS_0, A_UPPER, B_LEFT)
        if two_columns:
            load_rows(B_RIGHT, b, b_k + WORDS, b_stride)
            add_products(SUMS_1, A_UPPER, B_RIGHT)
        if lower > 0:
            load_rows(A_LOWER, a, a_below + a_k, a_stride)
            add_products(SUMS_2, A_LOWER, B_LEFT)
            if two_columns:
                add_products(SUMS_3, A_LOWER, B_RIGHT)
    store_rows(SUMS_0, c, c_start, c_stride)
    if two_columns:
        store_rows(SUMS_1, c, c_start + WORDS, c_stride)
    if lower > 0:
        store_rows(SUMS_2, c, c_below, c_stride)
        if two_columns:
            store_rows(SUMS_3, c, c_below + WORDS, c_stride)


@kernel
def multiply_pairs(
    c, c_start, c_stride, s, s_start, s_stride, a, a_start, a_stride, a_step, rows, panels, start, steps, columns
):
    """Compute `multiply_panels` (matmul.py) of pairs; `a_step` is 1.

    What is left over of the depth behind the last whole register is added by another run over C.
    """
    k = 0
    while k < steps:
        words = min(WORDS, steps - k)
        count = (steps - k) // words
        for row in range(0, rows, 2 * ROWS):
            here = min(2 * ROWS, rows - row)
            upper = (here + 1) // 2 if here > ROWS else here
            configure(upper, max(here - upper, 1), words)
            for panel in range(panel_count(columns, WORDS)):
                first, width = panel_span(panel, columns, WORDS)
                for j in range(0, width, 2 * WORDS):
                    multiply_square(c, c_start + row * c_stride + first + j, c_stride,
                                    s, s_start + row * s_stride + first + j, s_stride,
                                    a, a_start + row * a_stride + k, a_stride,
                                    panels, start + first * steps + k * width + j, width,
                                    words, count, upper, here - upper, width - j > WORDS)  # fmt: skip
        s, s_start, s_stride = c, c_start, c_stride
        k += count * words
