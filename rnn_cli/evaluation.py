"""Scoring text: how many bits a model needs for each character, each one scored exactly once."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from rnn_cli.checkpoint import Checkpoint
from rnn_cli.errors import UsageError
from rnn_cli.kernels.threads import Team
from rnn_cli.model import Model, Window
from rnn_cli.streams import scoring_pairs

STREAMS = 64  # lines that are scored side by side
WINDOW = 128  # steps between two looks at the losses
SCALAR_VALUES = 1_112_064  # characters that Unicode has room for


@dataclass(frozen=True)
class Scores:
    """The scores of a text. In line mode the end of each line counts as a character."""

    characters: int
    bytes: int
    unknown: int
    nats_per_char: float
    bits_per_char: float
    bits_per_byte: float
    perplexity: float
    top1_accuracy: float
    top5_accuracy: float
    state: str

    def to_dict(self) -> dict[str, Any]:
        """Return the values as a JSON-ready dictionary."""
        return asdict(self)


def losses_of(
    model: Model,
    ids: np.ndarray,
    lines: bool,
    team: Team,
    progress: Callable[[int], None] = lambda done: None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the losses (nats) and ranks of all symbols of a text in their order.

    They do not depend on how many lines are scored side by side: the rows of a batch do not see each other.
    """
    plan = scoring_pairs(ids, lines, STREAMS)
    length, rows = plan.inputs.shape
    window = Window(model, min(WINDOW, length), rows, team)
    window.pack()
    losses, ranks = np.zeros(plan.count), np.zeros(plan.count, np.int32)
    for start in range(0, length, window.net.length):
        size = min(window.net.length, length - start)
        window.inputs.fill(0)
        window.targets.fill(-1)
        window.inputs[:size] = plan.inputs[start : start + size]
        window.targets[:size] = plan.targets[start : start + size]
        window.score()
        scored = plan.targets[start : start + size] >= 0
        places = plan.positions[start : start + size][scored]
        losses[places] = window.losses[:size][scored]
        ranks[places] = window.ranks[:size][scored]
        progress(len(places))
    return losses, ranks


def unknown_nats(checkpoint: Checkpoint) -> float:
    """Return the price of a character that the model has never seen.

    An escape, as probable as one more in all of the training text, then one of the characters that are left:
    log(n + 1) + log(1,112,064 - V).
    """
    seen = checkpoint.record.get("corpus", {}).get("characters")
    return math.log(max(seen, 0) + 1 if isinstance(seen, int) else 1) + math.log(
        SCALAR_VALUES - len(checkpoint.vocabulary)
    )


def evaluate_texts(
    checkpoint: Checkpoint,
    texts: Sequence[str | bytes],
    threads: int = 1,
    progress: Callable[[int], None] = lambda done: None,
) -> Scores:
    """Score texts together: strings for a model of characters, bytes for a model of bytes. Each starts afresh.

    Unknown characters are counted and cost `unknown_nats` each; the model does not read them. Raises UsageError where
    there is nothing to score.
    """
    vocabulary, team = checkpoint.vocabulary, Team(threads)
    model = Model.from_torch(checkpoint.config, checkpoint.parameters)
    losses, unknown, size, first, fifth = [0.0], 0, 0, 0, 0
    count = 0
    for text in texts:
        ids = vocabulary.encode(text)
        unknown += int(np.count_nonzero(ids < 0))
        size += len(text if isinstance(text, bytes) else text.encode("utf-8"))
        some, ranks = losses_of(model, vocabulary.frame(ids[ids >= 0]), vocabulary.lines, team, progress)
        losses.append(math.fsum(some))
        count += len(some)
        first += int(np.count_nonzero(ranks == 0))
        fifth += int(np.count_nonzero(ranks < 5))
    count += unknown
    if count == 0:
        raise UsageError("there is no text to score: it is empty")
    nats = (math.fsum(losses) + unknown * unknown_nats(checkpoint)) / count
    bits = nats / math.log(2)
    return Scores(
        characters=count,
        bytes=size,
        unknown=unknown,
        nats_per_char=nats,
        bits_per_char=bits,
        bits_per_byte=bits * count / max(size, 1),
        perplexity=math.exp(min(nats, 700)),
        top1_accuracy=first / count,
        top5_accuracy=fifth / count,
        state="reset at each line" if vocabulary.lines else "carried",
    )
