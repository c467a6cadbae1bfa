"""Training: truncated backpropagation through time over the streams of a corpus, one report after the other."""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.metadata import version
from typing import Any

import numpy as np

from rnn_cli.checkpoint import Checkpoint
from rnn_cli.config import Config, ModelConfig, TrainingConfig, limited
from rnn_cli.corpus import Corpus
from rnn_cli.errors import CheckpointError, DivergenceError, UsageError
from rnn_cli.fingerprint import Fingerprint
from rnn_cli.kernels.step import Step
from rnn_cli.kernels.threads import Team
from rnn_cli.model import Model, TrainingWindow
from rnn_cli.schedule import DECAY_FROM, learning_rate, steps_that_fit
from rnn_cli.streams import Streams

LOG2_E = 1 / math.log(2)
REPORTS_PER_EVALUATION = 10
FEWEST_WINDOWS, STEPS_PER_WINDOW = 20, 5  # of validation: a window of it costs a third of a step
LONGEST_HISTORY = 1000  # evaluations; of a longer one every second is dropped


@dataclass(frozen=True)
class Report:
    """How the training stands. Losses are means in nats per symbol, over the steps since the last report."""

    step: int
    epoch: float
    seconds: float
    chars_per_second: float
    loss: float
    bits_per_char: float
    validation_loss: float | None
    validation_bits_per_char: float | None
    learning_rate: float
    grad_norm: float

    def to_dict(self) -> dict[str, Any]:
        """Return the values as a JSON-ready dictionary."""
        return asdict(self)


@dataclass
class Progress(Config):
    """Where a run stands: with the parameters, moments and states, all that the next step depends on.

    `overhead` is the part of `seconds` that was spent on compiling and setting up, at each start.
    """

    step: int = limited(0, 10**9, 0)
    total_steps: int | None = limited(1, 10**9)
    seconds: float = limited(0.0, 1e12, 0.0)
    overhead: float = limited(0.0, 1e12, 0.0)
    best_loss: float | None = limited(0.0, 1e12)
    best_step: int = limited(0, 10**9, 0)
    evaluations_without_gain: int = limited(0, 10**9, 0)
    loss_sum: float = limited(0.0, 1e18, 0.0)
    loss_count: int = limited(0, 10**18, 0)


class Trainer:
    """Trains a model on a corpus; iterating it yields reports until the run is over or `stop` says so.

    It prints nothing and writes no files: `checkpoint()` returns what to save, at any moment between two reports.
    Every random choice follows from the seed and the number of the step, so a run that is stopped, saved and resumed
    takes the same steps, bit for bit, as one that never stopped, for any number of threads.
    """

    def __init__(
        self,
        corpus: Corpus,
        model_config: ModelConfig,
        config: TrainingConfig,
        threads: int,
        stop: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start a run with new weights. The minutes of `config` begin now."""
        if sum(value is not None for value in (config.steps, config.epochs, config.minutes)) != 1:
            raise UsageError("a run is as long as one of steps, epochs and minutes says")
        self.corpus, self.config, self.stop = corpus, config, stop
        self._clock, self._started = clock, clock()
        self.team = Team(threads)
        generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence([config.random_seed, 0])))
        self.model = Model.initialised(model_config, generator)
        self.window = TrainingWindow(self.model, config.sequence_length, config.batch_size, self.team)
        self.streams = self._streams(corpus.training)
        self.validation = None if corpus.validation is None else self._streams(corpus.validation)
        self.best_parameters = self.model.parameters.copy()
        self.history: list[Report] = []
        self.diverged = False
        self.progress = Progress(total_steps=config.steps)
        if config.epochs is not None:
            self.progress.total_steps = max(1, round(config.epochs * self.streams.steps_per_epoch))

    def _streams(self, ids: np.ndarray) -> Streams:
        config = self.config
        lines = self.corpus.vocabulary.lines
        return Streams(ids, lines, config.batch_size, config.sequence_length, config.random_seed)

    @property
    def finished(self) -> bool:
        """Whether the run is over."""
        progress = self.progress
        out_of_patience = self.config.patience is not None and progress.evaluations_without_gain >= self.config.patience
        return out_of_patience or (progress.total_steps is not None and progress.step >= progress.total_steps)

    @property
    def remaining_seconds(self) -> float | None:
        """An estimate of the time that is left, or None where there is no ground for one yet."""
        progress, minutes = self.progress, self.config.minutes
        if progress.total_steps is None:
            return None if minutes is None else max(0.0, 60 * minutes - self._elapsed())
        if progress.step == 0:
            return None
        return (progress.total_steps - progress.step) * (progress.seconds - progress.overhead) / progress.step

    @property
    def fraction(self) -> float:
        """How much of the run is done, from 0 to 1."""
        progress, minutes = self.progress, self.config.minutes
        if progress.total_steps is not None:
            return progress.step / progress.total_steps
        return 0.0 if minutes is None else min(1.0, self._elapsed() / (60 * minutes))

    def _elapsed(self) -> float:
        """Return the seconds that this run has had, with those before it was resumed."""
        return self.progress.seconds + self._clock() - self._started

    def __iter__(self) -> Iterator[Report]:
        """Train on, step by step, and yield a report every few steps and after every evaluation."""
        report_every = max(1, self.config.evaluate_every // REPORTS_PER_EVALUATION)
        symbols, since, first = 0, self._clock(), True
        while not self.finished and not self.stop():
            loss, norm, rate = self._step()
            progress = self.progress
            progress.step += 1
            scored = int(np.count_nonzero(self.window.targets >= 0))
            progress.loss_sum += loss * scored
            progress.loss_count += scored
            symbols += scored
            now = self._clock()
            progress.seconds += now - self._started
            if first:
                progress.overhead += now - self._started
                symbols, since, first = 0, now, False
            self._started = now
            self._fix_length()
            evaluate = progress.step % self.config.evaluate_every == 0 or self.finished
            if not (evaluate or progress.step % report_every == 0):
                continue
            speed = symbols / max(now - since, 1e-9)
            validation_loss = self._evaluate() if evaluate else None
            yield self._report(speed, validation_loss, rate, norm)
            symbols, since = 0, self._clock()

    def _step(self) -> tuple[float, float, float]:
        """Make the next step; return its loss, the norm of its gradient and its learning rate."""
        progress, config, window = self.progress, self.config, self.window
        window.inputs[:], window.targets[:] = self.streams.window(progress.step)
        if config.dropout:
            seed = np.random.SeedSequence([config.random_seed, 3, progress.step])
            draws = np.random.Generator(np.random.PCG64(seed)).random(window.mask.shape, np.float32)
            window.mask[:] = (draws >= config.dropout) / np.float32(1 - config.dropout)
        rate = learning_rate(config.learning_rate, progress.step, progress.total_steps)
        loss, norm = window.train(Step(progress.step + 1, rate, config.clip_norm))
        if not (math.isfinite(loss) and math.isfinite(norm)):
            self.diverged = True
            kept = (
                f"the model of step {progress.best_step:,} is kept" if progress.best_step else "there is no model yet"
            )
            raise DivergenceError(
                f"the training diverged at step {progress.step + 1:,}: the loss is no finite number any more; "
                f"{kept}; try --learning-rate {config.learning_rate / 4:.2g}"
            )
        return loss, norm, rate

    def _fix_length(self) -> None:
        """Decide the number of steps when the steps up to the decay have taken their share of the time."""
        progress, minutes = self.progress, self.config.minutes
        if progress.total_steps is None and minutes is not None:
            net_seconds = progress.seconds - progress.overhead
            if net_seconds >= (60 * minutes - progress.overhead) * DECAY_FROM:
                progress.total_steps = steps_that_fit(progress.step)

    def _evaluate(self) -> float | None:
        """Return the validation loss, and keep the parameters if it is the best; without validation, keep them."""
        progress = self.progress
        loss = None if self.validation is None else self.validation_loss()
        if loss is None or progress.best_loss is None or loss < progress.best_loss:
            self.best_parameters[:] = self.model.parameters
            progress.best_loss, progress.best_step = loss, progress.step
            progress.evaluations_without_gain = 0
        else:
            progress.evaluations_without_gain += 1
        return loss

    def validation_loss(self) -> float:
        """Return the mean loss on the held-out part, in nats per symbol, in as many streams as a training batch has.

        Of a large part only the beginning of each stream is scored, so that it takes a small share of the time.
        """
        assert self.validation is not None
        window = self.window
        state, mask = window.state.copy(), window.mask.copy()
        window.mask.fill(1)
        window.state.fill(0)
        window.pack()
        total, count = 0.0, 0
        most = max(FEWEST_WINDOWS, self.config.evaluate_every // STEPS_PER_WINDOW)
        for number in range(min(self.validation.steps_per_epoch, most)):
            window.inputs[:], window.targets[:] = self.validation.window(number)
            window.score()
            total += float(window.losses.sum(dtype=np.float64))
            count += int(np.count_nonzero(window.targets >= 0))
        window.state[:], window.mask[:] = state, mask
        return total / max(count, 1)

    def _report(self, speed: float, validation_loss: float | None, rate: float, norm: float) -> Report:
        progress = self.progress
        loss = progress.loss_sum / max(progress.loss_count, 1)
        progress.loss_sum, progress.loss_count = 0.0, 0
        report = Report(
            step=progress.step,
            epoch=progress.step / self.streams.steps_per_epoch,
            seconds=progress.seconds,
            chars_per_second=speed,
            loss=loss,
            bits_per_char=loss * LOG2_E,
            validation_loss=validation_loss,
            validation_bits_per_char=None if validation_loss is None else validation_loss * LOG2_E,
            learning_rate=rate,
            grad_norm=norm,
        )
        if validation_loss is not None or self.validation is None:
            self.history.append(report)
            if len(self.history) > LONGEST_HISTORY:
                del self.history[1::2]
        return report

    def checkpoint(self) -> Checkpoint:
        """Return what is to be saved: the best model so far, and what resuming needs unless the run is over.

        Before the first evaluation the model as it stands is the best one.
        """
        layout, corpus, progress = self.model.layout, self.corpus, self.progress
        record = {
            "corpus": {
                "name": corpus.name,
                "digest": corpus.digest,
                "characters": corpus.characters,
                "validation_characters": corpus.validation_characters,
            },
            "training": self.config.to_dict(),
            "steps": progress.step,
            "seconds": progress.seconds,
            "best_step": progress.best_step,
            "best_loss": progress.best_loss,
            "history": [report.to_dict() for report in self.history],
            "versions": versions(),
        }
        checkpoint = Checkpoint(
            config=self.model.config,
            vocabulary=corpus.vocabulary,
            parameters=layout.to_torch(self.best_parameters if progress.best_step else self.model.parameters),
            record=record,
        )
        if not (self.finished or self.diverged):
            checkpoint.progress = progress.to_dict()
            checkpoint.training = {
                "parameters": layout.compact(self.model.parameters),
                "moment1": layout.compact(self.window.moments[0]),
                "moment2": layout.compact(self.window.moments[1]),
                "state": np.ascontiguousarray(self.window.state),
            }
        if self.fingerprint:
            record["fingerprint"] = self.fingerprint.to_dict()
        return checkpoint

    @cached_property
    def fingerprint(self) -> Fingerprint | None:
        """The fingerprint of what is trained on, or None where it is not wanted or the text is too long for one."""
        corpus = self.corpus
        return Fingerprint.of(corpus.training, corpus.vocabulary.lines) if self.config.fingerprint else None

    @classmethod
    def resume(cls, checkpoint: Checkpoint, corpus: Corpus, threads: int, **others: Any) -> Trainer:
        """Go on where a run was saved. Raises UsageError where the corpus is another one."""
        if checkpoint.progress is None:
            raise UsageError("the training of this model is complete; there is nothing to resume")
        if corpus.digest != checkpoint.record.get("corpus", {}).get("digest"):
            raise UsageError(f"{corpus.name} is not the text that this model was trained on; give the same files")

        def tensor(name: str, shape: tuple[int, ...]) -> np.ndarray:
            found = checkpoint.training[name]
            if found.shape != shape or found.dtype != np.float32:
                raise ValueError(f"the tensor {name}")
            return found

        try:
            config = TrainingConfig.from_dict(checkpoint.record["training"])
            trainer = cls(corpus, checkpoint.config, config, threads, **others)
            layout, window = trainer.model.layout, trainer.window
            layout.from_torch(trainer.best_parameters, checkpoint.parameters)
            size = layout.compact(trainer.best_parameters).shape
            layout.expand(trainer.model.parameters, tensor("parameters", size))
            layout.expand(window.moments[0], tensor("moment1", size))
            layout.expand(window.moments[1], tensor("moment2", size))
            window.state[:] = tensor("state", window.state.shape)
            planned, trainer.progress = trainer.progress.total_steps, Progress.from_dict(checkpoint.progress)
            if trainer.finished or planned not in (None, trainer.progress.total_steps):
                raise ValueError("its number of steps")
            trainer.history = [Report(**values) for values in checkpoint.record["history"]]
        except (KeyError, TypeError, ValueError, UsageError) as problem:
            raise CheckpointError(f"the state of the training in this model is damaged ({problem})") from problem
        return trainer


def versions() -> dict[str, str]:
    """Return the versions that had a part in the result."""
    names = {"rnn": "rnn-cli", "numpy": "numpy", "numba": "numba"}
    return {name: version(package) for name, package in names.items()} | {"python": platform.python_version()}
