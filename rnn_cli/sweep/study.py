"""A sweep: trials that are handed out one at a time, to any number of processes, until there are enough."""

from __future__ import annotations

import math
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from rnn_cli.errors import UsageError
from rnn_cli.rng import SWEEP_TRIALS, generator
from rnn_cli.sweep.journal import open_study, optuna
from rnn_cli.sweep.space import SPACE, About, Value, settled, suggest

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial, Trial

ABOUT, ALIVE, RESULT, RETRY, SURPLUS = "about", "alive", "result", "retry", "surplus"  # attributes in the journal
BEAT_SECONDS, STALE_SECONDS = 60, 600  # between two signs of life, and after which a trial counts as killed
STATES = {"COMPLETE": "complete", "PRUNED": "pruned", "RUNNING": "running", "WAITING": "waiting", "FAIL": "failed"}
PARTS = 10  # of a training, at which it is compared with others


class Result(NamedTuple):
    """What a training came to: the best loss in nats per unit, its score or None, its step."""

    loss: float
    score: float | None
    step: int
    unit: str

    @property
    def value(self) -> float:
        """What trials are compared by, less is better: the share that the score leaves, or else the loss."""
        return self.loss if self.score is None else 1 - self.score


class Outcome(NamedTuple):
    """A trial that is over: its number, its values, whether it was `pruned`, and what it came to."""

    number: int
    values: dict[str, Value]
    pruned: bool
    result: Result


class GivenUpError(Exception):
    """Another process took the one that trains a trial for killed, and has the trial made again."""


class Running:
    """A trial that this process trains, with `values`, which the study chose."""

    def __init__(self, sweep: Sweep, trial: Trial) -> None:
        self.number = trial.number
        self._sweep, self._trial, self._part, self._beat = sweep, trial, 0, -math.inf
        self.live()
        suggest(trial, sweep.about.names)
        self.values = settled(trial.params, sweep.about.names)

    def live(self) -> None:
        """Say that this process is alive, now and then. Raises GivenUpError if it comes too late."""
        if time.monotonic() - self._beat >= BEAT_SECONDS:
            self._beat = time.monotonic()
            alive = {"host": platform.node(), "pid": os.getpid(), "time": time.time()}
            with self._owned():
                self._trial.set_user_attr(ALIVE, alive)

    def report(self, result: Result, fraction: float) -> bool:
        """Take in the best result so far at a fraction of the training; say whether to stop, as others were better.

        Raises GivenUpError as `live` does.
        """
        part = int(PARTS * fraction)
        if part <= self._part or part >= PARTS or not math.isfinite(result.value):
            return False
        self._part = part
        with self._owned():
            self._trial.report(result.value, part)
        return self._trial.should_prune()

    def complete(self, result: Result) -> None:
        """End the trial with what it came to. Raises GivenUpError as `live` does."""
        self._end("COMPLETE", result)

    def prune(self, result: Result | None) -> None:
        """End the trial early, with what it came to until then, None for a training that diverged at once."""
        self._end("PRUNED", result)

    def abandon(self, *, retry: bool) -> None:
        """End the trial without a result; with `retry`, one with the same values comes next."""
        self._sweep.give_up(self.number, retry=retry)

    def _end(self, state: str, result: Result | None) -> None:
        value = result.value if result is not None and state == "COMPLETE" else None
        with self._owned():
            if result is not None:
                self._trial.set_user_attr(RESULT, result._asdict())
            self._sweep.study.tell(self._trial, value, state=optuna().trial.TrialState[state])

    @contextmanager
    def _owned(self) -> Iterator[None]:
        """Raise GivenUpError if the trial has ended already: Optuna raises these errors."""
        try:
            yield
        except (RuntimeError, ValueError) as problem:
            raise GivenUpError from problem


class Sweep:
    """The study in a journal file. What a trial tries follows from the seed, its number and the trials before it."""

    def __init__(self, path: str, about: About | None = None) -> None:
        """Open a study, or begin the one that `about` describes.

        Raises UsageError if it is about something else, and a trial has come to something.
        """
        self.path, self.study = path, open_study(path, create=about is not None)
        if about is not None and (ABOUT not in self.study.user_attrs or not self._others(math.inf)):
            self.study.set_user_attr(ABOUT, about._asdict())
        self.about = read_about(self.study.user_attrs.get(ABOUT), path)
        if about is not None and about != self.about:
            raise UsageError(f"{path} is the study of another sweep; leave the arguments out or name another `study`")

    def next(self, wanted: int) -> Running | None:
        """Begin a trial; None if, with those that run elsewhere, there are as many as wanted."""
        self.reclaim()
        states = optuna().trial.TrialState
        if self._others(math.inf) >= wanted:
            return None
        trial = self.study.ask()
        if self._others(trial.number) >= wanted:  # another process began one in the same moment
            trial.set_user_attr(SURPLUS, True)
            self.study.tell(trial, state=states.FAIL)
            return None
        seed = int(generator([self.about.random_seed, SWEEP_TRIALS, trial.number]).integers(2**32))
        self.study.sampler = optuna().samplers.TPESampler(seed=seed, constant_liar=True)
        return Running(self, trial)

    def _others(self, number: float) -> int:
        """Return how many trials are over with a result, or run and have a lower number."""
        return sum(
            trial.state.name in ("COMPLETE", "PRUNED") or (trial.state.name == "RUNNING" and trial.number < number)
            for trial in self.study.get_trials(deepcopy=False)
        )

    def reclaim(self) -> None:
        """Give up the trials whose process was killed, and have each made again, once."""
        for trial in self.study.get_trials(deepcopy=False):
            if trial.state.name == "RUNNING" and is_stale(trial):
                self.give_up(trial.number, retry=RETRY not in trial.user_attrs)

    def give_up(self, number: int, *, retry: bool) -> None:
        """End a trial without a result; with `retry`, one with the same values comes next."""
        try:
            self.study.tell(number, state=optuna().trial.TrialState.FAIL)
        except (RuntimeError, ValueError):
            return  # it has ended, or another process was first
        params = self.study.get_trials(deepcopy=False)[number].params
        if retry and params.keys() == set(self.about.names):
            self.study.enqueue_trial(params, user_attrs={RETRY: number})

    def counts(self) -> dict[str, int]:
        """Return how many trials are complete, pruned, running, waiting and failed."""
        trials = self.study.get_trials(deepcopy=False)
        states = [trial.state.name for trial in trials if SURPLUS not in trial.user_attrs]
        return {word: states.count(name) for name, word in STATES.items()}

    def outcomes(self) -> list[Outcome]:
        """Return the trials that are over, the best first, of equal ones the first; those that were pruned last."""
        found = []
        for trial in self.study.get_trials(deepcopy=False):
            result = read_result(trial.user_attrs.get(RESULT))
            if trial.state.name in ("COMPLETE", "PRUNED") and result is not None:
                values = settled(trial.params, self.about.names)
                found.append(Outcome(trial.number, values, trial.state.name == "PRUNED", result))
        return sorted(found, key=lambda each: (each.pruned, each.result.value, each.number))


def is_stale(trial: FrozenTrial) -> bool:
    """Say whether the process of a trial was killed: it gave no sign of life, or is not there any more."""
    alive, begun = trial.user_attrs.get(ALIVE), trial.datetime_start
    last = begun.timestamp() if begun else 0.0
    if isinstance(alive, dict) and isinstance(alive.get("time"), int | float):
        last = alive["time"]
        pid = alive.get("pid")
        if os.name == "posix" and alive.get("host") == platform.node() and isinstance(pid, int) and 0 < pid < 1 << 31:
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                return True
            except PermissionError:
                pass  # it is there, and another user's
    return time.time() - last > STALE_SECONDS


def read_about(found: Any, path: str) -> About:
    """Return what a journal says that it is about. Raises UsageError for anything else."""
    match found:
        case {"arguments": list(arguments), "names": [_, *_] as names, "random_seed": int(seed), **others} if (
            not others
            and all(isinstance(each, str) and "\0" not in each for each in arguments)
            and all(isinstance(each, str) and each in SPACE for each in names)
            and 0 <= seed < 1 << 63
        ):
            return About(arguments, names, seed)
    raise UsageError(f"{path} does not say what it is about, so it is not the study of a sweep; name another `study`")


def read_result(found: Any) -> Result | None:
    """Return the result in a journal, None if there is none, or it is damaged."""
    match found:
        case {
            "loss": int() | float() as loss,
            "score": int() | float() | None as score,
            "step": int(step),
            "unit": str(unit),
        } if math.isfinite(loss) and math.isfinite(score or 0):
            return Result(loss, score, step, unit)
    return None
