"""Which of several models finds a line most probable."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from rnn_cli.checkpoint.checkpoint import Checkpoint
from rnn_cli.errors import UsageError
from rnn_cli.language.scorer import STREAMS, Scorer
from rnn_cli.text.codecs import BOUNDARY, UNKNOWN
from rnn_cli.text.documents import lines_of, read_pieces

PIECE = 1 << 20  # bytes of lines that are held at a time; a longer line comes in parts, each as a line of its own


def read_lines(path: str, piece: int = PIECE) -> Iterator[list[bytes]]:
    """Read the lines of a file, or of stdin for "-", as they come, without their newlines."""
    for data, _ in read_pieces(path, piece):
        yield data.removesuffix(b"\n").split(b"\n")


class Classifier:
    """Compares the bits that each of several models needs for a line and its end, whatever is in the other lines."""

    def __init__(self, checkpoints: Sequence[Checkpoint], threads: int = 1) -> None:
        self._scorers = [Scorer(checkpoint, threads, rows=STREAMS) for checkpoint in checkpoints]

    def bits(self, lines: list[bytes]) -> np.ndarray:
        """Return the bits (models, lines) of lines. A byte that is not UTF-8 is unknown to a model of characters."""
        return np.array([line_bits(scorer, lines) for scorer in self._scorers])


def confusion_of(classifier: Classifier, labels: Sequence[str], parts: Iterable[list[bytes]]) -> list[list[int]]:
    """Return how often lines of each label (rows) are found to be of each (columns), from lines of label TAB line.

    Raises UsageError for a line of another kind or label, and where there is none.
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
                what = f"has the label '{name}'" if tab else "has no label"
                raise UsageError(f"line {count:,} {what}; write label TAB line, with {', '.join(labels)} as labels")
            pairs.append((labels.index(name), rest))
        for (label_number, _), best in zip(pairs, classifier.bits([rest for _, rest in pairs]).argmin(axis=0).tolist()):
            confusion[label_number][best] += 1
    if count == 0:
        raise UsageError("there is no labelled line; write label TAB line")
    return confusion


def line_bits(scorer: Scorer, lines: list[bytes]) -> np.ndarray:
    """Return the bits of each line with its end.

    A model of a stream reads each after a boundary and a newline, if it knows one, as if a text had just begun with an
    empty line: it has learned what follows a newline, but has seen few beginnings.
    """
    codec = scorer.codec
    data = b"\n".join(lines) + b"\n"
    text = codec.as_read(data)
    symbols = codec.encode(text)
    sizes = np.fromiter(map(len, lines_of(text)), np.int64, len(lines)) + 1
    starts = np.cumsum(sizes) - sizes
    scorer.start()
    if codec.line_mode:
        losses = scorer.read(symbols)[0]
    else:
        prefix = [BOUNDARY] if codec.newline == UNKNOWN else [BOUNDARY, codec.newline]
        framed = np.insert(symbols, np.repeat(starts, len(prefix)), np.tile(prefix, len(lines)))
        places = np.arange(len(symbols)) + len(prefix) * np.repeat(np.arange(1, len(lines) + 1), sizes)
        losses = scorer.read(framed)[0][places]
    return np.add.reduceat(losses, starts) / math.log(2)
