"""rnn train --task translate, rnn translate and rnn evaluate, as a user runs them."""

import itertools
import json
import os
import signal
import subprocess

import numpy as np
import pytest
from commands import ENVIRONMENT, PIPES, PROGRAM, run, run_on_terminal, stop_training
from safetensors import safe_open
from safetensors.numpy import save_file

from rnn_cli.checkpoint.checkpoint import load_checkpoint
from rnn_cli.tasks.translate.pairs import Pairs, looks_like_phones
from rnn_cli.tasks.translate.scores import bits_per_symbol, distance
from rnn_cli.tasks.translate.symbols import form_of
from rnn_cli.tasks.translate.translator import Translator

SMALL = ["--task", "translate", "--hidden-size", 24, "--learning-rate", 0.02, "--dropout", 0, "--random-seed", 1]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a model that reverses strings of three letters."""
    folder = tmp_path_factory.mktemp("translate")
    words = ["".join(letters) for letters in itertools.product("abcd", repeat=3)]
    (folder / "pairs.tsv").write_text("".join(f"{word}\t{word[::-1]}\n" for word in words))
    done = run("train", "pairs.tsv", "-m", "model", "--epochs", 60, *SMALL, cwd=folder)
    assert done.code == 0, done.stderr
    assert "a copy of the source would be" in done.stderr
    return folder


def test_a_line_is_answered_with_a_line(place):
    done = run("translate", "-m", "model", stdin=b"abc\r\ndda\n", cwd=place)
    assert (done.code, done.text) == (0, "cba\nadd\n")
    assert run("translate", "-m", "model", "--threads", 1, stdin=b"abc\ndda\n", cwd=place).text == done.text


def test_a_line_is_answered_as_soon_as_it_is_complete(place):
    pipes = {**PIPES, "stdin": subprocess.PIPE}
    process = subprocess.Popen([*PROGRAM, "translate", "-m", "model"], cwd=place, env=ENVIRONMENT, **pipes)
    for line, answer in ((b"abc\n", b"cba\n"), (b"\n", None), (b"dda\n", b"add\n")):
        process.stdin.write(line)
        process.stdin.flush()
        found = process.stdout.readline()
        assert found == answer or answer is None
    process.communicate(timeout=60)
    assert process.returncode == 0


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_change_nothing(place, threads):
    text = "".join("".join(word) + "\n" for word in itertools.product("abcde", repeat=3)).encode()
    expected = run("translate", "-m", "model", "-n", 2, "--threads", 1, stdin=text, cwd=place)
    assert run("translate", "-m", "model", "-n", 2, "--threads", threads, stdin=text, cwd=place).text == expected.text


def test_no_line_and_a_line_without_end(place):
    assert run("translate", "-m", "model", stdin=b"", cwd=place).stdout == b""
    assert run("translate", "-m", "model", stdin=b"abc", cwd=place).text == "cba\n"


def test_unknown_characters_are_said_unless_quiet(place):
    assert "unknown characters: 'x'" in run("translate", "-m", "model", stdin=b"axb\n", cwd=place).stderr
    assert run("translate", "-m", "model", "-q", stdin=b"axb\n", cwd=place).stderr == ""


def test_several_answers_come_best_first(place):
    text = run("translate", "-m", "model", "-n", 3, stdin=b"abc\n", cwd=place).text
    rows = [line.split("\t") for line in text.splitlines()]
    assert [row[0] for row in rows] == ["1"] * 3
    assert rows[0][2] == "cba"
    found = json.loads(run("translate", "-m", "model", "-n", 3, "--jsonl", stdin=b"abc\n", cwd=place).text)
    assert (found["source"], [target["target"] for target in found["targets"]]) == (
        "abc",
        [row[2] for row in rows],
    )


def test_attention_is_a_table(place):
    rows = run("translate", "-m", "model", "--align", stdin=b"abc\n", cwd=place).text.splitlines()
    assert rows[0].split("\t") == ["", "a", "b", "c", "end"]
    assert [row.split("\t")[0] for row in rows[1:5]] == ["c", "b", "a", "end"]
    assert all(97 <= sum(map(int, row.split("\t")[1:])) <= 103 for row in rows[1:5])


def test_a_given_target_is_followed(place):
    translator = Translator.of_checkpoint(load_checkpoint(place / "model"), 2)
    ((answer,),) = translator.translate(["abc"], attention=True)
    own, other = translator.follow(["abc", "dcba"], [answer.symbols, translator.symbols.encode_target("bab").tolist()])
    np.testing.assert_allclose(own.attention, answer.attention, atol=1e-5)
    chosen = own.probabilities[range(4), [*answer.symbols, 0]]
    assert -np.log2(chosen).sum() == pytest.approx(answer.bits, abs=1e-3)
    assert (own.probabilities.argmax(axis=1) == [*answer.symbols, 0]).all()
    assert (len(other.probabilities), other.attention.shape) == (4, (4, 5))
    pairs = Pairs("pairs", "", ["abc", "dcba"], ["cba", "bab"])
    right = [*chosen, *other.probabilities[range(4), [*translator.symbols.encode_target("bab"), 0]]]
    assert bits_per_symbol(translator, pairs) == pytest.approx(-np.log2(right).mean(), abs=1e-3)


def test_any_source_is_answered(place):
    done = run("translate", "-m", "model", stdin=b"\nxyz\xff\n" + b"a" * 5000 + b"\n", cwd=place)
    assert (done.code, done.stdout.count(b"\n")) == (0, 3)
    assert "unknown characters" in done.stderr


def test_scores_are_keys_of_json(place):
    (place / "new.tsv").write_text("abc\tcba\nabd\tdbZ\n")
    done = run("evaluate", "new.tsv", "-m", "model", "--json", cwd=place)
    scores = json.loads(done.text)
    assert (scores["pairs"], scores["right"], scores["word_error_rate"]) == (2, 1, 0.5)
    assert {"symbol_error_rate", "bits_per_symbol", "baseline"} < scores.keys()
    assert done.stderr.count("as 'Z'") == 1


@pytest.mark.parametrize(
    "text, message",
    [
        ("ab\tc\nab\n", "line 2 of bad.tsv has no TAB: 'ab'"),
        ("\tc\n", "line 1 of bad.tsv has no source before its TAB"),
        ("ab\t \n", "line 1 of bad.tsv has no target after its TAB"),
        ("\n", "bad.tsv has no pair"),
    ],
)
def test_bad_pairs_are_refused(place, text, message):
    (place / "bad.tsv").write_text(text)
    done = run("train", "bad.tsv", "-m", "bad", "--task", "translate", cwd=place)
    assert done.code == 2
    assert message in done.stderr


def test_one_pair_with_a_mark_and_crlf_trains(place):
    (place / "one.tsv").write_bytes(b"\xef\xbb\xbfab\tc\r\n")
    done = run("train", "one.tsv", "-m", "one", "--steps", 30, *SMALL, cwd=place)
    assert done.code == 0, done.stderr
    assert run("translate", "-m", "one", stdin=b"ab\n", cwd=place).text == "c\n"


def test_a_stopped_run_resumes(place):
    given = ["pairs.tsv", *SMALL, "--epochs", 100]
    done, _ = stop_training(signal.SIGINT, *given, "-m", "stopped", cwd=place)
    assert done.code == 130
    assert run("train", "--resume", "-m", "stopped", cwd=place).code == 0
    assert run("train", *given, "-m", "whole", cwd=place).code == 0
    stopped, whole = (load_checkpoint(place / name).parameters for name in ("stopped", "whole"))
    assert all((stopped[name] == tensor).all() for name, tensor in whole.items())


def test_a_run_starts_from_a_translator(place):
    done = run("train", "pairs.tsv", "--from", "model", "--task", "translate", "--epochs", 1, "-m", "next", cwd=place)
    assert done.code == 0, done.stderr
    assert "it knows all symbols of the targets, and lacks 0 of the sources" in done.stderr
    done = run("evaluate", "pairs.tsv", "-m", "next", "--json", cwd=place)
    assert json.loads(done.text)["right"] > 50  # it went on from what was learned


def test_a_dry_run_and_minutes_and_a_log(place):
    done = run("train", "pairs.tsv", *SMALL, "--dry-run", "-m", "dry", cwd=place)
    assert done.code == 0
    assert "symbols per second" in done.text
    assert not os.path.exists(place / "dry")
    done = run("train", "pairs.tsv", *SMALL, "--minutes", 0.01, "--log", "log", "-m", "timed", "--quiet", cwd=place)
    assert (done.code, done.stdout, done.stderr) == (0, b"", "")
    entry = json.loads((place / "log").read_text().splitlines()[-1])
    assert entry["step"] > 0
    assert {"bits_per_symbol", "validation_bits_per_symbol", "validation_right", "symbols_per_second"} <= entry.keys()


def test_a_translator_is_described(place):
    facts = json.loads(run("info", "-m", "model", "--json", cwd=place).text)
    assert (facts["task"], facts["directions"]) == ("translate", 2)
    assert run("info", "model", cwd=place).code == 0


def test_scores_are_shown_beside_the_baseline(place):
    lines = run("evaluate", "pairs.tsv", "-m", "model", cwd=place).text.splitlines()
    assert lines[0].split()[:5] == ["right", lines[0].split()[1], "of", "64", "sources:"]
    assert [line.split("  ")[0] for line in lines[1:]] == ["copy of the source", "wrong symbols", "bits per symbol"]


TENSORS = ["encoder.weight_hh_l0_reverse", "decoder.weight_ih_l0", "attention.weight", "combine.bias", "bridge.weight"]


@pytest.mark.parametrize("damage", ["missing", "of another shape", "not a number"])
def test_a_damaged_tensor_is_one_sentence(place, damage):
    with safe_open(place / "model", "numpy") as file:
        tensors, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
    assert set(TENSORS) < tensors.keys()
    for name in tensors:
        changed = dict(tensors)
        if damage == "missing":
            del changed[name]
        elif damage == "of another shape":
            changed[name] = np.concatenate([tensors[name], tensors[name][:1]])
        else:
            changed[name] = np.full_like(tensors[name], np.nan)
        save_file(changed, place / "damaged", metadata)
        done = run("translate", "-m", "damaged", stdin=b"abc\n", cwd=place)
        assert (done.code, done.stdout) == (3, b"")
        assert done.stderr.startswith("rnn: error: damaged cannot be used as a model: ")
        assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["sample", "-m", "model"], "this model translates; use rnn translate"),
        (["tag", "-m", "model"], "this model translates; use rnn translate"),
        (["translate", "-m", "model", "-n", 0], "--count must be a whole number from 1 to 256, not 0"),
        (["translate", "-m", "model", "--beam", 18], "--beam is at most 17 for this model"),
        (["translate", "-m", "model", "--align", "-n", 2], "--align is a table of one answer; leave out -n"),
        (["translate", "missing.txt", "-m", "model"], "missing.txt"),
        (["evaluate", "pairs.tsv", "-m", "model", "--per-line"], "--per-line is for models that write text"),
        (["evaluate", "words.txt", "-m", "model"], "line 1 of words.txt has no TAB"),
        (["train", "pairs.tsv", *SMALL, "--bytes", "-m", "new"], "--bytes is not for learning to translate"),
        (["train", "pairs.tsv", *SMALL, "--no-counts", "-m", "new"], "--no-counts is not for learning to translate"),
        (["train", "pairs.tsv", *SMALL, "--readout", "mean", "-m", "new"], "--readout is not for"),
        (["train", "new.tsv", "--task", "translate", "--from", "model", "-m", "new"], "model cannot write 'Z'"),
        (
            ["train", "pairs.tsv", "--task", "translate", "--from", "model", "--hidden-size", 8, "-m", "new"],
            "--hidden-size contradicts the model model, which fixes it",
        ),
        (
            ["train", "pairs.tsv", "--task", "translate", "--from", "model", "--target-words", "-m", "new"],
            "--target-words contradicts the model model, which fixes it",
        ),
    ],
)
def test_errors_say_what_to_do(place, arguments, message):
    (place / "words.txt").write_text("abc\n")
    (place / "new.tsv").write_text("abc\tcbZ\n")
    done = run(*arguments, cwd=place)
    assert (done.code, done.stdout) == (2, b"")
    assert message in done.stderr


def test_answers_are_harmless_on_a_terminal(place):
    (place / "escape.tsv").write_text("a\t\x1b[2J\nb\t\x1b[2J\n")
    assert run("train", "escape.tsv", "-m", "escape", "--steps", 60, *SMALL, cwd=place).code == 0
    (place / "a.txt").write_text("a\n")
    assert run("translate", "a.txt", "-m", "escape", cwd=place).text == "\x1b[2J\n"
    for options in ([], ["--align"], ["-n", 2]):
        done = run_on_terminal("translate", place / "a.txt", "-m", place / "escape", *options)
        assert done.code == 0
        assert b"\x1b" not in done.stdout


def test_what_the_data_are_is_seen():
    assert looks_like_phones(["k a t", "d o g", "b a t"] * 4)
    assert not looks_like_phones(["the cat sat", "a dog barks"])
    assert form_of([chr(0xAC00 + 29 * number) for number in range(300)]) == "NFD"
    assert form_of(["été", "ete"]) == "NFC"
    assert [distance("kitten", "sitting"), distance("", "ab"), distance("ab", "ab")] == [3, 2, 0]
