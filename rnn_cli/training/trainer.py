"""Training: truncated backpropagation through time over the streams of a corpus, one report after the other."""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from rnn_cli import __version__
from rnn_cli.cells import find_cell
from rnn_cli.checkpoint.checkpoint import Checkpoint
from rnn_cli.errors import CheckpointError, DivergenceError, UsageError
from rnn_cli.kernels.network.dropconnect import DropConnect
from rnn_cli.kernels.network.optimizer import RULES, Step
from rnn_cli.kernels.simd.cpu import HAS_BFLOAT16, NUMBA_VERSION
from rnn_cli.kernels.threads import Team
from rnn_cli.network.config import NetworkConfig
from rnn_cli.network.model import Model
from rnn_cli.network.workspace import TrainingWindow
from rnn_cli.rng import DROPCONNECT, DROPOUT, RESETS, WEIGHTS, generator
from rnn_cli.text.augmentation import Augmenter
from rnn_cli.text.batches import IGNORED, StreamBatches
from rnn_cli.text.codecs import BOUNDARY
from rnn_cli.text.corpus import Corpus
from rnn_cli.text.fingerprint import Fingerprint
from rnn_cli.training.config import TrainingConfig
from rnn_cli.training.fine_tuning import initialise_from, reencode
from rnn_cli.training.run_state import MOST_STEPS, Progress, Report, RunState
from rnn_cli.training.schedule import DECAY_FROM, learning_rate, steps_that_fit

LOG2_E = 1 / math.log(2)
REPORTS_PER_EVALUATION = 10
VALIDATED_ALONE = 500  # symbols of a held-out stream, at least, before it is cut into several
FEWEST_WINDOWS, STEPS_PER_WINDOW = 20, 5  # of validation: a window of it costs a third of a step
PLATEAU_PATIENCE = 2  # evaluations without gain after which the schedule `plateau` halves the rate
MOST_ROLLBACKS = 4
GOOD = "good."  # before the names of tensors in the last good state, where that is not the present one
LONGEST_HISTORY = 1000  # evaluations; of a longer one every second is dropped


class Trainer:
    """Trains a model on a corpus; iterating it yields reports until the run is over or `stop` says so.

    It prints nothing and writes no files: `checkpoint()` returns what to save, at any moment between two reports.
    Every random choice follows from the seed and the number of the step, so a run that is stopped, saved and resumed
    takes the same steps, bit for bit, as one that never stopped, for any number of threads.

    Where a loss or gradient is not finite, the run goes back to the last good state, halves its learning rate, and
    tells `say` so. After MOST_ROLLBACKS it raises DivergenceError. Good is the state at an evaluation where the loss
    was below that of guessing blindly, or at the start.
    """

    def __init__(
        self,
        corpus: Corpus,
        model_config: NetworkConfig,
        config: TrainingConfig,
        threads: int,
        stop: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
        say: Callable[[str], None] = lambda message: None,
        start: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        """Start a run with new weights, or with those of another model (`start`). The minutes of `config` begin now."""
        if sum(value is not None for value in (config.steps, config.epochs, config.minutes)) != 1:
            raise UsageError("a run is as long as one of steps, epochs and minutes says")
        if model_config.input_size != len(corpus.codec):
            sizes = f"{corpus.name} has {len(corpus.codec):,} symbols, the network {model_config.input_size:,}"
            raise UsageError(f"{sizes}; use NetworkConfig.for_symbols(len(corpus.codec))")
        if config.schedule == "plateau" and corpus.validation is None:
            raise UsageError(f"the schedule plateau needs a part that is held out, and there is {corpus.split_reason}")
        self.corpus, self.config, self.stop, self.say = corpus, config, stop, say
        self._clock, self._started = clock, clock()
        self.team = Team(threads)
        self.model = Model.initialised(model_config, generator([config.random_seed, WEIGHTS]))
        if start is not None:
            initialise_from(self.model, start)
        self.window = TrainingWindow(self.model, config.sequence_length, config.batch_size, self.team, config.precision)
        self.streams = self._streams(corpus.training, config.batch_size, config.augment)
        self.validation = None
        if corpus.validation is not None:
            rows = config.batch_size if corpus.codec.line_mode else max(1, len(corpus.validation) // VALIDATED_ALONE)
            self.validation = self._streams(corpus.validation, min(rows, config.batch_size))
        self.best_parameters = self.model.parameters.copy()
        self.rule = RULES[config.optimizer]
        if config.optimizer == "sgd":
            self.rule = self.rule._replace(decay1=config.momentum)
        self.history: list[Report] = []
        self.diverged = False
        self.progress = Progress(total_steps=config.steps)
        if config.epochs is not None:
            steps = self.progress.total_steps = max(1, round(config.epochs * self.streams.steps_per_epoch))
            if steps > MOST_STEPS:
                raise UsageError(f"--epochs {config.epochs:g} are {steps:,} steps, and the limit is {MOST_STEPS:,}")
        self.good = RunState.of(self.window, self.progress)

    def _streams(self, ids: np.ndarray, rows: int, augment: float = 0.0) -> StreamBatches:
        config, codec = self.config, self.corpus.codec
        augmenter = None
        if size := round(augment * len(ids)):
            augmenter = Augmenter(ids, len(codec), codec.line_mode, size, config.random_seed)
        breaks = [] if codec.line_mode else [symbol for symbol in codec.encode("\n ").tolist() if symbol >= 0]
        return StreamBatches(ids, codec.line_mode, rows, config.sequence_length, config.random_seed, augmenter, breaks)

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
        left = math.inf if minutes is None or progress.total_steps else max(0.0, 60 * minutes - self._elapsed())
        if progress.step:
            steps = (progress.total_steps or self._most_steps) - progress.step
            left = min(left, steps * (progress.seconds - progress.overhead) / progress.step)
        return left if left < math.inf else None

    @property
    def fraction(self) -> float:
        """How much of the run is done, from 0 to 1."""
        progress, minutes = self.progress, self.config.minutes
        if progress.total_steps is not None:
            return progress.step / progress.total_steps
        of_the_time = 0.0 if minutes is None else min(1.0, self._elapsed() / (60 * minutes))
        return max(of_the_time, progress.step / self._most_steps)

    @property
    def _most_steps(self) -> float:
        """How many steps a run of minutes makes at most."""
        most = self.config.most_epochs
        return math.inf if most is None else max(1, round(most * self.streams.steps_per_epoch))

    def _elapsed(self) -> float:
        """Return the seconds that this run has had, with those before it was resumed."""
        return self.progress.seconds + self._clock() - self._started

    def __iter__(self) -> Iterator[Report]:
        """Train on, step by step, and yield a report every few steps and after every evaluation."""
        report_every = max(1, self.config.evaluate_every // REPORTS_PER_EVALUATION)
        symbols, since, first = 0, self._clock(), True
        while not self.finished and not self.stop():
            loss, norm, rate = self._step()
            if not (math.isfinite(loss) and math.isfinite(norm)):
                self._roll_back()
                continue
            progress = self.progress
            progress.averaged += self._averages()
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
            due = progress.step % report_every == 0 and self._steps_to_evaluation() >= report_every
            if not (evaluate or due):
                continue
            speed = symbols / max(now - since, 1e-9)
            validation_loss = self._evaluate() if evaluate else None
            if validation_loss is not None and not math.isfinite(validation_loss):
                self._roll_back()
                continue
            report = self._report(speed, validation_loss, rate, norm)
            if evaluate and report.loss < math.log(self.model.config.output_size):
                self.good = RunState.of(self.window, progress)
            yield report
            symbols, since = 0, self._clock()

    def _steps_to_evaluation(self) -> int:
        """Return how many steps there are to the next evaluation, whose report is to be about more than a few."""
        progress, every = self.progress, self.config.evaluate_every
        following = progress.step - progress.step % every + every
        return min(following, progress.total_steps or following) - progress.step

    def _step(self) -> tuple[float, float, float]:
        """Make the next step; return its loss, the norm of its gradient and its learning rate.

        Where the norm is not finite, the parameters are as before.
        """
        progress, config, window = self.progress, self.config, self.window
        window.inputs[:], window.targets[:] = self.streams.window(progress.step)
        window.starts[:] = window.inputs == BOUNDARY
        if config.dropout:
            draws = self._generator(DROPOUT).random(window.mask.shape, np.float32)
            window.mask[:] = (draws >= config.dropout) / np.float32(1 - config.dropout)
        if config.reset_chance:
            window.state[:, :, self._generator(RESETS).random(config.batch_size) < config.reset_chance] = 0
        rate = learning_rate(config.learning_rate, progress.step, progress.total_steps, config.schedule)
        rate *= progress.rate_factor
        step = Step(
            number=progress.step + 1,
            learning_rate=rate,
            clip_norm=config.clip_norm,
            rule=self.rule,
            weight_decay=config.weight_decay,
            averaged=progress.averaged + 1 if self._averages() else 0,
        )
        key = int(self._generator(DROPCONNECT).integers(2**63)) if config.recurrent_dropout else 0
        loss = window.gradient(DropConnect(config.recurrent_dropout, key))
        norm = window.update(step)
        return loss, norm, rate

    def _averages(self) -> bool:
        """Say whether the parameters after the next step belong to the average."""
        total = self.progress.total_steps
        return total is not None and self.progress.step >= total - round(self.config.average * total)

    def _roll_back(self) -> None:
        """Go back to the last good state with half the learning rate; DivergenceError where that was done too often."""
        now = self.progress
        where = f"the training diverged after step {now.step:,}: the loss is no finite number any more"
        if now.rollbacks == MOST_ROLLBACKS:
            self.diverged = True
            kept = f"the model of step {now.best_step:,} is kept" if now.best_step else "there is no model yet"
            lower = self.config.learning_rate * now.rate_factor / 4
            raise DivergenceError(
                f"{where}, though the rate was halved {MOST_ROLLBACKS} times; {kept}; try --learning-rate {lower:.2g}"
            )
        good = self.good.restore(self.window)
        if not good.averaged:
            self.window.average.fill(0)
        undone = now.seconds - now.overhead - (good.seconds - good.overhead)
        self.progress = replace(
            good,
            seconds=now.seconds,
            overhead=now.overhead + undone,
            rate_factor=now.rate_factor / 2,
            rollbacks=now.rollbacks + 1,
            best_loss=now.best_loss,
            best_step=now.best_step,
        )
        self.history = [report for report in self.history if report.step <= self.progress.step]
        self.say(f"{where}; back to step {self.progress.step:,} with half the learning rate")

    def _generator(self, purpose: int) -> np.random.Generator:
        """Return what draws the numbers for one purpose in the next step."""
        return generator([self.config.random_seed, purpose, self.progress.step])

    def _fix_length(self) -> None:
        """Decide the number of steps when those up to the decay are done: all that may be, or that fit the time."""
        progress, config = self.progress, self.config
        if progress.total_steps is not None or config.minutes is None:
            return
        net_seconds = progress.seconds - progress.overhead
        if progress.step + 1 > self._most_steps * DECAY_FROM:
            progress.total_steps = int(self._most_steps)
        elif net_seconds >= (60 * config.minutes - progress.overhead) * DECAY_FROM:
            progress.total_steps = steps_that_fit(progress.step)

    def _evaluate(self) -> float | None:
        """Return the validation loss, and keep the parameters if it is the best; without validation, keep them.

        Once there is an average of the parameters, this is about the better of the two; without validation, about it.
        A loss that is not finite keeps nothing.
        """
        progress, loss = self.progress, None
        candidate = self.window.average if progress.averaged else self.model.parameters
        if self.validation is not None:
            loss = self.validation_loss()
            if progress.averaged:
                loss_of_average = self._loss_of_average()
                if loss_of_average < loss:
                    loss = loss_of_average
                else:  # or the average is no number
                    candidate = self.model.parameters
            if not math.isfinite(loss):
                return loss
        if loss is None or progress.best_loss is None or loss < progress.best_loss:
            self.best_parameters[:] = candidate
            progress.best_loss, progress.best_step = loss, progress.step
            progress.evaluations_without_gain = 0
        else:
            progress.evaluations_without_gain += 1
            if self.config.schedule == "plateau" and progress.evaluations_without_gain % PLATEAU_PATIENCE == 0:
                progress.rate_factor /= 2
        return loss

    def _loss_of_average(self) -> float:
        """Return the validation loss of the averaged parameters."""
        parameters = self.model.parameters.copy()
        self.model.parameters[:] = self.window.average
        loss = self.validation_loss()
        self.model.parameters[:] = parameters
        return loss

    def validation_loss(self) -> float:
        """Return the mean loss on the held-out part, in nats per symbol, in up to as many streams as a batch has.

        They are no shorter than VALIDATED_ALONE where there is enough, because each starts without a past. Of a large
        part only the beginning of each is scored, so that it takes a small share of the time.
        """
        assert self.validation is not None
        window = self.window
        state, mask = window.state.copy(), window.mask.copy()
        window.mask.fill(1)
        window.state.fill(0)
        window.pack()
        total, count, rows = 0.0, 0, self.validation.batch_size
        window.inputs.fill(BOUNDARY)
        window.starts.fill(1)
        window.targets.fill(IGNORED)
        most = max(FEWEST_WINDOWS, self.config.evaluate_every // STEPS_PER_WINDOW)
        for number in range(min(self.validation.steps_per_epoch, most)):
            window.inputs[:, :rows], window.targets[:, :rows] = self.validation.window(number)
            window.starts[:] = window.inputs == BOUNDARY
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

    def best_tensors(self) -> dict[str, np.ndarray]:
        """Return the best model so far as PyTorch has it; before the first evaluation that is the one as it stands."""
        best = self.best_parameters if self.progress.best_step else self.model.parameters
        return self.model.layout.to_torch(best)

    def checkpoint(self) -> Checkpoint:
        """Return what is to be saved: the best model so far, and what resuming needs unless the run is over."""
        corpus, progress = self.corpus, self.progress
        record = {
            "corpus": {
                "name": corpus.name,
                "digest": corpus.digest,
                "characters": corpus.characters,
                "validation_characters": corpus.validation_characters,
            },
            "training": self.config.to_dict(),
            "steps": progress.step,
            "total_steps": progress.total_steps,
            "seconds": progress.seconds,
            "best_step": progress.best_step,
            "best_loss": progress.best_loss,
            "rollbacks": progress.rollbacks,
            "history": [report.to_dict() for report in self.history],
            "versions": versions(),
        }
        checkpoint = Checkpoint(self.model.config, corpus.codec, self.best_tensors(), record)
        if not (self.finished or self.diverged):
            checkpoint.progress = progress.to_dict()
            checkpoint.training = dict(RunState.of(self.window, progress).tensors)
            if self.good.progress.step != progress.step:
                checkpoint.progress["good"] = self.good.progress.to_dict()
                checkpoint.training |= {GOOD + name: tensor for name, tensor in self.good.tensors.items()}
        if self.fingerprint:
            record["fingerprint"] = self.fingerprint.to_dict()
        return checkpoint

    @cached_property
    def fingerprint(self) -> Fingerprint | None:
        """The fingerprint of what is trained on, or None where it is not wanted or the text is too long for one."""
        corpus = self.corpus
        return Fingerprint.of(corpus.training, corpus.codec.line_mode) if self.config.fingerprint else None

    @classmethod
    def resume(cls, checkpoint: Checkpoint, corpus: Corpus, threads: int, **others: Any) -> Trainer:
        """Go on where a run was saved. Raises UsageError where the corpus is another one."""
        if checkpoint.progress is None:
            raise UsageError("the training of this model is complete; there is nothing to resume")
        if corpus.digest != checkpoint.record.get("corpus", {}).get("digest"):
            raise UsageError(f"{corpus.name} is not the text that this model was trained on; give the same files")

        if checkpoint.record.get("training", {}).get("precision") == "bfloat16" and not HAS_BFLOAT16:
            raise UsageError("this run is in bfloat16, which this processor does not have; resume it on one that has")

        counts, tensors = dict(checkpoint.progress), checkpoint.training
        prefix, good_counts = (GOOD, counts.pop("good")) if "good" in counts else ("", counts)
        good = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
        try:
            config = TrainingConfig.from_dict(checkpoint.record["training"])
            corpus = reencode(corpus, checkpoint.codec)
            network = checkpoint.config
            states = len(find_cell(network.cell, network.activation).states)
            # Before anything of the sizes that the file claims is allocated.
            if good["state"].shape != (network.num_layers, states, config.batch_size, network.hidden_size):
                raise ValueError("the tensor state")
            trainer = cls(corpus, network, config, threads, **others)
            planned = trainer.progress.total_steps
            trainer.model.layout.from_torch(trainer.best_parameters, checkpoint.parameters)
            trainer.good = RunState(good, Progress.from_dict(good_counts))
            trainer.good.restore(trainer.window)  # which checks it
            trainer.progress = RunState(tensors, Progress.from_dict(counts)).restore(trainer.window)
            if trainer.finished or planned not in (None, trainer.progress.total_steps):
                raise ValueError("its number of steps")
            trainer.history = [Report.from_dict(values) for values in checkpoint.record["history"]]
        except (KeyError, TypeError, ValueError, UsageError) as problem:
            raise CheckpointError(f"the state of the training in this model is damaged ({problem})") from problem
        return trainer


def versions() -> dict[str, str]:
    """Return the versions that had a part in the result."""
    found = {"rnn": __version__, "numpy": np.__version__, "numba": NUMBA_VERSION}
    return found | {"python": platform.python_version()}
