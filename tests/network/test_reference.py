"""The network against the slow reference, and against itself: in pieces, by rows, in other sizes, types."""

import numpy as np
import pytest
import reference

from rnn_cli.kernels.threads import Team
from rnn_cli.network.workspace import Batch, TrainingWindow, Window

ODD_SIZES = [
    {"hidden_size": 1, "vocab_size": 2, "length": 1, "batch": 1, "num_layers": 1},
    {"hidden_size": 1, "vocab_size": 3, "length": 5, "batch": 2, "num_layers": 3},
    {"hidden_size": 17, "vocab_size": 100, "length": 6, "batch": 1, "num_layers": 3},
    {"hidden_size": 16, "vocab_size": 16, "length": 1, "batch": 13, "num_layers": 1},
    {"hidden_size": 33, "vocab_size": 2, "length": 3, "batch": 7, "num_layers": 2},
    {"hidden_size": 65, "vocab_size": 129, "length": 2, "batch": 4, "num_layers": 1},
]


def run_reference(window):
    """Return the reference's losses, logits and last states for a window that has not yet run."""
    config = window.model.config
    weights = {name: tensor.astype(np.float64) for name, tensor in window.model.to_torch().items()}
    mask = window.mask[..., : config.hidden_size]
    step = reference.STEPS[config.cell, config.activation]
    return reference.forward(step, weights, window.inputs, window.targets, window.state, mask)


def score(window):
    """Run a window forward, without training."""
    window.pack()
    window.score()


def assert_follows_reference(window, tolerance):
    """Score a window and compare its losses, probabilities and states with the reference."""
    losses, logits, state = run_reference(window)
    score(window)
    assert np.abs(window.losses - losses).max() < tolerance
    assert np.abs(window.state - state).max() < tolerance
    grad_logits = window.logits[..., : logits.shape[-1]]
    for t, row in np.ndindex(losses.shape):
        expected = np.zeros(logits.shape[-1])
        if window.targets[t, row] >= 0:
            expected = reference.softmax(logits[t, row])
            expected[window.targets[t, row]] -= 1
        assert np.abs(grad_logits[t, row] - expected).max() < tolerance


@pytest.mark.parametrize("dtype, tolerance", [(np.float64, 1e-12), (np.float32, 5e-6)], ids=["float64", "float32"])
def test_window_agrees_with_the_reference(make_window, cell, dtype, tolerance):
    assert_follows_reference(make_window(cell, dtype), tolerance)


@pytest.mark.parametrize("sizes", ODD_SIZES, ids=lambda sizes: "-".join(map(str, sizes.values())))
def test_odd_sizes_agree_with_the_reference(make_window, cell, sizes):
    assert_follows_reference(make_window(cell, **sizes), 1e-12)


@pytest.mark.parametrize("threads", [1, 8])
def test_threads_agree_with_the_reference(make_window, cell, threads):
    assert_follows_reference(make_window(cell, team=Team(threads), batch=3), 1e-12)


def test_float32_agrees_with_float64(make_window, cell):
    single, double = make_window(cell, np.float32), make_window(cell, np.float64)
    for window in (single, double):
        window.gradient()
    assert single.grad.dtype == np.float32
    assert np.abs(single.losses - double.losses).max() < 5e-6
    assert np.abs(single.grad - double.grad).max() < 2e-6 * np.abs(double.grad).max()


def test_training_and_scoring_give_the_same_bits(make_window, cell):
    trained, scored = make_window(cell, np.float32), make_window(cell, np.float32)
    trained.gradient()
    score(scored)
    assert np.array_equal(trained.losses, scored.losses)
    assert np.array_equal(trained.state, scored.state)


def test_mean_loss_counts_the_scored_symbols_only(make_window, cell):
    window = make_window(cell)
    losses, _, _ = run_reference(window)
    mean, norm = window.gradient(), np.linalg.norm(window.grad)
    assert abs(mean - losses[window.targets >= 0].mean()) < 1e-12
    assert norm > 0
    window.targets[:] = -1
    assert (window.gradient(), np.abs(window.grad).max()) == (0, 0)


def test_whole_equals_its_three_pieces(make_window, cell):
    whole = make_window(cell, np.float32, length=9)
    piece = Window(whole.model, 3, whole.sizes.batch, whole.team)
    piece.state[:], piece.mask[:] = whole.state, whole.mask
    score(whole)
    for start in (0, 3, 6):
        rows = slice(start, start + 3)
        piece.load(Batch(whole.inputs[rows], whole.starts[rows], whole.targets[rows]))
        score(piece)
        assert np.array_equal(piece.losses, whole.losses[rows])
    assert np.array_equal(piece.state, whole.state)


def copy_rows(window, rows):
    """Return a training window of the same model that holds these rows of the batch."""
    part = TrainingWindow(window.model, window.sizes.length, len(rows), window.team)
    part.load(Batch(window.inputs[:, rows], window.starts[:, rows], window.targets[:, rows]))
    part.state[:], part.mask[:] = window.state[:, :, rows], window.mask[:, rows]
    return part


def test_rows_are_independent(make_window, cell):
    window = make_window(cell, np.float32, batch=7)
    parts = [copy_rows(window, rows) for rows in ([4], [4, 2], [0, 1, 4, 3, 5], [6, 6, 5, 4])]
    score(window)
    for part, row in zip(parts, [0, 0, 2, 3]):
        score(part)
        assert np.array_equal(part.losses[:, row], window.losses[:, 4])
        assert np.array_equal(part.state[:, :, row], window.state[:, :, 4])


def test_changing_one_row_leaves_the_others(make_window, cell):
    before, after = make_window(cell, np.float32), make_window(cell, np.float32)
    after.inputs[1:, 2] = (after.inputs[1:, 2] + 1) % 11
    after.state[:, :, 2] += 1
    for window in (before, after):
        score(window)
    others = [0, 1, 3, 4]
    assert np.array_equal(before.losses[:, others], after.losses[:, others])
    assert np.array_equal(before.state[:, :, others], after.state[:, :, others])
    assert not np.array_equal(before.losses[:, 2], after.losses[:, 2])


def test_boundary_resets_the_state(make_window, cell):
    before, after = make_window(cell), make_window(cell)
    for window in (before, after):
        window.starts[3] = 1
    after.inputs[:3] = after.inputs[:3] % 10 + 1
    after.state[:] += 1
    for window in (before, after):
        score(window)
    assert np.array_equal(before.losses[3:], after.losses[3:])
    assert not np.array_equal(before.losses[:3], after.losses[:3])
