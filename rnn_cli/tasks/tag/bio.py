"""BIO tags: which tag may follow which, the best valid sequence, and the spans that tags mark.

A span of kind x begins with B-x and continues with I-x; O is outside. I-x may only follow B-x or I-x.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

OUTSIDE, BEGIN, INSIDE = "O", "B-", "I-"


class Span(NamedTuple):
    """Tokens first to last - 1 of a sentence, of a kind."""

    kind: str
    first: int
    last: int


def is_bio(tags: Sequence[str]) -> bool:
    """Say whether a set of tags is that of BIO: only O, B-x and I-x, with a B-x, and for each I-x its B-x."""
    known = set(tags)
    marked = known - {OUTSIDE}
    if not marked or not all(tag.startswith((BEGIN, INSIDE)) and len(tag) > len(BEGIN) for tag in marked):
        return False
    return all(BEGIN + tag[len(INSIDE) :] in known for tag in marked if tag.startswith(INSIDE))


def allowed_after(tags: Sequence[str]) -> np.ndarray:
    """Return which tag may follow which: (K + 1, K) bool; the last row is the start of a sentence."""
    before = [*tags, OUTSIDE]
    allowed = np.ones((len(before), len(tags)), bool)
    for column, tag in enumerate(tags):
        if tag.startswith(INSIDE):
            kind = tag[len(INSIDE) :]
            allowed[:, column] = [previous in (BEGIN + kind, INSIDE + kind) for previous in before]
    return allowed


def best_valid(log_probs: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """Return the most probable sequence of tags that is valid (Viterbi 1967): (T,) of log_probs (T, K).

    `allowed` (K + 1, K) is that of `allowed_after`. At least one tag must be allowed after each tag and at the start.
    """
    steps = len(log_probs)
    if steps == 0:
        return np.zeros(0, np.int64)
    barred = np.where(allowed, 0.0, -np.inf)
    scores = log_probs[0] + barred[-1]
    previous = np.zeros(log_probs.shape, np.int64)
    for t in range(1, steps):
        paths = scores[:, None] + barred[:-1]
        previous[t] = paths.argmax(axis=0)
        scores = paths.max(axis=0) + log_probs[t]
    best = np.zeros(steps, np.int64)
    best[-1] = scores.argmax()
    for t in range(steps - 1, 0, -1):
        best[t - 1] = previous[t, best[t]]
    return best


def spans_of(tags: Sequence[str]) -> list[Span]:
    """Return the spans of a sentence. An I-x that continues no span of its kind begins one, as conlleval counts."""
    spans: list[Span] = []
    kind, first = "", 0
    for index, tag in enumerate([*tags, OUTSIDE]):
        own = tag[len(BEGIN) :] if tag != OUTSIDE else ""
        if kind and (own != kind or tag.startswith(BEGIN)):
            spans.append(Span(kind, first, index))
            kind = ""
        if own and not kind:
            kind, first = own, index
    return spans
