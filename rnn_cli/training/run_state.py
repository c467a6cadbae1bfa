"""The state of a run of training: its reports, its counts, and all that its next step depends on."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from rnn_cli.bits import BITS_PER_NAT
from rnn_cli.config import Config, check_range, limited
from rnn_cli.network.pair_window import PairWindow
from rnn_cli.network.workspace import TrainingWindow
from rnn_cli.training.data_parallel import GroupedWindow

MOST_STEPS = 10**9
LARGEST = 1e300  # of a loss: finite, but a relu network may make it large


@dataclass(frozen=True)
class Report:
    """How the training stands.

    `loss` is the mean over the steps since the last report, in nats per unit of the task; the score is the task's.
    Without a held-out part, and between evaluations, `validation_loss` is None.
    """

    step: int
    epoch: float
    seconds: float
    units_per_second: float
    loss: float
    validation_loss: float | None
    learning_rate: float
    grad_norm: float
    validation_score: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the values as a JSON-ready dictionary."""
        return asdict(self)

    def in_bits(self, unit: str, score: str | None = None) -> dict[str, Any]:
        """Return the values as the log has them, with the losses in bits, too. `unit` and `score` are in their names.

        Without `score`, the task has none.
        """
        validation = self.validation_loss
        scored = {} if score is None else {f"validation_{score}": self.validation_score}
        return {
            "step": self.step,
            "epoch": self.epoch,
            "seconds": self.seconds,
            f"{unit}s_per_second": self.units_per_second,
            "loss": self.loss,
            f"bits_per_{unit}": self.loss * BITS_PER_NAT,
            "validation_loss": validation,
            f"validation_bits_per_{unit}": None if validation is None else validation * BITS_PER_NAT,
            **scored,
            "learning_rate": self.learning_rate,
            "grad_norm": self.grad_norm,
        }

    @classmethod
    def from_bits(cls, values: Mapping[str, Any], unit: str, score: str | None = None) -> Report:
        """Build a report from what `in_bits` returned. Raises KeyError, TypeError or UsageError if it is damaged."""
        own = dict(values)
        del own[f"bits_per_{unit}"], own[f"validation_bits_per_{unit}"]
        own["units_per_second"] = own.pop(f"{unit}s_per_second")
        if score is not None:
            own["validation_score"] = own.pop(f"validation_{score}")
        return cls.from_dict(own)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Report:
        """Build a report from what `to_dict` returned. Raises TypeError or UsageError if it is damaged."""
        report = cls(**values)
        for name, value in asdict(report).items():
            if value is not None or not name.startswith("validation"):
                check_range(name, value, -LARGEST, LARGEST)
        return report


@dataclass
class Progress(Config):
    """The counts of a run.

    begun                  the step with which the network that is trained now began; others were trained before it
    total_steps            the step at which it ends
    overhead               the part of `seconds` that was spent on compiling and setting up, and on steps undone
    best_loss, best_score  of the best model so far; None before there is one, or if the task has no such figure
    rate_factor            multiplies the rate of the schedule
    averaged               the steps whose parameters are in the average
    loss_sum, loss_count   nats and units since the last report
    """

    step: int = limited(0, MOST_STEPS, 0)
    total_steps: int | None = limited(1, MOST_STEPS)
    seconds: float = limited(0.0, 1e12, 0.0)
    overhead: float = limited(0.0, 1e12, 0.0)
    best_loss: float | None = limited(0.0, LARGEST)
    best_step: int = limited(0, MOST_STEPS, 0)
    evaluations_without_gain: int = limited(0, MOST_STEPS, 0)
    rate_factor: float = limited(0.0, 1.0, 1.0)
    rollbacks: int = limited(0, MOST_STEPS, 0)
    averaged: int = limited(0, MOST_STEPS, 0)
    loss_sum: float = limited(0.0, LARGEST, 0.0)
    loss_count: int = limited(0, 10**18, 0)
    best_score: float | None = limited(-LARGEST, LARGEST)
    begun: int = limited(0, MOST_STEPS, 0)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Progress:
        """Build the counts from a dictionary of its fields; older files lack the last ones."""
        progress: Progress = super().from_dict({"best_score": None, "begun": 0, **values})
        return progress


class StepResult(NamedTuple):
    """What a step came to: its mean loss in nats per unit, the norm of its gradient, its rate, the units scored."""

    loss: float
    norm: float
    rate: float
    scored: int


class Judgement(NamedTuple):
    """The validation loss of some parameters, in nats per unit, and the score of their task, None if it has none."""

    loss: float
    score: float | None = None

    def beats(self, other: Judgement | None) -> bool:
        """Say whether these parameters are better: by the score, and by the loss if the scores are equal."""
        if other is None or not math.isfinite(self.loss):
            return other is None
        if self.score is None or other.score is None or self.score == other.score:
            return self.loss < other.loss
        return self.score > other.score


class Meter:
    """Counts the units since the last report. The first step of a run, which compiles, does not count."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock, self.first = clock, True
        self.restart()

    def restart(self) -> None:
        """Count from now on."""
        self._units, self._since, self._now = 0, self._clock(), 0.0

    def add(self, units: int, now: float) -> None:
        """Count the units of a step that ended now."""
        self._units, self._now = self._units + units, now
        if self.first:
            self._units, self._since, self.first = 0, now, False

    @property
    def units_per_second(self) -> float:
        """The speed up to the last step."""
        return self._units / max(self._now - self._since, 1e-9)


class RunState(NamedTuple):
    """All that the next step of a run depends on, as it is saved."""

    tensors: Mapping[str, np.ndarray]
    progress: Progress

    @classmethod
    def of(cls, window: TrainingWindow | PairWindow | GroupedWindow, progress: Progress) -> RunState:
        """Return a copy of the state of a run."""
        compact = window.model.layout.compact
        tensors = {name: compact(vector) for name, vector in vectors(window, progress).items()}
        return cls(tensors | {"state": window.state.copy()}, replace(progress))

    def restore(self, window: TrainingWindow | PairWindow | GroupedWindow) -> Progress:
        """Put the tensors back and return the counts. Raises KeyError or ValueError if the tensors do not fit."""
        layout, states = window.model.layout, window.state
        size = layout.compact(window.model.parameters).size
        for name, vector in vectors(window, self.progress).items():
            layout.expand(vector, self._tensor(name, (size,)))
        states[:] = self._tensor("state", states.shape)
        return replace(self.progress)

    def _tensor(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        found = self.tensors[name]
        if found.shape != shape or found.dtype != np.float32:
            raise ValueError(f"the tensor {name}")
        return found


def vectors(window: TrainingWindow | PairWindow | GroupedWindow, progress: Progress) -> dict[str, np.ndarray]:
    """Return the flat vectors of the parameters, and of what has their layout, that a run uses."""
    used = {"parameters": window.model.parameters, "moment1": window.moments[0], "moment2": window.moments[1]}
    return used | ({"average": window.average} if progress.averaged else {})
