"""Where a run of training stands: its reports, its counts, and all that its next step depends on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from rnn_cli.config import Config, check_range, limited
from rnn_cli.network.workspace import TrainingWindow

MOST_STEPS = 10**9
LARGEST = 1e300  # of a loss, which is finite but may be as large as a network of relu makes it


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

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Report:
        """Build a report from what `to_dict` returned. Raises TypeError or UsageError for anything else."""
        report = cls(**values)
        for name, value in asdict(report).items():
            if value is not None or not name.startswith("validation"):
                check_range(name, value, -LARGEST, LARGEST)
        return report


@dataclass
class Progress(Config):
    """The counts of a run.

    `overhead` is the part of `seconds` that was spent on compiling and setting up, at each start, and on steps that
    were undone. The rate of the schedule is multiplied by `rate_factor`. `averaged` counts the steps whose parameters
    are in the average.
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


class RunState(NamedTuple):
    """All that the next step of a run depends on, as it is saved."""

    tensors: Mapping[str, np.ndarray]
    progress: Progress

    @classmethod
    def of(cls, window: TrainingWindow, progress: Progress) -> RunState:
        """Return a copy of the state of a run."""
        compact = window.model.layout.compact
        tensors = {name: compact(vector) for name, vector in vectors(window, progress).items()}
        return cls(tensors | {"state": window.state.copy()}, replace(progress))

    def restore(self, window: TrainingWindow) -> Progress:
        """Put the tensors back and return the counts. Raises KeyError or ValueError for tensors that do not fit."""
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


def vectors(window: TrainingWindow, progress: Progress) -> dict[str, np.ndarray]:
    """Return the flat vectors of the parameters, and of what has their layout, that a run uses."""
    used = {"parameters": window.model.parameters, "moment1": window.moments[0], "moment2": window.moments[1]}
    return used | ({"average": window.average} if progress.averaged else {})
