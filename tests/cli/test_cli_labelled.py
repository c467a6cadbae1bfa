"""rnn train --labelled: one to many at the command line."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
from commands import Result, run, stop_training

from rnn_cli.checkpoint.checkpoint import load_checkpoint

SMALL = ["--hidden-size", "16", "--batch-size", "4", "--sequence-length", "16", "--random-seed", "1"]
TEXT = "".join(
    f"{'a' if n % 2 else 'New York'}\t{'ab' if n % 2 else 'cd'}{'ef'[n % 3 % 2] * (n % 4)}\n" for n in range(80)
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with labelled texts and a model of them."""
    path = tmp_path_factory.mktemp("labelled")
    (path / "texts.tsv").write_text(TEXT)
    options = ["--dropout", 0, "--learning-rate", 0.02, "--validation-fraction", 0, "--steps", 150]
    done = run("train", "texts.tsv", "--labelled", *SMALL, *options, "-m", "model", cwd=path)
    assert done.code == 0, done.stderr
    return path


def ask(place: Path, *arguments: object) -> Result:
    return run(*arguments, "-m", "model", cwd=place)


def test_texts_of_a_label_are_sampled(place: Path) -> None:
    for label, beginning in (("a", "ab"), ("New York", "cd")):
        done = ask(place, "sample", "--label", label, "-n", 20, "--random-seed", 1)
        assert sum(line.startswith(beginning) for line in done.text.splitlines()) >= 16
        completed = ask(place, "complete", "", "--label", label, "-n", 1, "--plain")
        assert completed.text.startswith(beginning)
        assert ask(place, "predict", "", "--label", label, "--top", 1, "--json").code == 0


@pytest.mark.parametrize("command", [["sample"], ["complete", "a"], ["predict", "a"]], ids=" ".join)
def test_a_label_has_to_be_one_of_the_model(place: Path, command: list[str]) -> None:
    missing, wrong = ask(place, *command), ask(place, *command, "--label", "b")
    assert (missing.code, wrong.code) == (2, 2)
    assert missing.stderr.splitlines()[-1].endswith("name one of its 2 with --label")
    assert "no label 'b'; it has 'New York', 'a'" in wrong.stderr


def test_evaluate_scores_each_label(place: Path) -> None:
    scores = json.loads(ask(place, "evaluate", "texts.tsv", "--json").stdout)
    assert list(scores["labels"]) == ["New York", "a"]
    assert scores["texts"] == 80
    assert scores["characters"] == sum(len(line) - line.index("\t") for line in TEXT.splitlines())
    assert scores["bits_per_char"] < scores["baseline"]["unigram_bits_per_char"]
    assert "given the label" in ask(place, "evaluate", "texts.tsv").text


def test_classify_follows_bayes_rule(place: Path) -> None:
    values = json.loads(ask(place, "classify", "texts.tsv", "--labels", "--json").stdout)
    assert values["accuracy"] > 0.9
    (found,) = map(json.loads, run("classify", "-m", "model", "--jsonl", stdin=b"abf\n", cwd=place).text.splitlines())
    assert found["label"] == "a"
    assert sum(found["probabilities"].values()) == pytest.approx(1)


def test_unknown_labels_are_left_out_and_said(place: Path) -> None:
    (place / "other.tsv").write_text("a\tab\nb\tab\n")
    done = ask(place, "evaluate", "other.tsv", "--json")
    assert json.loads(done.stdout)["texts"] == 1
    assert "texts of 1 labels that the model lacks are left out, as 'b'" in done.stderr
    (place / "none.tsv").write_text("b\tab\n")
    assert ask(place, "evaluate", "none.tsv").code == 2


def test_a_stopped_run_resumes_with_the_same_bits(tmp_path: Path) -> None:
    (tmp_path / "texts.tsv").write_text(TEXT)
    common = ["texts.tsv", "--labelled", *SMALL, "--steps", "60"]
    assert run("train", *common, "-m", "whole", cwd=tmp_path).code == 0
    stopped, _ = stop_training(signal.SIGINT, *common, "-m", "part", cwd=tmp_path)
    assert stopped.code == 130
    assert run("train", "--resume", "-m", "part", cwd=tmp_path).code == 0
    whole, part = (load_checkpoint(tmp_path / name).parameters for name in ("whole", "part"))
    assert all((whole[name] == part[name]).all() for name in whole)


@pytest.mark.parametrize(
    "options, message",
    [
        (["--task", "classify"], "--task and --labelled contradict"),
        (["--bytes"], "--bytes does not go with --labelled"),
        (["--readout", "mean"], "--readout does not go with --labelled"),
        (["--directions", "2"], "would read the characters"),
        (["--from", "model"], "leave --from out"),
    ],
)
def test_options_that_do_not_go_with_labels(place: Path, options: list[str], message: str) -> None:
    done = run("train", "texts.tsv", "--labelled", *options, "--steps", 1, "-m", "never", cwd=place)
    assert done.code == 2
    assert message in done.stderr


def test_a_model_without_labels_takes_none(place: Path) -> None:
    (place / "plain.txt").write_text("abc\ncde\n" * 20)
    plain = ["--hidden-size", 8, "--steps", 1, "-m", "plain"]
    assert run("train", "plain.txt", "--augment", 0, *plain, cwd=place).code == 0
    done = run("sample", "--label", "a", "-m", "plain", cwd=place)
    assert (done.code, done.stderr.splitlines()[-1]) == (
        2,
        "rnn: error: the model was trained without labels; leave --label out",
    )
