"""Classifying texts as a task: the network reads a text, and its last symbol has the label as its target."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from rnn_cli.bits import BITS_PER_NAT
from rnn_cli.checkpoint.checkpoint import CLASSIFY, Checkpoint
from rnn_cli.errors import CheckpointError, UsageError
from rnn_cli.kernels.threads import Team
from rnn_cli.network.config import NetworkConfig
from rnn_cli.network.model import Model
from rnn_cli.tasks.classify.model import TextClassifier, description, grams_of, read_description
from rnn_cli.tasks.encoding import codec_of_texts, encode_texts
from rnn_cli.tasks.labelled_texts import LabelledTexts
from rnn_cli.tasks.naive_bayes import Judged, NaiveBayes, counts_that_pay, texts_to_count
from rnn_cli.tasks.whole_texts import Reader, Texts, WholeTextBatches
from rnn_cli.text.codecs import Codec
from rnn_cli.training.config import TrainingConfig
from rnn_cli.training.run_state import Report
from rnn_cli.training.task import Task

MOST_JUDGED = 20_000  # held-out texts that choose the best model
FEWEST_FITTED, MOST_FITTED = 200, 400_000  # held-out texts, and answers to them, that the weights are fitted on


class ClassifyTask(Task):
    """Texts with a label each, and the network that learns the label from the text.

    By default the network reads in both directions, and its readout the mean over the text.
    """

    name = CLASSIFY
    unit = "label"

    def __init__(
        self,
        training: LabelledTexts,
        validation: LabelledTexts | None = None,
        codec: Codec | None = None,
        network: NetworkConfig | None = None,
    ) -> None:
        """Take texts to learn from, and texts to hold out. Raises UsageError for fewer than two labels."""
        self.training, self.codec = training, codec or codec_of_texts(training.texts)
        self.labels = training.names
        if len(self.labels) < 2:
            raise UsageError(
                f"{training.name} has one label, '{self.labels[0]}', so there is nothing to tell apart; "
                "give texts of two labels or more"
            )
        self.validation = validation and validation.relabelled(self.labels)
        sizes = {"input_size": len(self.codec), "output_size": len(self.labels)}
        self.network = network or NetworkConfig(**sizes, directions=2, readout="mean")  # type: ignore[arg-type]
        if (self.network.input_size, self.network.output_size) != tuple(sizes.values()):
            raise UsageError(f"the network does not have the sizes of the data: {sizes}")
        self.blind_loss = math.log(len(self.labels))
        self._judged: tuple[Texts, np.ndarray] | None = None
        self._reader: Reader | None = None

    def longest(self) -> int:
        """Return the symbols of the longest text, with its boundary."""
        return 1 + max(map(len, self.training.texts))

    def batches(self, config: TrainingConfig) -> WholeTextBatches:
        """Return the texts, each whole; of one longer than `sequence_length` the beginning."""
        texts, _ = encode_texts(self.codec, self.training.texts, self.training.labels, config.sequence_length)
        return WholeTextBatches(texts, config.batch_size, config.sequence_length, config.random_seed)

    def validation_batches(self, config: TrainingConfig) -> WholeTextBatches | None:
        """Return the held-out texts."""
        if self.validation is None:
            return None
        texts, _ = encode_texts(self.codec, self.validation.texts, self.validation.labels, config.sequence_length)
        return WholeTextBatches(texts, config.batch_size, config.sequence_length)

    def score(self, model: Model, team: Team) -> float | None:
        """Return the share of the held-out texts that are right; a label that was not trained is wrong."""
        if self.validation is None:
            return None
        if self._judged is None:
            chosen = np.arange(min(MOST_JUDGED, len(self.validation.texts)))
            part = self.validation.take(chosen)
            self._judged = encode_texts(self.codec, part.texts)[0], part.labels
        if self._reader is None or self._reader.model is not model:
            self._reader = Reader(model, team)
        self._reader.changed()
        texts, labels = self._judged
        return float((self._reader.probabilities(texts).argmax(axis=1) == labels).mean())

    def complete(self, checkpoint: Checkpoint, team: Team) -> None:
        """Add the counts of grams beside the network, if they pay on the held-out texts."""
        if self.validation is None or not checkpoint.record["training"]["counts"]:
            return
        known = np.flatnonzero(self.validation.labels >= 0)
        if not len(known):
            return
        part = self.validation.take(known[: max(FEWEST_FITTED, MOST_FITTED // len(self.labels))])
        try:
            network = TextClassifier(checkpoint, team.threads).probabilities(part.texts)
        except CheckpointError:  # the outputs are not finite on a longer text than was validated
            return
        counted = self.training.take(texts_to_count([len(text) for text in self.training.texts]))
        own, held_out = (grams_of(encode_texts(self.codec, each.texts)[0]) for each in (counted, part))
        model = NaiveBayes.of(own, counted.labels, len(self.labels))
        found = counts_that_pay(model, Judged(held_out, part.labels, network), team, "label")
        checkpoint.counts, checkpoint.record["mixture"], self.remarks = found

    def describe(self) -> dict[str, Any]:
        """Return the name of the task, the codec and the labels."""
        return description(self.codec, self.labels)

    def record(self, config: TrainingConfig) -> dict[str, Any]:
        """Return what the texts are."""
        held_out = self.validation
        return {
            "corpus": {
                "name": self.training.name,
                "digest": self.training.digest,
                "texts": len(self.training.texts),
                "validation_texts": 0 if held_out is None else len(held_out.texts),
                "characters": sum(map(len, self.training.texts)),
            }
        }

    def resumed(self, checkpoint: Checkpoint) -> ClassifyTask:
        """Return the task with the network and the codec of a checkpoint. Raises UsageError for other texts."""
        codec, labels = read_description(checkpoint)
        data = self.training
        if data.digest != checkpoint.record.get("corpus", {}).get("digest"):
            raise UsageError(f"{data.name} is not the text that this model was trained on; give the same files")
        if labels != self.labels:
            raise CheckpointError("the state of the training in this model is damaged (its labels)")
        return ClassifyTask(data, self.validation, codec, checkpoint.config)

    def data_bytes(self, config: TrainingConfig) -> int:
        """Return about how many bytes the texts take, as strings and as symbols."""
        parts = [part for part in (self.training, self.validation) if part is not None]
        return sum(100 * len(part.texts) + 14 * sum(map(len, part.texts)) for part in parts)

    def report_to_dict(self, report: Report) -> dict[str, Any]:
        """Return a report as the log and the history have it, JSON-ready: with the losses in bits, too."""
        return report.in_bits("text", "accuracy")

    def report_from_dict(self, values: dict[str, Any]) -> Report:
        """Return the report that `report_to_dict` wrote. Raises KeyError, TypeError or UsageError if it is damaged."""
        return Report.from_bits(values, "text", "accuracy")

    def figures(self, loss: float, score: float | None) -> str:
        """Return the share of held-out texts that are right, beside that of always the same answer."""
        bits = f"{loss * BITS_PER_NAT:.3f} bits per label"
        if score is None or self.validation is None:
            return bits
        answer, _ = self.training.commonest
        always = float((self.validation.labels == self.labels.index(answer)).mean())
        return f"{score:.1%} right; always '{answer}' would be {always:.1%}; {bits}"
