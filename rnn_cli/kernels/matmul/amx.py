"""The matrix product on the matrix registers of Intel's processors (Advanced Matrix Extensions), in bfloat16.

There are eight registers of up to 16 rows of 64 bytes. One instruction multiplies the rows of A in one of them, of 16
pairs each, with 16 steps of a panel's pairs in another, 16 columns wide, and adds the products to sums in float32:

    C[r, j] += sum_k A[r, 2k] B[2k, j]  +  sum_k A[r, 2k + 1] B[2k + 1, j]

Four registers hold sums, of two registers of rows by two of columns where there are so many, so that what is loaded is
used twice. Numbers that are too small for all digits of a float32 count as 0.

Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, chapter 18.
"""

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.extending import intrinsic

from rnn_cli.kernels.compiler.jit import kernel
from rnn_cli.kernels.matmul.packing import panel_count, panel_span
from rnn_cli.kernels.simd.vector import INDEX, element_pointer, emit_call

ROWS = 16  # of a register
WORDS = 16  # in a row of a register: pairs of a step of the depth, or sums
BYTES = 4  # in a word
SUMS, LEFT, RIGHT = (0, 1, 2, 3), (4, 5), (6, 7)  # the registers of C, A and B
SHAPES = [(1, 1), (1, 2), (1, 3), (1, 4), (2, 1), (2, 2)]  # registers of rows, and of columns
POINTER = ir.IntType(8).as_pointer()


def emit(builder, name, *args):
    """Emit an instruction on the matrix registers, whose numbers are plain ones."""
    values = [ir.IntType(8)(arg) if isinstance(arg, int) else arg for arg in args]
    emit_call(builder, f"llvm.x86.{name}", ir.VoidType(), values)


@intrinsic
def configure(typingctx, height, words):
    """Give the registers of A and C so many rows, and those of A so many words in a row, where it is not so yet.

    To ask takes as long as one product, to change as ten. The configuration has 64 bytes: the number of its kind, 1, at
    0, bytes in a row, in words of 16 bits, from 16 on, and rows, in bytes, from 48 on.
    """

    def lower(context, builder, sig, args):
        height, words = args

        def side_by_side(numbers, bits):
            total = INDEX(0)
            for place, number in enumerate(numbers):
                total = builder.or_(total, builder.shl(number, INDEX(place * bits)))
            return total

        whole, part = INDEX(WORDS * BYTES), builder.mul(words, INDEX(BYTES))
        changing = {
            2: side_by_side([whole] * len(SUMS), 16),
            3: side_by_side([part] * len(LEFT) + [whole] * len(RIGHT), 16),
            6: side_by_side([height] * (len(SUMS) + len(LEFT)) + [words] * len(RIGHT), 8),
        }
        with builder.goto_entry_block():
            memory = builder.alloca(INDEX, 8)
            memory.align = 64
        emit(builder, "sttilecfg", builder.bitcast(memory, POINTER))
        differs = ir.IntType(1)(0)
        for place, wanted in changing.items():
            current = builder.load(builder.gep(memory, [INDEX(place)]))
            differs = builder.or_(differs, builder.icmp_unsigned("!=", current, wanted))
        with builder.if_then(differs, likely=False):
            for place in range(8):
                builder.store(changing.get(place, INDEX(int(place == 0))), builder.gep(memory, [INDEX(place)]))
            emit(builder, "ldtilecfg", builder.bitcast(memory, POINTER))
        return context.get_dummy_value()

    return types.void(types.intp, types.intp), lower


@intrinsic
def multiply_registers(
    typingctx, rows, columns, c, c_start, c_stride, s, s_start, s_stride, a, a_start, a_stride, b, b_start, b_stride,
    below, words, count
):  # fmt: skip
    """Compute C = S + A B for so many registers of rows and of columns, as SHAPES has them, which are configured.

    The second register of rows begins `below` rows below the first; rows that both have are computed twice. The depth
    is `count` times `words` pairs.
    """

    def lower(context, builder, sig, args):
        rows, columns, *others = args
        below, words, count = others[-3:]

        def matrix(first):
            """Return the address of a matrix, and how many bytes lie between its rows."""
            pointer = element_pointer(context, builder, sig.args[first], args[first], args[first + 1])
            return builder.bitcast(pointer, POINTER), builder.mul(args[first + 2], INDEX(BYTES))

        matrices = [matrix(first) for first in (2, 5, 8, 11)]
        leave = builder.append_basic_block("multiplied")
        choice = builder.switch(builder.add(builder.mul(rows, INDEX(len(SUMS) + 1)), columns), leave)
        for r, v in SHAPES:
            block = builder.append_basic_block(f"multiply_{r}x{v}")
            choice.add_case(INDEX(r * (len(SUMS) + 1) + v), block)
            builder.position_at_end(block)
            emit_product(builder, r, v, *matrices, below, words, count)
            builder.branch(leave)
        builder.position_at_end(leave)
        return context.get_dummy_value()

    index = types.intp
    matrices = [c, index, index, s, index, index, a, index, index, b, index, index]
    return types.void(index, index, *matrices, index, index, index), lower


def emit_product(builder, rows, columns, c, s, a, b, below, words, count):
    """Emit the product for one shape, with matrices as (address, bytes from row to row)."""

    def part(matrix, r, v):
        """Return the address and the stride of what is in the register of these rows and columns."""
        pointer, stride = matrix
        rows_above = builder.mul(stride, builder.mul(below, INDEX(r)))
        return builder.gep(pointer, [builder.add(rows_above, INDEX(v * WORDS * BYTES))]), stride

    squares = [(number, *divmod(number, columns)) for number in range(rows * columns)]
    for number, r, v in squares:
        emit(builder, "tileloadd64", SUMS[number], *part(s, r, v))
    with cgutils.for_range(builder, count) as loop:
        k = builder.mul(loop.index, words)
        a_k = builder.gep(a[0], [builder.mul(k, INDEX(BYTES))]), a[1]
        b_k = builder.gep(b[0], [builder.mul(k, b[1])]), b[1]
        for number, r, v in squares:
            left, right = LEFT[r], RIGHT[v % len(RIGHT)]
            if v == 0:
                emit(builder, "tileloadd64", left, *part(a_k, r, 0))
            if r == 0:
                emit(builder, "tileloadd64", right, *part(b_k, 0, v))
            emit(builder, "tdpbf16ps", SUMS[number], left, right)
    for number, r, v in squares:
        emit(builder, "tilestored64", SUMS[number], *part(c, r, v))


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
            registers = 1 if here <= ROWS else 2
            height = (here + registers - 1) // registers
            across = len(SUMS) // registers * WORDS
            configure(height, words)
            for panel in range(panel_count(columns, WORDS)):
                first, width = panel_span(panel, columns, WORDS)
                for j in range(0, width, across):
                    multiply_registers(registers, min(across, width - j) // WORDS,
                                       c, c_start + row * c_stride + first + j, c_stride,
                                       s, s_start + row * s_stride + first + j, s_stride,
                                       a, a_start + row * a_stride + k, a_stride,
                                       panels, start + first * steps + k * width + j, width,
                                       here - height, words, count)  # fmt: skip
        s, s_start, s_stride = c, c_start, c_stride
        k += count * words
