"""How far off are forecasts of unseen values, beside the seasonal naive forecast, and Theta and ETS?

Each data set is a training file and a file of the values that followed, with the horizon and the minutes:
`python benchmarks/tasks_forecast.py m4-hourly-train.csv,m4-hourly-test.csv,48,3 air-train.csv,air-test.csv,36,0.5`.
`rnn train --task forecast` gets the training file, the horizon and the time, and nothing else but a seed.
`rnn evaluate` scores the other file. The worst of the seeds counts.

If statsforecast is installed, its Theta and AutoETS forecast the same series, `--rival-series` of them at most.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from common import options, report, table, version
from runs import rnn

from rnn_cli.tasks.forecast.scores import errors
from rnn_cli.tasks.forecast.series import read_series
from rnn_cli.tasks.forecast.windows import seasonal_scale

FIGURES = ("mape", "smape", "mase")


class DataSet(NamedTuple):
    """A training file, the values that followed, the horizon, and the minutes that are trained."""

    train: Path
    test: Path
    horizon: str
    minutes: str


def data_set(text: str) -> DataSet:
    """Return a data set of TRAIN,TEST,HORIZON,MINUTES."""
    train, test, horizon, minutes = text.split(",")
    return DataSet(Path(train), Path(test), horizon, minutes)


def rivals(data: DataSet, season: int, most: int) -> dict[str, dict[str, Any]]:
    """Return the errors of statsforecast's Theta and AutoETS; nothing if it is not installed."""
    try:
        from statsforecast.models import AutoETS, Theta
    except ImportError:
        return {}
    past, after = (read_series([str(path)]).series[:most] for path in (data.train, data.test))
    actual, scales = [each.values for each in after], [seasonal_scale(each.values, season) for each in past]
    found = {}
    for name, model in (("Theta", Theta(season)), ("ETS", AutoETS(season))):
        print(f"{name} of {len(past)} series ...", file=sys.stderr, flush=True)
        answers = [model.forecast(y=each.values, h=len(a))["mean"] for each, a in zip(past, actual)]
        found[f"{name}, {len(past)} series"] = errors(actual, [np.asarray(each) for each in answers], scales)
    return found


def shown(figures: dict[str, Any]) -> list[str]:
    """Return the figures of a row."""
    return ["" if figures[name] is None else f"{figures[name]:.3f}" for name in FIGURES]


def measure(data: DataSet, given: list[str], seeds: int, rival_series: int) -> list[list[str]]:
    """Return the rows of one data set."""
    outcomes: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        shutil.copy(data.train, folder / "train.csv")
        shutil.copy(data.test, folder / "test.csv")
        for seed in range(1, seeds + 1):
            print(f"{data.train.name}, {data.minutes} minutes, seed {seed} ...", file=sys.stderr, flush=True)
            command = ["train", "--task", "forecast", "train.csv", "--horizon", data.horizon, "--overwrite"]
            rnn(folder, *command, "--random-seed", str(seed), *(given or ["--minutes", data.minutes]))
            outcomes.append(json.loads(rnn(folder, "evaluate", "test.csv", "--json")))
        facts = json.loads(rnn(folder, "info", "--json"))
    worst = {
        name: None if outcomes[0][name] is None else max(outcome[name] for outcome in outcomes) for name in FIGURES
    }
    rows = {f"rnn, worst of {seeds}, {data.minutes} minutes": worst, "seasonal naive": outcomes[0]["baseline"]}
    rows |= rivals(data, facts["season"], rival_series) if rival_series else {}
    return [[f"{data.train.stem}, {data.horizon} steps: {name}", *shown(figures)] for name, figures in rows.items()]


def main() -> None:
    """Measure as the options say."""
    parser = options(__doc__, timed=False)
    parser.add_argument("data", nargs="+", type=data_set, metavar="TRAIN,TEST,HORIZON,MINUTES", help="a data set")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each data set (default: 3)")
    parser.add_argument("--rival-series", type=int, default=10_000, help="series for statsforecast; 0: none")
    chosen = parser.parse_args()
    given = ["--steps", "2"] if chosen.quick else []
    rows = [row for data in chosen.data for row in measure(data, given, chosen.seeds, chosen.rival_series)]
    note = f"statsforecast {version('statsforecast')}"
    report("tasks-forecast", [table(["data", "MAPE", "sMAPE", "MASE"], rows), note], chosen.save)


if __name__ == "__main__":
    main()
