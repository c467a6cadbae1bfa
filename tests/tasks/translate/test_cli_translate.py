"""rnn train --task translate, rnn translate and rnn evaluate, as a user runs them."""

import itertools
import json
import signal

import numpy as np
import pytest
from commands import run, stop_training

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


def test_what_the_data_are_is_seen():
    assert looks_like_phones(["k a t", "d o g", "b a t"] * 4)
    assert not looks_like_phones(["the cat sat", "a dog barks"])
    assert form_of([chr(0xAC00 + 29 * number) for number in range(300)]) == "NFD"
    assert form_of(["été", "ete"]) == "NFC"
    assert [distance("kitten", "sitting"), distance("", "ab"), distance("ab", "ab")] == [3, 2, 0]
