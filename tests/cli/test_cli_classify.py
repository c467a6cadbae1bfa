"""rnn train --task classify, and what its models do: many to one at the command line."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from commands import ENVIRONMENT, Result, run, stop_training

from rnn_cli.checkpoint.checkpoint import load_checkpoint

SMALL = ["--hidden-size", "12", "--batch-size", "4", "--sequence-length", "32", "--random-seed", "1"]
VOWELS, CONSONANTS = "aeiou", "bcdfghklmnprst"
WORDS = [a + b + c + d for a in "bdgkmnst" for b in "aeiou" for c in "lnrs" for d in "aeo"]
LABELLED = "".join(f"{'front' if word[1] in 'ei' else 'back'}\t{word}\n" for word in WORDS)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with labelled words and a classifier of them."""
    path = tmp_path_factory.mktemp("classify")
    (path / "words.tsv").write_text(LABELLED)
    done = train(path, "words.tsv", "--epochs", 12, "-m", "model")
    assert done.code == 0, done.stderr
    return path


def train(place: Path, *arguments: object) -> Result:
    return run("train", *arguments, "--task", "classify", *SMALL, cwd=place)


def test_a_run_ends_with_its_accuracy_beside_the_baseline(place: Path) -> None:
    done = train(place, "words.tsv", "--epochs", 1, "-m", "short")
    assert done.code == 0
    assert "words.tsv: 432 texts to train on, 2 labels, read as label TAB text" in done.stderr
    assert "held out to validate: 48 of 480 texts, at random, the same share of each label" in done.stderr
    assert "% right; always 'back' would be 60.4%;" in done.stderr


def test_a_classifier_answers_lines(place: Path) -> None:
    done = run("classify", "-m", "model", stdin=b"belo\ndosa\r\nbelo", cwd=place)
    rows = [row.split("\t") for row in done.text.splitlines()]
    assert [row[0] for row in rows] == ["front", "back", "front"]
    assert done.stdout.split(b"\n")[1].endswith(b"\tdosa\r")
    assert rows[0][1] == rows[2][1]
    assert float(rows[0][1]) > 1


def test_a_line_is_answered_as_soon_as_it_is_complete(place: Path) -> None:
    command = [sys.executable, "-m", "rnn_cli", "classify", "-m", "model"]
    with subprocess.Popen(
        command, cwd=place, env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdin
        assert process.stdout
        for word in (b"belo", b"dosa"):
            process.stdin.write(word + b"\n")
            process.stdin.flush()
            assert process.stdout.readline().endswith(b"\t" + word + b"\n")
        process.stdin.close()
        assert process.wait() == 0


def test_jsonl_has_the_probability_of_each_label(place: Path) -> None:
    (values,) = map(json.loads, run("classify", "-m", "model", "--jsonl", stdin=b"belo\n", cwd=place).text.splitlines())
    assert list(values) == ["line", "text", "label", "margin_bits", "probabilities"]
    assert sum(values["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert max(values["probabilities"], key=values["probabilities"].get) == values["label"] == "front"


def test_top_and_threshold(place: Path) -> None:
    rows = run("classify", "-m", "model", "--top", 2, stdin=b"belo\n", cwd=place).text.splitlines()
    first, second = (row.split("\t") for row in rows)
    assert (first[0], second[0]) == ("front", "back")
    assert float(first[1]) == -float(second[1]) > 0
    unsure = run("classify", "-m", "model", "--threshold", "1000", stdin=b"belo\n", cwd=place).text
    assert unsure == f"?\t{first[1]}\tbelo\n"


def test_unknown_characters_are_left_out_and_counted(place: Path) -> None:
    done = run("classify", "-m", "model", stdin="b\u20acelo\n\u20ac\n".encode(), cwd=place)
    assert done.code == 0
    assert done.stderr == "unknown to model: '\u20ac' 2\n"
    plain = run("classify", "-m", "model", stdin=b"belo\n\n", cwd=place)
    assert [row.split("\t")[:2] for row in done.text.splitlines()] == [
        row.split("\t")[:2] for row in plain.text.splitlines()
    ]


def test_labels_count_what_is_right(place: Path) -> None:
    values = json.loads(run("classify", "-m", "model", "--labels", "--json", "words.tsv", cwd=place).stdout)
    scores = json.loads(run("evaluate", "words.tsv", "-m", "model", "--json", cwd=place).stdout)
    for name in ("right", "accuracy", "labels", "confusion"):
        assert values[name] == scores[name]


def test_evaluate_scores_beside_the_baseline(place: Path) -> None:
    scores = json.loads(run("evaluate", "words.tsv", "-m", "model", "--json", cwd=place).stdout)
    assert list(scores) == [
        *("model", "texts", "right", "accuracy", "macro_f1", "bits_per_text", "unknown_labels", "unknown_characters"),
        *("baseline", "labels", "confusion"),
    ]
    assert scores["texts"] == len(WORDS)
    assert scores["baseline"] == {"label": "back", "accuracy": 0.6}
    assert scores["accuracy"] > 0.9
    shown = run("evaluate", "words.tsv", "-m", "model", cwd=place).text
    assert f"{scores['right']} of 480 texts: {scores['accuracy']:.1%}" in shown
    assert "always 'back'  60.0%" in shown


def test_a_label_that_the_model_lacks_is_wrong_and_said_once(place: Path) -> None:
    (place / "other.tsv").write_text("front\tbelo\nsideways\tbelo\nsideways\tdosa\n")
    done = run("evaluate", "other.tsv", "-m", "model", "--json", cwd=place)
    scores = json.loads(done.stdout)
    assert (scores["texts"], scores["right"], scores["unknown_labels"]) == (3, 1, ["sideways"])
    assert done.stderr == "1 label is not known to the model, as 'sideways'; the texts count as wrong\n"


def test_info_names_the_labels(place: Path) -> None:
    shown = run("info", "-m", "model", cwd=place).text
    for words in ("task                classify", "labels                back, front", "directions", "nats per label"):
        assert " ".join(words.split()) in " ".join(shown.split())
    facts = json.loads(run("info", "-m", "model", "--json", cwd=place).stdout)
    assert (facts["task"], facts["answers"], facts["labels"], facts["readout"]) == (
        "classify",
        2,
        "back, front",
        "mean",
    )


@pytest.mark.parametrize("command", [["sample"], ["complete", "a"], ["predict", "a"]], ids=" ".join)
def test_another_command_names_the_right_one(place: Path, command: list[str]) -> None:
    done = run(*command, "-m", "model", cwd=place)
    assert (done.code, done.stderr) == (2, "rnn: error: this model classifies texts; use rnn classify\n")


def test_options_about_characters_are_refused(place: Path) -> None:
    for option in ("--per-line", "--per-char", "--adapt", "--baselines", "--jsonl", "--sort"):
        done = run("evaluate", "words.tsv", "-m", "model", option, cwd=place)
        assert done.code == 2
        assert "is for models that write text" in done.stderr


def test_a_dry_run_says_how_long_it_would_take(place: Path) -> None:
    done = train(place, "words.tsv", "--minutes", 5, "-m", "new", "--dry-run")
    assert done.code == 0
    assert "labels per second" in done.text
    assert not (place / "new").exists()


@pytest.mark.parametrize("options", [["--readout", "last"], ["--directions", "1"], ["--cell", "gru", "--layers", "2"]])
def test_networks_of_other_kinds(place: Path, options: list[str]) -> None:
    done = train(place, "words.tsv", "--epochs", 1, "-m", "kind", "--overwrite", *options)
    assert done.code == 0, done.stderr
    config = load_checkpoint(place / "kind").config
    assert config.directions == (1 if "last" in options or "--directions" in options else 2)
    assert config.readout == ("last" if "last" in options else "mean")


def test_a_stopped_run_resumes_with_the_same_bits(tmp_path: Path) -> None:
    (tmp_path / "words.tsv").write_text(LABELLED)
    common = ["words.tsv", "--task", "classify", *SMALL, "--epochs", "4"]
    assert run("train", *common, "-m", "whole", "--log", "whole.log", cwd=tmp_path).code == 0
    stopped, _ = stop_training(signal.SIGINT, *common, "-m", "part", cwd=tmp_path)
    assert stopped.code == 130
    done = run("train", "--resume", "-m", "part", "--threads", 1, cwd=tmp_path)
    assert done.code == 0, done.stderr
    assert "resuming part at step" in done.stderr
    whole, part = (load_checkpoint(tmp_path / name) for name in ("whole", "part"))
    assert all((whole.parameters[name] == part.parameters[name]).all() for name in whole.parameters)
    assert whole.record["best_score"] == part.record["best_score"]
    log = [json.loads(line) for line in (tmp_path / "whole.log").read_text().splitlines()]
    assert log[-1]["validation_accuracy"] is not None
    assert "texts_per_second" in log[0]


def test_a_validation_file(place: Path) -> None:
    (place / "held.tsv").write_text("front\tbelo\nsideways\tbelo\nback\tdosa\n")
    done = train(place, "words.tsv", "--validation-file", "held.tsv", "--epochs", 4, "-m", "held", "--overwrite")
    assert done.code == 0
    assert "480 texts to train on" in done.stderr
    assert "1 labels of held.tsv are not among those to train on, as 'sideways'" in done.stderr
    assert load_checkpoint(place / "held").record["best_score"] <= 2 / 3


def test_fine_tuning_from_a_language_model(place: Path) -> None:
    (place / "words.txt").write_text("".join(f"{word}\n" for word in WORDS))
    done = run("train", "words.txt", "--hidden-size", 10, "--steps", 20, "-m", "language", "--overwrite", cwd=place)
    assert done.code == 0
    done = run(
        "train", "words.tsv", "--task", "classify", "--from", "language", "--epochs", 2, "-m", "tuned", cwd=place
    )
    assert done.code == 0, done.stderr
    assert "starting from language, which knows" in done.stderr
    config = load_checkpoint(place / "tuned").config
    assert (config.hidden_size, config.directions, config.output_size) == (10, 2, 2)


BAD = [
    ("a\tone\nno tab here\n", "line 2 of bad.tsv has no TAB: 'no tab here'; write label TAB text"),
    ("a\tone\n\ttwo\n", "line 2 of bad.tsv has no label before its TAB"),
    ("a\tone\na\ttwo\n", "bad.tsv has one label, 'a', so there is nothing to tell apart"),
    ("", "bad.tsv has no text with a label"),
    ("a\t\nb\t \n", "bad.tsv has no text with a label"),
    ("__label__a one\n__label__ two\n", "line 2 of bad.tsv has no label after __label__"),
    ("__label__a one\nb two\n", "line 2 of bad.tsv does not begin with __label__"),
    ("__label__a one\n__label__a __label__b two\n", "line 2 of bad.tsv has two labels"),
    ("".join(f"{n}\tx\n" for n in range(10_002)), "more than 10,000 different labels, up to line 10,001 of bad.tsv"),
    ("a\tone\nb\t\udcff\n", "bad.tsv is not valid UTF-8 at byte 9"),
]


@pytest.mark.parametrize("text, message", BAD, ids=[message[:40] for _, message in BAD])
def test_bad_data_name_file_line_and_advice(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "bad.tsv").write_bytes(text.encode("utf-8", "surrogateescape"))
    done = train(tmp_path, "bad.tsv", "--steps", 1)
    assert done.code == 2
    assert message in done.stderr.splitlines()[-1]
    assert not (tmp_path / "model.safetensors").exists()


UNUSUAL = [
    ("\ufeff" + LABELLED, ""),
    (LABELLED.replace("\n", "\r\n"), ""),
    (LABELLED + "once\tbelo\n", "the label 'once' (line 481 of data.tsv) has a single text"),
    (LABELLED + "New York \tbelo\n New York\tbela\n", "3 labels"),
    (LABELLED + "front\t\n\nback\t \n", "2 lines without a text are left out"),
    (LABELLED + "front\t" + "be" * 3000 + "\n", "of 1 longer texts the rest is not read"),
    ("".join(f"__label__{line.replace(chr(9), ' ')}\n" for line in LABELLED.splitlines()), "fastText's __label__"),
    ("a\tx\nb\ty\n", "none, as there are fewer than 20 texts"),
    ("".join(f"label {n}\t{word}\n" for n, word in enumerate(WORDS)), "is the label the first column?"),
]


@pytest.mark.parametrize("text, message", UNUSUAL)
def test_unusual_data_train_and_are_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "data.tsv").write_bytes(text.encode())
    small = ["--hidden-size", "8", "--random-seed", "1", "--steps", "3"]
    done = run("train", "data.tsv", "--task", "classify", *small, cwd=tmp_path)
    assert done.code == 0, done.stderr
    assert message in done.stderr
    codec = load_checkpoint(tmp_path / "model.safetensors").task["codec"]
    assert not set(codec["symbols"]) & set("\r\n\t\ufeff")
    line = text.splitlines()[0].split("\t")[-1].removeprefix("\ufeff")
    assert run("classify", stdin=line.encode() + b"\n\n", cwd=tmp_path).code == 0


CONTRADICTIONS = [
    (["--bytes"], "--bytes is for learning to write a text"),
    (["--lines"], "is for learning to write a text"),
    (["--augment", "1"], "--augment is for learning to write a text"),
    (["--readout", "last", "--directions", "2"], "--readout last reads the last step"),
]


@pytest.mark.parametrize("options, message", CONTRADICTIONS, ids=lambda value: " ".join(value)[:20])
def test_options_that_do_not_fit_the_task(place: Path, options: list[str], message: str) -> None:
    done = train(place, "words.tsv", "--steps", 1, "-m", "never", *options)
    assert done.code == 2
    assert message in done.stderr


@pytest.mark.parametrize("options", [["--directions", "2"], ["--readout", "mean"]])
def test_a_language_model_refuses_what_labels_need(place: Path, options: list[str]) -> None:
    done = run("train", "words.tsv", "--steps", 1, "-m", "never", *options, cwd=place)
    assert done.code == 2
    assert options[0] in done.stderr
