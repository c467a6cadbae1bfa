"""How good tags are: the accuracy of all tokens and of unknown ones, by tag, and the F1 of the spans of BIO."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rnn_cli.tasks.tag.bio import spans_of


@dataclass(frozen=True)
class F1:
    """Precision, recall and their harmonic mean of `right` among `found` and `actual`; 0 if there are none."""

    right: int
    found: int
    actual: int

    @property
    def precision(self) -> float:
        """The share of what was found that is right."""
        return self.right / max(self.found, 1)

    @property
    def recall(self) -> float:
        """The share of what there is that was found."""
        return self.right / max(self.actual, 1)

    @property
    def f1(self) -> float:
        """2 precision recall / (precision + recall)."""
        return 2 * self.right / max(self.found + self.actual, 1)

    def to_dict(self) -> dict[str, float]:
        """Return the three figures."""
        return {"precision": self.precision, "recall": self.recall, "f1": self.f1}


Tags = Sequence[Sequence[str]]


def accuracy_of(actual: Tags, found: Tags) -> float:
    """Return the share of tokens whose tag is right."""
    pairs = [(a, b) for actual_tags, found_tags in zip(actual, found) for a, b in zip(actual_tags, found_tags)]
    return sum(a == b for a, b in pairs) / max(len(pairs), 1)


def span_scores(actual: Tags, found: Tags) -> F1:
    """Return how many spans of BIO are right: kind, first and last token."""
    right = of_found = of_actual = 0
    for actual_tags, found_tags in zip(actual, found):
        actual_spans, found_spans = set(spans_of(actual_tags)), set(spans_of(found_tags))
        right += len(actual_spans & found_spans)
        of_found, of_actual = of_found + len(found_spans), of_actual + len(actual_spans)
    return F1(right, of_found, of_actual)


def baseline_tags(lexicon: Mapping[str, str], default: str, tokens: Sequence[str]) -> list[str]:
    """Return the baseline: the most frequent tag of each token, for unknown tokens the most frequent tag of all."""
    return [lexicon.get(token, default) for token in tokens]


def scores_of_tags(actual: Tags, found: Tags) -> dict[str, dict[str, float]]:
    """Return precision, recall, F1 and the number of tokens of each tag that is actual or found, by name."""
    right: Counter[str] = Counter()
    of_found: Counter[str] = Counter()
    of_actual: Counter[str] = Counter()
    for actual_tags, found_tags in zip(actual, found):
        right.update(a for a, b in zip(actual_tags, found_tags) if a == b)
        of_found.update(found_tags)
        of_actual.update(actual_tags)
    return {
        tag: {**F1(right[tag], of_found[tag], of_actual[tag]).to_dict(), "tokens": of_actual[tag]}
        for tag in sorted(of_actual | of_found)
    }


def evaluate_tags(
    tokens: Sequence[Sequence[str]], actual: Tags, found: Tags, known: Collection[str], baseline: Tags, bio: bool
) -> dict[str, Any]:
    """Return all figures, JSON-ready. `known` are the tokens of the training part, `baseline` other tags to compare."""
    new = [
        (a, b)
        for words, actual_tags, found_tags in zip(tokens, actual, found)
        for word, a, b in zip(words, actual_tags, found_tags)
        if word not in known
    ]
    right = sum(a == b for a, b in new)
    scores: dict[str, Any] = {
        "sentences": len(actual),
        "tokens": sum(map(len, actual)),
        "accuracy": accuracy_of(actual, found),
        "unknown": {"tokens": len(new), "accuracy": right / len(new) if new else None},
    }
    compared: dict[str, Any] = {
        "name": "the most frequent tag of each token",
        "accuracy": accuracy_of(actual, baseline),
    }
    if bio:
        scores["spans"] = span_scores(actual, found).to_dict()
        compared["spans"] = span_scores(actual, baseline).to_dict()
    return scores | {"per_tag": scores_of_tags(actual, found), "baseline": compared}
