"""rnn plot: runs from models and logs, axes, and pictures in the terminal, as SVG and as PNG."""

from __future__ import annotations

import json
import math
import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from commands import SMALL, STREAM_TEXT, Result, run

from rnn_cli.display.plots import plot
from rnn_cli.errors import UsageError
from rnn_cli.inspect.axes import axis_for
from rnn_cli.inspect.runs import Curve, Panel, Run, load_run, panels_of
from rnn_cli.inspect.svg import svg_of

SVG = "{http://www.w3.org/2000/svg}"
FALLING = Panel("Loss", "steps", "nats", (Curve("one", ((0.0, 4.0), (50.0, 2.0), (100.0, 1.0))),))
TWO = Panel("Loss", "steps", "nats", (*FALLING.curves, Curve("two\x1b\u202e", ((0.0, 1.0), (100.0, 4.0)))))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with a model and its log."""
    directory = tmp_path_factory.mktemp("plot")
    (directory / "text").write_text(STREAM_TEXT, "utf-8")
    arguments = ["--validation-fraction", 0.2, "--steps", 250, "--log", "log", "-q"]
    done = run("train", "text", *SMALL, *arguments, cwd=directory)
    assert done.code == 0, done.stderr
    return directory


def plotted(place: Path, *arguments: object) -> Result:
    """Run rnn plot, which must succeed."""
    done = run("plot", *arguments, cwd=place)
    assert done.code == 0, done.stderr
    return done


def test_model_and_log_agree_at_evaluations(place: Path) -> None:
    model, log = load_run(str(place / "model.safetensors")), load_run(str(place / "log"))
    assert (model.unit, log.unit) == ("character", "character")
    evaluated = [report for report in log.reports if report["validation_loss"] is not None]
    assert [r["validation_loss"] for r in model.reports] == [r["validation_loss"] for r in evaluated]
    assert len(log.reports) > len(evaluated) > 1


def test_plot_has_axes_units_and_letters(place: Path) -> None:
    lines = plotted(place, "model.safetensors", "log", "--show", "loss").text.splitlines()
    assert lines[0] == "Loss: nats per character"
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 24
    assert any(line.strip() == "steps" for line in lines)
    legend = [line for line in lines if " to " in line]
    assert [line.split(":")[0] for line in legend] == [
        "a model.safetensors, training",
        "b model.safetensors, validation",
        "c log, training",
        "d log, validation",
    ]
    assert set("abcd") <= set("".join(line.rsplit(" ", 1)[-1] for line in lines if "\u2502" in line))


def test_characters_count_what_was_read(place: Path) -> None:
    run_read = load_run(str(place / "model.safetensors"))
    last = panels_of([run_read], "characters")[0].curves[0].points[-1][0]
    assert last == 250 * 4 * 8
    failed = run("plot", "log", "--over", "characters", cwd=place)
    assert failed.code == 2
    assert "--over step" in failed.stderr or "--over characters" in failed.stderr


def test_falling_curve_goes_from_top_left_to_bottom_right() -> None:
    lines = plot([FALLING], 60, ascii_only=True).splitlines()
    rows = [line.split("|")[1] for line in lines if "|" in line]
    assert rows[0].startswith("a")
    assert rows[-1].endswith("a")
    assert [row.index("a") for row in rows] == sorted(row.index("a") for row in rows)


def test_colour_adds_nothing_but_colour() -> None:
    coloured = plot([TWO], 60, colour=True, ascii_only=False)
    assert re.sub(r"\x1b\[\d+m", "", coloured) == plot([TWO], 60, ascii_only=False)
    assert "\x1b" in coloured
    assert "\u202e" not in coloured


@pytest.mark.parametrize("low, high", [(0.0, 1.0), (2.31, 2.72), (1e-9, 3e-9), (5.0, 5.0), (-3.0, 1e6), (0.0, 0.0)])
@pytest.mark.parametrize("logarithmic", [False, True])
def test_axis_holds_all_values_between_its_ticks(low: float, high: float, logarithmic: bool) -> None:
    if logarithmic and low <= 0:
        low, high = 1e-3, max(high, 1e-2)
    axis = axis_for([low, high], 5, logarithmic=logarithmic)
    assert 2 <= len(axis.ticks) <= 9
    assert list(axis.ticks) == sorted(set(axis.ticks))
    assert axis.tick_shares[0] == pytest.approx(0)
    assert axis.tick_shares[-1] == pytest.approx(1)
    assert 0 <= axis.share(low) <= axis.share(high) <= 1
    for tick, label in zip(axis.ticks, axis.labels):
        shown = float(label.replace("k", "e3").replace("M", "e6").replace("G", "e9"))
        assert shown == pytest.approx(10**tick if logarithmic else tick, rel=0.01, abs=1e-9)


def test_svg_is_well_formed_and_points_are_in_place() -> None:
    root = ET.fromstring(svg_of([TWO]))
    first, second = (
        [tuple(map(float, pair.split(","))) for pair in line.attrib["points"].split()]
        for line in root.findall(f"{SVG}polyline")
    )
    assert first[0][0] == second[0][0] < first[1][0] < first[2][0] == second[-1][0]
    assert first[0][1] == second[-1][1] < first[1][1] < first[2][1] == second[0][1]
    assert "one from 4 to 1" in (root.findtext(f"{SVG}desc") or "")
    dashes = {line.attrib.get("stroke-dasharray") for line in root.findall(f"{SVG}polyline")}
    assert len(dashes) == 2


def test_files_are_written(place: Path) -> None:
    plotted(place, "model.safetensors", "log", "-o", "x.svg")
    root = ET.fromstring((place / "x.svg").read_text("utf-8"))
    assert len(root.findall(f"{SVG}polyline")) == 8
    plotted(place, "model.safetensors", "-o", "x.png")
    plotted(place, "model.safetensors", "-o", "y.png")
    assert (place / "x.png").read_bytes() == (place / "y.png").read_bytes()
    assert (place / "x.png").read_bytes().startswith(b"\x89PNG")


def test_png_without_matplotlib_says_what_to_install(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    done = run("plot", "model.safetensors", "-o", "z.png", cwd=place)
    assert done.code == 2
    assert "pip install 'rnn-cli[plot]'" in done.stderr
    assert not (place / "z.png").exists()


@pytest.mark.parametrize(
    "arguments, code, words",
    [
        (["missing"], 3, "missing"),
        (["text"], 3, "text"),
        (["model.safetensors", "-o", "x.gif"], 2, ".svg"),
        (["bad"], 2, "line 1"),
        (["empty"], 2, "no losses"),
        (["log", "tags"], 2, "per character and per tag"),
    ],
)
def test_errors_say_what_is_wrong(place: Path, arguments: list[str], code: int, words: str) -> None:
    (place / "bad").write_text('{"a": 1}\n{"step": 1}\n')
    (place / "empty").write_text('{"step": 1}\n')
    (place / "tags").write_text('{"step": 1, "tags_per_second": 1, "loss": 1}\n')
    done = run("plot", *arguments, cwd=place)
    assert (done.code, done.stdout) == (code, b"")
    assert words in done.stderr


def test_values_that_cannot_be_drawn_are_left_out() -> None:
    reports = [
        {"step": step, "loss": loss} for step, loss in enumerate([1.0, math.nan, math.inf, 1e300, None, "x", 2.0])
    ]
    (panel,) = panels_of([Run("r", reports)])
    assert panel.curves[0].points == ((0.0, 1.0), (6.0, 2.0))
    with pytest.raises(UsageError, match="no losses"):
        panels_of([Run("r", reports[1:3])])


def test_incomplete_last_line_of_a_log_is_left_out(place: Path) -> None:
    (place / "growing").write_text(json.dumps({"step": 1, "loss": 2.0}) + '\n{"step": 2, "lo')
    assert len(load_run(str(place / "growing")).reports) == 1


def test_training_prints_the_curve_at_its_end(place: Path) -> None:
    arguments = ["train", "text", *SMALL, "--steps", 250, "--overwrite"]
    assert "Loss: nats" not in run(*arguments, cwd=place).stderr
    done = run(*arguments, "--plot", cwd=place)
    assert (done.code, done.stdout) == (0, b"")
    assert done.stderr.count("Loss: nats per character") == 1
