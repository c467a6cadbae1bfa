from itertools import product

import numpy as np
import pytest
from random_models import make_checkpoint

from rnn_cli.errors import UsageError
from rnn_cli.language.guess_numbers import GuessNumbers, estimate_guess_numbers
from rnn_cli.language.scorer import Scorer
from rnn_cli.text.codecs import BOUNDARY, CharacterCodec, ParagraphCodec, WordCodec

LONGEST = 8


@pytest.fixture(scope="module")
def tiny():
    """Return a model of lines of three letters, and the bits of all its lines of up to LONGEST letters."""
    checkpoint = make_checkpoint(True, boundary_bias=3.0, codec=CharacterCodec("abc", True))
    lines = [[*letters, BOUNDARY] for size in range(LONGEST + 1) for letters in product((1, 2, 3), repeat=size)]
    losses = Scorer(checkpoint, 1).read(np.array([symbol for line in lines for symbol in line], np.int32))[0]
    ends = np.cumsum(list(map(len, lines)))
    return checkpoint, np.add.reduceat(losses, ends - list(map(len, lines))) / np.log(2)


def test_the_estimate_is_near_the_exact_rank(tiny):
    checkpoint, bits = tiny
    rest = 1 - np.exp2(-bits).sum()  # the probability of longer lines
    certain = np.sort(bits[bits < -np.log2(rest)])  # no longer line is more probable
    assert len(certain) > 30
    numbers, bounds = estimate_guess_numbers(checkpoint, Scorer(checkpoint, 1)).of(certain)
    ranks = np.arange(1, len(certain) + 1)
    known = ranks[~bounds]
    assert len(known) > 20
    np.testing.assert_allclose(numbers[~bounds], known, rtol=0.2)
    assert numbers[0] == 1


def test_beyond_the_samples_only_a_bound_is_given():
    samples = np.array([1.0] * 60 + [4.0] * 30 + [9.0] * 9 + [np.inf])
    numbers, bounds = GuessNumbers(samples).of(np.array([0.5, 1.0, 2.0, 4.0, 5.0, 9.0, 9.5, 60.0, np.inf]))
    assert bounds.tolist() == [False, False, False, False, False, False, True, True, True]
    expected = [1, 1, 1 + 0.6 * 2, 1 + 0.6 * 2, *[1 + 0.6 * 2 + 0.3 * 16] * 5]
    np.testing.assert_allclose(numbers, expected)


def test_estimates_do_not_depend_on_threads(tiny):
    checkpoint, bits = tiny
    one, two = (estimate_guess_numbers(checkpoint, Scorer(checkpoint, n), n, samples=500).of(bits) for n in (1, 2))
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize(
    "codec",
    [CharacterCodec("ab", False), ParagraphCodec("ab\n", True), WordCodec(("a",), True)],
    ids=["stream", "texts", "words"],
)
def test_guess_numbers_are_for_models_of_lines(codec):
    checkpoint = make_checkpoint(codec.line_mode, codec=codec)
    with pytest.raises(UsageError, match="`guess_number` is for a model that reads lines"):
        estimate_guess_numbers(checkpoint, Scorer(checkpoint, 1))
