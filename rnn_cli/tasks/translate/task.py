"""Translating as a task: the encoder reads a source, and the decoder predicts each symbol of the target."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from rnn_cli.bits import BITS_PER_NAT
from rnn_cli.checkpoint.checkpoint import TRANSLATE, Checkpoint
from rnn_cli.errors import CheckpointError, UsageError
from rnn_cli.kernels.threads import Team
from rnn_cli.network.config import EncoderDecoderConfig
from rnn_cli.network.model import Model
from rnn_cli.network.pair_window import PairWindow
from rnn_cli.tasks.translate.batches import PairBatches
from rnn_cli.tasks.translate.pairs import Pairs
from rnn_cli.tasks.translate.scores import figures_of
from rnn_cli.tasks.translate.symbols import Symbols, symbols_of
from rnn_cli.tasks.translate.translator import Translator
from rnn_cli.training.config import TrainingConfig
from rnn_cli.training.run_state import Report
from rnn_cli.training.task import Task

MOST_JUDGED = 1000  # held-out pairs that choose the best model


class TranslateTask(Task):
    """Pairs, and the network that learns them. The best model is that with the most exact answers."""

    name = TRANSLATE
    unit = "symbol"

    def __init__(
        self,
        training: Pairs,
        validation: Pairs | None = None,
        symbols: Symbols | None = None,
        network: EncoderDecoderConfig | None = None,
    ) -> None:
        """Take pairs to learn from, and pairs to hold out. Raises UsageError if the network does not fit."""
        self.training, self.validation = training, validation
        self.alphabets = symbols or Symbols.of_pairs(training)
        self.network: EncoderDecoderConfig = network or EncoderDecoderConfig(directions=2, **self.alphabets.sizes)
        if (self.network.input_size, self.network.output_size) != tuple(self.alphabets.sizes.values()):
            raise UsageError(f"the network does not have the sizes of the data: {self.alphabets.sizes}")
        self.blind_loss = math.log(self.network.output_size)
        self._translator: Translator | None = None

    def lengths(self, data: Pairs) -> np.ndarray:
        """Return the symbols (n, 2) of each source with its end, and of each target with its start."""
        symbols = self.alphabets
        pairs = zip(data.sources, data.targets)
        return np.array([(len(symbols.encode_source(s)), 1 + len(symbols.encode_target(t))) for s, t in pairs])

    def window(self, model: Model, config: TrainingConfig, team: Team) -> Any:
        """Return the memory of an encoder and a decoder."""
        return PairWindow(model, config.sequence_length, config.batch_size, team, config.precision)

    def batches(self, config: TrainingConfig) -> PairBatches:
        """Return the pairs that fit `sequence_length`. Raises UsageError if none does."""
        return self._batches(self.training, config, config.random_seed)

    def validation_batches(self, config: TrainingConfig) -> PairBatches | None:
        """Return the held-out pairs that fit, or None."""
        if self.validation is None or not (self.lengths(self.validation).max(1) <= config.sequence_length).any():
            return None
        return self._batches(self.validation, config, None)

    def _batches(self, data: Pairs, config: TrainingConfig, seed: int | None) -> PairBatches:
        fitting = np.flatnonzero(self.lengths(data).max(axis=1) <= config.sequence_length)
        if not len(fitting):
            raise UsageError(f"no pair of {data.name} has up to {config.sequence_length:,} symbols; give more")
        part = data.take(fitting)
        sources = [self.alphabets.encode_source(source) for source in part.sources]
        targets = [self.alphabets.encode_target(target) for target in part.targets]
        return PairBatches(sources, targets, config.batch_size, seed)

    def score(self, model: Model, team: Team) -> float | None:
        """Return the share of held-out pairs that are answered exactly."""
        if self.validation is None:
            return None
        if self._translator is None or self._translator.model is not model:
            self._translator = Translator(model, self.alphabets, team)
        self._translator.changed()
        part = self._judged()
        found = self._translator.translate(part.sources)
        texts = [self.alphabets.decode(answers[0].symbols) for answers in found]
        return 1 - float(figures_of(texts, part, self.alphabets.words)["word_error_rate"])

    def _judged(self) -> Pairs:
        assert self.validation is not None
        return self.validation.take(np.arange(min(MOST_JUDGED, len(self.validation))))

    def describe(self) -> dict[str, Any]:
        """Return how sources are read and targets written."""
        return self.alphabets.describe()

    def record(self, config: TrainingConfig) -> dict[str, Any]:
        """Return what the pairs are."""
        return {
            "corpus": {
                "name": self.training.name,
                "digest": self.training.digest,
                "pairs": len(self.training),
                "validation_pairs": 0 if self.validation is None else len(self.validation),
            }
        }

    def resumed(self, checkpoint: Checkpoint) -> TranslateTask:
        """Return the task with the network of a checkpoint. Raises UsageError for other pairs."""
        symbols = symbols_of(checkpoint)
        if self.training.digest != checkpoint.record.get("corpus", {}).get("digest"):
            raise UsageError(f"{self.training.name} is not what this model was trained on; give the same files")
        if not isinstance(checkpoint.config, EncoderDecoderConfig):
            raise CheckpointError("its network is not an encoder with a decoder")
        return TranslateTask(self.training, self.validation, symbols, checkpoint.config)

    def data_bytes(self, config: TrainingConfig) -> int:
        """Return about how many bytes the pairs take, as strings and as symbols."""
        parts = [part for part in (self.training, self.validation) if part is not None]
        return sum(400 * len(part) + 6 * sum(map(len, (*part.sources, *part.targets))) for part in parts)

    def report_to_dict(self, report: Report) -> dict[str, Any]:
        """Return a report as the log and the history have it, JSON-ready: with the losses in bits, too."""
        return report.in_bits("symbol", "right")

    def report_from_dict(self, values: dict[str, Any]) -> Report:
        """Return the report that `report_to_dict` wrote. Raises KeyError, TypeError or UsageError if it is damaged."""
        return Report.from_bits(values, "symbol", "right")

    def figures(self, loss: float, score: float | None) -> str:
        """Return the share of held-out pairs that are right, beside that of a copy of the source."""
        bits = f"{loss * BITS_PER_NAT:.3f} bits per {self.unit}"
        if score is None or self.validation is None:
            return bits
        part = self._judged()
        copied = 1 - figures_of(part.sources, part, self.alphabets.words)["word_error_rate"]
        return f"{score:.1%} right; a copy of the source would be {copied:.1%}; {bits}"
