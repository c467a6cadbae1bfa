"""Scoring whole texts: the bits per character or word under a model, each of them scored exactly once."""

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


@dataclass(frozen=True)
class WordScores:
    """The scores of a text by words. The end of each sentence counts as a word.

    An unknown word costs as much as the symbol `<unk>`, not its spelling: `unknown` of the words are unknown, and
    `perplexity_without_unknown` leaves their cost out. `characters` and `bytes` are those of the text.
    """

    words: int
    sentences: int
    unknown: int
    characters: int
    bytes: int
    nats_per_word: float
    bits_per_word: float
    bits_per_char: float
    bits_per_byte: float
    perplexity: float
    perplexity_without_unknown: float
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
    *,
    counts: float | None = None,
    counting: bool = False,
) -> Scorer:
    """Return a scorer.

    reset_every  reset the state every N characters
    adapt_rate   keep learning from the text at this rate (dynamic evaluation), with the n-gram counts
    counts       the share of the n-gram counts in the mixture, by default the fitted ones; 0: the network alone
    counting     let only the n-gram counts go on over the text

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
    if counts is not None:
        check_range("counts", counts, 0.0, 1.0)
    if counting and not checkpoint.counts:
        raise UsageError("the model has no n-gram counts that could go on over the text; adapt the network")
    if counting and (reset_every is not None or counts is not None):
        raise UsageError("counts that go on over the text exclude `reset_every` and `counts`; leave these out")
    if adapt_rate is None:
        return Scorer(checkpoint, threads, reset_every, precision=precision, counts=counts, counting=counting)
    return DynamicScorer(checkpoint, threads, adapt_rate, precision, counts=counts)


def describe_state(scorer: Scorer) -> str:
    """Say how much of the past a scorer knows at each character."""
    codec = scorer.codec
    past = "carried" if not codec.line_mode else "reset at each line" if codec.ends_at_newline else "reset at each text"
    if scorer.reset_every:
        past = f"reset every {scorer.reset_every:,} {codec.unit}s"
    if isinstance(scorer, DynamicScorer):
        return f"{past}, adapting"
    return f"{past}, counting on" if scorer.counting else past


def evaluate_texts(
    checkpoint: Checkpoint,
    texts: Sequence[str | bytes],
    threads: int = 1,
    progress: Callable[[int], None] = lambda done: None,
) -> Scores | WordScores:
    """Score texts together, as `score_texts` does."""
    if isinstance(texts, str | bytes):
        raise UsageError("give a list of texts; one text is a list of one")
    return score_texts(make_scorer(checkpoint, threads), texts, progress)


def score_texts(
    scorer: Scorer,
    texts: Sequence[str | bytes],
    progress: Callable[[int], None] = lambda done: None,
    piece_size: int = PIECE,
) -> Scores | WordScores:
    """Score texts together: strings for a model of characters or words, bytes for a model of bytes.

    Each starts from the zero state. Unknown characters are counted and cost `unknown_nats` each; the model does not
    read them. Unknown words are counted and read as `<unk>`. Raises UsageError if there is nothing to score.
    """
    codec = scorer.codec
    total, count, unknown, size, first, fifth = [0.0], 0, 0, 0, 0, 0
    ends, unknown_total = 0, [0.0]
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
            is_unknown = codec.is_unknown(symbols)
            unknown += int(np.count_nonzero(is_unknown))
            unknown_total.append(math.fsum(losses[is_unknown]))
            ends += int(np.count_nonzero(symbols == codec.newline))
            first += int(np.count_nonzero(ranks == 0))
            fifth += int(np.count_nonzero(ranks < min(5, len(codec))))
    if count == 0:
        raise UsageError("there is no text to score: it is empty")
    nats = math.fsum(total) / count
    bits = nats / math.log(2)
    if codec.unit == "word":
        characters = sum(map(len, texts))
        known_nats = (math.fsum(total) - math.fsum(unknown_total)) / max(count - unknown, 1)
        return WordScores(
            words=count,
            sentences=ends,
            unknown=unknown,
            characters=characters,
            bytes=size,
            nats_per_word=nats,
            bits_per_word=bits,
            bits_per_char=bits * count / max(characters, 1),
            bits_per_byte=bits * count / max(size, 1),
            perplexity=math.exp(min(nats, 700)),
            perplexity_without_unknown=math.exp(min(known_nats, 700)),
            top1_accuracy=first / count,
            top5_accuracy=fifth / count,
            state=describe_state(scorer),
        )
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
