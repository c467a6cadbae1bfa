"""The curves of a training: from a model file, which has its evaluations, or from a log, which has all its reports."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rnn_cli.checkpoint.checkpoint import LANGUAGE, Checkpoint, load_checkpoint
from rnn_cli.errors import UsageError

Over = Literal["step", "epoch", "seconds", "characters"]
UNITS = {"classify": "label", "tag": "tag"}  # what a loss is per, by the name of the task
ANY = "unit"  # of a loss that is not in nats: of numbers
LARGEST = 1e99  # values beyond it cannot be drawn
MOST_LOG_BYTES = 1 << 28


@dataclass(frozen=True)
class Curve:
    """Points (x, y) in the order of x, all finite, and the name that the legend gives them."""

    name: str
    points: tuple[tuple[float, float], ...]
    dashed: bool = False


@dataclass(frozen=True)
class Panel:
    """Curves over one pair of axes, whose titles have units. `logarithmic` is about y; then every y is positive."""

    title: str
    x_title: str
    y_title: str
    curves: tuple[Curve, ...]
    logarithmic: bool = False

    @property
    def y_label(self) -> str:
        """The title of y, with its scale."""
        return f"{self.y_title} (log scale)" if self.logarithmic else self.y_title


@dataclass(frozen=True)
class Run:
    """A training.

    reports               as the log has them: step, epoch, seconds, loss, validation_loss, learning_rate, grad_norm
    unit                  what a loss is per, in nats
    characters_per_step   None if that is not known
    """

    name: str
    reports: Sequence[Mapping[str, Any]]
    unit: str = "character"
    characters_per_step: int | None = None


def load_run(path: str) -> Run:
    """Read the run in a model file or in a log of a training.

    Raises CheckpointError if there is no such file or the model is damaged, UsageError if it holds no reports.
    """
    name = os.path.basename(path)
    if (reports := log_reports(path)) is not None:
        return Run(name, reports, log_unit(reports))
    return run_of(load_checkpoint(path).as_one_network(), name)


def run_of(checkpoint: Checkpoint, name: str) -> Run:
    """Return the run that a model file records. Raises UsageError if it records none."""
    reports = [report for report in checkpoint.record.get("history", []) if isinstance(report, dict)]
    if not reports:
        raise UsageError(f"{name} records no reports of its training; give its log")
    training, task = checkpoint.record.get("training", {}), checkpoint.task["name"]
    sizes = [training.get("batch_size"), training.get("sequence_length")]
    known = task == LANGUAGE and all(isinstance(size, int) and 0 < size <= 4096 for size in sizes)
    return Run(name, reports, UNITS.get(task) or log_unit(reports), math.prod(sizes) if known else None)


def log_reports(path: str) -> list[dict[str, Any]] | None:
    """Return the reports of a log, or None for a file that does not begin like one."""
    try:
        with open(path, "rb") as file:
            if not file.read(2).startswith(b'{"'):  # a model file begins with the size of its header
                return None
            file.seek(0)
            lines = file.read(MOST_LOG_BYTES).splitlines()
    except OSError:
        return None  # load_checkpoint says what is wrong
    reports = []
    for number, line in enumerate(lines, 1):
        try:
            report = json.loads(line)
        except (ValueError, RecursionError):
            report = None
        if isinstance(report, dict) and "step" in report:
            reports.append(report)
        elif number < len(lines) or number == 1:  # the last line of a run that goes on may be incomplete
            raise UsageError(f"{path} is not the log of a training (line {number:,}); give a model or a log")
    return reports


def log_unit(reports: Sequence[Mapping[str, Any]]) -> str:
    """Return what a loss of a log is per, which the name of its speed says."""
    for name in reports[0] if reports else ():
        if name.endswith("s_per_second") and name != "units_per_second":
            unit = name.removesuffix("s_per_second")
            return {"char": "character"}.get(unit, unit)
    return ANY


def values_of(run: Run, name: str, over: Over) -> tuple[tuple[float, float], ...]:
    """Return (x, y) of the reports that have both as finite numbers. Raises UsageError if x is not known."""
    if over == "characters" and run.characters_per_step is None:
        raise UsageError(f'`over="characters"` needs the model file of a language model, unlike {run.name}; use "step"')
    scale = (run.characters_per_step or 1) if over == "characters" else 1
    points = []
    for report in run.reports:
        x, y = report.get("step" if over == "characters" else over), report.get(name)
        if isinstance(x, int | float) and isinstance(y, int | float) and abs(x) < LARGEST and abs(y) < LARGEST:
            points.append((float(x) * scale, float(y)))
    return tuple(sorted(points, key=lambda point: point[0]))


def panels_of(runs: Sequence[Run], over: Over = "step") -> list[Panel]:
    """Return the curves of some runs: loss and validation, learning rate, gradient norm.

    Raises UsageError if there is nothing to draw, or losses are per different units.
    """
    units = {run.unit for run in runs}
    if len(units) > 1:
        raise UsageError(f"these losses are per {' and per '.join(sorted(units))}, so one picture cannot compare them")
    x_title = {"step": "steps", "seconds": "time (s)", "epoch": "epochs", "characters": "characters read"}[over]
    losses: list[Curve] = []
    for run in runs:
        prefix = f"{run.name}, " if len(runs) > 1 else ""
        for name, words in (("loss", "training"), ("validation_loss", "validation")):
            if points := values_of(run, name, over):
                losses.append(Curve(prefix + words, points, dashed=name == "loss"))
    if not losses:
        raise UsageError(f"{runs[0].name} holds no losses that could be drawn; train for longer")
    (unit,) = units
    panels = [Panel("Loss", x_title, "loss" if unit == ANY else f"nats per {unit}", tuple(losses))]
    for name, title, y_title, logarithmic in (
        ("learning_rate", "Learning rate", "step size", False),
        ("grad_norm", "Gradient before clipping", "norm", True),
    ):
        curves = []
        for run in runs:
            points = tuple(point for point in values_of(run, name, over) if point[1] > 0 or not logarithmic)
            curves += [Curve(run.name, points)] if points else []
        if curves:
            panels.append(Panel(title, x_title, y_title, tuple(curves), logarithmic))
    return panels
