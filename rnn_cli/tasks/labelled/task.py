"""Texts from a label as a task: predict each character from those before it and the label of the text."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from rnn_cli.bits import BITS_PER_NAT
from rnn_cli.checkpoint.checkpoint import Checkpoint
from rnn_cli.errors import CheckpointError, UsageError
from rnn_cli.language.config import SamplingConfig
from rnn_cli.language.sampling import sample_texts
from rnn_cli.network.config import NetworkConfig
from rnn_cli.network.workspace import Batch
from rnn_cli.tasks.encoding import codec_of_texts, encode_texts
from rnn_cli.tasks.labelled.model import LABELLED, description, given_label, read_description
from rnn_cli.tasks.labelled_texts import LabelledTexts
from rnn_cli.tasks.whole_texts import Texts, WholeTextBatches
from rnn_cli.text.codecs import BOUNDARY, CharacterCodec
from rnn_cli.training.config import TrainingConfig
from rnn_cli.training.task import Task

EXAMPLE_TEMPERATURE, EXAMPLE_LENGTH = 0.8, 50


class LabelledBatches:
    """Whole texts, each step of which reads a character and the label of its text, and predicts the next character."""

    def __init__(self, texts: Texts, labels: np.ndarray, first_label: int, config: TrainingConfig, shuffled: bool):
        """Take texts that begin with the boundary, as `encode_texts` makes them; label k is symbol first_label + k."""
        self._first_label = first_label
        targets = np.append(texts.symbols[1:], BOUNDARY).astype(np.int32)  # the end of a text is the boundary
        # Character and label in one number, so that they stay together when texts are put into rows.
        both = texts.symbols + first_label * np.repeat(labels, texts.lengths)
        seed = config.random_seed if shuffled else None
        both = both.astype(np.int32)
        self._whole = WholeTextBatches(
            Texts(both, targets, texts.starts), config.batch_size, config.sequence_length, seed
        )
        self.batch_size, self.steps_per_epoch = self._whole.batch_size, self._whole.steps_per_epoch
        self.units_per_epoch = self._whole.units_per_epoch

    def batch(self, step: int) -> Batch:
        """Return the batch of a step: inputs (T, B, 2)."""
        batch = self._whole.batch(step)
        labels, characters = np.divmod(batch.inputs, np.int32(self._first_label))
        return batch._replace(inputs=np.stack([characters, labels + np.int32(self._first_label)], axis=-1))


class LabelledTask(Task):
    """Texts with a label each, and the network that writes texts of a label."""

    name = LABELLED
    unit = "character"
    symbols = 2

    def __init__(
        self,
        training: LabelledTexts,
        validation: LabelledTexts | None = None,
        codec: CharacterCodec | None = None,
        network: NetworkConfig | None = None,
    ) -> None:
        """Take texts to learn from, and texts to hold out, of which those of an unknown label are left out."""
        self.training, self.codec = training, codec or codec_of_texts(training.texts)
        self.labels = training.names
        self.validation = validation and known_labels(validation.relabelled(self.labels))
        sizes = {"input_size": len(self.codec) + len(self.labels), "output_size": len(self.codec)}
        self.network = network or NetworkConfig(**sizes)  # type: ignore[arg-type]
        if (self.network.input_size, self.network.output_size) != tuple(sizes.values()):
            raise UsageError(f"the network does not have the sizes of the data: {sizes}")
        self.blind_loss = math.log(len(self.codec))

    def batches(self, config: TrainingConfig) -> LabelledBatches:
        """Return the texts, each whole; of one longer than `sequence_length` the beginning."""
        return self._batches(self.training, config, shuffled=True)

    def validation_batches(self, config: TrainingConfig) -> LabelledBatches | None:
        """Return the held-out texts."""
        if self.validation is None or not self.validation.texts:
            return None
        return self._batches(self.validation, config, shuffled=False)

    def _batches(self, data: LabelledTexts, config: TrainingConfig, shuffled: bool) -> LabelledBatches:
        texts, _ = encode_texts(self.codec, data.texts, longest=config.sequence_length)
        return LabelledBatches(texts, data.labels, len(self.codec), config, shuffled)

    def describe(self) -> dict[str, Any]:
        """Return the name of the task, the codec, and the labels with their numbers of texts."""
        return description(self.codec, self.labels, self.training.counts.clip(min=1).tolist())

    def record(self, config: TrainingConfig) -> dict[str, Any]:
        """Return what the texts are."""
        return {
            "corpus": {
                "name": self.training.name,
                "digest": self.training.digest,
                "texts": len(self.training.texts),
                "validation_texts": 0 if self.validation is None else len(self.validation.texts),
                "characters": sum(map(len, self.training.texts)) + len(self.training.texts),
            }
        }

    def resumed(self, checkpoint: Checkpoint) -> LabelledTask:
        """Return the task with the network of a checkpoint. Raises UsageError for other texts."""
        _, labels, _ = read_description(checkpoint)
        data = self.training
        if data.digest != checkpoint.record.get("corpus", {}).get("digest"):
            raise UsageError(f"{data.name} is not the text that this model was trained on; give the same files")
        if labels != self.labels:
            raise CheckpointError("the state of the training in this model is damaged (its labels)")
        return LabelledTask(data, self.validation, self.codec, checkpoint.config)

    def data_bytes(self, config: TrainingConfig) -> int:
        """Return about how many bytes the texts take, as strings and as symbols."""
        parts = [part for part in (self.training, self.validation) if part is not None]
        return sum(100 * len(part.texts) + 14 * sum(map(len, part.texts)) for part in parts)

    def figures(self, loss: float, score: float | None) -> str:
        """Return the validation loss in nats and in bits."""
        return f"validation {loss:.4f} nats = {loss * BITS_PER_NAT:.3f} bits per {self.unit} given the label"

    def example(self, checkpoint: Checkpoint, seed: int) -> str:
        """Return the beginning of a text of one of the labels, after its label."""
        label = self.labels[seed % len(self.labels)]
        config = SamplingConfig(temperature=EXAMPLE_TEMPERATURE, length=EXAMPLE_LENGTH, random_seed=seed)
        (text,) = sample_texts(given_label(checkpoint, label), config=config)
        return f"{label}: {text.decode('utf-8', errors='replace')}"


def known_labels(data: LabelledTexts) -> LabelledTexts:
    """Return the texts whose label is one of the names."""
    return data.take(np.flatnonzero(data.labels >= 0))
