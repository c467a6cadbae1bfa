"""How many guesses a text needs from someone who guesses in the order of the model, the most probable text first."""

from __future__ import annotations

import math
from itertools import islice

import numpy as np

from rnn_cli.checkpoint.checkpoint import Checkpoint
from rnn_cli.errors import UsageError
from rnn_cli.language.config import SamplingConfig
from rnn_cli.language.sampling import Sampler
from rnn_cli.language.scorer import Scorer
from rnn_cli.text.codecs import BOUNDARY

SAMPLES = 20_000
LONGEST = 1000  # symbols of a sample; one that is longer counts as less probable than all others
FEWEST = 10  # samples less probable than a text whose number is estimated
TOGETHER = 1000  # samples scored at a time


class GuessNumbers:
    """The Monte Carlo estimate of Dell'Amico and Filippone (2015) from samples of a model.

    The number of texts more probable than one of probability p is the mean over all samples of 1 / q, where q is the
    probability of the sample, counted as 0 unless q > p. The guess that is right comes after them. Where fewer than
    FEWEST samples are less probable than p, only a lower bound is known: the number at the last p that has them.
    """

    def __init__(self, sample_bits: np.ndarray) -> None:
        self._bits = np.sort(sample_bits)
        with np.errstate(over="ignore"):
            before = np.cumsum(np.exp2(self._bits)) / len(self._bits)
        self._numbers = 1 + np.concatenate([[0.0], before])
        self._largest = max(len(self._bits) - FEWEST, 0)

    def of(self, bits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the numbers of guesses (float64) for texts of these bits, and which of them are lower bounds."""
        more_probable = np.searchsorted(self._bits, bits, side="left")
        return self._numbers[np.minimum(more_probable, self._largest)], more_probable > self._largest


def estimate_guess_numbers(
    checkpoint: Checkpoint, scorer: Scorer, threads: int = 1, samples: int = SAMPLES, random_seed: int = 0
) -> GuessNumbers:
    """Sample texts and return the estimate. Raises UsageError unless lines are texts and each symbol can be sampled."""
    codec = checkpoint.codec
    if not codec.ends_at_newline or codec.never_sampled:
        raise UsageError(
            "`guess_number` is for a model that reads lines as characters, and this one does not; leave it out"
        )
    config = SamplingConfig(length=LONGEST, valid_utf8=False, random_seed=random_seed)
    found: list[np.ndarray] = []
    scorer.start()
    sampled = Sampler(checkpoint, "", config, threads=threads).texts(samples)
    while texts := list(islice(sampled, TOGETHER)):
        symbols = np.concatenate([np.array([*text.symbols, BOUNDARY], np.int32) for text in texts])
        sizes = np.array([len(text.symbols) + 1 for text in texts])
        bits = np.add.reduceat(scorer.read(symbols)[0], np.cumsum(sizes) - sizes) / math.log(2)
        found.append(np.where([text.stopped == "end" for text in texts], bits, math.inf))
    return GuessNumbers(np.concatenate(found))
