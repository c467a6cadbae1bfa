"""Reading and influence: against numeric derivatives, the scorer, and what a text's start must cut off."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pytest
from random_models import make_checkpoint, random_text

from rnn_cli.inspect.influence import influence
from rnn_cli.inspect.numbers import packed, principal_components
from rnn_cli.inspect.reading import Reading, read_text
from rnn_cli.language.evaluation import make_scorer, score_texts
from rnn_cli.network.plain import cross_entropy, network_forward, one_hot

STEPS = 13


def losses(reading: Reading, inputs: np.ndarray) -> np.ndarray:
    """Return the loss (T,) of each target if the network reads other inputs (T, I)."""
    layers, states, hidden = len(reading.steps), len(reading.cell.states), reading.weights.decoder_weight.shape[0]
    zeros, mask = np.zeros((layers, 1, states, 1, hidden)), np.ones((layers, 1, hidden))
    logits, _, _ = network_forward(reading.cell, reading.weights, inputs[:, None], reading.starts[:, None], zeros, mask)
    return cross_entropy(logits, reading.targets[:, None])[0][:, 0]


def test_influence_is_the_norm_of_numeric_derivatives(cell: Any) -> None:
    reading = read_text(make_checkpoint(True, cell), random_text(60, True), STEPS)
    inputs = one_hot(reading.symbols, reading.log_probs.shape[1])
    squares, step = np.zeros((STEPS, STEPS)), 1e-6  # (t, position)
    for position, symbol in np.ndindex(*inputs.shape):
        ends = []
        for sign in (1, -1):
            changed = inputs.copy()
            changed[position, symbol] += sign * step
            ends.append(losses(reading, changed))
        squares[:, position] += ((ends[0] - ends[1]) / (2 * step)) ** 2
    expected = np.array([[squares[t, t - k] ** 0.5 if k <= t else 0 for k in range(STEPS)] for t in range(STEPS)])
    assert reading.starts[1:].any()
    np.testing.assert_allclose(influence(reading, STEPS), expected, atol=1e-6)


def test_float32_agrees_with_float64(cell: Any) -> None:
    checkpoint, text = make_checkpoint(False, cell), random_text(40, False)
    fine, coarse = (read_text(checkpoint, text, 30, dtype) for dtype in (np.float64, np.float32))
    assert coarse.states(1).dtype == np.float32
    np.testing.assert_allclose(coarse.log_probs, fine.log_probs, atol=1e-3)
    np.testing.assert_allclose(influence(coarse, 9), influence(fine, 9), atol=1e-3)


@pytest.mark.parametrize("line_mode", [True, False])
def test_bits_are_those_of_the_kernels(line_mode: bool) -> None:
    checkpoint, text = make_checkpoint(line_mode), random_text(80, line_mode).rstrip("\n") + "\n" * line_mode
    reading = read_text(checkpoint, text, 1000)
    scores = score_texts(make_scorer(checkpoint, 1), [text])
    assert len(reading.bits) == scores.characters
    assert reading.bits.mean() == pytest.approx(scores.bits_per_char, rel=1e-4)
    assert (reading.ranks == 1).mean() == pytest.approx(scores.top1_accuracy)


def test_states_and_gates_are_those_of_pytorch() -> None:
    torch = pytest.importorskip("torch")
    checkpoint = make_checkpoint(False)
    reading = read_text(checkpoint, random_text(20, False), 20)
    network = torch.nn.LSTM(len(checkpoint.codec), 16, 2)
    own = {n.removeprefix("rnn."): torch.tensor(v) for n, v in checkpoint.parameters.items() if n.startswith("rnn.")}
    network.load_state_dict(own)
    with torch.no_grad():
        outputs, (h, c) = network(torch.tensor(one_hot(reading.symbols, len(checkpoint.codec)), dtype=torch.float32))
    np.testing.assert_allclose(reading.states(1), outputs, atol=1e-5)
    np.testing.assert_allclose(reading.states(0, 1)[-1], c[0], atol=1e-5)
    gates = reading.gates(1)
    assert list(gates) == ["i", "f", "g", "o"]
    np.testing.assert_allclose(gates["o"][-1] * np.tanh(c[1].numpy()), h[1], atol=1e-5)


def test_packed_values_come_back() -> None:
    values = np.random.default_rng(1).standard_normal((9, 4)) * [1, 1e-3, 50, 0]
    held = packed(values)
    whole = np.frombuffer(base64.b64decode(held["data"]), np.int8).reshape(held["shape"])
    error = np.abs(whole * np.array(held["scales"]) - values).max(axis=0)
    assert (error <= np.abs(values).max(axis=0) / 250 + 1e-9).all()


def test_principal_components_find_a_planted_plane() -> None:
    generator = np.random.default_rng(2)
    plane = generator.standard_normal((200, 2)) * [5, 2]
    points, shares = principal_components(plane @ np.linalg.qr(generator.standard_normal((7, 2)))[0].T)
    assert shares.sum() == pytest.approx(1)
    assert np.linalg.matrix_rank(np.hstack([points, plane - plane.mean(axis=0)]), tol=1e-6) == 2
