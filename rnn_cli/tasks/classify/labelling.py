"""Labels for lines, in bits: from one classifier, or from several language models, of which each is a label."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from rnn_cli.checkpoint.checkpoint import CLASSIFY, LANGUAGE, Checkpoint
from rnn_cli.errors import UsageError
from rnn_cli.language.classification import Classifier, confusion_of
from rnn_cli.language.unknown import UnknownCharacters
from rnn_cli.tasks.classify.model import TextClassifier
from rnn_cli.tasks.labelled.model import LABELLED, given_label, prior_bits, read_description

UNSURE = "?"  # the label of a text whose margin is below the threshold


class Labeller(Protocol):
    """Gives lines a label each.

    The label with the fewest bits is the answer; a difference of one bit is a factor of 2 in probability.
    """

    labels: list[str]

    @property
    def unknown(self) -> Sequence[UnknownCharacters]:
        """The characters so far that each of the models does not know."""
        ...

    def bits(self, lines: list[bytes]) -> np.ndarray:
        """Return the bits (lines, labels)."""
        ...

    def scores(self, bits: np.ndarray) -> dict[str, Any]:
        """Return the scores of the labels of a line, JSON-ready, from its bits (labels,)."""
        ...

    def confusion(self, parts: Iterable[list[bytes]]) -> list[list[int]]:
        """Return the confusion matrix (actual, predicted) of lines of label TAB line. Raises UsageError for others."""
        ...


class LanguageLabeller:
    """Compares the bits of a line under several language models; the label of each is its name."""

    def __init__(self, checkpoints: Sequence[Checkpoint], names: Sequence[str], threads: int) -> None:
        self.labels = list(names)
        self._classifier = Classifier(checkpoints, threads)

    @property
    def unknown(self) -> Sequence[UnknownCharacters]:
        """The characters so far that each of the models does not know."""
        return self._classifier.unknown

    def bits(self, lines: list[bytes]) -> np.ndarray:
        """Return the bits (lines, labels) of each line under each model."""
        return self._classifier.bits(lines).T

    def scores(self, bits: np.ndarray) -> dict[str, Any]:
        """Return the bits of a line, and the probabilities of the labels if all are equally common."""
        shares = np.exp2(bits.min() - bits)
        probabilities = (shares / shares.sum()).tolist()
        return {"bits": dict(zip(self.labels, bits.tolist())), "probabilities": dict(zip(self.labels, probabilities))}

    def confusion(self, parts: Iterable[list[bytes]]) -> list[list[int]]:
        """Return the confusion matrix of labelled lines."""
        return confusion_of(self._classifier, self.labels, parts)


class BayesLabeller(LanguageLabeller):
    """Chooses the label by Bayes' rule: the bits of a line given the label, and those of the label itself."""

    def __init__(self, checkpoint: Checkpoint, threads: int) -> None:
        _, labels, counts = read_description(checkpoint)
        super().__init__([given_label(checkpoint, label) for label in labels], labels, threads)
        self._prior = prior_bits(counts)

    @property
    def unknown(self) -> Sequence[UnknownCharacters]:
        """The characters so far that the model does not know."""
        return self._classifier.unknown[:1]

    def bits(self, lines: list[bytes]) -> np.ndarray:
        """Return -log2 of the probability of label and line together (lines, labels)."""
        return super().bits(lines) + self._prior

    def confusion(self, parts: Iterable[list[bytes]]) -> list[list[int]]:
        """Return the confusion matrix of labelled lines."""
        return confusion_of(ByLine(self), self.labels, parts)


class ClassifierLabeller:
    """The answers of one classifier."""

    def __init__(self, checkpoint: Checkpoint, threads: int) -> None:
        self._classifier = TextClassifier(checkpoint, threads)
        self.labels = list(self._classifier.labels)

    @property
    def unknown(self) -> Sequence[UnknownCharacters]:
        """The characters so far that the model does not know."""
        return [self._classifier.unknown]

    def bits(self, lines: list[bytes]) -> np.ndarray:
        """Return -log2 of the probability (lines, labels)."""
        return -np.log2(self._classifier.probabilities(lines))

    def scores(self, bits: np.ndarray) -> dict[str, Any]:
        """Return the probabilities of the labels."""
        return {"probabilities": dict(zip(self.labels, np.exp2(-bits).tolist()))}

    def confusion(self, parts: Iterable[list[bytes]]) -> list[list[int]]:
        """Return the confusion matrix of labelled lines."""
        return confusion_of(ByLine(self), self.labels, parts)


class ByLine:
    """A labeller as `confusion_of` reads it: bits (labels, lines)."""

    def __init__(self, labeller: Labeller) -> None:
        self._labeller = labeller

    def bits(self, lines: list[bytes]) -> np.ndarray:
        """Return the bits (labels, lines)."""
        return self._labeller.bits(lines).T


def labeller(checkpoints: Sequence[Checkpoint], names: Sequence[str], threads: int = 1) -> Labeller:
    """Return what labels lines with one classifier, or with language models of these names.

    Raises UsageError for one language model alone, or a classifier among others; TaskError for other models.
    """
    classifiers = [name for name, each in zip(names, checkpoints) if each.task["name"] == CLASSIFY]
    if len(checkpoints) == 1 and classifiers:
        return ClassifierLabeller(checkpoints[0], threads)
    if classifiers:
        raise UsageError(f"'{classifiers[0]}' is a classifier, which answers alone; leave the other models out")
    if len(checkpoints) == 1 and checkpoints[0].task["name"] == LABELLED:
        return BayesLabeller(checkpoints[0], threads)
    for checkpoint in checkpoints:
        checkpoint.expect(LANGUAGE)
    if len(checkpoints) < 2:
        raise UsageError("classify compares two models or more, unless one is a classifier; name each with -m")
    return LanguageLabeller(checkpoints, names, threads)


class Ranking(NamedTuple):
    """The labels of a line, the most probable first: at least two of them, each with its bits more than the first."""

    best: list[int]
    behind: list[float]
    bits: np.ndarray

    @property
    def margin(self) -> float:
        """The bits of the second label over the first."""
        return self.behind[1]


def rank(labeller: Labeller, lines: list[bytes], top: int = 1) -> list[Ranking]:
    """Return the `top` labels of each line, and the second one in any case."""
    bits = labeller.bits(lines)
    order = np.argsort(bits, axis=1, kind="stable")[:, : max(top, 2)]
    ordered = np.take_along_axis(bits, order, axis=1)
    return list(map(Ranking, order.tolist(), (ordered - ordered[:, :1]).tolist(), bits))


def object_of(
    labeller: Labeller, line: bytes, ranking: Ranking, top: int = 1, threshold: float = 0.0
) -> dict[str, Any]:
    """Return the labels of a line, JSON-ready."""
    labels = labeller.labels
    label = labels[ranking.best[0]] if ranking.margin >= threshold else UNSURE
    values: dict[str, Any] = {"text": line.decode("utf-8", "replace"), "label": label}
    if top > 1:
        values["labels"] = [labels[each] for each in ranking.best[:top]]
    return {**values, "margin_bits": ranking.margin, **labeller.scores(ranking.bits)}
