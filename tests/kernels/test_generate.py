"""What the kernel draws from is the distribution that a plain computation in float64 gives."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rnn_cli.kernels.network.memory import Sizes
from rnn_cli.kernels.text.generate import FORBIDDEN, NEVER, draw, forbid, keep_likeliest
from rnn_cli.language.config import SamplingConfig
from rnn_cli.language.stepper import sampling_state_for
from rnn_cli.network.model import PAD
from rnn_cli.text.codecs import BOUNDARY

NUMBERS = (np.arange(2000) + 0.5) / 2000
LOGITS = st.lists(st.sampled_from([-3.0, 0.0, 0.5, 2.0]) | st.integers(-640, 640).map(lambda n: n / 16), min_size=2)


def kept(logits, allowed, config):
    """Return the probabilities (V) by their definition, and how near they are to another choice of symbols."""
    probabilities = np.exp((np.where(allowed, logits, -np.inf) - logits[allowed].max()) / config.temperature)
    probabilities[probabilities < 1e-34] = 0
    order = np.argsort(-probabilities, kind="stable")
    if config.top_k:
        probabilities[order[config.top_k :]] = 0
    shares = np.cumsum(probabilities[order]) / probabilities.sum()
    margin = 1.0
    if config.top_p < 1:
        margin = np.abs(shares - config.top_p).min()
        probabilities[order[1 + np.count_nonzero(shares < config.top_p) :]] = 0
    limit = config.min_p * probabilities.max()
    margin = min(margin, np.abs(probabilities - limit)[probabilities > 0].min() if config.min_p else 1.0)
    probabilities[probabilities < limit] = 0
    return probabilities / probabilities.sum(), margin


def drawn(logits, allowed, config):
    """Return the weights (V) that the kernel draws by, and what it draws for each of NUMBERS."""
    size = len(logits)
    columns = -(-size // PAD) * PAD
    sizes = Sizes(*[1] * len(Sizes._fields))._replace(output_size=size, columns=columns)
    row = np.full(columns, NEVER, np.float32)
    row[:size] = logits
    draws = sampling_state_for(sizes, config, np.where(allowed, 0, FORBIDDEN).astype(np.uint8)[None])
    forbid(row, 0, size, draws.follow, 0, 0)
    chosen = [draw(row, 0, sizes, draws, 0, number) for number in NUMBERS]
    return draws.scratch[:size].astype(np.float64), np.array(chosen)


@settings(deadline=None, max_examples=150)  # the first example compiles
@given(
    LOGITS,
    st.integers(0, 2**40),
    st.sampled_from([0.01, 0.5, 1.0, 3.0, 100.0]),
    st.integers(0, 8),
    st.sampled_from([1.0, 0.999, 0.9, 0.5, 0.1, 1e-3]),
    st.sampled_from([0.0, 1e-6, 0.1, 0.5, 1.0]),
)
def test_the_distribution_is_the_defined_one(logits, mask, temperature, top_k, top_p, min_p):
    logits = np.array(logits, np.float32).astype(np.float64)
    allowed = np.array([not mask >> j & 1 for j in range(len(logits))])
    assume(allowed.any())
    config = SamplingConfig(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p)
    expected, margin = kept(logits, allowed, config)
    assume(margin > 1e-4)  # float32 may decide otherwise where it is a matter of the last digits
    weights, chosen = drawn(logits, allowed, config)
    assert (weights > 0).tolist() == (expected > 0).tolist()
    np.testing.assert_allclose(weights / weights.sum(), expected, rtol=1e-4, atol=1e-7)
    shares = np.bincount(chosen, minlength=len(logits)) / len(NUMBERS)
    np.testing.assert_allclose(shares, expected, atol=1.01 / len(NUMBERS))


@pytest.mark.parametrize("temperature", [0.0, 1e-320, 1e-39, 1e-3, 1.0, 100.0])
@pytest.mark.parametrize("cut", [{}, {"top_k": 2}, {"top_p": 0.0}, {"top_p": 0.9}, {"min_p": 1.0}], ids=str)
def test_forbidden_symbols_are_never_sampled(temperature, cut):
    logits = np.array([1e4, 3.0, -1e4, 2.0, 3.5])
    allowed = np.array([False, True, True, True, False])
    weights, chosen = drawn(logits, allowed, SamplingConfig(temperature=temperature, **cut))
    assert set(chosen.tolist()) <= {1, 3}
    if temperature < 1e-6 or cut in ({"top_p": 0.0}, {"min_p": 1.0}):
        assert set(chosen.tolist()) == {1}
    weights, chosen = drawn(logits, ~allowed & False, SamplingConfig(temperature=temperature, **cut))
    assert set(chosen.tolist()) == {BOUNDARY}  # nothing may follow: the text ends


@settings(deadline=None)
@given(
    st.lists(st.sampled_from([1e-30, 0.25, 0.5, 0.5000001, 1.0]), min_size=1, max_size=40),
    st.integers(1, 40),
    st.integers(0, 5),
)
def test_top_k_keeps_k_and_the_first_of_equals(values, count, start):
    padded = -(-len(values) // PAD) * PAD
    weights = np.full(start + padded + 3, 7, np.float32)
    weights[start : start + padded] = 0
    weights[start : start + len(values)] = values
    expected = weights.copy()
    order = np.argsort(-weights[start : start + len(values)], kind="stable")
    expected[start + order[count:]] = 0
    keep_likeliest(weights, start, padded, 0.0, float(count))
    assert weights.tolist() == expected.tolist()
    assert np.count_nonzero(weights[start : start + padded]) == min(count, len(values))
