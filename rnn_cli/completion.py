"""Completing text: the most probable ways to go on from a prefix, found by beam search."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rnn_cli.checkpoint import Checkpoint
from rnn_cli.config import SamplingConfig
from rnn_cli.constraints import follow_table, state_after
from rnn_cli.kernels.draw import FORBIDDEN
from rnn_cli.kernels.threads import Team
from rnn_cli.model import Model
from rnn_cli.reader import Reader
from rnn_cli.sampling import encode_seed
from rnn_cli.vocabulary import BOUNDARY, Vocabulary

WIDTH = 64  # beginnings that are looked at side by side, at least


@dataclass(frozen=True)
class Completion:
    """One way to go on, without its prefix and the end of its line.

    `probability` is that of its symbols and of the end, where it has `ended`; else that of all texts that begin so.
    """

    symbols: tuple[int, ...]
    probability: float
    ended: bool


def complete(
    checkpoint: Checkpoint, prefix: str | bytes, count: int, length: int, width: int = WIDTH, threads: int = 1
) -> list[Completion]:
    """Return the most probable completions of a prefix, likeliest first, of equal ones in the order of their symbols.

    A completion goes to the end of the line, or to `length` symbols and, in a model of bytes, on to the end of a
    character. Beam search looks at the `width` likeliest beginnings of each length: where there are no more than that
    it is exact, and else it may miss a completion whose beginning is improbable. Raises UsageError for a character of
    the prefix that the model does not know.
    """
    vocabulary, width = checkpoint.vocabulary, max(width, count)
    follow, end = follow_table(vocabulary), end_of_line(vocabulary)
    ids = encode_seed(vocabulary, prefix, what="the prefix")
    reader = Reader(Model.from_torch(checkpoint.config, checkpoint.parameters), width, Team(min(threads, width)))
    reader.read(ids)
    done: list[Completion] = []
    beam: list[tuple[float, tuple[int, ...], int]] = [(0.0, (), state_after(follow, ids))]
    while beam:
        for log_probability, symbols, mode in beam:
            if len(symbols) >= length and mode == 0:
                done.append(Completion(symbols, float(np.exp(log_probability)), False))
        beam = [entry for entry in beam if len(entry[1]) < length or entry[2]]
    return done
