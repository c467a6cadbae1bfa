"""Dynamic evaluation learns from what it has scored, in order, and from nothing else."""

import numpy as np
import pytest
from random_models import make_checkpoint, random_text

from rnn_cli.cells import CELLS
from rnn_cli.errors import UsageError
from rnn_cli.kernels.threads import Team
from rnn_cli.language.dynamic_evaluation import (
    DECAY,
    DEFAULT_RATE,
    EPSILON,
    LEARNED,
    MEMORY,
    DynamicScorer,
)
from rnn_cli.language.evaluation import make_scorer, score_texts
from rnn_cli.language.scorer import Scorer
from rnn_cli.network.model import Model
from rnn_cli.network.workspace import TrainingWindow
from rnn_cli.text.codecs import BOUNDARY

MODES = pytest.mark.parametrize("line_mode", [False, True], ids=["stream", "lines"])


def symbols_of(checkpoint, text):
    return checkpoint.codec.frame(checkpoint.codec.encode(text))[1:]


@MODES
def test_the_first_window_is_scored_as_it_was_learned(line_mode):
    checkpoint = make_checkpoint(line_mode)
    symbols = symbols_of(checkpoint, random_text(5 * LEARNED, line_mode))
    plain = Scorer(checkpoint, 2).read(symbols)[0]
    adapted, ranks = DynamicScorer(checkpoint, 2, 0.01).read(symbols, with_ranks=True)
    assert np.array_equal(plain[:LEARNED], adapted[:LEARNED])
    assert (plain[LEARNED:] != adapted[LEARNED:]).mean() > 0.9
    assert len(ranks) == len(symbols)


@MODES
def test_the_weights_follow_the_equation(line_mode):
    """w <- w - rate g / (sqrt(s) + epsilon) + DECAY (w_0 - w), in float64, with gradients of a window of its own."""
    checkpoint, rate, windows = make_checkpoint(line_mode), 0.01, 4
    symbols = symbols_of(checkpoint, random_text(3 * windows * LEARNED, line_mode))[: windows * LEARNED]
    scorer = DynamicScorer(checkpoint, 1, rate)
    scorer.read(symbols)
    model = Model.from_torch(checkpoint.config, checkpoint.parameters)
    window = TrainingWindow(model, LEARNED, 1, Team(1))
    start = weights = model.parameters.astype(np.float64)
    squares = np.zeros_like(weights)
    framed = np.append(BOUNDARY, symbols)
    for index in range(windows):
        model.parameters[:] = weights
        part = framed[index * LEARNED : (index + 1) * LEARNED + 1]
        window.inputs[:, 0], window.targets[:, 0] = part[:-1], part[1:]
        window.starts[:] = window.inputs == BOUNDARY
        window.gradient()
        grad = window.grad.astype(np.float64)
        squares = MEMORY * squares + (1 - MEMORY) * grad**2
        scale = np.sqrt(squares / (1 - MEMORY ** (index + 1))) + EPSILON
        weights = weights - rate * grad / scale + DECAY * (start - weights)
    moved = np.abs(weights - start).max()
    assert moved > rate
    assert np.abs(scorer.model.parameters - weights).max() < 1e-3 * moved


def test_a_gradient_that_is_not_finite_is_skipped():
    checkpoint = make_checkpoint(False)
    symbols = symbols_of(checkpoint, random_text(6 * LEARNED, False))
    scorer = DynamicScorer(checkpoint, 1, 0.01)
    scorer.read(symbols[: 2 * LEARNED])
    before = scorer.model.parameters.copy()
    scorer._learner.state[:] = np.nan
    scorer.read(symbols[2 * LEARNED : 3 * LEARNED])
    assert np.array_equal(scorer.model.parameters, before)
    scorer.read(symbols[3 * LEARNED :])
    assert np.isfinite(scorer.model.parameters).all()
    assert not np.array_equal(scorer.model.parameters, before)


def test_the_error_names_a_rate_that_is_too_high():
    checkpoint = make_checkpoint(False, next(cell for cell in CELLS if cell.activation == "relu"))
    symbols = symbols_of(checkpoint, random_text(40 * LEARNED, False))
    with pytest.raises(UsageError, match="lower `adapt_rate`"):
        DynamicScorer(checkpoint, 1, 1.0).read(symbols)


@MODES
def test_a_repeated_text_costs_less(line_mode):
    checkpoint = make_checkpoint(line_mode)
    symbols = symbols_of(checkpoint, random_text(200, line_mode) * 20)
    losses = DynamicScorer(checkpoint, 1, 0.005).read(symbols)[0]
    assert losses[-200:].mean() < 0.9 * losses[:200].mean()
    losses = DynamicScorer(checkpoint, 1).read(symbols)[0]
    assert losses.mean() < Scorer(checkpoint, 1).read(symbols)[0].mean()


@MODES
def test_later_symbols_change_no_earlier_score(line_mode):
    checkpoint = make_checkpoint(line_mode)
    symbols = symbols_of(checkpoint, random_text(10 * LEARNED, line_mode))
    changed = 5 * LEARNED + 3
    shuffled = symbols.copy()
    np.random.default_rng(1).shuffle(shuffled[changed:])
    first, second = (DynamicScorer(checkpoint, 1, 0.01).read(some)[0] for some in (symbols, shuffled))
    assert np.array_equal(first[:changed], second[:changed])
    assert not np.array_equal(first[changed:], second[changed:])


@MODES
def test_pieces_threads_and_unknown_symbols_change_no_bit(line_mode):
    checkpoint = make_checkpoint(line_mode)
    text = random_text(4 * LEARNED, line_mode)
    symbols = symbols_of(checkpoint, text[:50] + "XYZ" + text[50:])
    whole = DynamicScorer(checkpoint, 1, 0.01).read(symbols)[0]
    for size in (1, 13, LEARNED):
        scorer = DynamicScorer(checkpoint, 2, 0.01)
        parts = [scorer.read(symbols[start : start + size])[0] for start in range(0, len(symbols), size)]
        assert np.array_equal(whole, np.concatenate(parts))
    known = DynamicScorer(checkpoint, 1, 0.01).read(symbols_of(checkpoint, text))[0]
    assert np.array_equal(whole[symbols >= 0], known)


def test_a_second_text_resets_the_state_and_keeps_the_weights():
    checkpoint = make_checkpoint(False)
    text = random_text(200, False)
    scorer = DynamicScorer(checkpoint, 1, 0.01)
    symbols = checkpoint.codec.encode(text)
    first = scorer.read(symbols)[0]
    scorer.start()
    assert scorer.read(symbols)[0].mean() < first.mean()


def test_a_rate_of_0_learns_nothing_and_the_model_stays():
    checkpoint = make_checkpoint(False)
    before = {name: tensor.copy() for name, tensor in checkpoint.parameters.items()}
    symbols = checkpoint.codec.encode(random_text(200, False))
    plain = Scorer(checkpoint, 1).read(symbols)[0]
    assert np.array_equal(plain, DynamicScorer(checkpoint, 1, 0.0).read(symbols)[0])
    DynamicScorer(checkpoint, 1, 0.1).read(symbols)
    assert all(np.array_equal(before[name], tensor) for name, tensor in checkpoint.parameters.items())


def test_scores_say_that_the_model_adapted():
    checkpoint = make_checkpoint(True)
    scores = score_texts(make_scorer(checkpoint, adapt_rate=DEFAULT_RATE), ["abc\nabc"])
    assert (scores.state, scores.characters) == ("reset at each line, adapting", 8)
    with pytest.raises(UsageError, match="0 to 1"):
        make_scorer(checkpoint, adapt_rate=1.5)


def test_constants_are_those_that_were_measured():
    """The figures in the documents hold for these; the other tests take whatever the program has."""
    assert (LEARNED, DECAY, MEMORY, EPSILON, DEFAULT_RATE) == (32, 0.001, 0.999, 1e-4, 0.0007)
