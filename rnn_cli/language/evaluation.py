"""Scoring whole texts: the bits per character under a model, each character scored exactly once."""

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

PIECE = 1 << 20  # characters scored at a time, so that memory does not grow with the text


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
    """Return a scorer.

    reset_every  reset the state every N characters
    adapt_rate   keep learning from the text at this rate (dynamic evaluation)

    Raises UsageError for values out of range, for both together, for resets in line mode, where each line starts from
    the zero state anyway, and for a precision that the CPU does not support.
    """
    if reset_every is not None:
        check_range("reset_every", reset_every, 1, 10**9)
        if checkpoint.codec.line_mode:
            raise UsageError(
                "`reset_every` is for models of a stream, and this one starts afresh at each line; leave it out"
            )
        if adapt_rate is not None:
            raise UsageError("`reset_every` and `adapt_rate` contradict each other; give one of them")
    if adapt_rate is None:
        return Scorer(checkpoint, threads, reset_every, precision=precision)
    return DynamicScorer(checkpoint, threads, adapt_rate, precision)


def describe_state(scorer: Scorer) -> str:
    """Say how much of the past a scorer knows at each character."""
    codec = scorer.codec
    past = "carried" if not codec.line_mode else "reset at each line" if codec.ends_at_newline else "reset at each text"
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
    scorer: Scorer,
    texts: Sequence[str | bytes],
    progress: Callable[[int], None] = lambda done: None,
    piece_size: int = PIECE,
) -> Scores:
    """Score texts together: strings for a model of characters, bytes for a model of bytes.

    Each starts from the zero state. Unknown characters are counted and cost `unknown_nats` each; the model does not
    read them. Raises UsageError if there is nothing to score.
    """
    codec = scorer.codec
    total, count, unknown, size, first, fifth = [0.0], 0, 0, 0, 0, 0
    for text in texts:
        scorer.start()
        pieces = [text[start : start + piece_size] for start in range(0, len(text), piece_size)]
        size += sum(len(piece if isinstance(piece, bytes) else piece.encode("utf-8")) for piece in pieces)
        framed = codec.frame_pieces([codec.encode_pieces(pieces)])
        next(framed)  # the boundary before the text, which the scorer has read
        for symbols in framed:
            losses, ranks = scorer.read(symbols, with_ranks=True, progress=progress)
            total.append(math.fsum(losses))
            count += len(losses)
            unknown += int(np.count_nonzero(symbols < 0))
            first += int(np.count_nonzero(ranks == 0))
            fifth += int(np.count_nonzero(ranks < min(5, len(codec))))
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
        state=describe_state(scorer),
    )
