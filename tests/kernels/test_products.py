"""The products by themselves against NumPy, in each kind of operand: float32, float64 and pairs in bfloat16."""

import numpy as np
import pytest

from rnn_cli.kernels.compiler.jit import kernel
from rnn_cli.kernels.matmul.matrix import Matrix, Packed, Panel, Scratch, Span
from rnn_cli.kernels.matmul.packing import (
    pack,
    pack_panel,
    pack_transposed,
    panel_count,
    panel_in_group,
    panel_range,
    transposed,
)
from rnn_cli.kernels.matmul.product import multiply_onto
from rnn_cli.kernels.matmul.tile import install_tile
from rnn_cli.kernels.network.deep_products import add_product, add_sums, scatter_rows
from rnn_cli.kernels.network.gradients import products_before
from rnn_cli.kernels.network.sources import Dense, OneHot
from rnn_cli.kernels.simd.aligned import aligned_zeros
from rnn_cli.kernels.simd.bfloat16 import ONES
from rnn_cli.kernels.simd.cpu import HAS_BFLOAT16, TILE_VECTORS, VECTOR_BYTES
from rnn_cli.kernels.simd.vector import lanes, load
from rnn_cli.kernels.threads import Rows, Share, Team
from rnn_cli.network.config import NetworkConfig
from rnn_cli.network.model import PAD, Model
from rnn_cli.network.workspace import Window

needs_bfloat16 = pytest.mark.skipif(not HAS_BFLOAT16, reason="the processor has no bfloat16")
KINDS = [
    pytest.param((np.float32, np.float32), id="float32"),
    pytest.param((np.float64, np.float64), id="float64"),
    pytest.param((np.float32, np.uint32), id="bfloat16", marks=needs_bfloat16),
]


@pytest.fixture(params=KINDS)
def kind(request):
    """The types of the numbers outside and of the elements of what is packed."""
    install_tile(np.dtype(request.param[1]))
    return request.param


@pytest.fixture
def count(kind):
    """How many numbers a vector holds."""
    return VECTOR_BYTES // np.dtype(kind[0]).itemsize


def numbers_in(kind):
    """Return how many numbers an element of what is packed holds."""
    return 2 if kind[1] == np.uint32 else 1


def depths(kind, count, *others):
    """Return depths that a product may have: any, or for pairs those of padded sizes."""
    return (count, 2 * count, 5 * count) if numbers_in(kind) == 2 else (count, *others)


def whole_numbers(generator, shape, dtype):
    """Return small whole numbers: they are exact in each type, and so are the sums of their products in any order."""
    return generator.integers(-8, 9, shape).astype(dtype)


def packed_copy(matrix, kind, rows=0):
    """Return `matrix` (depth, columns) in panels, with scratch for a left-hand operand of this number of rows."""
    depth, columns = matrix.shape
    panels = aligned_zeros(-(-depth // numbers_in(kind)) * columns, kind[1])
    scratch = Scratch(aligned_zeros(max(rows, 64) * (depth + 16), kind[1]), 0)
    packed = Packed(panels, 0, depth, columns, scratch)
    pack(Matrix(matrix.ravel(), 0, columns, 1), packed, Share(0, 1))
    return packed


def multiply(c, a, rows, packed):
    """Add to C the product of A and the packed B."""
    multiply_onto(c, c, a, Rows(0, rows), packed)


def test_multiply_adds_the_product_and_touches_nothing_else(kind, count):
    generator, dtype = np.random.default_rng(3), kind[0]
    for columns in range(count, 10 * 16 + 1, count):
        for depth in depths(kind, count, 1, 2, 3, 17, 70):
            b = whole_numbers(generator, (depth, columns), dtype)
            packed = packed_copy(b, kind, 70)
            for rows in (*range(1, 20), 25, 31, 32, 33, 49, 70):
                a = whole_numbers(generator, (rows, depth + 3), dtype)
                c = whole_numbers(generator, (rows + 2, columns + 5), dtype)
                expected = c.copy()
                expected[1 : rows + 1, 2 : columns + 2] += a[:, 1 : depth + 1] @ b
                left = Matrix(a.ravel(), 1, depth + 3, 1)
                multiply(Matrix(c.ravel(), columns + 7, columns + 5, 1), left, rows, packed)
                assert np.array_equal(c, expected), (rows, columns, depth)


def test_multiply_onto_starts_from_rows_or_one_row(kind, count):
    generator, dtype = np.random.default_rng(4), kind[0]
    rows, depth, columns = 13, 2 * count, 5 * count
    a, b, starts = (whole_numbers(generator, s, dtype) for s in ((rows, depth), (depth, columns), (rows, columns + 3)))
    packed = packed_copy(b, kind)
    for stride, start in ((columns + 3, starts), (0, starts[:1])):
        c = np.full((rows, columns), np.nan, dtype)
        initial = Matrix(starts.ravel(), 1, stride, 1)
        multiply_onto(Matrix(c.ravel(), 0, columns, 1), initial, Matrix(a.ravel(), 0, depth, 1), Rows(0, rows), packed)
        assert np.array_equal(c, start[:, 1 : columns + 1] + a @ b)


def test_multiply_of_no_rows_does_nothing(kind, count):
    c = np.ones(count, kind[0])
    row = Matrix(c, 0, count, 1)
    multiply(row, row, 0, packed_copy(np.ones((count, count), kind[0]), kind))
    assert np.array_equal(c, np.ones(count))


def test_row_bits_do_not_depend_on_other_rows(kind, count):
    generator, dtype = np.random.default_rng(5), kind[0]
    depth = 5 * count
    for columns in (count, 5 * count, 9 * count):
        a = generator.standard_normal((50, depth)).astype(dtype)
        packed = packed_copy(generator.standard_normal((depth, columns)).astype(dtype), kind)
        whole = np.zeros((50, columns), dtype)
        multiply(Matrix(whole.ravel(), 0, columns, 1), Matrix(a.ravel(), 0, depth, 1), 50, packed)
        for rows in range(1, 50):
            for first in (0, 50 - rows):
                part = np.zeros((rows, columns), dtype)
                left = Matrix(a.ravel(), first * depth, depth, 1)
                multiply(Matrix(part.ravel(), 0, columns, 1), left, rows, packed)
                assert np.array_equal(part, whole[first : first + rows])


@pytest.mark.parametrize("parts", [1, 2, 5])
def test_packing_is_shared_and_reads_transposed_matrices(kind, count, parts):
    generator, (dtype, element), each = np.random.default_rng(6), kind, numbers_in(kind)
    for columns in range(count, 11 * count, count):
        for depth in depths(kind, count, 1, 15, 17, 40):
            b = whole_numbers(generator, (depth + 1, columns + 3), dtype)
            whole = packed_copy(np.ascontiguousarray(b[1:, 2 : columns + 2]), kind).panels
            if each == 1:
                assert sorted(whole) == sorted(b[1:, 2 : columns + 2].ravel())
            straight, turned = (np.full(whole.size + 7, 99, element) for _ in range(2))
            transposed = np.ascontiguousarray(b.T)
            for part in range(parts):
                share, scratch = Share(part, parts), Scratch(aligned_zeros(64 * (depth + 16), element), 0)
                source = Matrix(b.ravel(), columns + 5, columns + 3, 1)
                pack(source, Packed(straight, 5 * each, depth, columns, scratch), share)
                source = Matrix(transposed.ravel(), 2 * (depth + 1) + 1, depth + 1, 1)
                pack_transposed(source, Packed(turned, 5 * each, depth, columns, scratch), share)
            expected = np.full(whole.size + 7, 99, element)
            expected[5:-2] = whole
            assert np.array_equal(straight, expected)
            assert np.array_equal(turned, expected)


@kernel
def add_deep_product(grad, a, b, scratch, ones, depth, fresh):
    """Add A^T B to the first rows of grad, and the sums of B to the row after them; `b` is (matrix, width)."""
    rows, (source, width), panel = a.stride, b, scratch.panels
    left = transposed(panel, a, depth, Matrix(scratch.scratch.array, 0, 0, 1))
    pack_panel(source, Panel(panel, 0, depth, width))
    packed = Packed(panel, 0, depth, width, scratch.scratch)
    add_product(grad, left, rows, packed, fresh)
    add_sums(grad.array, grad.start + rows * grad.stride, ones, packed, fresh)


@pytest.mark.parametrize("depth", [1, 2, 7, 45, 128])
def test_deep_product(kind, count, depth):
    """A^T B, and the sums of B, for some columns of B, once from zero and once more."""
    generator, (dtype, element) = np.random.default_rng(7), kind
    for rows, vectors in ((16, 1), (32, TILE_VECTORS - 1), (16, TILE_VECTORS), (80, 2)):
        width, columns, first = vectors * count, 9 * count, 2 * count
        a = aligned_zeros((depth, rows), dtype)
        a[:] = whole_numbers(generator, (depth, rows), dtype)
        b = whole_numbers(generator, (depth, columns), dtype)
        grad = np.full((rows + 1, columns + 3), 99, dtype)
        ones = np.full(depth, ONES if element == np.uint32 else 1, element)
        left, panel = aligned_zeros((64 + depth) * rows, element), aligned_zeros(depth * width, element)
        for fresh in (True, False):
            target, right = Matrix(grad.ravel(), 5, columns + 3, 1), (Matrix(b.ravel(), first, columns, 1), width)
            scratch = Packed(panel, 0, 0, 0, Scratch(left, 0))
            add_deep_product(target, Matrix(a.ravel(), 0, rows, 1), right, scratch, ones, depth, fresh)
        grad[:-1, 5 : 5 + width] -= 2 * (a.T @ b[:, first : first + width]) - 99
        grad[-1, 5 : 5 + width] -= 2 * b[:, first : first + width].sum(axis=0) - 99
        assert np.all(grad == 99)


def test_panels_of_groups_cover_each_column_once(count):
    for groups, vectors, parts in ((1, 1, 3), (4, 3, 2), (3, 9, 4)):
        panels = range(groups * panel_count(vectors * count, count))
        spans = [panel_in_group(panel, vectors * count, count) for panel in panels]
        starts = np.cumsum([0, *(width for _, width in spans)])
        assert [first for first, _ in spans] == starts[:-1].tolist()
        assert starts[-1] == groups * vectors * count
        own = [panel_range(groups * vectors * count, count, Share(part, parts)) for part in range(parts)]
        assert [panel for first, last in own for panel in range(first, last)] == list(
            range(panel_count(groups * vectors * count, count))
        )


@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize("parts", [1, 2, 3, 5])
def test_threads_share_the_columns_evenly(cell, layer, parts):
    config = NetworkConfig.for_symbols(
        9, cell=cell.name, activation=cell.activation, hidden_size=30 * PAD, num_layers=2
    )
    sizes = Window(Model(config), 1, 1, Team(1)).sizes
    columns = sizes.blocks * sizes.hidden
    source = Dense(np.zeros(1), 0, 1, np.zeros(1), 0, 0) if layer else OneHot(np.zeros(1, np.int32), 1, 0)
    before = np.array([products_before(source, sizes, column) for column in range(columns + 1)])
    assert before[-1] == sizes.recurrent_columns + layer * sizes.input_columns
    owners = before[:-1] * parts // before[-1]
    each = [int(np.diff(before)[owners == part].sum()) for part in range(parts)]
    assert owners.max() == parts - 1
    assert max(each) - min(each) <= 4


@pytest.mark.parametrize("fresh", [True, False])
def test_rows_are_scattered_by_symbols(count, kind, fresh):
    generator, dtype = np.random.default_rng(8), kind[0]
    depth, columns, vocab_size = 37, 5 * count, 11
    b = whole_numbers(generator, (depth + 1, columns), dtype)
    symbols = generator.integers(0, vocab_size, depth + 1, np.int32)
    rows = np.full((vocab_size, columns), 9, dtype)
    for first, last in ((0, 2 * count), (2 * count, columns)):
        skipped = 0 if fresh else 1  # the first span of a gradient sets it to 0
        target, right = (
            Matrix(rows.ravel(), first, columns, 1),
            Matrix(b.ravel(), skipped * columns + first, columns, 1),
        )
        span = Span(skipped, depth, first)
        scatter_rows(target, right, vocab_size, last - first, OneHot(symbols, 1, 0), span)
    used = slice(skipped, skipped + depth)
    assert np.array_equal(rows, np.eye(vocab_size)[symbols[used]].T @ b[used] + (0 if fresh else 9))


def test_several_symbols_a_step_are_scattered():
    generator, depth, count = np.random.default_rng(9), 7, VECTOR_BYTES // 4
    b = whole_numbers(generator, (depth, count), np.float32)
    symbols = generator.integers(0, 5, (depth, 2), np.int32)
    rows = np.zeros((5, count), np.float32)
    target, right = Matrix(rows.ravel(), 0, count, 1), Matrix(b.ravel(), 0, count, 1)
    scatter_rows(target, right, 5, count, OneHot(symbols.ravel(), 2, 0), Span(0, depth, 0))
    assert np.array_equal(rows, np.eye(5)[symbols].sum(axis=1).T @ b)


@needs_bfloat16
@pytest.mark.parametrize("depth", [32, 33])
def test_operands_in_bfloat16_are_read_in_place(depth):
    install_tile(np.dtype(np.uint32))
    generator, rows, kind = np.random.default_rng(10), 7, (np.float32, np.uint32)
    numbers = generator.integers(-8, 9, (depth, 64)).astype(np.float32)  # which are exact in bfloat16
    halves = (numbers.view(np.uint32) >> 16).astype(np.uint16)
    panel = Panel(np.full((depth + 1) // 2 * 48, 7, np.uint32), 0, depth, 48)
    pack_panel(Matrix(halves.ravel(), 3, 64, 1), panel)
    assert np.array_equal(panel.array, packed_copy(np.ascontiguousarray(numbers[:, 3:51]), kind).panels)
    packed, left = packed_copy(generator.standard_normal((32, 16)).astype(np.float32), kind), numbers[:rows, 2:34]
    read, expected = np.zeros((2, rows, 16), np.float32)
    multiply(Matrix(read.ravel(), 0, 16, 1), Matrix(halves.ravel(), 2, 64, 1), rows, packed)
    multiply(Matrix(expected.ravel(), 0, 16, 1), Matrix(np.ascontiguousarray(left).ravel(), 0, 32, 1), rows, packed)
    assert np.array_equal(read, expected)


@needs_bfloat16
def test_bfloat16_rounds_ties_to_even_and_keeps_nonfinite():
    from rnn_cli.kernels.simd.bfloat16 import store_neighbours, store_pairs

    @kernel
    def run(source, neighbours, pairs):
        for j in range(0, source.size, 2 * lanes(source)):
            low, high = load(source, j), load(source, j + lanes(source))
            store_neighbours(neighbours, j // 2, low, high)
            store_pairs(pairs, j // 2, low, high)

    source = np.random.default_rng(9).standard_normal(64).astype(np.float32)
    source[:6] = np.inf, -np.inf, np.nan, 0, 1 + 2**-8, 1 + 3 * 2**-8  # the last two lie in the middle
    bits = source.view(np.uint32).astype(np.int64)
    rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
    neighbours, pairs = np.zeros(32, np.uint32), np.zeros(32, np.uint32)
    run(source, neighbours, pairs)
    halves = neighbours.view(np.uint16).astype(np.int64)
    assert np.isnan((halves[2:3] << 16).astype(np.uint32).view(np.float32))
    halves[2] = rounded[2]
    assert np.array_equal(halves, rounded)
    low, high = rounded.reshape(2, 2, 16).transpose(1, 0, 2).reshape(2, 32)
    low[2] = pairs[2] & 0xFFFF
    assert np.array_equal(pairs, low | high << 16)
