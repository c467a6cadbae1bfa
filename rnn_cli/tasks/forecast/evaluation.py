"""Forecasts against what came: of the series that a model knows, or of the last horizon of series that have a past."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from rnn_cli.checkpoint.checkpoint import Checkpoint
from rnn_cli.errors import UsageError
from rnn_cli.tasks.forecast.forecaster import Description, Forecaster, read_description
from rnn_cli.tasks.forecast.scores import NAIVE, coverage, errors
from rnn_cli.tasks.forecast.series import Series
from rnn_cli.tasks.forecast.times import follows
from rnn_cli.tasks.forecast.windows import seasonal_naive, seasonal_scale


class Case(NamedTuple):
    """What is known of a series, the scale of that, and the values that came."""

    past: Series
    scale: float
    actual: np.ndarray


def case_of(about: Description, series: Series) -> Case:
    """Return what is forecast of a series of a file.

    If the model knows the beginning of the series, and the times come after it, or these are no more values than a
    horizon, they continue it. Else the last horizon is forecast from the values before it. Raises UsageError if these
    are too few.
    """
    shape, known = about.shape, about.known.get(series.name)
    if known and (follows(series.stamps[0], known.series.stamps[-1]) or len(series) <= shape.horizon):
        return Case(known.series, known.scale, series.values[: shape.horizon])
    past = series.before(max(0, len(series) - shape.horizon))
    if len(past) <= shape.first:
        raise UsageError(
            f"the series '{series.name}' has {len(series):,} values, and the model, which does not know its beginning, "
            f"needs {shape.first + 1 + shape.horizon:,}; give more of it"
        )
    return Case(past, seasonal_scale(past.values, shape.season), series.values[-shape.horizon :])


def evaluate_series(checkpoint: Checkpoint, series: Sequence[Series], threads: int = 1) -> dict[str, Any]:
    """Return the scores of the forecasts of some series, JSON-ready, and those of the seasonal naive forecast.

    `continued` counts the series whose beginning the model knew.
    """
    about = read_description(checkpoint)
    cases = [case_of(about, each) for each in series]
    forecaster = Forecaster.of_checkpoint(checkpoint, threads)
    found = forecaster.forecast([case.past for case in cases], [case.scale for case in cases])
    cut = [values[: len(case.actual)] for case, values in zip(cases, found)]
    actual, scales = [case.actual for case in cases], [case.scale for case in cases]
    middle, season = Forecaster.middle_of(forecaster.levels), about.shape.season
    naive = [seasonal_naive(case.past.values, season, len(case.actual)) for case in cases]
    known = {id(each.series) for each in about.known.values()}
    return {
        "series": len(cases),
        "points": sum(map(len, actual)),
        **errors(actual, [values[:, middle] for values in cut], scales),
        "coverage": coverage(actual, cut),
        "continued": sum(id(case.past) in known for case in cases),
        "baseline": {"name": NAIVE, **errors(actual, naive, scales)},
    }
