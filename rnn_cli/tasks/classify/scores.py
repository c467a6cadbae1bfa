"""How good a classifier is on labelled texts: its accuracy, its confusions, and what always the same answer gets."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnn_cli.tasks.classify.model import TextClassifier
from rnn_cli.tasks.labelled_texts import LabelledTexts

PIECE = 8192  # texts answered at a time


@dataclass(frozen=True)
class LabelScores:
    """The scores of a classifier.

    labels         those of the model, then those that only the texts have, which are never answered
    confusion      (actual, predicted): how many texts
    bits_per_text  of the right label, over the texts whose label the model has; None without any
    """

    labels: tuple[str, ...]
    confusion: np.ndarray
    bits_per_text: float | None
    unknown_labels: tuple[str, ...]
    unknown_characters: int

    @property
    def texts(self) -> int:
        """The number of texts."""
        return int(self.confusion.sum())

    @property
    def right(self) -> int:
        """The number of texts whose label is answered."""
        return int(np.trace(self.confusion))

    @property
    def accuracy(self) -> float:
        """The share of the texts that are right."""
        return self.right / self.texts

    @property
    def macro_f1(self) -> float:
        """The mean, over the labels that occur in the texts, of the harmonic mean of precision and recall."""
        actual, predicted = self.confusion.sum(axis=1), self.confusion.sum(axis=0)
        occurring = actual > 0
        f1 = 2 * np.diag(self.confusion) / np.maximum(actual + predicted, 1)
        return float(f1[occurring].mean())

    @property
    def baseline(self) -> dict[str, Any]:
        """What always answering the commonest label of the texts would get right."""
        actual = self.confusion.sum(axis=1)
        best = int(actual.argmax())
        return {"label": self.labels[best], "accuracy": float(actual[best] / self.texts)}

    def to_dict(self) -> dict[str, Any]:
        """Return the scores as a JSON-ready dictionary."""
        return {
            "texts": self.texts,
            "right": self.right,
            "accuracy": self.accuracy,
            "macro_f1": self.macro_f1,
            "bits_per_text": self.bits_per_text,
            "unknown_labels": list(self.unknown_labels),
            "unknown_characters": self.unknown_characters,
            "baseline": self.baseline,
            "labels": list(self.labels),
            "confusion": self.confusion.tolist(),
        }


def score_labelled(classifier: TextClassifier, data: LabelledTexts) -> LabelScores:
    """Score texts with their labels. A text whose label the model does not have counts as wrong."""
    extra = tuple(sorted(set(data.names) - set(classifier.labels)))
    labels = (*classifier.labels, *extra)
    actual = data.relabelled(labels).labels
    confusion, nats, known = np.zeros((len(labels), len(labels)), np.int64), [0.0], 0
    before = classifier.unknown.counts.total()
    for first, probabilities in answers(classifier, data.texts):
        own = actual[first : first + len(probabilities)]
        np.add.at(confusion, (own, probabilities.argmax(axis=1)), 1)
        has = own < len(classifier.labels)
        nats.append(-float(np.log(probabilities[has, own[has]]).sum()))
        known += int(has.sum())
    bits = math.fsum(nats) / math.log(2) / known if known else None
    return LabelScores(labels, confusion, bits, extra, classifier.unknown.counts.total() - before)


def answers(classifier: TextClassifier, texts: list[str]) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the index of a text, and the probabilities of it and some that follow."""
    for first in range(0, len(texts), PIECE):
        yield first, classifier.probabilities(texts[first : first + PIECE])
