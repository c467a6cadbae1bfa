"""The match model beside the counts of a language model: the text that it looks in, and its shares.

Its prediction and the mixture are those of kernels/text/matches.py. The history is the text that was read so far, while
the counts go on; before it stands the training text, if the model file keeps it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rnn_cli.errors import CheckpointError
from rnn_cli.kernels.text.matches import (
    AGREEMENTS,
    BUCKETS,
    LENGTHS,
    TRACKED,
    Matches,
    keep_history,
)

LONGEST_KEPT = 100_000_000  # symbols of the training text, the last ones
LEAST_SLOTS, MOST_SLOTS = 1 << 12, 1 << 24
COUNTING_SLOTS = 1 << 22  # at least, as the text that is read may be long
EVIDENCE = 4.0  # symbols that a share counts for before it follows a text
CERTAINTY = 4.0  # symbols that the first share counts for in the fit
ROUNDS = 40  # of expectation maximisation
TEXT, SHARES = "text", "match_shares"  # the names of the tensors


def first_shares() -> np.ndarray:
    """Return the shares (BUCKETS) before any text has been seen: the longer the match, the more."""
    level = np.arange(LENGTHS, dtype=np.float64)
    return np.repeat((level + 1) / (level + 9), AGREEMENTS)


def no_matches() -> Matches:
    """Return a match model without a history."""
    return Matches(
        np.zeros(0, np.int32),
        np.zeros(1, np.int64),
        np.zeros((2, 1), np.int32),
        np.zeros((0, 2)),
        np.zeros((0, 2), np.int32),
    )


@dataclass
class MatchModel:
    """A text to look in, perhaps empty, and the share of what a match predicts, for each bucket of its length.

    `indexed` is what kernels read of it, once it has been made, if the text does not grow.
    """

    text: np.ndarray
    shares: np.ndarray
    indexed: Matches | None = None

    @classmethod
    def of(cls, text: np.ndarray) -> MatchModel:
        """Return the model of a text, of whose symbols it keeps the last LONGEST_KEPT."""
        return cls(text[-LONGEST_KEPT:], first_shares())

    def matches(self, rows: int, counting: bool = False) -> Matches:
        """Return what kernels read. If the model goes on `counting`, a text may be added (see `with_history`)."""
        if self.indexed and not counting:
            shares = np.stack([self.shares, np.full(BUCKETS, EVIDENCE)], axis=1)
            return self.indexed._replace(shares=shares, predicted=np.full((rows, 2), -1, np.int32))
        least = COUNTING_SLOTS if counting else LEAST_SLOTS
        slots = min(max(least, 2 << len(self.text).bit_length()), MOST_SLOTS)
        history = np.zeros(max(len(self.text), 1), np.int32)
        shares = np.stack([self.shares, np.full(BUCKETS, EVIDENCE)], axis=1)
        matches = Matches(
            history, np.zeros(1, np.int64), np.zeros((2, slots), np.int32), shares, np.full((rows, 2), -1, np.int32)
        )
        keep_history(matches, nothing_tracked(), np.asarray(self.text, np.int32))
        if not counting:
            self.indexed = matches
        return matches

    def fit(self, others: np.ndarray, buckets: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Choose the shares with which a held-out text costs least; return the probabilities of its symbols with them.

        `others` are the probabilities without the match. Expectation maximisation: with r the posterior probability
        that a symbol came from the match, which was `right` or not, the new share of a bucket is the mean of r over its
        symbols and over CERTAINTY symbols with the first share. A bucket of -1 says that there was no match.
        """
        matched = buckets >= 0
        index, right, mixed = buckets[matched], right[matched], others[matched]
        first = share = first_shares()
        seen = np.bincount(index, minlength=BUCKETS)
        for _ in range(ROUNDS):
            worth = right * share[index] / (share[index] + (1 - share[index]) * mixed)
            share = (np.bincount(index, worth, minlength=BUCKETS) + CERTAINTY * first) / (seen + CERTAINTY)
        self.shares = share
        result = others.copy()
        result[matched] = (1 - share[index]) * mixed + share[index] * right
        return result

    def to_tensors(self) -> dict[str, np.ndarray]:
        """Return the tensors of the file."""
        size = np.uint8 if int(self.text.max(initial=0)) < 1 << 8 else np.uint16
        return {TEXT: self.text.astype(size), SHARES: self.shares}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, np.ndarray], size: int) -> MatchModel | None:
        """Return the model in the tensors of a file, None if it has none. Raises CheckpointError if it is damaged."""
        text, shares = tensors.get(TEXT), tensors.get(SHARES)
        if text is None and shares is None:
            return None
        if text is None or shares is None or text.ndim != 1 or text.dtype not in (np.uint8, np.uint16):
            raise CheckpointError("the text for matches is damaged")
        if len(text) > LONGEST_KEPT or int(text.max(initial=0)) >= size:
            raise CheckpointError("the text for matches is damaged: it has other symbols than the model")
        if shares.shape != (BUCKETS,) or shares.dtype != np.float64 or not ((shares >= 0) & (shares < 1)).all():
            raise CheckpointError("the shares of matches are damaged")
        return cls(text, shares)


def nothing_tracked() -> np.ndarray:
    """Return the state of one row that has read nothing."""
    return np.full((1, TRACKED), -1, np.int32)


def with_history(matches: Matches, symbols: int) -> Matches:
    """Return the model with room for some more symbols, twice what it has if that is more; without one, as it is."""
    used, capacity = int(matches.used[0]), len(matches.history)
    if not capacity or used + symbols <= capacity:
        return matches
    history = np.concatenate([matches.history, np.zeros(max(used + symbols - capacity, capacity), np.int32)])
    return matches._replace(history=history)
