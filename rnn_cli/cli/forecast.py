"""rnn forecast: series and a model -> the values to come."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Annotated

import typer

from rnn_cli.cli.options import DEFAULT_MODEL, ModelPath, Quiet, Threads, announce_compiling, thread_count
from rnn_cli.config import check_range
from rnn_cli.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

    from rnn_cli.tasks.forecast.series import Series

MOST_STEPS = 1000  # as in tasks/forecast/seasons.py, which loads NumPy
SHOWN_SEASONS = 3  # of the past, in a plot


def forecast(
    file: Annotated[
        str | None, typer.Argument(help="The series to continue, or - for stdin; default: those of the training.")
    ] = None,
    model: ModelPath = DEFAULT_MODEL,
    horizon: Annotated[
        int | None, typer.Option("--horizon", help="Values of each series; default: as many as were trained.")
    ] = None,
    plot: Annotated[bool, typer.Option("--plot", help="Plot each series with its forecast instead.")] = False,
    jsonl: Annotated[bool, typer.Option("--jsonl", help="Print a JSON object for each value instead.")] = False,
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Forecast the values that follow series of numbers.

    Prints CSV: unique_id, ds (the time), forecast, and the quantiles if the model has some.

    Example: rnn forecast visitors.csv -m forecaster.safetensors
    """
    if plot and jsonl:
        raise UsageError("--plot and --jsonl contradict each other; give one of them")
    if horizon is not None:
        check_range("horizon", horizon, 1, MOST_STEPS)
    cores = thread_count(threads, quiet)

    from rnn_cli.checkpoint.checkpoint import load_checkpoint
    from rnn_cli.display.stdout import TextWriter
    from rnn_cli.tasks.forecast.forecaster import Forecaster, objects_of, read_description
    from rnn_cli.tasks.forecast.series import read_series

    checkpoint = load_checkpoint(model)
    about = read_description(checkpoint)
    steps = about.shape.horizon if horizon is None else horizon
    check_range("horizon", steps, 1, about.shape.horizon)
    scales = None
    if file is not None:
        series = read_series([file]).series
    elif about.known:
        series = [known.series for known in about.known.values()]
        scales = [known.scale for known in about.known.values()]
    else:
        raise UsageError("the series of the training were too many to keep in the model; name a file")
    announce_compiling(quiet)
    forecaster = Forecaster.of_checkpoint(checkpoint, cores)
    found = forecaster.forecast(series, scales)[:, :steps]
    writer = TextWriter()
    if plot:
        middle = Forecaster.middle_of(forecaster.levels)
        for each, values in zip(series, found):
            writer.write_line(plot_of(each, values, middle, SHOWN_SEASONS * about.shape.season))
    else:
        names = ["unique_id", "ds", "forecast", *(f"q{100 * level:g}" for level in forecaster.levels)]
        if not jsonl:
            writer.write(line_of(names))
        for each, values in zip(series, found):
            for row in objects_of(each, values, forecaster.levels):
                if jsonl:
                    writer.write_line(json.dumps(row))
                else:
                    numbers = [f"{row[name]:.8g}" for name in names[2:]]
                    writer.write(line_of([row["unique_id"], row["ds"], *numbers]))
    writer.close()


def line_of(cells: list[str]) -> bytes:
    """Return a line of CSV, with quotes if a name needs them."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue().encode()


def plot_of(series: Series, found: np.ndarray, middle: int, past: int) -> str:
    """Return a plot of the end of a series and its forecast (h, Q), which a bar sets off, with axes."""
    from rnn_cli.display.tables import forecast_plot
    from rnn_cli.tasks.forecast.times import continued

    values = series.values[-max(past, 2 * len(found)) :]
    now, step = series.stamps[-1], series.step
    try:
        first = [now, *continued(now, step._replace(size=-step.size), len(values) - 1)][-1]
        last = continued(now, step, len(found))[-1]
    except ValueError:
        first = last = ""  # beyond the calendar
    return forecast_plot(series.name, values.tolist(), found[:, middle].tolist(), (first, now, last))
