"""N-grams: equal to counts in dictionaries, probabilities sum to 1, and no symbol is counted before it is scored."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_ngrams import SlowGrams, V, with_past

from rnn_cli.text.kneser_ney import discounts, ngram_bits

MODES = pytest.mark.parametrize("line_mode", [False, True], ids=["stream", "lines"])


def slow_bits(ids, line_mode, order, corpus=None):
    """Return the expected result of `ngram_bits`."""
    grams = SlowGrams(order, line_mode)
    for past, symbol in [] if corpus is None else with_past(corpus, line_mode):
        grams.learn(past, symbol)
    bits = []
    for past, symbol in with_past(ids, line_mode):
        p = grams.distribution(past)
        assert sum(p.values()) == pytest.approx(1)
        bits.append(-math.log2(p[symbol]))
        if corpus is None:
            grams.learn(past, symbol)
    return bits


def text(size, line_mode, seed):
    """Return regular symbols with boundaries."""
    generator = np.random.default_rng(seed)
    ids = np.cumsum(generator.choice([1, 1, 2, 3], size)) % (V - 1) + 1
    ids[generator.random(size) < 0.15] = 0
    return np.concatenate([[0], ids, [0] if line_mode else []]).astype(np.int32)


@pytest.mark.parametrize("order", [1, 2, 3, 5])
@MODES
def test_bits_are_those_of_dictionaries(line_mode, order):
    ids, corpus = text(150, line_mode, 1), text(250, line_mode, 2)
    assert ngram_bits(ids, V, line_mode, order) == pytest.approx(slow_bits(ids, line_mode, order))
    assert ngram_bits(ids, V, line_mode, order, corpus) == pytest.approx(slow_bits(ids, line_mode, order, corpus))


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, V - 1), max_size=60), st.booleans())
def test_bits_of_any_text_are_those_of_dictionaries(symbols, line_mode):
    ids = np.array([0, *symbols, *([0] if line_mode else [])], np.int32)
    assert ngram_bits(ids, V, line_mode, 4) == pytest.approx(slow_bits(ids, line_mode, 4))
    corpus = ids[::-1].copy() if line_mode else np.append(np.int32(0), ids[::-1])
    assert ngram_bits(ids, V, line_mode, 4, corpus) == pytest.approx(slow_bits(ids, line_mode, 4, corpus))


@MODES
def test_no_symbol_is_scored_with_later_ones(line_mode):
    ids = text(300, line_mode, 3)
    changed = ids.copy()
    changed[201:-1] = changed[201:-1][::-1]
    scored = np.count_nonzero(ids[1:201]) if not line_mode else 200
    before, after = ngram_bits(ids, V, line_mode), ngram_bits(changed, V, line_mode)
    assert np.array_equal(before[:scored], after[:scored])
    assert not np.array_equal(before, after)


@MODES
def test_probabilities_of_all_symbols_sum_to_one(line_mode):
    corpus = text(400, line_mode, 4)
    for start, end in pairwise(range(0, 60, 4)):
        past = [0, *(symbol for symbol in corpus[start:end].tolist() if symbol)]
        symbols = range(0 if line_mode else 1, V)
        bits = [ngram_bits(np.array([*past, symbol], np.int32), V, line_mode, 5, corpus)[-1] for symbol in symbols]
        assert sum(2.0**-b for b in bits) == pytest.approx(1)


def test_longer_contexts_help_a_regular_text():
    ids = np.array([0, *([1, 2, 1, 3] * 200)], np.int32)
    means = [ngram_bits(ids, V, False, order).mean() for order in (1, 2, 3)]
    assert means[0] > means[1] > means[2]
    assert means[2] < 0.1


@pytest.mark.parametrize(
    "once, twice, discount", [(0, 0, 0.1), (1, 9, 0.1), (2, 2, 1 / 3), (98, 1, 0.95), (5, 0, 0.95)]
)
def test_discounts_have_limits(once, twice, discount):
    assert discounts(np.array([once]), np.array([twice])) == pytest.approx([discount])
