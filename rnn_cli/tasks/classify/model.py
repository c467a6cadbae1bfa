"""A classifier as its file describes it, and its answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rnn_cli.checkpoint.checkpoint import CLASSIFY, Checkpoint
from rnn_cli.errors import CheckpointError
from rnn_cli.kernels.text.naive_bayes import hash_grams
from rnn_cli.kernels.threads import Team
from rnn_cli.language.unknown import UnknownCharacters
from rnn_cli.network.model import Model
from rnn_cli.tasks.encoding import encode_texts
from rnn_cli.tasks.naive_bayes import Features, counts_of
from rnn_cli.tasks.whole_texts import Reader, Texts
from rnn_cli.text.codecs import Codec, codec_from_dict

GRAMS = 6  # symbols of the longest grams that are counted


def description(codec: Codec, labels: Sequence[str]) -> dict[str, Any]:
    """Return what the file of a classifier says of it, JSON-ready."""
    return {"name": CLASSIFY, "codec": codec.to_dict(), "labels": list(labels)}


def read_description(checkpoint: Checkpoint) -> tuple[Codec, tuple[str, ...]]:
    """Return the codec and the labels of a classifier.

    Raises TaskError for a model of another task, CheckpointError if its description is damaged.
    """
    checkpoint.expect(CLASSIFY)
    match checkpoint.task:
        case {"codec": dict(codec_values), "labels": [_, *_] as labels, **others} if others.keys() == {"name"}:
            pass
        case _:
            raise CheckpointError("the description of its task has missing, unknown or damaged fields")
    if not all(isinstance(label, str) and label for label in labels) or len(set(labels)) < len(labels):
        raise CheckpointError("its labels are not distinct texts; the file is damaged")
    codec, config = codec_from_dict(codec_values), checkpoint.config
    if (config.inputs, config.input_size, config.outputs, config.output_size) != (
        "symbols",
        len(codec),
        "symbols",
        len(labels),
    ):
        raise CheckpointError("its network does not fit its symbols and its labels; the file is damaged")
    return codec, tuple(labels)


class TextClassifier:
    """Answers a text with the probability of each label, under the network and the counts of grams beside it.

    No text depends on the others.
    """

    def __init__(self, checkpoint: Checkpoint, threads: int = 1) -> None:
        self.codec, self.labels = read_description(checkpoint)
        self._team = Team(threads)
        self._reader = Reader(Model.from_torch(checkpoint.config, checkpoint.parameters), self._team)
        self._counts = counts_of(checkpoint, GRAMS, len(self.labels))
        self.unknown = UnknownCharacters(self.codec)  # those that were left out so far

    def probabilities(self, texts: Sequence[str | bytes]) -> np.ndarray:
        """Return the probabilities (texts, labels), float64. Unknown characters are left out, and counted.

        Of a very long text the beginning is read, up to LONGEST symbols. A carriage return at its end is left out.
        """
        read = [without_return(self.codec.as_read(text) if isinstance(text, bytes) else text) for text in texts]
        encoded, unknown = encode_texts(self.codec, read)
        if unknown:
            for text in read:
                self.unknown.add(text)
        found = self._reader.probabilities(encoded)
        return self._counts.mixed(grams_of(encoded), found, self._team) if self._counts else found


def grams_of(texts: Texts) -> Features:
    """Return the grams of 1 to GRAMS symbols of texts, each group those of one length. Boundaries count as symbols."""
    starts = texts.starts + np.arange(len(texts.starts))  # a boundary follows each text
    keys = np.zeros((GRAMS, int(starts[-1])), np.uint32)
    hash_grams(texts.symbols, texts.starts, keys)
    return Features(keys, starts)


def without_return(text: str | bytes) -> str | bytes:
    """Return a line without the carriage return of its end."""
    return text.removesuffix("\r") if isinstance(text, str) else text.removesuffix(b"\r")
