"""Start a run of `rnn train --task forecast`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from rnn_cli.checkpoint.checkpoint import Checkpoint
from rnn_cli.cli.train.request import TrainRequest
from rnn_cli.cli.train.starting import say_network
from rnn_cli.config import check_range
from rnn_cli.display.progress import TrainingDisplay
from rnn_cli.errors import UsageError
from rnn_cli.tasks.forecast.autoconfig import choose
from rnn_cli.tasks.forecast.forecaster import read_description
from rnn_cli.tasks.forecast.seasons import LONGEST_HORIZON, LONGEST_SEASON, choose_seasons
from rnn_cli.tasks.forecast.series import read_series
from rnn_cli.tasks.forecast.task import ForecastTask, first_weights
from rnn_cli.tasks.forecast.windows import Shape
from rnn_cli.training.trainer import Trainer

INHERITED = ("cell", "activation", "hidden_size", "num_layers")  # of the model that a run starts from
TEXT_OPTIONS = (
    *("as_bytes", "line_mode", "paragraphs", "whole_files", "column", "min_count", "words", "vocabulary", "tokens"),
    *("augment", "reset_chance", "matches", "fingerprint", "counts", "readout"),
    *("validation_fraction", "validation_files"),
)


def start(
    request: TrainRequest, base: Checkpoint | None, threads: int, display: TrainingDisplay
) -> tuple[Trainer, TrainRequest]:
    """Read the series, say what is chosen, and return the trainer and the request."""
    check(request)
    levels = quantile_levels(request.quantiles)
    if base:
        request, levels = inherit(request, base, levels)
    data = read_series(request.files)
    seasons = choose_seasons(data.series, request.season, request.horizon)
    shape = Shape(seasons.season, seasons.longer, seasons.horizon)
    if base:
        shape = read_description(base).shape
        display.note(f"starting from {request.base}, with its season and its horizon")
    task = ForecastTask(data.name, data.series, shape)
    display.note(f"{data.name}: {len(data.series):,} series, {data.points:,} values, read as {data.kind}")
    for each in task.left_out[:1]:
        display.note(f"{len(task.left_out):,} series are too short to learn from, as '{each.name}' with {len(each):,}")
    display.note(f"season            {shape.season:<9,}{seasons.season_reason}")
    if shape.longer:
        display.note(f"longer season     {shape.longer:<9,}steps: the series repeat at this lag, too")
    display.note(f"horizon           {shape.horizon:<9,}{seasons.horizon_reason}")
    display.note(f"held out to validate: the last {shape.horizon:,} values of each series")
    given: dict[str, Any] = {**request.values, "random_seed": request.random_seed, "quantiles": levels}
    choice = choose(task, given, fine_tuning=base is not None)
    for line in choice.reasons:
        display.note(line)
    task = ForecastTask(data.name, data.series, shape, choice.model, choice.training.sequence_length)
    say_network(task, choice.training, threads, display)
    first = base.parameters if base else first_weights(task.network, choice.training.random_seed)
    return Trainer(task, choice.training, threads, start=first), request


def reread(request: TrainRequest, checkpoint: Checkpoint) -> ForecastTask:
    """Return the task of a run that is resumed."""
    about, data = read_description(checkpoint), read_series(request.files)
    return ForecastTask(data.name, data.series, about.shape)


def check(request: TrainRequest) -> None:
    """Raise UsageError for values that mean nothing to a forecaster."""
    for name in TEXT_OPTIONS:
        if name in request.given():
            raise UsageError(f"`{name}` is not for learning to forecast; leave it out")
    if request.values.get("directions", 1) != 1:
        raise UsageError("`directions=2` would read the values that the model has to forecast; leave it out")
    for name, most in (("season", LONGEST_SEASON), ("horizon", LONGEST_HORIZON)):
        if (value := getattr(request, name)) is not None:
            check_range(name, value, 1, most)


def quantile_levels(text: str | None) -> tuple[float, ...]:
    """Return the levels in a text such as 0.1,0.5,0.9. Raises UsageError for another text."""
    if text is None:
        return ()
    try:
        levels = tuple(float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"`quantiles` must be levels between 0 and 1, as 0.1,0.5,0.9, not {text}") from None
    for level in levels:
        check_range("quantiles", level, 0.001, 0.999)
    if list(levels) != sorted(set(levels)):
        raise UsageError(f"`quantiles` must rise, as 0.1,0.5,0.9, not {text}")
    return levels


def inherit(
    request: TrainRequest, base: Checkpoint, levels: tuple[float, ...]
) -> tuple[TrainRequest, tuple[float, ...]]:
    """Take what another forecaster fixes. Raises UsageError for other values."""
    path, about = request.base or Path(), read_description(base)
    season, horizon = about.shape.season, about.shape.horizon
    config = base.config.to_dict()
    fixed = {name: config[name] for name in INHERITED}
    given = {"season": request.season, "horizon": request.horizon, "quantiles": levels or None, **request.values}
    for name, value in {**fixed, "season": season, "horizon": horizon, "quantiles": base.config.quantiles}.items():
        if given.get(name) not in (None, value):
            raise UsageError(f"`{name}` contradicts the model {path}, which fixes it; leave it out")
    values = {**request.values, **fixed, "sequence_length": about.context}
    return replace(request, values=values, season=season, horizon=horizon), base.config.quantiles
