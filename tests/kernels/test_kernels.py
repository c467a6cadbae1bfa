"""The kernels by themselves against NumPy: vectors, products, the readout, the optimiser."""

import math

import numpy as np
import pytest
import reference

from rnn_cli.cells import CELLS
from rnn_cli.cells.activations import relu, sigmoid, step, tanh, zeros_like
from rnn_cli.kernels.compiler.cell_inlining import cell_backward, cell_forward, load_blocks, load_states, store_tuple
from rnn_cli.kernels.compiler.jit import kernel
from rnn_cli.kernels.network.dropconnect import DropConnect, drop_recurrent
from rnn_cli.kernels.network.losses import CrossEntropy, Quantile, SquaredError, loss_and_gradient
from rnn_cli.kernels.network.memory import Sizes
from rnn_cli.kernels.network.optimizer import (
    BLOCK,
    RULES,
    Step,
    Vectors,
    average_in,
    clip_scale,
    norm_of_sums,
    square_sums,
    update,
)
from rnn_cli.kernels.simd.aligned import CACHE_LINE, aligned_zeros
from rnn_cli.kernels.simd.cpu import VECTOR_BYTES, tile_shape
from rnn_cli.kernels.simd.vector import (
    first_lanes,
    fma,
    lanes,
    load,
    maximum,
    maximum_lane,
    minimum,
    power_of_two,
    round_even,
    square_root,
    store,
    sum_lanes,
)
from rnn_cli.kernels.simd.vector_math import exp, log
from rnn_cli.kernels.threads import Share, share_start
from rnn_cli.network.config import NetworkConfig
from rnn_cli.network.model import Model


@pytest.fixture(params=[np.float32, np.float64], ids=["float32", "float64"])
def dtype(request):
    """Both types of numbers."""
    return request.param


def lane_count(dtype):
    """Return how many numbers of this type a vector holds."""
    return VECTOR_BYTES // np.dtype(dtype).itemsize


def whole_numbers(generator, shape, dtype):
    """Return small whole numbers: their products have exact sums in both types, in any order."""
    return generator.integers(-8, 9, shape).astype(dtype)


# Vectors


def apply(function, x):
    """Return `function`, compiled for vectors, of an array; what fills its last vector does not count."""

    @kernel
    def run(source, target):
        for j in range(0, source.size, lanes(source)):
            store(target, j, function(load(source, j)))

    count = lane_count(x.dtype)
    source = np.zeros(-(-x.size // count) * count, x.dtype)
    source[: x.size] = x
    target = np.zeros_like(source)
    run(source, target)
    return target[: x.size]


def test_log_is_exact_to_the_last_digits(dtype):
    limit = 37 if dtype == np.float32 else 300
    x = np.concatenate([np.logspace(-limit, limit, 4001), 2.0 ** np.arange(-100, 101), np.linspace(0.5, 2, 3992)])
    x = x.astype(dtype)
    x = np.resize(x, len(x) // 64 * 64)
    expected = np.log(x.astype(np.longdouble)).astype(float)
    digits = np.finfo(dtype).eps
    assert np.all(np.abs(apply(log, x) - expected) <= 2 * digits * np.abs(expected) + digits / 64)


def test_exp_is_exact_to_the_last_digits(dtype):
    limit, tolerance = (80, 3e-7) if dtype == np.float32 else (700, 6e-16)
    x = np.linspace(-limit, limit, 20001).astype(dtype)
    exact = np.exp(x.astype(np.longdouble))
    assert np.abs(apply(exp, x) / exact - 1).max() < tolerance
    assert apply(exp, np.zeros(1, dtype)) == 1


@pytest.mark.parametrize("function, plain", [(sigmoid, reference.sigmoid), (tanh, np.tanh)])
def test_activations_agree_with_numpy(dtype, function, plain):
    tolerance = 3e-7 if dtype == np.float32 else 6e-16
    x = np.concatenate([np.linspace(-30, 30, 20001), np.linspace(-1e-3, 1e-3, 2001)]).astype(dtype)
    assert np.abs(apply(function, x) - plain(x.astype(np.longdouble))).max() < tolerance


@pytest.mark.parametrize("function, low, high", [(exp, 0, None), (sigmoid, 0, 1), (tanh, -1, 1), (relu, 0, None)])
def test_activations_accept_any_argument(dtype, function, low, high):
    largest = np.finfo(dtype).max
    x = np.array([-np.inf, -largest, -1e4, 1e4, largest, np.inf, np.nan], dtype)
    y = apply(function, x)
    assert np.abs(y[:3] - low).max() < 1e-30
    assert not np.isnan(y[:6]).any()
    if high is not None:
        assert np.all(y[3:6] == high)
    else:
        assert np.all(y[3:6] >= 1e4)
    assert np.isnan(y[6])


def test_relu_and_its_step(dtype):
    x = np.array([-2, -1e-30, 0, 1e-30, 3], dtype)
    assert np.array_equal(apply(relu, x), np.maximum(x, 0))
    assert np.array_equal(apply(step, x), [0, 0, 0, 1, 1])
    assert np.array_equal(apply(relu, x), relu(x))
    assert np.array_equal(apply(step, x), step(x))


def test_zeros_of_what_is_not_finite(dtype):
    x = np.array([-np.inf, -1, 0, np.inf, np.nan], dtype)
    assert np.array_equal(apply(zeros_like, x), np.zeros(5))
    assert np.array_equal(zeros_like(x), np.zeros(5))


@kernel
def combine(a, b, c, target):
    """Put the results of each function of vectors into a row of `target`."""
    n = a.size
    for j in range(0, n, lanes(a)):
        x, y, z = load(a, j), load(b, j), load(c, j)
        store(target, j, (x + y) * z - x / y)
        store(target, n + j, fma(x, y, -z))
        store(target, 2 * n + j, maximum(x, y))
        store(target, 3 * n + j, minimum(x, y))
        store(target, 4 * n + j, round_even(x))
        store(target, 5 * n + j, square_root(y))
        store(target, 6 * n + j, power_of_two(round_even(x)))
        store(target, 7 * n + j, 2 - x * 0.5)
        target[8 * n + j] = sum_lanes(x)
        target[9 * n + j] = maximum_lane(x)
        store(target, 10 * n + j, first_lanes(x, n // 2 + 3 - j, 7))


def test_functions_of_vectors(dtype):
    count, generator = lane_count(dtype), np.random.default_rng(1)
    n = 8 * count
    a, b, c = generator.uniform(-9, 9, n), generator.uniform(0.5, 9, n), generator.uniform(-9, 9, n)
    a[:5] = -1.5, -0.5, 0.5, 1.5, 2.5
    a, b, c = (x.astype(dtype) for x in (a, b, c))
    target = np.zeros((11, n), dtype)
    combine(a, b, c, target.ravel())
    close = 1e-5 if dtype == np.float32 else 1e-13
    assert np.abs(target[0] - ((a + b) * c - a / b)).max() < 10 * close
    assert np.abs(target[1] - (a * b - c)).max() < 10 * close
    assert np.array_equal(target[2], np.maximum(a, b))
    assert np.array_equal(target[3], np.minimum(a, b))
    assert np.array_equal(target[4], np.rint(a))
    assert np.array_equal(target[5], np.sqrt(b))
    assert np.array_equal(target[6], 2 ** np.rint(a))
    assert np.array_equal(target[7], 2 - a * dtype(0.5))
    vectors = a.reshape(-1, count)
    assert np.abs(target[8, ::count] - vectors.sum(axis=1)).max() < 10 * close
    assert np.array_equal(target[9, ::count], vectors.max(axis=1))
    assert np.array_equal(target[10], np.where(np.arange(n) < n // 2 + 3, a, 7))


# Cells


@kernel
def run_cell(cell, n, preact, previous, grad, gates, state, grad_preact, grad_previous):
    """Run the compiled equations forward and back over rows of n units."""
    for j in range(0, n, lanes(preact)):
        before = load_states(cell, previous, j, n)
        values, after = cell_forward(cell, load_blocks(cell, preact, j, n), before)
        store_tuple(gates, j, n, values)
        store_tuple(state, j, n, after)
        grads = cell_backward(cell, values, before, load_states(cell, grad, j, n))
        store_tuple(grad_preact, j, n, grads[0])
        store_tuple(grad_previous, j, n, grads[1])


def test_compiled_equations_equal_the_plain_ones(cell):
    """The functions of cells/*.py, compiled for vectors, give what they give on NumPy arrays."""
    generator, n, states = np.random.default_rng(2), 6 * lane_count(np.float64), len(cell.states)
    preact, previous, grad = (generator.standard_normal((rows, n)) for rows in (cell.blocks, states, states))
    results = [np.full((rows, n), np.nan) for rows in (cell.blocks, states, cell.blocks, states)]
    equations = Model(NetworkConfig(cell=cell.name, activation=cell.activation)).equations
    run_cell(equations, n, *(array.ravel() for array in (preact, previous, grad, *results)))
    gates, state = cell.forward(tuple(preact), tuple(previous))
    expected = [gates, state, *cell.backward(gates, tuple(previous), tuple(grad))]
    for ours, plain in zip(results, expected):
        assert np.abs(ours - np.array(plain)).max() < 1e-14


# Products


def test_shares_cover_everything_once():
    for total in range(20):
        for parts in range(1, 8):
            starts = [share_start(part, parts, total) for part in range(parts + 1)]
            sizes = np.diff(starts)
            assert (starts[0], starts[-1]) == (0, total)
            assert sizes.max() - sizes.min() <= 1


# The readout


def cross_entropy_of(logits, target, weight, dtype):
    """Return the loss and the gradient of one row, which stands between other numbers."""
    count = lane_count(dtype)
    columns = -(-len(logits) // count) * count
    row = np.full(2 * columns, 99, dtype)
    row[columns : columns + len(logits)] = logits
    sizes = sizes_of(len(logits), columns)
    loss = loss_and_gradient(CrossEntropy(np.array([0, target], np.int32)), sizes, row, 1, weight)
    assert np.all(row[:columns] == 99)
    assert not row[columns + len(logits) :].any()
    return loss, row[columns : columns + len(logits)]


def sizes_of(output_size, columns):
    """Return the sizes of a network with this output, of which a loss needs no others."""
    return Sizes(*[1] * len(Sizes._fields))._replace(output_size=output_size, columns=columns, logit_rows=100)


def numbers_loss(make_loss, outputs, targets, weight, dtype):
    """Return the loss and the gradient of a row of numbers."""
    columns = -(-len(outputs) // lane_count(dtype)) * lane_count(dtype)
    row, wanted = np.full(columns, 99, dtype), np.full(columns, 77, dtype)
    row[: len(outputs)], wanted[: len(targets)] = outputs, targets
    loss = loss_and_gradient(make_loss(wanted), sizes_of(len(outputs), columns), row, 0, weight)
    assert not row[len(outputs) :].any()
    return loss, row[: len(outputs)].copy()


LEVELS = np.array([0.1, 0.5, 0.9, 0.1, 0.5] + [0.0] * 11)
NUMBER_LOSSES = {
    "squared error": (SquaredError, lambda y, t: 0.5 * (y - t) ** 2),
    "quantile": (
        lambda targets: Quantile(targets, LEVELS.astype(targets.dtype)),
        lambda y, t: np.maximum(LEVELS[: len(y)] * (t - y), (LEVELS[: len(y)] - 1) * (t - y)),
    ),
}


@pytest.mark.parametrize("name", NUMBER_LOSSES)
def test_losses_of_numbers_and_their_gradients(dtype, name):
    make_loss, plain = NUMBER_LOSSES[name]
    generator = np.random.default_rng(10)
    outputs, targets = generator.standard_normal((2, 5)).astype(dtype)
    loss, gradient = numbers_loss(make_loss, outputs, targets, 0.25, dtype)
    assert loss == pytest.approx(plain(outputs, targets).sum(), rel=1e-5)
    step = 1e-4 * np.eye(5)
    numeric = [(plain(outputs + s, targets) - plain(outputs - s, targets)).sum() / 2e-4 for s in step]
    assert gradient == pytest.approx(0.25 * np.array(numeric), rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("name", NUMBER_LOSSES)
def test_missing_numbers_are_not_scored(dtype, name):
    make_loss, plain = NUMBER_LOSSES[name]
    outputs, targets = np.arange(5.0), np.array([0.5, np.nan, 1.0, np.nan, 9.0])
    loss, gradient = numbers_loss(make_loss, outputs, targets, 1.0, dtype)
    assert loss == pytest.approx(np.nansum(plain(outputs, targets)), rel=1e-5)
    assert (gradient[[1, 3]] == 0).all()
    assert (gradient[[0, 2, 4]] != 0).all()
    loss, gradient = numbers_loss(make_loss, np.full(5, np.nan), targets, 1.0, dtype)
    assert np.isnan(loss)  # an output that is not finite shows


@pytest.mark.parametrize("vocab_size", [2, 16, 37])
def test_cross_entropy_agrees_with_the_reference(dtype, vocab_size):
    generator = np.random.default_rng(9)
    tolerance = 2e-6 if dtype == np.float32 else 1e-14
    for scale in (0.1, 3, 20):
        logits = (scale * generator.standard_normal(vocab_size)).astype(dtype).astype(np.float64)
        for target in (0, vocab_size - 1):
            loss, grad = cross_entropy_of(logits, target, 0.25, dtype)
            expected = 0.25 * (reference.softmax(logits) - np.eye(vocab_size)[target])
            assert abs(loss - reference.cross_entropy(logits, target)) < tolerance * max(1, loss)
            assert np.abs(grad - expected).max() < tolerance


def test_cross_entropy_of_huge_logits(dtype):
    loss, grad = cross_entropy_of([1e30, 0, -1e30], 0, 1.0, dtype)
    assert loss == 0
    assert np.abs(grad).max() < 1e-30
    loss, grad = cross_entropy_of([1e4, 0, -1e4], 1, 1.0, dtype)
    assert abs(loss - 1e4) < 1e-3
    assert np.abs(grad - [1, -1, 0]).max() < 1e-30
    loss, grad = cross_entropy_of([-5e4, -5e4], 1, 1.0, dtype)
    assert abs(loss - math.log(2)) < 1e-6
    assert np.abs(grad - [0.5, -0.5]).max() < 1e-6


def test_an_ignored_target_has_no_loss_and_no_gradient(dtype):
    loss, grad = cross_entropy_of([3, np.nan, 5], -1, 1.0, dtype)
    assert loss == 0
    assert not grad.any()


@pytest.mark.parametrize("place", [0, 1, 20])
def test_cross_entropy_passes_nan_on(dtype, place):
    logits = np.zeros(21)
    logits[place] = np.nan
    loss, grad = cross_entropy_of(logits, 1, 1.0, dtype)
    assert np.isnan(loss)
    assert np.isnan(grad).any()


# The optimiser


def test_norm_of_many_blocks(dtype):
    generator = np.random.default_rng(10)
    for size in (16, BLOCK - 16, BLOCK, BLOCK + 16, 3 * BLOCK + 48):
        grad = generator.standard_normal(size).astype(dtype)
        norms = []
        for parts in (1, 2, 5):
            sums = np.full(-(-size // BLOCK), 99.0)
            for part in range(parts):
                square_sums(grad, sums, Share(part, parts))
            norms.append(norm_of_sums(sums))
        expected = np.linalg.norm(grad.astype(np.float64))
        assert abs(norms[0] - expected) < (1e-6 if dtype == np.float32 else 1e-14) * expected
        assert norms[0] == norms[1] == norms[2]


@pytest.mark.parametrize("norm, scale", [(0.0, 1), (0.5, 1), (1.0, 1 / (1 + 1e-6)), (4.0, 1 / (4 + 1e-6))])
def test_clip_scale(norm, scale):
    assert clip_scale(norm, 1.0) == scale


def plain_adam(g, m, v, number):
    m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
    return m / (1 - 0.9**number) / (np.sqrt(v / (1 - 0.999**number)) + 1e-8), m, v


def plain_sgd(g, m, v, number):
    m = 0.9 * m + g
    return m, m, v


def plain_rmsprop(g, m, v, number):
    v = 0.99 * v + 0.01 * g**2
    return g / (np.sqrt(v) + 1e-8), g, v


def plain_adagrad(g, m, v, number):
    v = v + g**2
    return g / (np.sqrt(v) + 1e-10), g, v


PLAIN = {"adam": plain_adam, "sgd": plain_sgd, "rmsprop": plain_rmsprop, "adagrad": plain_adagrad}


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("weight_decay", [0.0, 2.0])
def test_optimisers_agree_with_their_equations(dtype, name, weight_decay):
    generator = np.random.default_rng(11)
    parameters = generator.standard_normal(7 * 16)
    ours = [x.astype(dtype) for x in (parameters, np.zeros_like(parameters), np.zeros_like(parameters))]
    m = v = np.zeros_like(parameters)
    for number in range(1, 6):
        grad = generator.standard_normal(parameters.size).astype(dtype)
        for part in range(3):
            vectors = Vectors(ours[0], grad, ours[1], ours[2], ours[0], ours[0], ours[0], np.zeros(1, np.int64))
            step = Step(number, 0.01, 1.0, RULES[name], weight_decay)
            update(vectors, step, 0.5, Share(part, 3))
        change, m, v = PLAIN[name](0.5 * grad.astype(np.float64), m, v, number)
        parameters = (1 - 0.01 * weight_decay) * parameters - 0.01 * change
    tolerance = 3e-6 if dtype == np.float32 else 1e-13
    for array, expected in zip(ours, (parameters, m, v)):
        assert np.abs(array - expected).max() < tolerance


def test_the_average_is_the_mean(dtype):
    generator = np.random.default_rng(12)
    vectors = generator.standard_normal((6, 5 * 16)).astype(dtype)
    average = np.full(5 * 16, 7, dtype)  # what was there before does not count
    for number, vector in enumerate(vectors, 1):
        for part in range(3):
            average_in(average, vector, 1 / number, Share(part, 3))
    assert np.abs(average - vectors.mean(axis=0)).max() < (1e-6 if dtype == np.float32 else 1e-14)


def dropped(window, key, parts, dropout=0.3):
    """Return a vector of ones as DropConnect leaves it, and 7 where it does not go."""
    ones, target = np.ones_like(window.model.parameters), np.full_like(window.model.parameters, 7)
    for part in range(parts):
        offsets = window.model.layout.offsets.ravel()
        drop_recurrent(target, ones, offsets, DropConnect(dropout, key), Share(part, parts))
    return target


def plain_triple32(number, key):
    """Return the hash of a number, as Wellons writes it, with the halves of the key where the kernel has them."""
    x, low, high = number, key & 0xFFFFFFFF, key >> 32
    x ^= low
    x = (x ^ x >> 17) * 0xED5AD4BB & 0xFFFFFFFF
    x ^= high
    x = (x ^ x >> 11) * 0xAC4C1B51 & 0xFFFFFFFF
    x = (x ^ x >> 15) * 0x31848BAB & 0xFFFFFFFF
    return x ^ x >> 14


def test_dropconnect_follows_its_hash(make_window, dtype):
    window = make_window(CELLS[0], dtype, hidden_size=16, num_layers=2)
    start, end = window.model.layout.offsets[1, 1:]
    key = 2**62 + 3 * 2**40 + 12345
    expected = [plain_triple32(int(k), key) >= 0.3 * 2**32 for k in range(start, end)]
    assert np.array_equal(dropped(window, key, 1)[start:end] != 0, expected)


def test_dropconnect_drops_recurrent_weights_only(make_window, dtype):
    window = make_window(CELLS[0], dtype, hidden_size=64, num_layers=2)
    layout = window.model.layout
    mask = dropped(window, 5, 1)
    for parts in (2, 3, 7):
        assert np.array_equal(mask, dropped(window, 5, parts))
    layers = [layout.recurrent_weights(mask, layer).copy() for layer in range(2)]
    assert not np.array_equal(*layers)
    for values in layers:
        assert np.array_equal(np.unique(values), np.unique(np.array([0, 1 / 0.7], dtype)))
        assert np.mean(values == 0) == pytest.approx(0.3, abs=0.02)
        near = [np.mean(values[1:] * values[:-1]), np.mean(values[:, :, 1:] * values[:, :, :-1])]
        assert near == pytest.approx([1, 1], abs=0.05)  # neighbours do not know of each other
    for key in (6, 5 + 2**32, 5 + 2**62):
        other = dropped(window, key, 1)
        assert np.mean(layout.recurrent_weights(other, 0) == layers[0]) == pytest.approx(0.58, abs=0.03)
    for layer in range(2):
        start, end = layout.offsets[layer, 1:]
        mask[start:end] = 7
    assert np.all(mask == 7)


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_a_gradient_that_is_not_finite_changes_nothing(make_window, cell, number):
    window = make_window(cell, np.float32)
    weight, _ = window.model.layout.decoder(window.model.parameters)
    weight[:, 1] = number
    before = window.model.parameters.copy()
    _, norm = window.train(Step(number=1, learning_rate=0.1, clip_norm=1.0))
    assert not np.isfinite(norm)
    assert np.array_equal(window.model.parameters, before, equal_nan=True)
    assert not window.moments.any()


# The machine


@pytest.mark.parametrize(
    "features, machine, shape",
    [
        ({"avx512f", "avx2"}, "x86_64", (64, 6, 4)),
        ({"avx2"}, "x86_64", (32, 6, 2)),
        (set(), "x86_64", (16, 6, 2)),
        (set(), "aarch64", (16, 6, 4)),
    ],
)
def test_tile_shape(features, machine, shape):
    assert tile_shape(features, machine) == shape


def test_aligned_zeros_begin_at_a_cache_line(dtype):
    for size in range(1, 40):
        array = aligned_zeros((size, 3), dtype)
        assert array.ctypes.data % CACHE_LINE == 0
        assert (array.shape, array.dtype) == ((size, 3), dtype)
        assert not array.any()
