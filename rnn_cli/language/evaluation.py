"""Scoring whole texts: how many bits a model needs for each character, each one scored exactly once."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from rnn_cli.checkpoint.checkpoint import Checkpoint
from rnn_cli.config import check_range
from rnn_cli.errors import UsageError
from rnn_cli.language.dynamic_evaluation import DynamicScorer
from rnn_cli.language.scorer import Scorer
from rnn_cli.text.vocabulary import BOUNDARY

PIECE = 1 << 20  # characters that are scored at a time, so that memory does not grow with the text


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


def make_scorer(
    checkpoint: Checkpoint,
    threads: int = 1,
    reset_every: int | None = None,
    adapt_rate: float | None = None,
    precision: str = "float32",
) -> Scorer:
    """Return what scores texts: forgetting every so many characters, or learning on at this rate, where given.

    Raises UsageError for numbers out of range, for both, for resets where each line starts afresh anyway, and for a
    precision that the processor has not.
    """
    if reset_every is not None:
        check_range("reset_every", reset_every, 1, 10**9)
        if checkpoint.codec.lines:
            raise UsageError(
                "`reset_every` is for models of a stream, and this one starts afresh at each line; leave it out"
            )
        if adapt_rate is not None:
            raise UsageError("`reset_every` and `adapt_rate` contradict each other; give one of them")
    if adapt_rate is None:
        return Scorer(checkpoint, threads, reset_every, precision=precision)
    return DynamicScorer(checkpoint, threads, adapt_rate, precision)


def state_of(scorer: Scorer) -> str:
    """Say what a scorer knows of the past at each character."""
    past = "reset at each line" if scorer.vocabulary.lines else "carried"
    if scorer.reset_every:
        past = f"reset every {scorer.reset_every:,} characters"
    return f"{past}, adapting" if isinstance(scorer, DynamicScorer) else past


def evaluate_texts(
    checkpoint: Checkpoint,
    texts: Sequence[str | bytes],
    threads: int = 1,
    progress: Callable[[int], None] = lambda done: None,
) -> Scores:
    """Score texts together, as `score_texts` does."""
    if isinstance(texts, str | bytes):
        raise UsageError("give a list of texts; one text is a list of one")
    return score_texts(make_scorer(checkpoint, threads), texts, progress)


def score_texts(
    scorer: Scorer, texts: Sequence[str | bytes], progress: Callable[[int], None] = lambda done: None
) -> Scores:
    """Score texts together: strings for a model of characters, bytes for a model of bytes. Each starts afresh.

    Unknown characters are counted and cost `unknown_nats` each; the model does not read them. Raises UsageError where
    there is nothing to score.
    """
    total, count, unknown, size, first, fifth = [0.0], 0, 0, 0, 0, 0
    for text in texts:
        scorer.start()
        for start in range(0, len(text), PIECE):
            piece = text[start : start + PIECE]
            symbols = scorer.vocabulary.encode(piece)
            if scorer.vocabulary.lines and start + PIECE >= len(text) and symbols[-1] != BOUNDARY:
                symbols = np.append(symbols, np.int32(BOUNDARY))
            losses, ranks = scorer.read(symbols, with_ranks=True, progress=progress)
            total.append(math.fsum(losses))
            count += len(losses)
            unknown += int(np.count_nonzero(symbols < 0))
            size += len(piece if isinstance(piece, bytes) else piece.encode("utf-8"))
            first += int(np.count_nonzero(ranks == 0))
            fifth += int(np.count_nonzero(ranks < min(5, len(scorer.vocabulary))))
    if count == 0:
        raise UsageError("there is no text to score: it is empty")
    nats = math.fsum(total) / count
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
        state=state_of(scorer),
    )
