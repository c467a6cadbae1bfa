"""Beam search: the most probable completions of a prefix."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from rnn_cli.checkpoint.checkpoint import Checkpoint
from rnn_cli.kernels.threads import Team
from rnn_cli.language.constraints import state_after
from rnn_cli.language.ngrams import ngrams_of
from rnn_cli.language.stepper import Stepper
from rnn_cli.network.model import Model
from rnn_cli.text.codecs import FORBIDDEN, UNKNOWN

WIDTH = 64  # beams, at least


@dataclass(frozen=True)
class Completion:
    """A completion, without its prefix and the end of its line.

    `log_probability` is that of its symbols and of the end, if it has `ended`; otherwise that of all texts that begin
    with it.
    """

    symbols: tuple[int, ...]
    log_probability: float
    ended: bool

    @property
    def probability(self) -> float:
        """The probability, which may underflow to 0."""
        return math.exp(self.log_probability)


def complete(
    checkpoint: Checkpoint, prefix: str | bytes, count: int, length: int, width: int = WIDTH, threads: int = 1
) -> list[Completion]:
    """Return the `count` most probable completions of a prefix, most probable first.

    A completion continues to the end of the line, or to `length` symbols and, in a model of bytes, to the end of the
    character. Beam search keeps the `width` most probable beginnings of each length. It is exact if there are no more
    than that; otherwise it may miss a completion whose beginning is improbable. Raises UsageError for a character of
    the prefix that the model does not know.
    """
    codec, width = checkpoint.codec, max(width, count)
    follow = codec.follow_table()
    end = codec.newline
    ids = codec.encode_prompt(prefix, what="the prefix")
    model, team = Model.from_torch(checkpoint.config, checkpoint.parameters), Team(min(threads, width))
    stepper = Stepper(model, width, team, ngrams=ngrams_of(checkpoint))
    stepper.read(ids)
    done: list[Completion] = []
    texts: list[tuple[int, ...]] = [()]
    scores, automaton_states = np.zeros(1), np.array([state_after(follow, ids)])
    while texts:
        whole = np.array([len(text) >= length for text in texts]) & (automaton_states == 0)
        done += [Completion(texts[k], float(scores[k]), False) for k in np.flatnonzero(whole)]
        log_probabilities = stepper.step()[: len(texts)]
        possible = (follow[automaton_states] != FORBIDDEN) & ~whole[:, None]
        totals = np.where(possible, scores[:, None] + log_probabilities, -np.inf)
        if end != UNKNOWN:
            ended = np.flatnonzero(totals[:, end] > -np.inf)
            done += [Completion(texts[k], float(totals[k, end]), True) for k in ended]
            totals[:, end] = -np.inf
        done = sorted(done, key=lambda completion: -completion.log_probability)[:count]
        best = largest(totals.ravel(), width)
        best = best[totals.flat[best] > -np.inf]
        if len(done) == count:
            best = best[totals.flat[best] > done[-1].log_probability]
        parents, symbols = np.unravel_index(best, totals.shape)
        scores, automaton_states = totals.flat[best], follow[automaton_states[parents], symbols]
        texts = [(*texts[parent], int(symbol)) for parent, symbol in zip(parents, symbols)]
        stepper.branch(parents, symbols)
    return done


def largest(values: np.ndarray, count: int) -> np.ndarray:
    """Return the indices of the `count` largest values, largest first, of equal ones the first."""
    if len(values) <= count:
        return np.argsort(-values, kind="stable")
    least = np.partition(values, len(values) - count)[len(values) - count]
    found = np.flatnonzero(values >= least)
    return found[np.argsort(-values[found], kind="stable")][:count]
