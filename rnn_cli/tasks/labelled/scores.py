"""How well a model predicts texts given their labels."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

from rnn_cli.checkpoint.checkpoint import Checkpoint
from rnn_cli.errors import UsageError
from rnn_cli.language.evaluation import evaluate_texts
from rnn_cli.tasks.labelled.model import given_label, read_description
from rnn_cli.tasks.labelled_texts import LabelledTexts


@dataclass(frozen=True)
class ConditionalScores:
    """Bits per character given the label. The end of a text counts as a character.

    by_label      texts, characters and bits per character of each label that occurs
    unigram_bits  bits per character of guessing each by its share in these texts
    """

    by_label: dict[str, tuple[int, int, float]]
    unigram_bits: float
    unknown_labels: tuple[str, ...]

    @property
    def texts(self) -> int:
        """The number of texts."""
        return sum(texts for texts, _, _ in self.by_label.values())

    @property
    def characters(self) -> int:
        """The number of characters that are scored."""
        return sum(characters for _, characters, _ in self.by_label.values())

    @property
    def bits_per_char(self) -> float:
        """The mean over all characters."""
        return math.fsum(characters * bits for _, characters, bits in self.by_label.values()) / self.characters

    def to_dict(self) -> dict[str, Any]:
        """Return the scores as a JSON-ready dictionary."""
        names = ("texts", "characters", "bits_per_char")
        return {
            "texts": self.texts,
            "characters": self.characters,
            "bits_per_char": self.bits_per_char,
            "baseline": {"unigram_bits_per_char": self.unigram_bits},
            "unknown_labels": list(self.unknown_labels),
            "labels": {label: dict(zip(names, values)) for label, values in self.by_label.items()},
        }


def score_labelled(checkpoint: Checkpoint, data: LabelledTexts, threads: int = 1) -> ConditionalScores:
    """Score texts given their labels. Raises UsageError if the model has none of the labels."""
    labels = read_description(checkpoint)[1]
    by_label: dict[str, tuple[int, int, float]] = {}
    counts = Counter[str]()
    for index, label in enumerate(data.names):
        if label not in labels:
            continue
        texts = [text for text, own in zip(data.texts, data.labels.tolist()) if own == index]
        if texts:
            whole = "".join(text + "\n" for text in texts)
            counts.update(whole)
            read = whole.encode() if checkpoint.task["codec"]["symbols"] is None else whole
            scores = evaluate_texts(given_label(checkpoint, label), [read], threads)
            by_label[label] = (len(texts), scores.characters, scores.bits_per_char)
    if not by_label:
        raise UsageError(f"the model has none of the labels of {data.name}, as '{data.names[0]}'")
    total = counts.total()
    unigram = -sum(count * math.log2(count / total) for count in counts.values()) / total
    return ConditionalScores(by_label, unigram, tuple(sorted(set(data.names) - set(labels))))
