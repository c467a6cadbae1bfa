"""How probable it is that a text goes on so that it matches, from how often each symbol occurs."""

from __future__ import annotations

import numpy as np

from rnn_cli.text.patterns.automata import DEAD, FAR

MOST_WORK = 10_000_000  # products of all steps, about half a second


def outlooks(table: np.ndarray, shares: np.ndarray, ends: np.ndarray, distances: np.ndarray, steps: int) -> np.ndarray:
    """Return the log of the probability that a random text matches, from each state (steps + 1, states), float32.

    Row n is for texts of at most n symbols, which are cut off there. With the share u(c) of the symbols of a class c,
    the probability e(s) that a text ends in a state s and matches, and s c the state after s and c:

    h_n(s) = e(s) + sum over c of u(c) h_(n-1)(s c),    h_0(s) = 1 if a text may end in s, otherwise 0

    table (states, classes)      the next state, or DEAD
    shares (classes)             u
    ends (states)                e; 1 if the text always ends there
    distances (states)           from the nearest state in which a text may end

    There are fewer rows if they would take too long. Where h is 0 only as they are too few, it is about that of the
    shortest text that matches.
    """
    states, classes = table.shape
    steps = max(min(steps, MOST_WORK // (states * classes)), 0)
    with np.errstate(divide="ignore"):
        share, end = np.log(shares), np.log(ends)
    always = ends == 1
    found = [np.where(distances == 0, 0.0, -np.inf)]
    following = np.where(table == DEAD, states, table)
    for _ in range(steps):
        ways = share + np.append(found[-1], -np.inf)[following]
        top = np.maximum(np.maximum(ways.max(axis=1), end), -1e300)
        total = np.exp(ways - top[:, None]).sum(axis=1) + np.exp(end - top)
        with np.errstate(divide="ignore"):
            found.append(np.where(always, 0.0, top + np.log(total)))
    least = np.where(distances < FAR, -np.log(len(shares) + 1) * distances.astype(np.float64), -np.inf)
    rows = np.array(found)
    return np.where(np.isfinite(rows), rows, least).astype(np.float32)
