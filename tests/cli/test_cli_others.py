"""rnn evaluate, rnn predict and rnn info, as users meet them."""

from __future__ import annotations

import importlib
import json
import math
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from commands import (
    ENVIRONMENT,
    LINES_TEXT,
    SMALL,
    STREAM_TEXT,
    Result,
    run,
    run_on_terminal,
    run_process,
    stop_training,
)

from rnn_cli.checkpoint.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from rnn_cli.network.config import NetworkConfig
from rnn_cli.text.codecs import CharacterCodec

SCORE_KEYS = (
    "model characters bytes unknown nats_per_char bits_per_char bits_per_byte perplexity top1_accuracy "
    "top5_accuracy state"
)
HOSTILE_NAME = "evil\x1b[2J\u202e.txt"
HOSTILE_TEXT = "a\x1b[2J\u202eb\u200b\x07\n" * 60


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with texts and models of a stream (the default one), lines, bytes and hostile text."""
    directory = tmp_path_factory.mktemp("models")
    for name, text, model, *options in (
        ("stream.txt", STREAM_TEXT, "model.safetensors"),
        ("lines.txt", LINES_TEXT, "lines"),
        ("stream.txt", STREAM_TEXT, "bytes", "--bytes"),
        (HOSTILE_NAME, HOSTILE_TEXT, "hostile", "--stream"),
    ):
        (directory / name).write_bytes(text.encode())
        done = run("train", name, "-m", model, *SMALL, "--steps", 300, "--learning-rate", 0.03, *options, cwd=directory)
        assert done.code == 0, done.stderr
    stopped, _ = stop_training(signal.SIGINT, "stream.txt", "-m", "half", *SMALL, "--steps", 200, cwd=directory)
    assert stopped.code == 130
    return directory


def succeed(place: Path, *arguments: object, stdin: bytes = b"") -> Result:
    """Run a command that must succeed and say nothing on stderr."""
    done = run(*arguments, "-q", cwd=place, stdin=stdin)  # unknown characters are named without -q
    assert (done.code, done.stderr) == (0, "")
    return done


def parsed(place: Path, *arguments: object, stdin: bytes = b"") -> Any:
    """Return the JSON that a command prints, which is one line."""
    done = succeed(place, *arguments, stdin=stdin)
    assert done.stdout.endswith(b"\n")
    assert done.stdout.count(b"\n") == 1
    return json.loads(done.stdout)


# rnn evaluate


def test_evaluate_prints_exactly_these_scores(place: Path) -> None:
    scores = parsed(place, "evaluate", "stream.txt", "--json")
    assert " ".join(scores) == SCORE_KEYS
    assert scores["model"] == "model.safetensors"
    assert scores["state"] == "carried"
    assert (scores["characters"], scores["bytes"], scores["unknown"]) == (len(STREAM_TEXT), len(STREAM_TEXT), 0)
    assert scores["bits_per_char"] == pytest.approx(scores["nats_per_char"] / math.log(2))
    assert scores["bits_per_byte"] == pytest.approx(scores["bits_per_char"])
    assert scores["perplexity"] == pytest.approx(math.exp(scores["nats_per_char"]))
    assert 0 < scores["nats_per_char"] < math.log(len(set(STREAM_TEXT)))
    assert 0 < scores["top1_accuracy"] < scores["top5_accuracy"] <= 1


def test_evaluate_reads_files_and_stdin(place: Path) -> None:
    scores = parsed(place, "evaluate", "stream.txt", "--json")
    for arguments in ([], ["-"]):
        assert parsed(place, "evaluate", *arguments, "--json", stdin=STREAM_TEXT.encode()) == scores
    twice = parsed(place, "evaluate", "stream.txt", "-", "--json", stdin=STREAM_TEXT.encode())
    assert twice["characters"] == 2 * scores["characters"]
    assert twice["nats_per_char"] == pytest.approx(scores["nats_per_char"])


@pytest.mark.parametrize("model", ["model.safetensors", "lines", "bytes"])
def test_evaluate_does_not_depend_on_threads(place: Path, model: str) -> None:
    first, second = (
        parsed(place, "evaluate", "lines.txt", "stream.txt", "--json", "-m", model, "--threads", threads)
        for threads in (1, 2)
    )
    assert first == second


def test_evaluate_counts_characters_and_bytes(place: Path) -> None:
    text = "the cat \u0928\U0001f600"
    scores = parsed(place, "evaluate", "--json", stdin=text.encode())
    assert (scores["characters"], scores["bytes"], scores["unknown"]) == (10, 15, 2)
    assert scores["bits_per_byte"] == pytest.approx(scores["bits_per_char"] * 10 / 15)
    known = parsed(place, "evaluate", "--json", stdin=b"the cat ")
    assert scores["bits_per_char"] > known["bits_per_char"]
    of_bytes = parsed(place, "evaluate", "--json", "-m", "bytes", stdin=text.encode())
    assert (of_bytes["characters"], of_bytes["bytes"], of_bytes["unknown"]) == (15, 15, 0)
    marked = parsed(place, "evaluate", "--json", stdin=b"\xef\xbb\xbfthe cat ")
    assert marked == known


def test_evaluate_scores_the_end_of_each_line(place: Path) -> None:
    scores = parsed(place, "evaluate", "lines.txt", "--json", "-m", "lines")
    assert scores["characters"] == len(LINES_TEXT)
    assert scores["state"] == "reset at each line"
    backwards = "".join(reversed(LINES_TEXT.splitlines(keepends=True)))
    reordered = parsed(place, "evaluate", "--json", "-m", "lines", stdin=backwards.encode())
    assert reordered["nats_per_char"] == pytest.approx(scores["nats_per_char"])


def test_evaluate_agrees_with_predict(place: Path) -> None:
    scores = parsed(place, "evaluate", "--json", stdin=b"the cat")
    steps = parsed(place, "predict", "the cat", "--each", "--json")
    nats = [-math.log(step["probability"]) for step in steps[:-1]]
    assert scores["nats_per_char"] == pytest.approx(sum(nats) / len(nats), rel=1e-4)


def test_evaluate_for_people(place: Path) -> None:
    scores = parsed(place, "evaluate", "stream.txt", "--json")
    shown = succeed(place, "evaluate", "stream.txt").text
    assert f"bits per character  {scores['bits_per_char']:.4f}\n" in shown
    assert f"characters          {len(STREAM_TEXT):,} (0 unknown)\n" in shown
    assert succeed(place, "evaluate", "stream.txt", "-q").text == shown


# rnn predict


def test_predict_shows_the_most_probable(place: Path) -> None:
    rows = [line.rsplit("%", 1)[0].split() for line in succeed(place, "predict", "the ca").text.splitlines()]
    assert len(rows) == 5
    shares = [float(share) for _, share in rows]
    assert shares == sorted(shares, reverse=True)
    expected = parsed(place, "predict", "the ca", "--json")["expected"]
    assert [name for name, _ in rows] == [guess["symbol"] for guess in expected]
    assert shares == pytest.approx([100 * guess["probability"] for guess in expected], abs=0.01)


def test_predict_top(place: Path) -> None:
    for top in (1, 3):
        assert len(succeed(place, "predict", "the", "--top", top).text.splitlines()) == top
        assert len(parsed(place, "predict", "the", "--top", top, "--json")["expected"]) == top
    everything = parsed(place, "predict", "the", "--top", 1000, "--json")
    assert list(everything) == ["expected"]
    assert sum(guess["probability"] for guess in everything["expected"]) == pytest.approx(1, abs=0.01)
    assert {guess["symbol"] for guess in everything["expected"]} >= {"a", "space", r"\n"}


def test_predict_each(place: Path) -> None:
    steps = parsed(place, "predict", "the", "--each", "--json", "--top", 2)
    assert [step["read"] for step in steps] == ["start", "t", "h", "e"]
    assert [step["came"] for step in steps] == ["t", "h", "e", None]
    assert steps[-1]["probability"] is None
    assert steps[-1]["expected"] == parsed(place, "predict", "the", "--json", "--top", 2)["expected"]
    for step in steps:
        assert list(step) == ["read", "came", "probability", "expected"]
        assert len(step["expected"]) == 2
        for guess in step["expected"]:
            if guess["symbol"] == step["came"]:
                assert guess["probability"] == step["probability"]
    table = succeed(place, "predict", "the", "--each", "-q").text.splitlines()
    assert [line.split()[0] for line in table] == ["after", "start", "t", "h", "e"]


def test_predict_from_the_start(place: Path) -> None:
    start = parsed(place, "predict", "", "--json", "-m", "lines")
    assert start["expected"][0]["symbol"] in "abcd"  # with which every line begins
    ends = parsed(place, "predict", "ana", "--json", "-m", "lines", "--top", 100)
    assert "end" in {guess["symbol"] for guess in ends["expected"]}


# rnn info


def test_info(place: Path) -> None:
    known = parsed(place, "info", "--json")
    assert known["model"] == "model.safetensors"
    assert (known["cell"], known["layers"], known["hidden_size"]) == ("lstm", 1, 8)
    assert (known["kind"], known["mode"], known["complete"]) == ("characters", "stream", True)
    assert known["vocabulary"] == "".join(sorted(set(STREAM_TEXT)))
    assert known["symbols"] == len(known["vocabulary"])
    assert known["corpus"]["name"] == "stream.txt"
    assert len(known["corpus"]["digest"]) == 64
    assert known["file_bytes"] == (place / "model.safetensors").stat().st_size
    assert known["steps"] == known["history"][-1]["step"] == 300
    assert {"rnn", "numpy", "numba", "python"} == set(known["versions"])
    # PyTorch's count, with one of its two biases: 4 gates of 8 units and a decoder; one symbol is the boundary.
    symbols = known["symbols"] + 1
    assert known["parameters"] == 4 * 8 * (symbols + 8 + 1) + symbols * 8 + symbols


def test_info_for_people(place: Path) -> None:
    shown = succeed(place, "info").text
    for part in ("lstm", "stream.txt", "loss over the training", "versions rnn", "1,026"):
        assert part in shown


def test_info_of_an_unfinished_model(place: Path) -> None:
    known = parsed(place, "info", "-m", "half", "--json")
    assert known["complete"] is False
    assert 0 < known["steps"] < 200
    rows = [line.split() for line in succeed(place, "info", "-m", "half").text.splitlines()]
    assert ["complete", "no"] in rows


def test_an_unfinished_model_is_a_model(place: Path) -> None:
    for command in (["evaluate", "stream.txt"], ["predict", "the"], ["sample", "-l", 5, "--random-seed", 1]):
        assert succeed(place, *command, "-m", "half").stdout


def test_info_loads_no_kernels(place: Path) -> None:
    """It is for strangers' files, and quick."""
    code = (
        "import sys; from rnn_cli.__main__ import main; code = main(['info']); "
        "print(sorted({'numba', 'llvmlite'} & set(sys.modules)), file=sys.stderr); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=place, env=ENVIRONMENT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "[]\n")


@pytest.mark.parametrize(
    "command",
    [["info"], ["predict", "a", "--top", "20"], ["predict", "a\x1b", "--each"]],
    ids=lambda words: "-".join(words[::2]),
)
def test_hostile_model_cannot_control_the_terminal(place: Path, command: list[str]) -> None:
    shown = run_on_terminal(*command, "-m", place / "hostile")
    assert shown.code == 0
    assert not set("\x1b\u202e\u200b\x07") & set(shown.text)
    if command == ["info"]:
        assert r"evil\x1b[2J\u202e.txt" in shown.text
        assert r"\x07" in shown.text


def test_names_in_json_are_exact(place: Path) -> None:
    known = parsed(place, "info", "-m", "hostile", "--json")
    assert known["corpus"]["name"] == HOSTILE_NAME
    assert known["vocabulary"] == "".join(sorted(set(HOSTILE_TEXT)))


@pytest.mark.parametrize(
    "command", [["sample", "-l", 3, "--random-seed", 1, "--seed"], ["complete", "--length", 3], ["predict"]]
)
def test_an_argument_is_utf8_whatever_the_locale(place: Path, command: list[object]) -> None:
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    ours, other = (
        run_process(*command, "\u00e9t\u00e9", "-m", "bytes", cwd=place, env={**ENVIRONMENT, **variables})
        for variables in ({"PYTHONUTF8": "1"}, locale)
    )
    assert (other.code, other.stderr) == (0, "")
    if command != ["predict"]:  # whose bars are drawn otherwise
        assert other.stdout == ours.stdout


def test_info_cannot_be_forged_by_a_record(place: Path, tmp_path: Path) -> None:
    checkpoint = load_checkpoint(place / "lines")
    checkpoint.record |= {
        "repeat with": "--steps 1; echo",
        "repeat": {"with": "x", "repeat_with": "y" * 1000},
        " parameters": 7,
        "file": {"bytes": 1},
        "n" * 10**6: 1,
        "corpus": {"repeat_with": "y" * 1000},
        "history": [{"loss": 0.0}, {"loss": 5e-324}],
    }
    save_checkpoint(tmp_path / "model.safetensors", checkpoint)
    shown = succeed(tmp_path, "info").text
    assert "echo" not in shown
    assert max(map(len, shown.splitlines())) < 200
    assert sum(line.startswith(("parameters", "file bytes")) for line in shown.splitlines()) == 2


def record_of_minutes(**others):
    training = {"minutes": 1.0, "dropout": 0.3, "random_seed": 1830331234567}
    return {"training": training | others, "steps": 7, "total_steps": 9}


@pytest.mark.parametrize(
    "record, shown",
    [
        (
            record_of_minutes(),
            "--steps 9 --hidden-size 5 --dropout 0.3 --recurrent-dropout 0.0 --random-seed 1830331234567",
        ),
        (
            record_of_minutes(groups=6),
            "--steps 9 --hidden-size 5 --dropout 0.3 --recurrent-dropout 0.0 --random-seed 1830331234567 --groups 6",
        ),
        (record_of_minutes(recurrent_dropout="0; echo"), None),
        (record_of_minutes(minutes=None), None),
        (record_of_minutes(dropout="0; echo"), None),
        (record_of_minutes() | {"total_steps": "1; echo"}, None),
        (record_of_minutes() | {"total_steps": None}, None),
        ({"training": 3}, None),
    ],
)
def test_info_says_how_to_repeat_a_run_of_minutes(record, shown):
    config = NetworkConfig.for_symbols(3, hidden_size=5)
    info = importlib.import_module("rnn_cli.cli.info")
    checkpoint = Checkpoint.of_language(config, CharacterCodec("ab", line_mode=False), {}, record)
    facts = info.describe(checkpoint)
    assert facts.get("repeat_with") == shown
    assert shown is None or shown in dict(info.flatten(facts)).values()
    checkpoint.record |= {"repeat_with": "--steps 1; echo", "model": "x", "file_bytes": 1}
    facts = info.describe(checkpoint)
    assert (facts.get("repeat_with"), facts.keys() & {"model", "file_bytes"}) == (shown, set())
    checkpoint.progress = {}
    assert info.repetition(checkpoint) is None


def test_info_takes_the_model_as_an_argument(place: Path) -> None:
    by_option = run("info", "-m", "lines", "--json", cwd=place)
    by_argument = run("info", "lines", "--json", cwd=place)
    assert by_argument.code == 0
    assert by_argument.stdout == by_option.stdout
    twice = run("info", "lines", "-m", "lines", cwd=place)
    assert twice.code == 2
    assert "the model is given twice" in twice.stderr
