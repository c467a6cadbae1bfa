"""The language model as a task: predict each symbol of a text from those before it."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import numpy as np

from rnn_cli.bits import BITS_PER_NAT
from rnn_cli.checkpoint.checkpoint import LANGUAGE, Checkpoint
from rnn_cli.errors import CheckpointError, UsageError
from rnn_cli.kernels.threads import Team
from rnn_cli.language.config import SamplingConfig
from rnn_cli.language.fine_tuning import reencode
from rnn_cli.language.matches import LONGEST_KEPT, MatchModel
from rnn_cli.language.mixture_weights import fit_weights
from rnn_cli.language.networks import network_for
from rnn_cli.language.ngrams import DEFAULT_WEIGHTS, MOST_SYMBOLS, NgramModel, most_counted
from rnn_cli.language.sampling import sample_texts
from rnn_cli.language.scorer import STREAMS, Scorer
from rnn_cli.network.config import NetworkConfig
from rnn_cli.network.workspace import Batch
from rnn_cli.text.augmentation import Augmenter
from rnn_cli.text.batches import StreamBatches
from rnn_cli.text.codecs import BOUNDARY
from rnn_cli.text.corpus import Corpus
from rnn_cli.text.excerpts import spread
from rnn_cli.text.fingerprint import Fingerprint, first_size
from rnn_cli.text.spool import IN_MEMORY
from rnn_cli.training.config import TrainingConfig
from rnn_cli.training.run_state import Report
from rnn_cli.training.task import Task

VALIDATED_ALONE = 500  # symbols of a held-out stream, at least, before it is cut into several
EXAMPLE_TEMPERATURE = 0.8  # of the texts that are shown while a model is trained
EXAMPLE_LENGTH = {"character": 70, "word": 16}
SHORT_UNIT = {"character": "char"}  # in the names of the values of a report
# With a share of 0.25 passages of 3,000 and 10,000 characters took 2.77 and 2.86 bits instead of 2.82 and 2.90.
SHORTEST_COUNTED = 2_000  # symbols of a text without a held-out part
MATCHES_TRIED = 20_000_000  # symbols of the training text in which matches are looked for to say what they would save
MATCHES_PAY = 0.05  # share of the loss from which it is said that keeping the text would save it
LEAST_GAIN = 0.002  # nats per symbol for which the counts are kept
FITTED_ON = 100_000  # symbols of the held-out part, at most, that the mixture is fitted on
WEIGHTS_FITTED_ON = 20_000  # of them, to which the network is applied again and again
COUNTED = 25  # bytes for each symbol that is counted
AUGMENTED, DRAWN = 50, 4  # bytes for each symbol of a text whose n-grams are sampled from, and for each sampled one
FINGERPRINTS = 9  # of its size, at once, while a model is saved: itself, and its base 64 text in several copies


class TextBatches:
    """The batches of a text. Each row continues the same row of the batch before; a boundary resets its state."""

    def __init__(self, streams: StreamBatches) -> None:
        self.streams = streams
        self.batch_size, self.steps_per_epoch = streams.batch_size, streams.steps_per_epoch
        self.units_per_epoch = streams.pairs

    def batch(self, step: int) -> Batch:
        """Return the batch of a step: the symbols of each row, and the symbol that follows each."""
        inputs, targets = self.streams.window(step)
        return Batch(inputs, (inputs == BOUNDARY).view(np.uint8), targets)


class LanguageTask(Task):
    """A corpus, and the network that learns to write it.

    The file holds the codec. Held-out streams are no shorter than VALIDATED_ALONE symbols if the corpus allows, as
    each starts from the zero state.
    """

    name = LANGUAGE
    carries_state = True

    def __init__(self, corpus: Corpus, network: NetworkConfig | None = None) -> None:
        """Take a network for the symbols of the corpus, by default one of NetworkConfig's defaults."""
        size = len(corpus.codec)
        self.unit = corpus.codec.unit
        self.corpus, self.network = corpus, network or network_for(corpus.codec)
        if (self.network.input_size, self.network.output_size) != (size, size):
            sizes = f"{corpus.name} has {size:,} symbols, the network {self.network.input_size:,}"
            raise UsageError(f"{sizes}; use NetworkConfig.for_symbols(len(corpus.codec))")
        self.blind_loss = math.log(size)

    def batches(self, config: TrainingConfig) -> TextBatches:
        """Return the text in `batch_size` streams, with text sampled from its n-grams if `augment` asks for it."""
        ids, codec, augmenter = self.corpus.training, self.corpus.codec, None
        if size := round(config.augment * len(ids)):
            augmenter = Augmenter(ids, len(codec), codec.line_mode, size, config.random_seed)
        return self._batches(ids, config, config.batch_size, augmenter)

    def validation_batches(self, config: TrainingConfig) -> TextBatches | None:
        """Return the held-out part in up to `batch_size` streams."""
        ids = self.corpus.validation
        if ids is None:
            return None
        rows = config.batch_size if self.corpus.codec.line_mode else max(1, len(ids) // VALIDATED_ALONE)
        return self._batches(ids, config, min(rows, config.batch_size))

    def _batches(
        self, ids: np.ndarray, config: TrainingConfig, rows: int, augmenter: Augmenter | None = None
    ) -> TextBatches:
        codec, length, seed = self.corpus.codec, config.sequence_length, config.random_seed
        breaks = [] if codec.line_mode else [symbol for symbol in codec.encode("\n ").tolist() if symbol >= 0]
        return TextBatches(StreamBatches(ids, codec.line_mode, rows, length, seed, augmenter, breaks))

    def describe(self) -> dict[str, Any]:
        """Return the name of the task and the codec."""
        return {"name": self.name, "codec": self.corpus.codec.to_dict()}

    def record(self, config: TrainingConfig) -> dict[str, Any]:
        """Return what the corpus is, and its fingerprint if `config` wants one."""
        corpus = self.corpus
        record: dict[str, Any] = {
            "corpus": {
                "name": corpus.name,
                "digest": corpus.digest,
                f"{self.unit}s": corpus.characters,
                f"validation_{self.unit}s": corpus.validation_characters,
            }
        }
        if config.fingerprint and self.fingerprint:
            record["fingerprint"] = self.fingerprint.to_dict()
        return record

    @cached_property
    def fingerprint(self) -> Fingerprint | None:
        """The fingerprint of the corpus, with what is held out; None if that is too long for one."""
        parts = [part for part in (self.corpus.training, self.corpus.validation) if part is not None]
        return Fingerprint.of(*parts, line_mode=self.corpus.codec.line_mode)

    @cached_property
    def ngrams(self) -> NgramModel:
        """The n-gram model of the training part."""
        return NgramModel.of_corpus(self.corpus)

    def complete(self, checkpoint: Checkpoint, team: Team) -> None:
        """Add the n-gram counts if they pay, and the losses of the network and of the mixture on the held-out part.

        Without a held-out part, a text of SHORTEST_COUNTED symbols gets the usual share, and a shorter one no counts.
        """
        ids, codec = self.corpus.validation, self.corpus.codec
        keeps_text = checkpoint.record["training"]["matches"]
        if not checkpoint.record["training"]["counts"] or len(codec) > MOST_SYMBOLS:
            if keeps_text:
                self.remarks = ["matches need n-gram counts beside them, so the text is not kept"]
            return
        searched = LONGEST_KEPT if keeps_text else MATCHES_TRIED
        text = MatchModel.of(np.asarray(self.corpus.training[-searched:]))
        if ids is None:
            if len(self.corpus.training) >= SHORTEST_COUNTED or keeps_text:
                self.ngrams.matches = text if keeps_text else None
                checkpoint.counts = self.ngrams.to_tensors()
                self.remarks = [
                    f"n-gram counts up to order {self.ngrams.order} have a weight of {DEFAULT_WEIGHTS[1]:g}"
                ]
            return
        length = min(len(ids), FITTED_ON)
        rows = min(STREAMS, max(1, length // VALIDATED_ALONE))
        each = -(-length // rows)
        ids, few = (
            np.asarray(spread(ids, most, each, codec.line_mode), np.int32) for most in (FITTED_ON, WEIGHTS_FITTED_ON)
        )
        reset = None if codec.line_mode or rows == 1 else each
        try:
            scorer = Scorer(checkpoint, team.threads, reset, fitted=self.ngrams)
            fit_weights(scorer, self.ngrams, few)
            scorer.start()
            nats = scorer.read(ids[1:])[0]
        except CheckpointError:  # the outputs are not finite on a longer text than was validated
            return
        sums, scored = scorer.sums().sum(axis=0), (ids[1:] != BOUNDARY) | codec.line_mode
        alone, counted, self.ngrams.matches = float(sums[2] / sums[0]), float(nats[scored].mean()), text
        buckets, predicted = self.ngrams.predictions(ids)
        mixed_with_match = text.fit(np.exp(-nats[scored]), buckets[scored], (predicted == ids[1:])[scored])
        matched = float(-np.log(mixed_with_match).mean())
        saved = f"{counted:.4f} -> {matched:.4f} nats = {matched * BITS_PER_NAT:.3f} bits per {self.unit}"
        about_matches = []
        if keeps_text:
            about_matches = [f"with the longest matches in the text, which the file now holds, {saved}"]
        else:
            self.ngrams.matches = None
            if matched < (1 - MATCHES_PAY) * counted:
                or_less = " or less" if len(self.corpus.training) > MATCHES_TRIED else ""
                about_matches = [f"with `matches`, which keeps the whole text in the file, {saved}{or_less}"]
        mixed = matched if keeps_text else counted
        checkpoint.record["mixture"] = {"network_loss": alone, "loss": mixed, "order": self.ngrams.order}
        if mixed > alone - LEAST_GAIN:
            self.remarks = ["its n-gram counts would not lower that, and are left out"]
            return
        checkpoint.counts = self.ngrams.to_tensors()
        size = sum(tensor.nbytes for tensor in checkpoint.counts.values()) / 1e6
        self.remarks = [
            f"with n-gram counts up to order {self.ngrams.order} {alone:.4f} -> {counted:.4f} nats = "
            f"{counted * BITS_PER_NAT:.3f} bits per {self.unit}",
            f"the counts ({size:.1f} MB) hold parts of the text",
            *about_matches,
        ]

    def resumed(self, checkpoint: Checkpoint) -> LanguageTask:
        """Return the task with the network and the codec of a checkpoint. Raises UsageError for another corpus."""
        codec, corpus = checkpoint.codec, self.corpus
        if corpus.digest != checkpoint.record.get("corpus", {}).get("digest"):
            raise UsageError(f"{corpus.name} is not the text that this model was trained on; give the same files")
        try:
            return LanguageTask(reencode(corpus, codec), checkpoint.config)
        except UsageError as problem:
            raise CheckpointError(f"the state of the training in this model is damaged ({problem})") from problem

    def data_bytes(self, config: TrainingConfig) -> int:
        """Return about how many bytes the corpus takes, with its n-grams and its fingerprint if they are used."""
        corpus = self.corpus
        data = sum(min(part.nbytes, IN_MEMORY) for part in (corpus.training, corpus.validation) if part is not None)
        augmented = round((AUGMENTED + DRAWN * config.augment) * len(corpus.training)) if config.augment else 0
        counted = COUNTED * min(len(corpus.training), most_counted(corpus.codec)) if config.counts else 0
        data += max(augmented, counted)
        if config.fingerprint:
            data += FINGERPRINTS * first_size(len(corpus.training), corpus.codec.line_mode)
        return data

    def report_to_dict(self, report: Report) -> dict[str, Any]:
        """Return a report as the log and the history have it, JSON-ready: with the losses in bits, too."""
        return report.in_bits(self._short_unit)

    def report_from_dict(self, values: dict[str, Any]) -> Report:
        """Return the report that `report_to_dict` wrote. Raises KeyError, TypeError or UsageError if it is damaged."""
        return Report.from_bits(values, self._short_unit)

    @property
    def _short_unit(self) -> str:
        return SHORT_UNIT.get(self.unit, self.unit)

    def figures(self, loss: float, score: float | None) -> str:
        """Return the validation loss in nats and in bits."""
        figures = f"validation {loss:.4f} nats = {loss * BITS_PER_NAT:.3f} bits per {self.unit}"
        return f"{figures}, perplexity {math.exp(loss):.1f}" if self.unit == "word" else figures

    def example(self, checkpoint: Checkpoint, seed: int) -> str:
        """Return the beginning of a text that a model samples, on one line."""
        config = SamplingConfig(temperature=EXAMPLE_TEMPERATURE, length=EXAMPLE_LENGTH[self.unit], random_seed=seed)
        (text,) = sample_texts(checkpoint, config=config)
        return " ".join(text.decode("utf-8", errors="replace").split())
