"""Guides: automata of whole texts, by which sampling keeps to symbols after which a text can still match in time."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from rnn_cli.kernels.compiler.jit import kernel
from rnn_cli.kernels.network.losses import NEVER as NEVER_LOGIT

NEVER = np.float32(NEVER_LOGIT)
DEAD = -1  # the state after a symbol that may not come
AT_BOUNDARY, WHERE_LEFT, AT_ONCE = 0, 1, 2  # where a text that matches ends


class Guides(NamedTuple):
    """Guides, one after the other in flat arrays. The rules of a row say which one it keeps to.

    classes (guides, V) int32  the class of each symbol
    table int32                the next state of each state and class, or DEAD
    distances int32            for each number of symbols that a text needs at least, from 0 on, and each state: the
                               fewest symbols, at least as many, with which it matches
    outlooks float32           for each number of symbols that may still come, up to some, and each state: about the
                               log of the probability that the text goes on so that it matches
    places (guides, 7) int64   where the table of a guide begins; its classes; where its distances begin; its states;
                               where its texts end; where its outlooks begin; and how many symbols the last is for

    A text that matches ends AT_BOUNDARY, as lines do; WHERE_LEFT, with the probability of the symbols after which no
    text matches; or AT_ONCE.
    """

    classes: Any
    table: Any
    distances: Any
    outlooks: Any
    places: Any


@kernel
def next_state(guides, guide, state, symbol):
    """Return the state after a symbol; what comes after the boundary does not matter."""
    following = guides.table[guides.places[guide, 0] + state * guides.places[guide, 1] + guides.classes[guide, symbol]]
    return 0 if symbol == 0 or following == DEAD else following


@kernel
def ends_at(guides, guide, where):
    """Return whether the texts of a guide end there: AT_BOUNDARY, WHERE_LEFT or AT_ONCE."""
    return guides.places[guide, 4] == where


@kernel
def keep_to_guide(logits, start, vocab_size, sampling, row, position):
    """Set the logits of symbols after which the text could not match in time to NEVER, and that of the boundary.

    `position` is the number of symbols before. With the limits shortest <= n <= longest of their number n, a symbol may
    come if some text goes on with it, matches and keeps to the limits.
    """
    guides, guide, state = sampling.guides, sampling.rules[row].guide, sampling.automaton[row]
    table, width, ending = guides.places[guide, 0], guides.places[guide, 1], guides.places[guide, 4]
    distances, states = guides.places[guide, 2], guides.places[guide, 3]
    needed, left = sampling.shortest[row] - position, sampling.longest[row] - position - 1
    after = distances + max(needed - 1, 0) * states
    may_end = needed <= 0 and guides.distances[distances + state] == 0
    ends = may_end and ending == AT_ONCE
    top, total = np.float64(NEVER), 0.0  # of the symbols that never match: the largest logit, and exp(logit - top)
    for j in range(1, vocab_size):
        following = guides.table[table + state * width + guides.classes[guide, j]]
        if ends or following == DEAD or guides.distances[after + following] > left:
            if following == DEAD and may_end and ending == WHERE_LEFT:
                logit = np.float64(logits[start + j])
                total = total * math.exp(top - max(top, logit)) + math.exp(logit - max(top, logit))
                top = max(top, logit)
            logits[start + j] = NEVER
    if not may_end:
        logits[start] = NEVER
    elif ending == AT_ONCE:
        logits[start] = 0
    elif ending == WHERE_LEFT:
        logits[start] = top + math.log(total) if total > 0 else np.float64(NEVER)


@kernel
def weigh_by_outlook(logits, start, sampling, row, position, sign):
    """Add the outlook after each symbol that may come to its logit (`sign` 1), or subtract it again (-1).

    Without it a text whose end may not come yet would wander: each step would be probable, but not the whole. With it
    the probability of a symbol x is about that among the texts that match,

    p(x | match) = p(x) p(match | x) / p(match)
    """
    guides, guide, state = sampling.guides, sampling.rules[row].guide, sampling.automaton[row]
    table, width, states = guides.places[guide, 0], guides.places[guide, 1], guides.places[guide, 3]
    left = min(max(sampling.longest[row] - position - 1, 0), guides.places[guide, 6])
    outlooks = guides.places[guide, 5] + left * states
    for j in range(1, guides.classes.shape[1]):
        if logits[start + j] > NEVER:
            following = guides.table[table + state * width + guides.classes[guide, j]]
            logits[start + j] += sign * guides.outlooks[outlooks + following]
