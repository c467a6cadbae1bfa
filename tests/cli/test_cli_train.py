"""rnn train, as users meet it."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commands import (
    ENVIRONMENT,
    LINES_TEXT,
    PIPES,
    PROGRAM,
    SMALL,
    STREAM_TEXT,
    Result,
    run,
    run_process,
    stop_training,
)

from rnn_cli.checkpoint.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from rnn_cli.cli.train import run as train_run

LOG_KEYS = (
    "step epoch seconds chars_per_second loss bits_per_char validation_loss validation_bits_per_char "
    "learning_rate grad_norm"
)
CLOCK_KEYS = {"seconds", "chars_per_second"}
MODEL = "model.safetensors"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return a directory with a text to read as a stream and one to read as lines."""
    (tmp_path / "stream.txt").write_bytes(STREAM_TEXT.encode())
    (tmp_path / "lines.txt").write_bytes(LINES_TEXT.encode())
    return tmp_path


def train(place: Path, *arguments: object, stdin: bytes = b"") -> Result:
    """Train a small model for a few steps, unless the arguments say otherwise; that must succeed."""
    length = [] if {"--steps", "--epochs", "--minutes"} & set(arguments) else ["--steps", "5"]
    done = run("train", *SMALL, *length, *arguments, cwd=place, stdin=stdin)
    assert (done.code, done.stdout) == (0, b""), done.stderr
    return done


def facts(place: Path, model: str = MODEL) -> dict[str, Any]:
    """Return what rnn info knows of a model."""
    done = run("info", "-m", model, "--json", cwd=place)
    assert done.code == 0, done.stderr
    described: dict[str, Any] = json.loads(done.stdout)
    return described


def same_model(first: Path, second: Path) -> bool:
    """Say whether two files hold the same weights, bit for bit, of the same kind of model and training."""

    def content(path: Path) -> Any:
        model = load_checkpoint(path)
        weights = {name: tensor.tobytes() for name, tensor in model.parameters.items()}
        return model.config, model.codec, model.record["training"], weights

    return bool(content(first) == content(second))


def read_log(path: Path) -> list[dict[str, Any]]:
    """Return the reports of a log."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def without_clock(reports: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return reports without what the speed of the machine decides."""
    return [{name: value for name, value in report.items() if name not in CLOCK_KEYS} for report in reports]


# What is trained on


def test_only_the_model_file_is_written(place: Path) -> None:
    done = run("train", "lines.txt", "--epochs", "1", cwd=place)
    assert (done.code, done.stdout) == (0, b"")
    assert sorted(path.name for path in place.iterdir()) == ["lines.txt", MODEL, "stream.txt"]
    for choice in ("lines", "held out", "hidden size", "batch size", "sequence length", "learning rate"):
        assert choice in done.stderr
    assert "random seed" in done.stderr
    assert "100%" in done.stderr
    assert "saved model.safetensors" in done.stderr
    assert not set("\x1b\r") & set(done.stderr)  # nothing moves where there is no terminal


def test_several_files(place: Path) -> None:
    train(place, "stream.txt", "lines.txt", "--stream")
    known = facts(place)
    assert known["corpus"]["name"] == "stream.txt, lines.txt"
    parts = known["corpus"]["characters"], known["corpus"]["validation_characters"]
    assert sum(parts) == len(STREAM_TEXT + LINES_TEXT)
    assert known["vocabulary"] == "".join(sorted(set(STREAM_TEXT + LINES_TEXT)))


def test_stdin_is_a_file_like_others(place: Path) -> None:
    train(place, "-", "-m", "piped", stdin=STREAM_TEXT.encode())
    train(place, "stream.txt", "-m", "named")
    assert facts(place, "piped")["corpus"]["name"] == "stdin"
    assert same_model(place / "piped", place / "named")


@pytest.mark.parametrize(
    "name, arguments, mode, kind",
    [
        ("stream.txt", [], "stream", "characters"),
        ("lines.txt", [], "lines", "characters"),
        ("stream.txt", ["--lines"], "lines", "characters"),
        ("lines.txt", ["--stream"], "stream", "characters"),
        ("stream.txt", ["--bytes"], "stream", "bytes"),
        ("lines.txt", ["--bytes"], "lines", "bytes"),
    ],
)
def test_modes(place: Path, name: str, arguments: list[str], mode: str, kind: str) -> None:
    done = train(place, name, *arguments)
    known = facts(place)
    assert (known["mode"], known["kind"]) == (mode, kind)
    assert ("read as lines" if mode == "lines" else "read as one stream") in done.stderr
    assert ("as requested" in done.stderr) == (arguments in (["--lines"], ["--stream"]))
    symbols = set((place / name).read_text()) - ({"\n"} if mode == "lines" else set())
    assert known["vocabulary"] == ("" if kind == "bytes" else "".join(sorted(symbols)))
    assert known["symbols"] == (256 if kind == "bytes" else len(symbols))


SHRUNK = {
    "one symbol repeated": b"a" * 500,
    "one symbol repeated, as lines": b"a\n" * 100,
    "shorter than a window": b"hello there",
    "two characters": b"ab",
    "one character as a line": b"a",
    "one line": b"namaskar\n",
    "no final newline": b"one\ntwo\nthree",
    "only newlines": b"\n" * 50,
    "CRLF": b"one\r\ntwo\r\n" * 30,
    "byte order mark": b"\xef\xbb\xbf" + STREAM_TEXT.encode(),
    "NULs": b"a\0\0b\0\0" * 100,
    "other scripts": "\u0928\u092e\u0938\u094d\u0915\u093e\u0930 \U0001f600\n".encode() * 5,
    "one very long line": b"abc" * 3000,
    "empty lines between": b"one\n\ntwo\n\n" * 20,
}


@pytest.mark.parametrize("mode", [[], ["--bytes"]], ids=["characters", "bytes"])
@pytest.mark.parametrize("data", SHRUNK.values(), ids=SHRUNK.keys())
def test_small_and_odd_texts_train(place: Path, data: bytes, mode: list[str]) -> None:
    (place / "odd.txt").write_bytes(data)
    done = run("train", "odd.txt", "--hidden-size", 8, "--steps", 3, *mode, cwd=place)
    assert (done.code, done.stdout) == (0, b""), done.stderr
    known = facts(place)
    assert all(math.isfinite(report["loss"]) for report in known["history"])
    if not mode:
        symbols = set(data.decode("utf-8-sig")) - ({"\n"} if known["mode"] == "lines" else set())
        assert known["vocabulary"] == "".join(sorted(symbols))
    sampled = run("sample", "-l", 20, "--random-seed", 1, cwd=place)
    assert sampled.code == 0, sampled.stderr


def test_carriage_returns_are_reported(place: Path) -> None:
    (place / "odd.txt").write_bytes(SHRUNK["CRLF"])
    advice = "tr -d '\\r' removes them"
    assert advice in run("train", "odd.txt", *SMALL, "--steps", 2, cwd=place).stderr
    assert advice not in run("train", "lines.txt", *SMALL, "--steps", 2, "-m", "other", cwd=place).stderr


def test_bytes_need_no_encoding(place: Path) -> None:
    (place / "any.bin").write_bytes(bytes(range(256)) * 5)
    train(place, "any.bin", "--bytes", "--stream")
    assert run("evaluate", "any.bin", cwd=place).code == 0


# The options

# For each the arguments, and what rnn info then says and does not say without them.
OPTIONS: dict[str, tuple[list[str], Callable[[dict[str, Any]], bool]]] = {
    "--minutes": (["--minutes", "0.002"], lambda f: f["training"]["minutes"] == 0.002 and f["steps"] >= 1),
    "--epochs": (
        ["--epochs", "2", "--validation-fraction", "0", "--augment", "0"],
        lambda f: f["steps"] == 2 * math.ceil(1008 / 32),
    ),
    "--steps": (["--steps", "7"], lambda f: f["steps"] == 7),
    "--cell": (["--cell", "gru"], lambda f: f["cell"] == "gru"),
    "--activation": (["--cell", "rnn", "--activation", "relu"], lambda f: f["cell"] == "rnn (relu)"),
    "--hidden-size": (["--hidden-size", "11"], lambda f: f["hidden_size"] == 11),
    "--layers": (["--layers", "2"], lambda f: f["layers"] == 2),
    "--dropout": (["--dropout", "0.5"], lambda f: f["training"]["dropout"] == 0.5),
    "--batch-size": (["--batch-size", "3"], lambda f: f["training"]["batch_size"] == 3),
    "--sequence-length": (["--sequence-length", "5"], lambda f: f["training"]["sequence_length"] == 5),
    "--learning-rate": (["--learning-rate", "0.01"], lambda f: f["training"]["learning_rate"] == 0.01),
    "--recurrent-dropout": (["--recurrent-dropout", "0.25"], lambda f: f["training"]["recurrent_dropout"] == 0.25),
    "--optimizer": (["--optimizer", "rmsprop"], lambda f: f["training"]["optimizer"] == "rmsprop"),
    "--momentum": (["--optimizer", "sgd", "--momentum", "0.5"], lambda f: f["training"]["momentum"] == 0.5),
    "--schedule": (["--schedule", "cosine"], lambda f: f["training"]["schedule"] == "cosine"),
    "--weight-decay": (["--weight-decay", "0.5"], lambda f: f["training"]["weight_decay"] == 0.5),
    "--average": (["--average", "0.5"], lambda f: f["training"]["average"] == 0.5),
    "--augment": (["--augment", "1.5"], lambda f: f["training"]["augment"] == 1.5),
    "--reset-chance": (["--reset-chance", "0.5"], lambda f: f["training"]["reset_chance"] == 0.5),
    "--clip-norm": (["--clip-norm", "0.1"], lambda f: f["training"]["clip_norm"] == 0.1),
    "--validation-fraction": (
        ["--validation-fraction", "0.5"],
        lambda f: f["corpus"]["validation_characters"] == f["corpus"]["characters"],
    ),
    "--validation-file": (
        ["--validation-file", "lines.txt"],
        lambda f: f["corpus"]["characters"] == len(STREAM_TEXT) and f["corpus"]["validation_characters"] > 0,
    ),
    "--random-seed": (["--random-seed", "5"], lambda f: f["training"]["random_seed"] == 5),
}


@pytest.mark.parametrize("option", OPTIONS)
def test_option(place: Path, option: str) -> None:
    arguments, took_effect = OPTIONS[option]
    train(place, "stream.txt", "-m", "usual")
    train(place, "stream.txt", "-m", "other", *arguments)
    assert took_effect(facts(place, "other"))
    assert not took_effect(facts(place, "usual"))


SIZES = {"--cell", "--activation", "--hidden-size", "--layers", "--batch-size"}
LENGTHS = {"--minutes", "--epochs", "--steps", "--validation-fraction", "--validation-file"}


@pytest.mark.parametrize("option", [name for name in OPTIONS if name not in SIZES | LENGTHS | {"--average"}])
def test_options_of_the_training_change_the_weights(place: Path, option: str) -> None:
    train(place, "stream.txt", "-m", "usual")
    train(place, "stream.txt", "-m", "other", *OPTIONS[option][0])
    first, second = (load_checkpoint(place / name).parameters["decoder.weight"] for name in ("usual", "other"))
    assert first.tobytes() != second.tobytes()


def test_patience_stops_early_and_keeps_the_best(place: Path) -> None:
    (place / "digits.txt").write_text("lo" * 200)  # ever less like the text that is learned
    options = ["--validation-file", "digits.txt", "--patience", "2", "--steps", "5000", "--learning-rate", "0.05"]
    train(place, "stream.txt", *options)
    known = facts(place)
    assert known["complete"]
    assert known["steps"] < 5000
    losses = {report["step"]: report["validation_loss"] for report in known["history"]}
    assert losses[known["best_step"]] == known["best_loss"] == min(losses.values())
    scores = json.loads(run("evaluate", "digits.txt", "--json", cwd=place).stdout)
    assert scores["nats_per_char"] < losses[known["steps"]]


def test_patience_without_validation_is_refused_or_reported(place: Path) -> None:
    done = run("train", "stream.txt", *SMALL, "--steps", 3, "--patience", 1, "--validation-fraction", 0, cwd=place)
    assert "patience" in done.stderr


def test_the_same_seed_gives_the_same_model_for_any_threads(place: Path) -> None:
    for threads in (1, 2, 3):
        train(place, "stream.txt", "-m", f"m{threads}", "--threads", threads, "--dropout", "0.2")
    assert same_model(place / "m1", place / "m2")
    assert same_model(place / "m1", place / "m3")


def test_printed_random_seed_repeats_the_run(place: Path) -> None:
    done = run("train", "lines.txt", "--steps", 5, "-m", "first", cwd=place)
    (seed,) = (line.split()[-1] for line in done.stderr.splitlines() if line.startswith("random seed"))
    again = run("train", "lines.txt", "--steps", 5, "-m", "second", "--random-seed", seed, cwd=place)
    assert "random seed" not in again.stderr
    assert same_model(place / "first", place / "second")


def test_quiet_prints_nothing(place: Path) -> None:
    assert train(place, "stream.txt", "--quiet").stderr == ""
    assert train(place, "stream.txt", "-q", "--overwrite").stderr == ""


def test_model_is_replaced_only_with_overwrite(place: Path) -> None:
    train(place, "stream.txt", "--hidden-size", 4)
    before = (place / MODEL).read_bytes()
    assert run("train", "stream.txt", *SMALL, "--steps", 3, cwd=place).code == 2
    assert (place / MODEL).read_bytes() == before
    train(place, "stream.txt", "--overwrite", "--hidden-size", 6)
    assert facts(place)["hidden_size"] == 6


def test_the_model_may_come_from_the_environment(place: Path) -> None:
    done = run("train", "stream.txt", *SMALL, "--steps", 3, cwd=place, env={"RNN_MODEL": "other.model"})
    assert done.code == 0
    assert (place / "other.model").exists()
    assert not (place / MODEL).exists()


def test_progress_in_a_process(place: Path) -> None:
    done = run_process("train", "stream.txt", *SMALL, "--steps", 20, cwd=place)
    assert (done.code, done.stdout) == (0, b"")
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("step 20 (100%)"))
    for part in ("epoch", "left", "loss", "bits/char", "validation", "learning rate", "gradient norm", "chars/s"):
        assert part in line


def test_divergence_message_names_no_missing_model(place: Path) -> None:
    wild = ["--cell", "rnn", "--activation", "relu", "--layers", 8, "--learning-rate", 10, "--clip-norm", 1e6]
    done = run("train", "stream.txt", *SMALL, "--steps", 500, *wild, cwd=place)
    assert (done.code, done.stdout) == (4, b"")
    message = done.stderr.splitlines()[-1]
    assert message.startswith("rnn: error: the training diverged after step")
    assert done.stderr.count("half the learning rate\n") == 4
    assert "--learning-rate" in message
    assert ("is kept" in message) == (place / MODEL).exists()


def rows_of(output: str) -> dict[str, str]:
    """Return the table of a dry run."""
    return dict(re.split("  +", line, maxsplit=1) for line in output.splitlines())  # type: ignore[arg-type]


def test_dry_run_reports_choices_and_writes_nothing(place: Path) -> None:
    before = sorted(place.iterdir())
    done = run("train", "stream.txt", "--dry-run", "--epochs", 3, "--random-seed", 1, cwd=place)
    assert done.code == 0, done.stderr
    assert sorted(place.iterdir()) == before
    for choice in ("hidden size", "batch size", "learning rate", "held out"):
        assert choice in done.stderr
    rows = rows_of(done.text)
    assert list(rows) == ["parameters", "memory at the peak", "characters per second", "steps", "epochs", "time"]
    assert rows["epochs"] == "3.00"
    run("train", "stream.txt", "--epochs", 3, "--random-seed", 1, cwd=place)
    known = facts(place)
    assert rows["parameters"] == f"{known['parameters']:,}"
    assert rows["steps"] == f"{known['steps']:,}"


@pytest.mark.parametrize("length", [["--minutes", "2"], ["--steps", "1"], ["--steps", "2"]])
def test_a_dry_run_of_any_length_stops_at_once(place: Path, length: list[str]) -> None:
    (place / MODEL).write_bytes(b"what is there stays, and is no obstacle")
    done = run("train", "lines.txt", *SMALL, *length, "--dry-run", "--quiet", cwd=place)
    assert (done.code, done.stderr) == (0, "")
    rows = rows_of(done.text)
    number = {name: float(rows[name].replace(",", "")) for name in ("characters per second", "steps", "epochs")}
    assert all(value > 0 for value in number.values())
    if "--minutes" in length:  # of which so short a text needs only a part
        assert rows["time"] != "2:00"
        assert number["epochs"] == pytest.approx(400, rel=0.01)  # of the smallest row
    else:
        assert number["steps"] == int(length[1])
    assert (place / MODEL).read_bytes() == b"what is there stays, and is no obstacle"


@pytest.mark.parametrize("option", [["--resume"], ["--log", "log"]])
def test_impossible_dry_runs_are_refused(place: Path, option: list[str]) -> None:
    done = run("train", "lines.txt", *SMALL, "--steps", 5, "--dry-run", *option, cwd=place)
    assert done.code == 2
    assert option[0] in done.stderr
    assert not (place / "log").exists()


@pytest.mark.parametrize(
    "options, expected",
    [((), "none"), (("--minutes", 1), "none"), (("--epochs", 1), "the last "), (("--steps", 1), "the last ")],
)
def test_a_short_stream_is_held_out_only_for_a_fixed_length(place: Path, options: tuple, expected: str) -> None:
    done = run("train", "stream.txt", "--stream", *options, "--dry-run", cwd=place)
    assert f"held out to validate: {expected}" in done.stderr


def test_end_names_the_limit_of_the_result(place: Path) -> None:
    done = train(place, "stream.txt", "--steps", 600, "--learning-rate", 0.001)
    saved, validation, mixture, counts, matches, limit, advice = done.stderr.splitlines()[-7:]
    assert saved.startswith("saved model.safetensors")
    assert validation.startswith("validation ")
    assert mixture.startswith("with n-gram counts up to order 8 ")
    assert counts.endswith("hold parts of the text")
    assert matches.startswith("with --matches, which keeps the whole text in the file, ")
    assert limit.startswith("more time would help most")
    assert advice == "try --steps 1200"
    assert " MB" in done.stderr


# The log


def check_log(reports: list[dict[str, Any]], last_step: int) -> None:
    """Assert what the contract says of a log."""
    steps = [report["step"] for report in reports]
    assert steps == sorted(set(steps))
    assert steps[-1] == last_step
    for report in reports:
        assert " ".join(report) == LOG_KEYS
        for name, value in report.items():
            if value is None:
                assert name.startswith("validation")
            else:
                assert math.isfinite(value)
        assert report["bits_per_char"] == pytest.approx(report["loss"] / math.log(2))
        assert (report["validation_loss"] is None) == (report["validation_bits_per_char"] is None)
    for name in ("epoch", "seconds"):
        values = [report[name] for report in reports]
        assert values == sorted(values)
    assert reports[-1]["validation_loss"] is not None


def test_the_log(place: Path) -> None:
    train(place, "stream.txt", "--steps", 120, "--log", "log.jsonl")
    reports = read_log(place / "log.jsonl")
    check_log(reports, 120)
    assert any(report["validation_loss"] is None for report in reports)
    assert reports[-1]["loss"] < reports[0]["loss"]
    assert reports[-1] == facts(place)["history"][-1]


# Stopping and resuming


STOPS = [
    (signal.SIGINT, ["stream.txt", "--cell", "lstm", "--dropout", "0.2"]),
    (signal.SIGTERM, ["lines.txt", "--cell", "gru", "--layers", "2"]),
    (signal.SIGHUP, ["stream.txt", "--cell", "rnn", "--bytes", "--validation-file", "lines.txt"]),
]


@pytest.mark.parametrize("number, options", STOPS, ids=[number.name for number, _ in STOPS])
def test_stopped_and_resumed_equals_uninterrupted(place: Path, number: signal.Signals, options: list[str]) -> None:
    command = [*options, *SMALL, "--steps", 200]
    stopped, log = stop_training(number, *command, "-m", "half model", "--threads", 1, cwd=place)
    assert (stopped.code, stopped.stdout) == (128 + number, b"")
    assert "Traceback" not in stopped.stderr
    assert "continue with: rnn train --resume -m 'half model' --log " in stopped.stderr.splitlines()[-1]
    assert not [path for path in place.iterdir() if path.name.startswith(".")]
    unfinished = facts(place, "half model")
    assert not unfinished["complete"]
    assert 0 < unfinished["steps"] < 200
    assert run("sample", "-m", "half model", "-l", 5, cwd=place).code == 0

    # What a crash leaves behind the last save: reports that will come again, and a half line.
    later = {**json.loads(log.splitlines()[-1]), "step": 199}
    (place / "log.jsonl").write_bytes(log + json.dumps(later).encode() + b'\n{"step": 2')
    elsewhere = place / "elsewhere"
    elsewhere.mkdir()
    command_of_resuming = ["train", "--resume", "-m", "../half model", "--log", "../log.jsonl", "--threads", 2]
    resumed = run(*command_of_resuming, cwd=elsewhere)
    assert (resumed.code, resumed.stdout) == (0, b""), resumed.stderr
    assert f"at step {unfinished['steps']:,}" in resumed.stderr
    assert facts(place, "half model")["complete"]

    train(place, *command, "-m", "whole", "--log", "whole.jsonl")
    assert same_model(place / "half model", place / "whole")
    check_log(read_log(place / "log.jsonl"), 200)
    assert without_clock(read_log(place / "log.jsonl")) == without_clock(read_log(place / "whole.jsonl"))
    histories = [facts(place, name)["history"] for name in ("half model", "whole")]
    assert without_clock(histories[0]) == without_clock(histories[1])

    again = run("train", "--resume", "-m", "half model", cwd=place)
    assert (again.code, again.stdout) == (0, b"")
    assert "complete" in again.stderr
    assert same_model(place / "half model", place / "whole")


def test_signal_before_the_first_step_leaves_no_files(place: Path) -> None:
    process = subprocess.Popen(
        [*PROGRAM, "train", "-"], cwd=place, env=ENVIRONMENT, **{**PIPES, "stdin": subprocess.PIPE}
    )
    assert process.stdin is not None
    process.stdin.write(b"a" * 10**6)  # more than a pipe holds: this returns when most of it is read
    assert sorted(path.name for path in place.iterdir() if path.suffix != ".txt") == [".model.safetensors.lock"]
    process.send_signal(signal.SIGINT)
    output, error = process.communicate(timeout=120)
    assert (process.returncode, output, error) == (130, b"", b"stopping; once more to stop at once\n")
    assert sorted(path.name for path in place.iterdir()) == ["lines.txt", "stream.txt"]


@pytest.fixture(scope="module")
def halves(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with the model of a training that was stopped, and its text."""
    directory = tmp_path_factory.mktemp("half")
    (directory / "stream.txt").write_bytes(STREAM_TEXT.encode())
    stopped, _ = stop_training(signal.SIGINT, "stream.txt", *SMALL, "--steps", 200, cwd=directory)
    assert stopped.code == 130
    return directory


@pytest.fixture
def half(halves: Path, tmp_path: Path) -> Path:
    """Return a fresh copy of that directory; the run remembers its text by the path of the first one."""
    shutil.copy(halves / MODEL, tmp_path / MODEL)
    return tmp_path


def test_a_resumed_run_refuses_another_text(half: Path) -> None:
    (half / "other.txt").write_text(STREAM_TEXT + "?")
    before = (half / MODEL).read_bytes()
    done = run("train", "--resume", "other.txt", cwd=half)
    assert (done.code, done.stdout) == (2, b"")
    assert "other.txt is not the text" in done.stderr
    assert (half / MODEL).read_bytes() == before


def test_a_resumed_run_finds_a_text_that_was_moved(half: Path) -> None:
    (half / "moved.txt").write_text(STREAM_TEXT)
    assert run("train", "--resume", "moved.txt", cwd=half).code == 0
    assert facts(half)["complete"]


@pytest.mark.parametrize(
    "options",
    [["--steps", "9"], ["--hidden-size", "8"], ["--cell", "lstm"], ["--random-seed", "1"], ["--bytes"]],
    ids=lambda options: options[0],
)
def test_a_resumed_run_refuses_other_options(half: Path, options: list[str]) -> None:
    before = (half / MODEL).read_bytes()
    done = run("train", "--resume", *options, cwd=half)
    assert (done.code, done.stdout) == (2, b"")
    assert (half / MODEL).read_bytes() == before


def test_a_run_on_stdin_is_resumed_on_stdin(place: Path) -> None:
    with open(place / "stream.txt", "rb") as text:
        stopped, _ = stop_training(signal.SIGTERM, "-", *SMALL, "--steps", 200, cwd=place, stdin=text)
    assert stopped.code == 143
    assert "rnn train --resume" in stopped.stderr
    wrong = run("train", "--resume", cwd=place, stdin=b"another text")
    assert wrong.code == 2
    assert "stdin" in wrong.stderr
    assert run("train", "--resume", cwd=place, stdin=STREAM_TEXT.encode()).code == 0
    assert facts(place)["complete"]


def test_failed_save_on_stop_is_a_failure(place: Path) -> None:
    (place / "gone").mkdir()
    stopped, _ = stop_training(
        signal.SIGTERM,
        *["stream.txt", *SMALL, "--steps", 200, "-m", "gone/model"],
        cwd=place,
        before_signal=lambda: shutil.rmtree(place / "gone"),
    )
    assert stopped.code == 1
    assert "rnn: error: the model could not be saved" in stopped.stderr
    assert "continue with" not in stopped.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_full_disk_for_the_log_does_not_lose_the_model(place: Path) -> None:
    done = run("train", "lines.txt", *SMALL, "--steps", 30, "--log", "/dev/full", "-m", "kept", cwd=place)
    assert done.code == 1
    assert "could not write the log /dev/full" in done.stderr
    assert "the model is saved" in done.stderr.splitlines()[-1]
    assert facts(place, "kept")["complete"]


@pytest.fixture
def unfinished(place: Path) -> Path:
    """Return a directory with a run that was stopped, and what it was trained on."""
    stopped, _ = stop_training(
        signal.SIGINT,
        *["stream.txt", *SMALL, "--steps", 200, "-m", "half", "--validation-file", "lines.txt"],
        cwd=place,
    )
    assert stopped.code == 130
    return place


@pytest.mark.parametrize(
    "log, reason",
    [
        ("stream.txt", "would replace a file that is read"),
        ("lines.txt", "would replace a file that is read"),
        ("half", "would replace a file that is read, or the model"),
        ("notes", "notes is not the log of a training (line 1)"),
        ("bytes", "bytes is not the log of a training (line 1)"),
        ("mixed", "mixed is not the log of a training (line 2)"),
        ("deep", "deep is not the log of a training (line 1)"),
        ("linked", "would replace a file that is read"),
    ],
)
def test_the_log_of_a_resumed_run_replaces_nothing_else(unfinished: Path, log: str, reason: str) -> None:
    (unfinished / "notes").write_text("milk, bread\n")
    (unfinished / "bytes").write_bytes(b"\xff\xfe no JSON\n")
    (unfinished / "mixed").write_text('{"step": 1}\nmilk\n{"step": 2}\n')
    (unfinished / "deep").write_text("[" * 100_000)
    (unfinished / "linked").hardlink_to(unfinished / "stream.txt")
    before = (unfinished / log).read_bytes()
    done = run("train", "--resume", "-m", "half", "--log", log, cwd=unfinished)
    assert done.code == 2
    assert reason in done.stderr
    assert (unfinished / log).read_bytes() == before


def test_resuming_at_step_0_replaces_no_other_log(unfinished: Path) -> None:
    checkpoint = load_checkpoint(unfinished / "half")
    assert checkpoint.progress is not None
    checkpoint.progress["step"] = 0
    save_checkpoint(unfinished / "half", checkpoint)
    (unfinished / "notes").write_text("milk, bread\n")
    done = run("train", "--resume", "-m", "half", "--log", "notes", cwd=unfinished)
    assert (done.code, (unfinished / "notes").read_text()) == (2, "milk, bread\n")


@pytest.mark.parametrize("option", ["-m", "--log"])
def test_stdin_from_a_file_is_not_written(place: Path, option: str) -> None:
    others = [] if option == "-m" else ["-m", "new"]
    with (place / "stream.txt").open("rb") as text:
        done = run_process(
            *["train", "-", *SMALL, "--steps", 2, "--overwrite", option, "stream.txt", *others], cwd=place, stdin=text
        )
    assert done.code == 2
    assert "would replace" in done.stderr
    assert (place / "stream.txt").read_text() == STREAM_TEXT


def test_a_file_with_the_name_of_a_lock_is_left_alone(place: Path) -> None:
    (place / ".model.safetensors.lock").write_bytes(b"what is there")
    done = run("train", "lines.txt", *SMALL, "--steps", 2, cwd=place)
    assert done.code == 2
    assert "is not a lock" in done.stderr
    assert (place / ".model.safetensors.lock").read_bytes() == b"what is there"


def test_stdin_that_does_not_block_is_read_to_its_end(place: Path) -> None:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    command = [*PROGRAM, "train", "-", *map(str, SMALL), "--steps", "2", "-q"]
    process = subprocess.Popen(command, cwd=place, env=ENVIRONMENT, stdin=reading, stderr=subprocess.DEVNULL)
    os.close(reading)
    os.write(writing, STREAM_TEXT.encode()[:100])
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(4)
    os.write(writing, STREAM_TEXT.encode()[100:])
    os.close(writing)
    assert process.wait(60) == 0
    corpus = facts(place)["corpus"]
    assert corpus["characters"] + corpus["validation_characters"] == len(STREAM_TEXT)


@pytest.mark.parametrize(
    "change",
    [
        {"paths": ["a\0b"]},
        {"paths": [True]},
        {"paths": "stream.txt"},
        {"validation_files": [1000]},
        {"lines": "yes"},
        {"random_seed": "x"},
        {"random_seed": -1},
        {"paths": []},
        {"validation_files": [7, "\0"]},
        None,
    ],
)
@pytest.mark.parametrize("corpus", [[], ["stream.txt"]])
def test_damaged_source_is_refused(unfinished: Path, change: dict[str, Any] | None, corpus: list[str]) -> None:
    checkpoint = load_checkpoint(unfinished / "half")
    assert checkpoint.progress is not None
    checkpoint.source = {"paths": 1} if change is None else checkpoint.source | change
    save_checkpoint(unfinished / "half", checkpoint)
    done = run("train", "--resume", *corpus, "-m", "half", cwd=unfinished)
    assert done.code == 3
    assert "does not say what it was trained on" in done.stderr


def test_run_on_stdin_needs_stdin_to_resume(place: Path) -> None:
    with (place / "stream.txt").open("rb") as text:
        stopped, _ = stop_training(signal.SIGINT, "-", *SMALL, "--steps", 200, "-m", "half", cwd=place, stdin=text)
    assert stopped.stderr.endswith("log.pipe - < TEXT\n")
    resumed = run("train", "--resume", "-m", "half", "-", stdin=(place / "stream.txt").read_bytes(), cwd=place)
    assert resumed.code == 0, resumed.stderr


def test_the_log_is_never_behind_the_model(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At each save, all reports up to its step are on the disk."""
    log, synced, behind = place / "watched.jsonl", [0], []
    fsync, save = os.fsync, train_run.save_checkpoint

    def watched_fsync(descriptor: int) -> None:
        fsync(descriptor)
        if log.exists() and os.path.samestat(os.fstat(descriptor), log.stat()):
            synced[0] = log.stat().st_size

    def watched_save(path: Path, checkpoint: Checkpoint) -> int:
        step = json.loads(log.read_bytes()[: synced[0]].splitlines()[-1])["step"]
        behind.append(checkpoint.record["steps"] - step)
        return save(path, checkpoint)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(train_run, "save_checkpoint", watched_save)
    monkeypatch.setattr(train_run, "SAVE_SECONDS", 0)
    done = run("train", "stream.txt", *SMALL, "--steps", 250, "-m", "watched", "--log", log.name, cwd=place)
    assert done.code == 0, done.stderr
    assert behind == [0] * 5
