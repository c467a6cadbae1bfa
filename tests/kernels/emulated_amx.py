"""Products on emulated matrix registers: what test_amx.py runs in a process of its own, with amx_emulator.py."""

import os

import numpy as np
import pytest
from test_products import add_deep_product

from rnn_cli.cells import CELLS
from rnn_cli.kernels.matmul.matrix import Matrix, Packed, Scratch, SharedPacked
from rnn_cli.kernels.matmul.packing import left_side, pack
from rnn_cli.kernels.matmul.product import multiply_onto, multiply_panels
from rnn_cli.kernels.simd.aligned import aligned_zeros
from rnn_cli.kernels.simd.bfloat16 import ONES
from rnn_cli.kernels.threads import Rows, Share, Team

WORDS = 16
GUARD = 99
EXPECTED_GRADIENTS = "EXPECTED_GRADIENTS"  # names the file of what this processor itself computes
GRADIENTS = [(name, directions) for name in ("lstm", "gru") for directions in (1, 2)]


def gradients_of(make_window, name, directions, processor=None):
    """Return losses and gradient of a network of which no size fills the registers, in bfloat16."""
    cell = next(cell for cell in CELLS if cell.name == name)
    sizes = {"num_layers": 2, "hidden_size": 70, "directions": directions, "length": 15, "batch": 37, "vocab_size": 21}
    window = make_window(cell, np.float32, Team(1), "bfloat16", **sizes)
    if processor is None:
        window.gradient()
    else:
        arrays = [a for a in (*window.arrays, *window.back) if isinstance(a, np.ndarray)]
        with processor.touching_only([], arrays):
            window.gradient()
    return window.losses, window.grad


def whole_numbers(generator, shape):
    """Return small whole numbers: they are exact in bfloat16, and so are the sums of their products in float32."""
    return generator.integers(-8, 9, shape).astype(np.float32)


def guarded(count):
    """Return an array of words, and the whole array of which it is the part before the guards."""
    whole = aligned_zeros(count + 2 * WORDS, np.uint32)
    whole[count:] = GUARD
    return whole[:count], whole


def check_product(processor, rows, depth, columns, initial, parts=1):
    """Compare a product with NumPy's, and check that it touches no other memory. Its columns may be in parts."""
    generator = np.random.default_rng(rows)
    a, b = whole_numbers(generator, (rows, depth)), whole_numbers(generator, (depth, columns))
    c = np.full((rows + 2, columns + 5), GUARD, np.float32)
    target = c[1 : rows + 1, 2 : columns + 2]
    target[:] = whole_numbers(generator, (rows, columns))
    bias = whole_numbers(generator, (1, columns))
    onto = Matrix(c.ravel(), columns + 7, columns + 5, 1)
    s = onto if initial == "sums" else Matrix(bias.ravel(), 0, 0, 1)
    expected = c.copy()
    expected[1 : rows + 1, 2 : columns + 2] = (target if initial == "sums" else bias) + a @ b
    (panels, whole_panels), (scratch, whole_scratch) = (
        guarded(size) for size in (depth // 2 * columns, rows * (depth // 2 + WORDS))
    )
    packed = Packed(panels, 0, depth, columns, Scratch(scratch, 0))
    pack(Matrix(b.ravel(), 0, columns, 1), packed, Share(0, 1))
    inner = c.ravel()[columns + 7 : -columns - 8]
    with processor.touching_only([panels, scratch, bias], [inner]):
        left = Matrix(a.ravel(), 0, depth, 1)
        if parts == 1:
            multiply_onto(onto, s, left, Rows(0, rows), packed)
        for part in range(parts if parts > 1 else 0):
            own = SharedPacked(*packed, part, parts)
            multiply_panels(onto, s, left_side(packed, left, rows), rows, own)
    assert np.array_equal(c, expected), (rows, depth, columns)
    assert all(np.all(whole[-2 * WORDS :] == GUARD) for whole in (whole_panels, whole_scratch))


def test_products_of_any_number_of_rows(accepted):
    for rows in range(1, 71):
        for initial in ("sums", "bias"):
            check_product(accepted, rows, 80, 96, initial)


@pytest.mark.parametrize("depth", [16, 32, 48, 64, 80, 144, 512])
def test_products_of_any_depth_and_columns(accepted, depth):
    for columns in range(16, 161, 16):
        for rows in (1, 16, 17, 32, 50):
            check_product(accepted, rows, depth, columns, "sums" if rows % 2 else "bias")


def test_threads_may_share_columns(accepted):
    for parts in (2, 3, 7):
        check_product(accepted, 1, 144, 160, "bias", parts)


def test_registers_are_configured_once_for_each_block_of_rows(accepted):
    check_product(accepted, 64, 64, 160, "sums")  # two blocks of the same height
    assert (accepted.executed["sttilecfg"], accepted.executed["ldtilecfg"]) == (2, 1)
    check_product(accepted, 50, 80, 160, "sums")  # two blocks, of 16 and of 9 rows, once for each part of the depth
    assert (accepted.executed["sttilecfg"], accepted.executed["ldtilecfg"]) == (6, 4)


def test_each_loaded_register_is_used_twice(accepted):
    check_product(accepted, 32, 512, 64, "sums")
    assert accepted.executed["tdpbf16ps"] == 2 * 4 * 16
    assert accepted.executed["tileloadd64"] == accepted.executed["tdpbf16ps"] + 8  # the last are the sums


@pytest.mark.parametrize("depth", [1, 2, 7, 45, 128, 512])
def test_deep_products_and_sums(accepted, depth):
    generator = np.random.default_rng(depth)
    for rows, width in ((16, 16), (32, 48), (16, 64), (80, 32), (112, 64)):
        a = aligned_zeros((depth, rows), np.float32)
        a[:] = whole_numbers(generator, (depth, rows))
        b = whole_numbers(generator, (depth, 144))
        grad = np.full((rows + 1, width + 35), GUARD, np.float32)
        pairs = (depth + 1) // 2
        ones = np.full(pairs, ONES, np.uint32)
        (panel, whole_panel), (left, whole_left) = (
            guarded(size) for size in (pairs * width, rows * (-(-depth // 32) * WORDS + WORDS))
        )
        scratch = Packed(panel, 0, 0, 0, Scratch(left, 0))
        target, right = Matrix(grad.ravel(), 5, width + 35, 1), (Matrix(b.ravel(), 32, 144, 1), width)
        for fresh in (True, False):
            with accepted.touching_only([panel, left, ones], [grad.ravel()[5:-30]]):
                add_deep_product(target, Matrix(a.ravel(), 0, rows, 1), right, scratch, ones, depth, fresh)
        grad[:-1, 5 : 5 + width] -= 2 * (a.T @ b[:, 32 : 32 + width]) - GUARD
        grad[-1, 5 : 5 + width] -= 2 * b[:, 32 : 32 + width].sum(axis=0) - GUARD
        assert np.all(grad == GUARD)
        assert all(np.all(whole[-2 * WORDS :] == GUARD) for whole in (whole_panel, whole_left))


@pytest.mark.parametrize("name, directions", GRADIENTS)
def test_gradients_are_those_of_vectors(make_window, accepted, name, directions):
    losses, grad = gradients_of(make_window, name, directions, accepted)
    expected = np.load(os.environ[EXPECTED_GRADIENTS])
    bound = 0.002  # a sum that differs in the last digit may be rounded to another number in bfloat16
    for ours, theirs in ((losses, "losses"), (grad, "grad")):
        theirs = expected[f"{name}-{directions}-{theirs}"]
        assert np.linalg.norm(ours - theirs) < bound * np.linalg.norm(theirs)
