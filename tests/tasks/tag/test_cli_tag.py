"""rnn train --task tag, rnn tag and rnn evaluate, as a user runs them."""

import json
import os
import signal
import subprocess

import pytest
from commands import ENVIRONMENT, PIPES, PROGRAM, run, stop_training
from tagged_corpora import columns, journeys, sentences

from rnn_cli.checkpoint.checkpoint import load_checkpoint
from rnn_cli.tasks.tag.sentences import Sentence

SMALL = ["--hidden-size", 16, "--layers", 1, "--learning-rate", 0.02, "--random-seed", 1, "--task", "tag"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a tagger of words, one of spans, a language model, and what they were trained on."""
    folder = tmp_path_factory.mktemp("tag")
    (folder / "words.tsv").write_text(columns(sentences(120)))
    (folder / "spans.tsv").write_text(columns(journeys(120)))
    (folder / "test.tsv").write_text(columns(sentences(30, seed=5)))
    (folder / "text.txt").write_text("".join(" ".join(s.tokens) + "\n" for s in sentences(120)))
    for name, epochs in (("words", 30), ("spans", 12)):
        done = run("train", f"{name}.tsv", "-m", name, "--epochs", epochs, *SMALL, cwd=folder)
        assert done.code == 0, done.stderr
    language = ["--hidden-size", 16, "--steps", 20, "--random-seed", 1]
    assert run("train", "text.txt", "-m", "language", *language, cwd=folder).code == 0
    return folder


def test_a_run_ends_with_its_figure_and_the_baseline(place):
    done = run("train", "words.tsv", "-m", "again", "--epochs", 2, *SMALL, cwd=place)
    assert done.code == 0
    assert "words.tsv: 108 sentences to train on, " in done.stderr
    assert "held out to validate: 12 of 120 sentences, at random" in done.stderr
    assert "of the tags right; the most frequent tag of each token would be " in done.stderr


def test_columns_come_out(place):
    done = run("tag", "-m", "words", stdin=b"lo bakobaa lululue .\r\n\nlo  lululue bamilui\tkobabaa .\n", cwd=place)
    assert done.code == 0
    assert done.text == (
        "lo\tDET\nbakobaa\tNOUN\nlululue\tVERB\n.\tPUNCT\n\n"
        "lo\tPRON\nlululue\tVERB\nbamilui\tADJ\nkobabaa\tNOUN\n.\tPUNCT\n\n"
    )


def test_inline_has_a_line_for_each_line(place):
    done = run("tag", "--inline", "-m", "words", stdin=b"lo bakobaa lululue .\n\nlo bakobaa", cwd=place)
    assert done.text == "lo/DET bakobaa/NOUN lululue/VERB ./PUNCT\n\nlo/DET bakobaa/NOUN\n"


def test_spans_come_as_json(place):
    done = run("tag", "--jsonl", "-m", "spans", stdin=b"go from bakobaa to lululua mikolua\n", cwd=place)
    found = json.loads(done.text)
    assert found == {
        "line": 1,
        "tokens": ["go", "from", "bakobaa", "to", "lululua", "mikolua"],
        "tags": ["O", "O", "B-start", "O", "B-end", "I-end"],
        "spans": [
            {"kind": "start", "start": 2, "end": 3, "text": "bakobaa"},
            {"kind": "end", "start": 4, "end": 6, "text": "lululua mikolua"},
        ],
    }
    assert "spans" not in json.loads(run("tag", "--jsonl", "-m", "words", stdin=b"lo\n", cwd=place).text)


def test_any_bytes_are_answered(place):
    data = b"\xff\xfe lo\x00x \xc3\xa9\n" + b"a" * 10_000 + b"\n"
    done = run("tag", "-m", "words", stdin=data, cwd=place)
    assert done.code == 0
    lines = [line.split(b"\t")[0] for line in done.stdout.split(b"\n")]
    assert lines == [b"\xff\xfe", b"lo\x00x", b"\xc3\xa9", b"", b"a" * 10_000, b"", b""]
    assert run("tag", "-m", "words", stdin=b"", cwd=place).stdout == b""


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_change_nothing(place, threads):
    text = (place / "text.txt").read_bytes()
    expected = run("tag", "-m", "words", "--threads", 1, stdin=text, cwd=place)
    assert run("tag", "-m", "words", "--threads", threads, stdin=text, cwd=place).stdout == expected.stdout


def test_a_line_is_answered_as_soon_as_it_is_complete(place):
    pipes = {**PIPES, "stdin": subprocess.PIPE}
    process = subprocess.Popen([*PROGRAM, "tag", "-m", "words", "--inline"], cwd=place, env=ENVIRONMENT, **pipes)
    for line in (b"lo bakobaa lululue .\n", b"lo\n"):
        process.stdin.write(line)
        process.stdin.flush()
        assert process.stdout.readline().count(b"/") == len(line.split())
    process.communicate(timeout=60)
    assert process.returncode == 0


def test_scores_are_keys_of_json(place):
    done = run("evaluate", "test.tsv", "-m", "words", "--json", cwd=place)
    scores = json.loads(done.text)
    assert set(scores) == {
        *("model", "sentences", "tokens", "accuracy", "unknown", "per_tag", "baseline", "unknown_tags"),
    }
    assert scores["accuracy"] > scores["baseline"]["accuracy"]
    spans = json.loads(run("evaluate", "spans.tsv", "-m", "spans", "--json", cwd=place).text)
    assert set(spans["spans"]) == set(spans["baseline"]["spans"]) == {"precision", "recall", "f1"}
    assert spans["spans"]["f1"] > 0.9


def test_scores_are_shown_beside_the_baseline(place):
    done = run("evaluate", "spans.tsv", "-m", "spans", cwd=place)
    names = [line.split("  ")[0] for line in done.text.splitlines() if not line.startswith("unknown")]
    assert names[:6] == ["tags", "spans, precision", "spans, recall", "spans, f1", "baseline, F1", "baseline"]
    assert "F1 of B-start" in names


def test_a_new_tag_is_said_once(place):
    (place / "new.tsv").write_text(columns([Sentence(("lo", "lo"), ("NEW", "DET")), *sentences(2)]))
    done = run("evaluate", "new.tsv", "-m", "words", cwd=place)
    assert done.stderr.count("1 tag is not known to the model, as 'NEW'; the tokens count as wrong") == 1


@pytest.mark.parametrize(
    "arguments, code, message",
    [
        (["tag", "-m", "language"], 2, "this model writes text; use rnn sample"),
        (["sample", "-m", "words"], 2, "this model tags; use rnn tag"),
        (["tag", "-m", "words", "--inline", "--jsonl"], 2, "--inline and --jsonl contradict each other"),
        (["tag", "-m", "missing"], 3, "there is no model at missing"),
        (["evaluate", "text.txt", "-m", "words"], 2, "text.txt, line 3: this line has 4 columns, and line 1 has 5"),
        (["evaluate", "test.tsv", "-m", "words", "--per-line"], 2, "--per-line is for models that write text"),
        (["train", "words.tsv", "--task", "tag", "--column", "xpos"], 2, "--column is for CoNLL-U"),
        (["train", "words.tsv", "--task", "tag", "--bytes"], 2, "--bytes is not for learning tags"),
        (["train", "words.tsv", "--task", "tag", "--augment", "1"], 2, "--augment is not for learning tags"),
        (["train", "one.tsv", "--task", "tag"], 2, "one.tsv has one tag only, 'X'"),
        (["train", "bad.tsv", "--task", "tag"], 2, "bad.tsv, line 2: a token without a tag: 'b'"),
    ],
)
def test_errors_say_what_to_do(place, arguments, code, message):
    (place / "one.tsv").write_text("a\tX\nb\tX\n")
    (place / "bad.tsv").write_text("a\tX\nb\n")
    new = ["-m", "new"] if arguments[0] == "train" else []
    done = run(*arguments, *new, cwd=place)
    assert (done.code, done.stdout) == (code, b"")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_stopped_run_resumes(place):
    given = ["words.tsv", *SMALL, "--epochs", 40]
    done, log = stop_training(signal.SIGINT, *given, "-m", "stopped", cwd=place)
    assert done.code == 130
    assert json.loads(log.splitlines()[0])["tokens_per_second"] is not None
    assert load_checkpoint(place / "stopped").progress is not None
    assert run("train", "--resume", "-m", "stopped", cwd=place).code == 0
    assert run("train", *given, "-m", "whole", cwd=place).code == 0
    stopped, whole = (load_checkpoint(place / name) for name in ("stopped", "whole"))
    assert stopped.task == whole.task
    for name, tensor in whole.parameters.items():
        assert (stopped.parameters[name] == tensor).all()


def test_a_conllu_file_is_resumed_with_its_column(place):
    rows = "".join(
        "".join(f"{n}\t{word}\t_\tX\t{tag}\t_\t_\t_\t_\t_\n" for n, (word, tag) in enumerate(zip(*sentence), 1)) + "\n"
        for sentence in sentences(60)
    )
    (place / "words.conllu").write_text(rows)
    given = ["words.conllu", "--column", "xpos", *SMALL, "--epochs", 40, "-m", "conllu"]
    done, _ = stop_training(signal.SIGINT, *given, cwd=place)
    assert done.code == 130
    done = run("train", "--resume", "-m", "conllu", cwd=place)
    assert done.code == 0, done.stderr
    scores = json.loads(run("evaluate", "words.conllu", "-m", "conllu", "--json", cwd=place).text)
    assert set(scores["per_tag"]) == {"ADJ", "DET", "NOUN", "PRON", "PUNCT", "VERB"}


@pytest.mark.parametrize("base", ["language", "words"])
def test_a_run_starts_from_another_model(place, base):
    given = ["--from", base, "--task", "tag", "--epochs", 1, "--random-seed", 1, "-m", f"from-{base}"]
    done = run("train", "words.tsv", *given, cwd=place)
    assert done.code == 0, done.stderr
    assert f"starting from {base}, which knows" in done.stderr
    assert load_checkpoint(place / f"from-{base}").config.hidden_size == 16


def test_a_dry_run_says_how_long_it_takes(place):
    done = run("train", "words.tsv", "--dry-run", "-m", "dry", *SMALL, cwd=place)
    assert done.code == 0
    assert "tokens per second" in done.text
    assert not os.path.exists(place / "dry")


def test_a_model_is_described(place):
    facts = json.loads(run("info", "-m", "words", "--json", cwd=place).text)
    assert (facts["task"], facts["directions"], facts["answers"]) == ("tag", 2, 6)
    assert "F1" not in run("info", "-m", "words", cwd=place).text
