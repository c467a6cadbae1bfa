"""The training loop: truncated backpropagation through time over the batches of a task, one report after the other."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from rnn_cli.checkpoint.checkpoint import Checkpoint
from rnn_cli.errors import DivergenceError, UsageError
from rnn_cli.kernels.network.dropconnect import DropConnect
from rnn_cli.kernels.network.optimizer import RULES, Step
from rnn_cli.kernels.threads import Team
from rnn_cli.network.members import joined
from rnn_cli.network.model import Model
from rnn_cli.network.workspace import count_scored
from rnn_cli.rng import DROPCONNECT, DROPOUT, RESETS, WEIGHTS, generator
from rnn_cli.training.config import TrainingConfig
from rnn_cli.training.data_parallel import GroupedWindow, Ranks, check_ranks
from rnn_cli.training.fine_tuning import initialise_from
from rnn_cli.training.networks import check_networks
from rnn_cli.training.run_state import MOST_STEPS, Judgement, Meter, Progress, Report, RunState, StepResult
from rnn_cli.training.saving import checkpoint_of, resumed
from rnn_cli.training.schedule import DECAY_FROM, learning_rate, steps_that_fit
from rnn_cli.training.task import Task

REPORTS_PER_EVALUATION = 10
FEWEST_BATCHES, STEPS_PER_BATCH = 20, 5  # of validation: a batch of it costs a third of a step
PLATEAU_PATIENCE = 2  # evaluations without gain after which the schedule `plateau` halves the rate
MOST_ROLLBACKS = 4
LONGEST_HISTORY = 1000  # evaluations; of a longer history every second one is dropped


class Trainer:
    """Trains the network of a task; iterating it yields reports until the run is over or `stop` returns true.

    It prints nothing and writes no files: `checkpoint()` returns what to save, at any moment between two reports.
    Every random choice follows from the seed and the number of the step, so a run that is stopped, saved and resumed
    takes the same steps, bit for bit, as one that never stopped, for any number of threads.

    If a loss or gradient is not finite, the run goes back to the last good state, halves its learning rate, and
    tells `say` so. After MOST_ROLLBACKS it raises DivergenceError. Good is the state at an evaluation where the loss
    was below that of guessing blindly, or at the start.

    If the configuration says so, several networks are trained, one after the other, and the model is their mean.
    """

    def __init__(
        self,
        task: Task,
        config: TrainingConfig,
        threads: int,
        stop: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
        say: Callable[[str], None] = lambda message: None,
        start: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        """Start a run with new weights, or with those of another model (`start`). The minutes of `config` begin now.

        Raises UsageError if the configuration does not fit the task.
        """
        if sum(value is not None for value in (config.steps, config.epochs, config.minutes)) != 1:
            raise UsageError("a run is as long as one of steps, epochs and minutes says")
        check_networks(task, config, start is not None)
        self.task, self.config, self.stop, self.say = task, config, stop, say
        self.members: list[Mapping[str, np.ndarray]] = []  # the networks that are trained
        self.ranks = Ranks()
        self._clock, self._started = clock, clock()
        self.team = Team(threads)
        self.model = Model.initialised(task.network, generator([config.random_seed, WEIGHTS]))
        if start is not None:
            initialise_from(self.model, start)
        self.window: Any
        if config.groups == 1:
            self.window = self._make_window(config.batch_size)
        else:
            self.window = GroupedWindow(self._make_window, config.batch_size, config.groups)
        self.batches = task.batches(config)
        self.validation = task.validation_batches(config)
        if config.schedule == "plateau" and self.validation is None:
            raise UsageError("the schedule plateau needs a part that is held out, and there is none")
        self.best_parameters = self.model.parameters.copy()
        self.rule = RULES[config.optimizer]
        if config.optimizer == "sgd":
            self.rule = self.rule._replace(decay1=config.momentum)
        self.history: list[Report] = []
        self.diverged = self.ended = False
        self.progress = Progress(total_steps=config.steps)
        if config.epochs is not None:
            steps = self.progress.total_steps = max(1, round(config.epochs * self.batches.steps_per_epoch))
            if steps > MOST_STEPS:
                raise UsageError(f"`epochs={config.epochs:g}` is {steps:,} steps, and the limit is {MOST_STEPS:,}")
        self.good = RunState.of(self.window, self.progress)

    def _make_window(self, rows: int) -> Any:
        """Return the memory of the task for some rows of a batch."""
        return self.task.window(self.model, replace(self.config, batch_size=rows), self.team)

    def join(self, ranks: Ranks) -> None:
        """Train together with other ranks, which all call this: share the groups, the clock, and when to stop.

        Raises UsageError if there are fewer groups than ranks.
        """
        check_ranks(ranks, self.config)
        self.ranks, self.stop = ranks, lambda: ranks.stopped > 0
        if ranks.size > 1:
            self.window.ranks = ranks
            ranks.agree([], 0)
            self._clock, self._started = ranks.clock, ranks.clock()

    @property
    def finished(self) -> bool:
        """Whether the run is over."""
        return len(self.members) == self.config.networks - 1 and self._network_ends

    @property
    def _network_ends(self) -> bool:
        """Whether the training of this network is over."""
        progress = self.progress
        out_of_patience = self.config.patience is not None and progress.evaluations_without_gain >= self.config.patience
        return out_of_patience or (progress.total_steps is not None and progress.step >= progress.total_steps)

    @property
    def remaining_seconds(self) -> float | None:
        """An estimate of the time that is left, None before the first step of a run without minutes."""
        progress, minutes = self.progress, self.config.minutes
        left = math.inf if minutes is None or progress.total_steps else max(0.0, 60 * minutes - self._elapsed())
        if progress.step:
            steps = self._all_steps - progress.step
            left = min(left, steps * (progress.seconds - progress.overhead) / progress.step)
        return left if left < math.inf else None

    @property
    def fraction(self) -> float:
        """How much of the run is done, from 0 to 1."""
        progress, minutes = self.progress, self.config.minutes
        if progress.total_steps is not None:
            return progress.step / self._all_steps
        of_the_time = 0.0 if minutes is None else min(1.0, self._elapsed() / (60 * minutes))
        return max(of_the_time, progress.step / self._all_steps)

    @property
    def _all_steps(self) -> float:
        """How many steps all networks take, at most."""
        progress = self.progress
        each = progress.total_steps - progress.begun if progress.total_steps else self._most_steps
        return progress.begun + each * (self.config.networks - len(self.members))

    @property
    def _most_steps(self) -> float:
        """How many steps a network of a run of minutes takes at most."""
        most = self.config.most_epochs
        return math.inf if most is None else max(1, round(most * self.batches.steps_per_epoch))

    def _elapsed(self) -> float:
        """Return the seconds that this run has taken, with those before it was resumed."""
        return self.progress.seconds + self._clock() - self._started

    def __iter__(self) -> Iterator[Report]:
        """Train on, step by step, and yield a report every few steps and after every evaluation."""
        meter = Meter(self._clock)
        while not self.finished and not self.stop():
            result = self._step()
            if not (math.isfinite(result.loss) and math.isfinite(result.norm)):
                self._roll_back()
                continue
            self._count(result, meter)
            self._fix_length()
            if self._is_due():
                report = self._evaluate_and_report(result, meter.units_per_second)
                if report is not None:
                    yield report
                    meter.restart()
            if self._network_ends and not self.finished:
                self._begin_next_network()
        self._gather_state()
        if self.members and self.finished:
            self._join_networks()
        self.ended = True

    def _step(self) -> StepResult:
        """Make the next step. If the norm of the gradient is not finite, the parameters are as before."""
        progress, config, window = self.progress, self.config, self.window
        window.load(self.batches.batch(progress.step))
        if not self.task.carries_state:
            window.state.fill(0)
        if config.dropout:
            draws = self._generator(DROPOUT).random(window.mask.shape, np.float32)
            window.mask[:] = (draws >= config.dropout) / np.float32(1 - config.dropout)
        if config.reset_chance:
            window.state[:, :, self._generator(RESETS).random(config.batch_size) < config.reset_chance] = 0
        number, total = progress.step - progress.begun, progress.total_steps
        rate = learning_rate(config.learning_rate, number, total and total - progress.begun, config.schedule)
        rate *= progress.rate_factor
        step = Step(
            number=number + 1,
            learning_rate=rate,
            clip_norm=config.clip_norm,
            rule=self.rule,
            weight_decay=config.weight_decay,
            averaged=progress.averaged + 1 if self._averages() else 0,
        )
        key = int(self._generator(DROPCONNECT).integers(2**63)) if config.recurrent_dropout else 0
        loss, norm = window.train(step, DropConnect(config.recurrent_dropout, key))
        return StepResult(loss, norm, rate, count_scored(window.targets))

    def _count(self, result: StepResult, meter: Meter) -> None:
        """Count a step, its units and its time."""
        progress, now, first = self.progress, self._clock(), meter.first
        progress.averaged += self._averages()
        progress.step += 1
        progress.loss_sum += result.loss * result.scored
        progress.loss_count += result.scored
        progress.seconds += now - self._started
        if first:
            progress.overhead += now - self._started
        self._started = now
        meter.add(result.scored, now)

    def _is_due(self) -> bool:
        """Say whether a report is due: at an evaluation, or every few steps unless an evaluation comes soon."""
        step, every = self.progress.step, self.config.evaluate_every
        report_every = max(1, every // REPORTS_PER_EVALUATION)
        to_evaluation = min(step - step % every + every, self.progress.total_steps or math.inf) - step
        return self._evaluates() or (step % report_every == 0 and to_evaluation >= report_every)

    def _evaluates(self) -> bool:
        """Say whether the model is evaluated after the step that was made last."""
        return self.progress.step % self.config.evaluate_every == 0 or self._network_ends

    def _evaluate_and_report(self, result: StepResult, units_per_second: float) -> Report | None:
        """Return the report that is due, with an evaluation if one is.

        If the validation loss is not finite, go back to the last good state and return None.
        """
        evaluates, judgement = self._evaluates(), None
        if evaluates:
            self._gather_state()
            judgement = self._evaluate()
            if judgement is not None and not math.isfinite(judgement.loss):
                self._roll_back()
                return None
        report = self._report(result, units_per_second, judgement)
        if evaluates and report.loss < self.task.blind_loss:
            self.good = RunState.of(self.window, self.progress)
        return report

    def _begin_next_network(self) -> None:
        """Keep the best of this network, and begin the next one with other weights."""
        progress, model = self.progress, self.model
        assert progress.total_steps is not None
        self.members.append(self.best_tensors())
        model.layout.initialise(model.parameters, generator([self.config.random_seed, WEIGHTS, len(self.members)]))
        for values in (self.window.moments, self.window.average, self.window.state):
            values.fill(0)
        self.progress = Progress(
            step=progress.step,
            begun=progress.step,
            total_steps=2 * progress.total_steps - progress.begun,
            seconds=progress.seconds,
            overhead=progress.overhead,
        )
        self.good, self.history = RunState.of(self.window, self.progress), []

    def _join_networks(self) -> None:
        """Take the mean of all networks as the model, and judge it."""
        self.model = Model.from_torch(*joined(self.model.config, [*self.members, self.best_tensors()]))
        self.best_parameters = self.model.parameters.copy()
        self.window = self._make_window(self.config.batch_size)
        if self.validation is not None:
            judgement = self._judge()
            self.progress.best_loss, self.progress.best_score = judgement

    def _gather_state(self) -> None:
        """Fetch the states of the rows that other ranks compute, for the checkpoint. Check that all have one model."""
        if isinstance(self.window, GroupedWindow):
            self.window.gather_state()
        self.ranks.check_equal(self.model.parameters)

    def _averages(self) -> bool:
        """Say whether the parameters after the next step belong to the average."""
        total = self.progress.total_steps
        return total is not None and self.progress.step >= total - round(
            self.config.average * (total - self.progress.begun)
        )

    def _roll_back(self) -> None:
        """Go back to the last good state with half the learning rate; DivergenceError after MOST_ROLLBACKS."""
        now = self.progress
        where = f"the training diverged after step {now.step:,}: the loss is not finite any more"
        if now.rollbacks == MOST_ROLLBACKS:
            self.diverged = True
            kept = f"the model of step {now.best_step:,} is kept" if now.best_step else "there is no model yet"
            if self.members:
                kept = f"{len(self.members)} of {self.config.networks} networks are kept"
            lower = self.config.learning_rate * now.rate_factor / 4
            raise DivergenceError(
                f"{where}, though the rate was halved {MOST_ROLLBACKS} times; {kept}; try `learning_rate={lower:.2g}`"
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
            best_score=now.best_score,
        )
        self.history = [report for report in self.history if report.step <= self.progress.step]
        self.say(f"{where}; back to step {self.progress.step:,} with half the learning rate")

    def _generator(self, purpose: int) -> np.random.Generator:
        """Return the random generator of one purpose for the next step."""
        return generator([self.config.random_seed, purpose, self.progress.step])

    def _fix_length(self) -> None:
        """Fix the number of steps when the decay begins: those of `most_epochs`, or as many as fit the time."""
        progress, config = self.progress, self.config
        if progress.total_steps is not None or config.minutes is None:
            return
        net_seconds = progress.seconds - progress.overhead
        if progress.step + 1 > self._most_steps * DECAY_FROM:
            progress.total_steps = int(self._most_steps)
        elif net_seconds >= (60 * config.minutes - progress.overhead) * DECAY_FROM / config.networks:
            progress.total_steps = steps_that_fit(progress.step)

    def _evaluate(self) -> Judgement | None:
        """Judge the parameters, keep them if they are the best, and return the judgement; None without validation.

        If there is an average of the parameters, the better of the two is judged. Without validation, the average or
        else the parameters are kept. If the loss is not finite, nothing is kept.
        """
        progress, judgement = self.progress, None
        candidate = self.window.average if progress.averaged else self.model.parameters
        if self.validation is not None:
            judgement = self._judge()
            if progress.averaged:
                of_average = self._judge_average()
                if of_average.beats(judgement):
                    judgement = of_average
                else:  # or the average is not finite
                    candidate = self.model.parameters
            if not math.isfinite(judgement.loss):
                return judgement
        best = None if progress.best_loss is None else Judgement(progress.best_loss, progress.best_score)
        if judgement is None or judgement.beats(best):
            self.best_parameters[:] = candidate
            progress.best_loss, progress.best_score = judgement or (None, None)
            progress.best_step, progress.evaluations_without_gain = progress.step, 0
        else:
            progress.evaluations_without_gain += 1
            if self.config.schedule == "plateau" and progress.evaluations_without_gain % PLATEAU_PATIENCE == 0:
                progress.rate_factor /= 2
        return judgement

    def _judge(self) -> Judgement:
        """Return the judgement of the model's parameters."""
        return Judgement(self.validation_loss(), self.ranks.first(self.task.score(self.model, self.team)))

    def _judge_average(self) -> Judgement:
        """Return the judgement of the averaged parameters."""
        parameters = self.model.parameters.copy()
        self.model.parameters[:] = self.window.average
        judgement = self._judge()
        self.model.parameters[:] = parameters
        return judgement

    def validation_loss(self) -> float:
        """Return the mean loss on the held-out part, in nats per unit.

        Only the first batches of a large part are scored, so that it takes a small share of the time.
        """
        assert self.validation is not None
        window = self.window
        state, mask = window.state.copy(), window.mask.copy()
        window.mask.fill(1)
        window.state.fill(0)
        window.pack()
        total, count = 0.0, 0
        most = max(FEWEST_BATCHES, self.config.evaluate_every // STEPS_PER_BATCH)
        for number in range(min(self.validation.steps_per_epoch, most)):
            window.load(self.validation.batch(number))
            if not self.task.carries_state:
                window.state.fill(0)
            window.score()
            total += float(window.losses.sum(dtype=np.float64))
            count += count_scored(window.targets)
        window.state[:], window.mask[:] = state, mask
        return total / max(count, 1)

    def _report(self, result: StepResult, units_per_second: float, judgement: Judgement | None) -> Report:
        """Return the report of the steps since the last one, and remember it if it is of an evaluation."""
        progress = self.progress
        loss = progress.loss_sum / max(progress.loss_count, 1)
        progress.loss_sum, progress.loss_count = 0.0, 0
        report = Report(
            step=progress.step,
            epoch=progress.step / self.batches.steps_per_epoch,
            seconds=progress.seconds,
            units_per_second=units_per_second,
            loss=loss,
            validation_loss=judgement and judgement.loss,
            learning_rate=result.rate,
            grad_norm=result.norm,
            validation_score=judgement and judgement.score,
        )
        if judgement is not None or self.validation is None:
            self.history.append(report)
            if len(self.history) > LONGEST_HISTORY:
                del self.history[1::2]
        return report

    def best_tensors(self) -> dict[str, np.ndarray]:
        """Return the best model so far with PyTorch's names and layout; before an evaluation, the current one."""
        best = self.best_parameters if self.progress.best_step else self.model.parameters
        return self.model.layout.to_torch(best)

    def checkpoint(self) -> Checkpoint:
        """Return what to save: the best model so far, and unless the run is over, what resuming needs."""
        return checkpoint_of(self)

    @classmethod
    def resume(cls, checkpoint: Checkpoint, task: Task, threads: int, **others: Any) -> Trainer:
        """Return a trainer that continues the run in a checkpoint.

        Raises UsageError if the run is complete, or `task` has other data than it; CheckpointError if its state is
        damaged.
        """
        return resumed(partial(cls, **others), checkpoint, task, threads)
