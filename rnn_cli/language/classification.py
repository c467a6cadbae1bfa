"""Classification: which of several models gives a line the highest probability."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np

from rnn_cli.checkpoint.checkpoint import Checkpoint
from rnn_cli.errors import UsageError
from rnn_cli.language.line_scores import check_lines
from rnn_cli.language.scorer import STREAMS, Scorer
from rnn_cli.language.unknown import UnknownCharacters
from rnn_cli.text.codecs import BOUNDARY, UNKNOWN
from rnn_cli.text.documents import lines_of


class Classifier:
    """Compares the bits of a line and its end under several models. No line depends on the others."""

    def __init__(self, checkpoints: Sequence[Checkpoint], threads: int = 1) -> None:
        codecs = [checkpoint.codec for checkpoint in checkpoints]
        if any(codec.unit == "word" for codec in codecs) and codecs[1:] != codecs[:-1]:
            raise UsageError(
                "models by words are comparable only if they have one vocabulary, as an unknown word costs less than "
                "its spelling; give models by characters"
            )
        self._scorers = [Scorer(checkpoint, threads, rows=STREAMS) for checkpoint in checkpoints]
        self.unknown = [UnknownCharacters(checkpoint.codec) for checkpoint in checkpoints]

    def bits(self, lines: list[bytes]) -> np.ndarray:
        """Return the bits (models, lines). For a model of characters, a byte that is not UTF-8 is unknown."""
        for scorer, unknown in zip(self._scorers, self.unknown):
            unknown.add(
                scorer.codec.as_read(b"\n".join(lines) + b"\n" if scorer.codec.unit == "word" else b"".join(lines))
            )
        return np.array([line_bits(scorer, lines) for scorer in self._scorers])


class Compares(Protocol):
    """Anything that compares labels for a line in bits, as Classifier does."""

    def bits(self, lines: list[bytes]) -> np.ndarray:
        """Return the bits (labels, lines)."""
        ...


def confusion_of(classifier: Compares, labels: Sequence[str], parts: Iterable[list[bytes]]) -> list[list[int]]:
    """Return the confusion matrix (actual, predicted) of labelled lines: label TAB line.

    Raises UsageError for a line without one of the labels, and if there are no lines.
    """
    confusion = [[0] * len(labels) for _ in labels]
    count = 0
    for lines in parts:
        pairs = []
        for line in lines:
            count += 1
            label, tab, rest = line.partition(b"\t")
            name = label.decode("utf-8", "replace")
            if not tab or name not in labels:
                problem = f"has the label '{name}'" if tab else "has no label"
                raise UsageError(f"line {count:,} {problem}; write label TAB line, with {', '.join(labels)} as labels")
            pairs.append((labels.index(name), rest))
        predicted = classifier.bits([rest for _, rest in pairs]).argmin(axis=0).tolist() if pairs else []
        for (actual, _), best in zip(pairs, predicted):
            confusion[actual][best] += 1
    if count == 0:
        raise UsageError("there is no labelled line; write label TAB line")
    return confusion


def line_bits(scorer: Scorer, lines: list[bytes]) -> np.ndarray:
    """Return the bits of each line with its end.

    A model of a stream reads each line after a boundary and a newline, if it knows one, as if a text had begun with an
    empty line: it has learned what follows a newline, but has seen few beginnings of texts.
    """
    codec = scorer.codec
    check_lines(codec)
    data = b"\n".join(lines) + b"\n"
    text = codec.as_read(data)
    symbols = codec.encode(text)
    sizes = codec.line_sizes(lines_of(text))
    starts = np.cumsum(sizes) - sizes
    scorer.start()
    if codec.line_mode:
        losses = scorer.read(symbols)[0]
    else:
        prefix = [BOUNDARY] if codec.newline == UNKNOWN else [BOUNDARY, codec.newline]
        prefixed = np.insert(symbols, np.repeat(starts, len(prefix)), np.tile(prefix, len(lines)))
        positions = np.arange(len(symbols)) + len(prefix) * np.repeat(np.arange(1, len(lines) + 1), sizes)
        losses = scorer.read(prefixed)[0][positions]
    return np.add.reduceat(losses, starts) / math.log(2)
