"""rnn sweep: trials are rnn train lines, the best one becomes a model, and no end of a process harms the study."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import ENVIRONMENT, LINES_TEXT, PIPES, PROGRAM, SMALL, Result, run

from rnn_cli.checkpoint.checkpoint import load_checkpoint
from rnn_cli.cli import sweep as command
from rnn_cli.errors import DivergenceError
from rnn_cli.sweep.study import Running

TEXT = [*SMALL, "--layers", "1", "--cell", "lstm", "--steps", "40"]
LABELLED = "".join(f"{'front' if word[-1] in 'ei' else 'back'}\t{word}\n" for word in LINES_TEXT.split())


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return a folder with texts."""
    (tmp_path / "lines").write_text(LINES_TEXT)
    (tmp_path / "labelled").write_text(LABELLED)
    return tmp_path


def swept(place: Path, *arguments: object) -> dict[str, Any]:
    """Run a sweep, and return what it prints as JSON."""
    done = run("sweep", *arguments, "--study", "study", "--json", cwd=place)
    assert done.code == 0, done.stderr
    found: dict[str, Any] = json.loads(done.text)
    return found


@pytest.mark.parametrize("task", ["lines", "labelled"])
def test_the_line_of_a_trial_makes_it_again(place: Path, task: str) -> None:
    arguments = [task, *TEXT]
    if task == "labelled":
        arguments = [task, "--task", "classify", "--hidden-size", 8, "--layers", 1, "--cell", "lstm", "--epochs", 3]
    found = swept(place, *arguments, "--trials", 2)
    assert found["trials"]["complete"] == len(found["results"]) == 2
    assert (found["best"]["score"] is None) == (task == "lines")
    for each in found["results"]:
        program, *line = shlex.split(each["command"])
        assert program == "rnn"
        assert run(*line, "-m", f"{each['trial']}.model", cwd=place).code == 0
        record = load_checkpoint(place / f"{each['trial']}.model").record
        assert (record["best_loss"], record["best_step"]) == (each["loss"], each["step"])
        assert record.get("best_score") == each["score"]
    best = run("sweep", "--best", "--study", "study", "-m", "best.model", "--log", "log", cwd=place)
    assert best.code == 0, best.stderr
    assert found["best"]["command"] in best.stderr
    first, second = (load_checkpoint(place / f"{name}.model").parameters for name in ("best", found["best"]["trial"]))
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert (place / "log").stat().st_size
    again = run("sweep", "--best", "--study", "study", "-m", "best.model", cwd=place)
    assert (again.code, "best.model exists already" in again.stderr) == (2, True)


def test_the_table_fits_eighty_columns(place: Path) -> None:
    done = run("sweep", "lines", "--hidden-size", "8", "--steps", "5", "--study", "study", "--trials", 3, cwd=place)
    assert done.code == 0, done.stderr
    *rows, _, counts, line = done.text.splitlines()
    assert rows[0].split() == ["trial", "validation", "cell", "layers", "rate", "dropout"]
    assert len(rows) == 4
    assert max(map(len, rows)) <= 80
    assert counts == "3 complete; the best one again:"
    assert line.startswith("rnn train lines --hidden-size 8 --steps 5 --random-seed 1 --cell ")
    assert f"trial {rows[1].split()[0]}: {line}" in done.stderr
    assert run("sweep", "--study", "study", cwd=place) == Result(0, done.stdout, "")
    quiet = run("sweep", "--study", "study", "--trials", 4, "--quiet", cwd=place)
    assert (quiet.code, quiet.stderr) == (0, "")
    assert "4 complete" in quiet.text


def begin(place: Path, *arguments: object) -> subprocess.Popen[bytes]:
    """Start a sweep in a process of its own."""
    return subprocess.Popen([*PROGRAM, "sweep", *map(str, arguments)], cwd=place, env=ENVIRONMENT, **PIPES)


def first_trial(process: subprocess.Popen[bytes]) -> str:
    """Wait until a process is within its first trial; return the line of that."""
    assert process.stderr
    for line in process.stderr:
        if line.startswith(b"trial 0: "):
            return line.decode().strip().removeprefix("trial 0: ")
    raise AssertionError("there was no trial")


def test_two_processes_share_a_study(place: Path) -> None:
    arguments = ["lines", *TEXT, "--study", "study", "--trials", "6", "--threads", "1"]
    processes = [begin(place, *arguments) for _ in range(2)]
    errors = [process.communicate(timeout=120)[1].decode() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    found = swept(place)
    counts = found["trials"]
    assert counts["complete"] + counts["pruned"] == len({each["trial"] for each in found["results"]}) == 6
    assert len({each["command"] for each in found["results"]}) == 6
    lines = [line for error in errors for line in error.splitlines() if "rnn train" in line]
    assert len(set(lines)) == len(lines) >= 6
    assert not list(place.glob("study.*"))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_process_that_ends_within_a_trial_harms_nothing(place: Path, number: signal.Signals) -> None:
    process = begin(place, "lines", *TEXT, "--study", "study", "--trials", "2", "--threads", "1")
    line = first_trial(process)
    process.send_signal(number)
    _, error = process.communicate(timeout=60)
    assert process.returncode == (-9 if number == signal.SIGKILL else 128 + number), error
    for operation in (place / "study").read_bytes().splitlines():
        json.loads(operation)
    found = swept(place, "--trials", 2)
    assert found["trials"] == {"complete": 2, "pruned": 0, "running": 0, "waiting": 0, "failed": 1}
    assert line in {each["command"] for each in found["results"]}


def test_a_trial_that_diverges_is_one_of_those_wanted(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def diverge(*_: object) -> None:
        raise DivergenceError("the loss is not finite")

    monkeypatch.setattr("rnn_cli.cli.train.start.start_run", diverge)
    found = swept(place, "lines", *TEXT, "--trials", 2)
    assert (found["best"], found["trials"]["pruned"]) == (None, 2)
    best = run("sweep", "--best", "--study", "study", cwd=place)
    assert (best.code, "no trial that is complete" in best.stderr) == (2, True)
    assert "no trial that is complete" in run("sweep", "--study", "study", cwd=place).text


def test_a_trial_that_was_given_up_ends(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    live, calls = Running.live, []

    def late(trial: Running) -> None:
        calls.append(trial.number)
        if len(calls) == 2:  # its first report
            trial.abandon(retry=True)
            trial._beat = -1e9
        live(trial)

    monkeypatch.setattr(Running, "live", late)
    done = run("sweep", "lines", *TEXT, "--study", "study", "--trials", 1, cwd=place)
    assert done.code == 0, done.stderr
    assert "trial 0: was silent for too long" in done.stderr
    assert "1 complete, 1 failed" in done.text


def test_an_error_of_a_training_ends_the_sweep(place: Path) -> None:
    done = run("sweep", "missing", *TEXT, "--study", "study", "--trials", 2, cwd=place)
    assert (done.code, "cannot read 'missing'" in done.stderr.splitlines()[-1]) == (2, True)
    assert swept(place)["trials"]["failed"] == 1
    assert swept(place, "lines", *TEXT, "--trials", 1)["trials"]["complete"] == 1


@pytest.mark.parametrize(
    "arguments, words",
    [
        ("lines --study study", "--trials N"),
        ("--study study --trials 2", "there is no study study"),
        ("--study study --trials 2 --steps 5", "name a text to train on"),
        ("- --study study --trials 2", "stdin comes only once"),
        ("lines --study study --trials 2 --log log", "--log is for one training"),
        ("lines --study study --trials 2 --resume", "--resume is for one training"),
        ("lines --study study --trials 2 --nope 3", "no such option: --nope"),
        ("lines --study study --trials 2 --steps x", "--steps"),
        ("lines --study study --trials 2 --validation-fraction 0 --steps 5", "nothing is held out"),
        ("lines --study study --trials 2 --best", "--best and --trials contradict"),
        ("lines --study study --best --json", "--best and --json contradict"),
        (
            "lines --study study --trials 2 --cell gru --hidden-size 8 --layers 1 --learning-rate 0.01 --dropout 0",
            "nothing is left to vary; leave one of --cell, --hidden-size, --layers",
        ),
    ],
)
def test_what_is_not_a_sweep_is_refused(place: Path, arguments: str, words: str) -> None:
    done = run("sweep", *arguments.split(), cwd=place)
    assert (done.code, done.stdout) == (2, b"")
    assert words in done.stderr.splitlines()[-1]


def test_a_study_keeps_its_arguments(place: Path) -> None:
    swept(place, "lines", *TEXT, "--trials", 1)
    other = run("sweep", "labelled", *TEXT, "--study", "study", "--trials", 2, cwd=place)
    assert (other.code, "another sweep" in other.stderr) == (2, True)
    text = run("sweep", "lines", "--best", "--study", "study", "-m", "best.model", cwd=place)
    assert (text.code, "the text of the study" in text.stderr) == (2, True)
    longer = run("sweep", "--best", "--study", "study", "-m", "best.model", "--steps", 50, cwd=place)
    assert longer.code == 0, longer.stderr
    assert load_checkpoint(place / "best.model").record["steps"] == 50


@pytest.mark.parametrize("more", [["--log", "log"], ["-m", "lines", "--overwrite"], ["--nope"], ["--seed", "3"]])
def test_arguments_of_a_hostile_study_are_refused(place: Path, more: list[str]) -> None:
    swept(place, "lines", *TEXT, "--trials", 1)
    study = place / "study"
    study.write_text(study.read_text().replace('"--steps","40"', ",".join(map(json.dumps, ["--steps", "40", *more]))))
    for action in (["--trials", "2"], ["--best"], []):
        done = run("sweep", "--study", "study", *action, cwd=place)
        assert (done.code, done.stdout) == (2, b""), done.stderr
    assert sorted(path.name for path in place.iterdir()) == ["labelled", "lines", "study"]
    assert (place / "lines").read_text() == LINES_TEXT


def test_without_optuna_a_sentence_says_how_to_install_it(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    done = run("sweep", "lines", "--study", "study", "--trials", 1, cwd=place)
    assert (done.code, "pip install 'rnn-cli[sweep]'" in done.stderr) == (2, True)
    assert not (place / "study").exists()
    assert command.CONTEXT_SETTINGS["ignore_unknown_options"]
