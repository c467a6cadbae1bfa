"""rnn train --task forecast, rnn forecast and rnn evaluate, as a user runs them."""

import csv
import io
import json
import signal

import numpy as np
import pytest
from commands import run, run_on_terminal, stop_training
from made_series import months, seasonal, wide

from rnn_cli.checkpoint.checkpoint import load_checkpoint

SMALL = ["--task", "forecast", "--hidden-size", 8, "--random-seed", 1, "--horizon", 6]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with series of 96 months, their next 6 months, and two forecasters."""
    folder = tmp_path_factory.mktemp("forecast")
    values = {"a": seasonal(102, 12), "b,c": 100 * seasonal(102, 12, seed=1)}
    stamps = months(102)
    (folder / "train.csv").write_text(wide({"a": values["a"][:96], '"b,c"': values["b,c"][:96]}, stamps[:96]))
    (folder / "test.csv").write_text(wide({"a": values["a"][96:], '"b,c"': values["b,c"][96:]}, stamps[96:]))
    for name, options in (("mean", []), ("quantiles", ["--quantiles", "0.1,0.5,0.9"])):
        done = run("train", "train.csv", "-m", name, "--epochs", 30, *SMALL, *options, cwd=folder)
        assert done.code == 0, done.stderr
    return folder


def rows(done):
    assert done.code == 0, done.stderr
    return list(csv.reader(io.StringIO(done.text)))


def test_a_run_says_what_it_chose_and_the_baseline(place):
    done = run("train", "train.csv", "-m", "again", "--steps", 3, *SMALL, cwd=place)
    assert done.code == 0
    assert "train.csv: 2 series, 192 values, read as one column a series" in done.stderr
    assert "season            12       steps: a year, as the times are 1 month apart" in done.stderr
    assert "held out to validate: the last 6 values of each series" in done.stderr
    assert "MASE " in done.stderr
    assert "; the seasonal naive forecast would have " in done.stderr
    assert "bits" not in done.stderr
    assert "nats" not in done.stderr


def test_forecasts_are_csv_with_the_next_times(place):
    found = rows(run("forecast", "-m", "mean", cwd=place))
    assert found[0] == ["unique_id", "ds", "forecast"]
    assert [row[:2] for row in found[1:8]] == [["a", stamp] for stamp in months(102)[96:]] + [["b,c", "1998-01"]]
    assert rows(run("forecast", "train.csv", "-m", "mean", cwd=place)) == found
    text = (place / "train.csv").read_bytes()
    assert rows(run("forecast", "-", "-m", "mean", stdin=text, cwd=place)) == found
    assert len(rows(run("forecast", "-m", "mean", "--horizon", 2, cwd=place))) == 5


def test_quantiles_have_columns(place):
    found = rows(run("forecast", "-m", "quantiles", cwd=place))
    assert found[0] == ["unique_id", "ds", "forecast", "q10", "q50", "q90"]
    for row in found[1:]:
        low, middle, high = map(float, row[3:])
        assert low <= middle == float(row[2]) <= high


def test_a_plot_has_axes(place):
    done = run("forecast", "-m", "mean", "--plot", cwd=place)
    lines = done.text.split("\n")
    assert done.code == 0
    assert lines[0] == "a"
    assert lines.count("b,c") == 1
    assert lines[9].split() == ["1995-01", "1997-12", "1998-06"]
    assert all("|" in line for line in lines[1:9])
    assert all(len(line) <= 80 for line in lines)


def test_scores_are_those_of_what_came(place):
    scores = json.loads(run("evaluate", "test.csv", "-m", "quantiles", "--json", cwd=place).text)
    names = {"model", "series", "points", "mae", "rmse", "mape", "smape", "mase", "coverage", "continued", "baseline"}
    assert set(scores) == names
    assert (scores["series"], scores["points"], scores["continued"]) == (2, 12, 2)
    forecasts = {(row[0], row[1]): float(row[2]) for row in rows(run("forecast", "-m", "quantiles", cwd=place))[1:]}
    actual = list(csv.reader(io.StringIO((place / "test.csv").read_text())))
    errors = [
        abs(float(value) - forecasts[name, row[0]]) for row in actual[1:] for name, value in zip(actual[0][1:], row[1:])
    ]
    assert scores["mae"] == pytest.approx(np.mean(errors), rel=1e-5)
    shown = run("evaluate", "test.csv", "-m", "quantiles", cwd=place)
    assert "seasonal naive forecast: " in shown.text
    assert "coverage" in shown.text
    assert "2 series continue those of the training" in shown.stderr
    own = json.loads(run("evaluate", "train.csv", "-m", "mean", "--json", cwd=place).text)
    assert (own["continued"], own["coverage"]) == (0, None)


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_change_nothing(place, threads):
    expected = run("forecast", "-m", "mean", "--threads", 1, cwd=place)
    assert run("forecast", "-m", "mean", "--threads", threads, cwd=place).stdout == expected.stdout


def test_a_run_that_is_stopped_continues(place, tmp_path):
    options = ["--epochs", 400, *SMALL, "-m", tmp_path / "stopped", place / "train.csv"]
    done, _ = stop_training(signal.SIGINT, *options, cwd=tmp_path)
    assert done.code == 130
    assert "continue with: rnn train --resume" in done.stderr
    assert run("train", "--resume", "-m", tmp_path / "stopped", cwd=tmp_path).code == 0
    whole = run("train", *options[:-3], "-m", tmp_path / "whole", place / "train.csv", cwd=tmp_path)
    assert whole.code == 0
    stopped, whole = (load_checkpoint(tmp_path / name).parameters for name in ("stopped", "whole"))
    assert all(np.array_equal(stopped[name], whole[name]) for name in whole)


def test_a_forecaster_is_trained_further(place):
    done = run("train", "train.csv", "--task", "forecast", "--from", "mean", "-m", "further", "--steps", 5, cwd=place)
    assert done.code == 0, done.stderr
    assert load_checkpoint(place / "further").config == load_checkpoint(place / "mean").config
    done = run("train", "train.csv", *SMALL, "--from", "mean", "-m", "x", "--horizon", 5, "--steps", 5, cwd=place)
    assert done.code == 2
    assert "--horizon contradicts the model mean, which fixes it; leave it out" in done.stderr


def test_a_dry_run_and_minutes(place):
    done = run("train", "train.csv", *SMALL, "--minutes", 0.01, "--dry-run", "-m", "dry", cwd=place)
    assert done.code == 0
    assert "steps per second" in done.text
    assert not (place / "dry").exists()
    done = run("train", "train.csv", *SMALL, "--minutes", 0.01, "--log", "log", "-m", "timed", cwd=place)
    assert done.code == 0
    assert json.loads((place / "log").read_text().split("\n")[0])["step"] > 0


def test_a_forecaster_is_described(place):
    facts = json.loads(run("info", "quantiles", "--json", cwd=place).text)
    assert (facts["task"], facts["season"], facts["horizon"]) == ("forecast", 12, 6)
    assert (facts["quantiles"], facts["series"]) == ("0.1, 0.5, 0.9", 2)
    assert run("info", "mean", cwd=place).code == 0


@pytest.mark.parametrize(
    "command, message",
    [
        (["forecast", "-m", "mean", "--horizon", 7], "--horizon must be a whole number from 1 to 6, not 7"),
        (
            ["forecast", "short.csv", "-m", "mean"],
            "the series 'y' has 2 values, and a forecast with a season of 12 needs",
        ),
        (["forecast", "words.csv", "-m", "mean"], "words.csv, line 3 has 'x', which is not a number"),
        (["evaluate", "short.csv", "-m", "mean"], "the series 'y' has 2 values, and the model, which does not know"),
        (["sample", "-m", "mean"], "this model forecasts; use rnn forecast"),
        (["train", "short.csv", "--task", "forecast", "-m", "new"], "the longest series, 'y', has 2 values"),
        (["train", "train.csv", *SMALL, "--season", 90, "-m", "new"], "needs 103"),
        (["train", "train.csv", *SMALL, "--words", "-m", "new"], "--words is"),
        (["train", "train.csv", *SMALL, "--directions", 2, "-m", "new"], "--directions 2 would read the values"),
        (["train", "train.csv", *SMALL, "--quantiles", "0.9,0.1", "-m", "new"], "--quantiles must rise"),
        (["train", "train.csv", *SMALL, "--quantiles", "a", "-m", "new"], "--quantiles must be levels"),
        (["train", "train.csv", "--horizon", 5, "-m", "new"], "--horizon is for --task forecast"),
        (["train", "train.csv", *SMALL, "--validation-fraction", 0.1, "-m", "new"], "--validation-fraction is not for"),
    ],
    ids=lambda value: None if isinstance(value, str) else " ".join(map(str, value[:2])),
)
def test_what_cannot_be_forecast_is_refused(place, command, message):
    (place / "short.csv").write_text("1\n2\n")
    (place / "words.csv").write_text("time,a\n1,1\n2,x\n")
    done = run(*command, cwd=place)
    assert (done.code, done.stdout) == (2, b"")
    assert message in done.stderr


def test_names_are_harmless_on_a_terminal(place, tmp_path):
    text = (place / "train.csv").read_text().replace("time,a", "time,\x1b[2Ja")
    (tmp_path / "train.csv").write_text(text)
    done = run_on_terminal("forecast", tmp_path / "train.csv", "-m", place / "mean")
    assert done.code == 0
    assert b"\x1b" not in done.stdout
