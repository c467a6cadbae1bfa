"""The matrix product on the matrix registers of Intel's processors (Advanced Matrix Extensions), in bfloat16.

There are eight registers of up to 16 rows of 64 bytes. One instruction multiplies the rows of A in one of them, of 16
pairs each, with 16 steps of a panel's pairs in another, 16 columns wide, and adds the products to sums in float32:

    C[r, j] += sum_k A[r, 2k] B[2k, j]  +  sum_k A[r, 2k + 1] B[2k + 1, j]

Four registers hold sums, of two registers of rows by two of columns if there are that many, so that each loaded
register is used twice. Subnormal numbers count as 0.

Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, chapter 18.
"""

from __future__ import annotations

from typing import NamedTuple

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.extending import intrinsic

from rnn_cli.kernels.compiler.jit import kernel
from rnn_cli.kernels.matmul.matrix import ONE, Matrix, block
from rnn_cli.kernels.matmul.packing import own_panels, panel_span
from rnn_cli.kernels.simd.pointer import element_pointer
from rnn_cli.kernels.simd.vector import INDEX, emit_call

ROWS = 16  # of a register
WORDS = 16  # in a row of a register: pairs of a step of the depth, or sums
BYTES = 4  # in a word
SUMS, LEFT, RIGHT = (0, 1, 2, 3), (4, 5), (6, 7)  # the registers of C, A and B
SHAPES = [(1, 1), (1, 2), (1, 3), (1, 4), (2, 1), (2, 2)]  # registers of rows, and of columns
POINTER = ir.IntType(8).as_pointer()


def emit(builder, name, *args):
    """Emit an instruction on the matrix registers, which are named by plain integers."""
    values = [ir.IntType(8)(arg) if isinstance(arg, int) else arg for arg in args]
    emit_call(builder, f"llvm.x86.{name}", ir.VoidType(), values)


@intrinsic
def configure(typingctx, height, words):
    """Configure the registers of A and C with `height` rows, those of A with `words` words a row, unless already so.

    Reading the configuration costs about one product, writing it ten. It has 64 bytes: the palette, 1, at offset 0, the
    bytes of a row of each register, 16 bits each, from offset 16 on, and its rows, 8 bits each, from offset 48 on.
    """

    def lower(context, builder, sig, args):
        height, words = args

        def side_by_side(numbers, bits):
            total = INDEX(0)
            for i, number in enumerate(numbers):
                total = builder.or_(total, builder.shl(number, INDEX(i * bits)))
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
        for word, wanted in changing.items():
            current = builder.load(builder.gep(memory, [INDEX(word)]))
            differs = builder.or_(differs, builder.icmp_unsigned("!=", current, wanted))
        with builder.if_then(differs, likely=False):
            for word in range(8):
                builder.store(changing.get(word, INDEX(int(word == 0))), builder.gep(memory, [INDEX(word)]))
            emit(builder, "ldtilecfg", builder.bitcast(memory, POINTER))
        return context.get_dummy_value()

    return types.void(types.intp, types.intp), lower


class Shape(NamedTuple):
    """The registers of one product: how many hold rows and how many hold columns, as SHAPES has them.

    The second register of rows begins `second_row` rows below the first; rows that both hold are computed twice. The
    depth is `steps` times `words` pairs.
    """

    rows: int
    columns: int
    second_row: int
    words: int
    steps: int


@intrinsic
def multiply_registers(typingctx, shape, c, s, a, b):
    """Compute C = S + A B for the matrices (matrix.py) in the registers of a `Shape`, which are configured."""

    def lower(context, builder, sig, args):
        rows, columns, second_row, words, count = cgutils.unpack_tuple(builder, args[0], 5)

        def address(index):
            """Return the address of a matrix, and the number of bytes between its rows."""
            array, start, stride, _ = cgutils.unpack_tuple(builder, args[index], 4)
            pointer = element_pointer(context, builder, sig.args[index][0], array, start)
            return builder.bitcast(pointer, POINTER), builder.mul(stride, INDEX(BYTES))

        matrices = [address(index) for index in range(1, 5)]
        leave = builder.append_basic_block("multiplied")
        choice = builder.switch(builder.add(builder.mul(rows, INDEX(len(SUMS) + 1)), columns), leave)
        for r, v in SHAPES:
            case = builder.append_basic_block(f"multiply_{r}x{v}")
            choice.add_case(INDEX(r * (len(SUMS) + 1) + v), case)
            builder.position_at_end(case)
            emit_product(builder, (r, v), matrices, (second_row, words, count))
            builder.branch(leave)
        builder.position_at_end(leave)
        return context.get_dummy_value()

    return types.void(shape, c, s, a, b), lower


def emit_product(builder, registers, matrices, depth):
    """Emit the product for one shape, with the matrices C, S, A, B as (address, bytes from row to row)."""
    (rows, columns), (c, s, a, b), (second_row, words, count) = registers, matrices, depth

    def part(matrix, r, v):
        """Return the address and the stride of what is in the register of these rows and columns."""
        pointer, stride = matrix
        rows_above = builder.mul(stride, builder.mul(second_row, INDEX(r)))
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
def multiply_pairs(c, s, a, rows, b):
    """Compute `multiply_panels` (product.py) of pairs; the step of A is 1.

    The rest of the depth after the last whole register is added by another pass over C.
    """
    steps = (b.depth + 1) // 2
    start = b.start // 2
    first_panel, last_panel = own_panels(b, WORDS)
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
            for panel in range(first_panel, last_panel):
                first, width = panel_span(panel, b.columns, WORDS)
                for j in range(0, width, across):
                    shape = Shape(registers, min(across, width - j) // WORDS, here - height, words, count)
                    right = Matrix(b.panels, start + first * steps + k * width + j, width, ONE)
                    initial = block(s, row, first + j) if k == 0 else block(c, row, first + j)
                    multiply_registers(shape, block(c, row, first + j), initial, block(a, row, k), right)
        k += count * words
