"""A wide enough beam finds the most probable of all texts, most probable first."""

import itertools
import json

import numpy as np
import pytest
from commands import run
from random_models import make_checkpoint

from rnn_cli.checkpoint.checkpoint import save_checkpoint
from rnn_cli.errors import UsageError
from rnn_cli.language.beam_search import complete
from rnn_cli.language.scorer import Scorer
from rnn_cli.text.codecs import ByteCodec, CharacterCodec

MODES = pytest.mark.parametrize("line_mode", [False, True], ids=["stream", "lines"])


def small(line_mode, boundary_bias=None):
    """Return a model of three characters; in a stream one of them is the newline."""
    return make_checkpoint(
        line_mode, boundary_bias=boundary_bias, codec=CharacterCodec("abc" if line_mode else "\nbc", line_mode)
    )


def all_completions(checkpoint, prefix, length):
    """Return (text, probability, ended) of every completion, most probable first, by scoring each one."""
    scorer, codec = Scorer(checkpoint, 1), checkpoint.codec
    letters = [letter for letter in codec.symbols if letter != "\n"]
    found = []
    for size in range(length + 1):
        for text in map("".join, itertools.product(letters, repeat=size)):
            whole = prefix + text + ("\n" if size < length else "")
            scorer.start()
            losses, _ = scorer.read(codec.frame(codec.encode(whole))[1:])
            losses = losses[len(prefix) : len(whole)]
            found.append((text, np.exp(-losses.sum()), size < length))
    return sorted(found, key=lambda completion: -completion[1])


def texts_of(checkpoint, completions):
    """Return (text, ended) of each completion."""
    return [(checkpoint.codec.decode(each.symbols).decode(), each.ended) for each in completions]


@pytest.mark.parametrize("prefix", ["", "bcb"])
@pytest.mark.parametrize("length", [1, 4])
@MODES
def test_a_wide_beam_finds_all_in_order(line_mode, length, prefix):
    checkpoint = small(line_mode)
    expected = all_completions(checkpoint, prefix, length)
    found = complete(checkpoint, prefix, 1000, length)
    assert texts_of(checkpoint, found) == [(text, ended) for text, _, ended in expected]
    np.testing.assert_allclose([each.probability for each in found], [p for _, p, _ in expected], rtol=1e-4)
    if line_mode:
        assert sum(each.probability for each in found) == pytest.approx(1)
    for count in (1, 3, 7):
        assert complete(checkpoint, prefix, count, length, threads=2) == found[:count]


def test_completions_that_underflow_are_still_in_order():
    found = complete(small(False, boundary_bias=-50), "b", 5, 3000)
    logs = [each.log_probability for each in found]
    assert [each.probability for each in found if not each.ended] == [0.0] * sum(not each.ended for each in found)
    assert logs == sorted(logs, reverse=True)
    assert len(set(logs)) > 1


def test_a_narrow_beam_finds_probable_ones():
    checkpoint = small(True, boundary_bias=-2)
    best = complete(checkpoint, "a", 1, 12)[0]
    for width in (1, 2, 8):
        found = complete(checkpoint, "a", 1, 12, width=width)[0]
        assert 0 < found.probability <= best.probability * (1 + 1e-6)


def test_a_model_of_bytes_completes_whole_characters():
    checkpoint = make_checkpoint(False, codec=ByteCodec(False))
    seed = b"a\xe2\x82"
    for length in (1, 2, 5):
        found = complete(checkpoint, seed, 20, length)
        assert len(found) == 20
        for each in found:
            (seed + checkpoint.codec.decode(each.symbols)).decode()
            assert each.ended or length <= len(each.symbols) <= length + 3
            assert b"\n" not in checkpoint.codec.decode(each.symbols)


def test_an_unknown_character_is_named():
    with pytest.raises(UsageError, match="character 2 of the prefix"):
        complete(small(True), "aX", 1, 1)


# The command rnn complete


@pytest.fixture
def folder(tmp_path):
    """Return a directory with a model."""
    save_checkpoint(tmp_path / "model.safetensors", small(True))
    return tmp_path


def test_the_command(folder):
    done = run("complete", "ab", "-n", 3, "-l", 4, cwd=folder)
    assert (done.code, done.stderr) == (0, "")
    expected = complete(small(True), "ab", 3, 4)
    texts = ["ab" + text for text, _ in texts_of(small(True), expected)]
    rows = [line.split("\t") for line in done.text.splitlines()]
    assert [text for _, text in rows] == texts
    assert [float(p) for p, _ in rows] == pytest.approx([each.probability for each in expected], rel=1e-3)
    assert len(run("complete", "ab", cwd=folder).text.splitlines()) == 5
    plain = run("complete", "ab", "--count", 3, "--length", 4, "--plain", "--threads", 2, "-q", cwd=folder)
    assert plain.text.splitlines() == texts
    bare = run("complete", "ab", "-n", 3, "-l", 4, "--plain", "--no-echo", cwd=folder)
    assert ["ab" + text for text in bare.text.splitlines()] == texts
    printed = json.loads(run("complete", "ab", "-n", 3, "-l", 4, "--json", cwd=folder).text)
    assert list(printed) == ["prefix", "completions"]
    assert [printed["prefix"] + each["completion"] for each in printed["completions"]] == texts
    assert [each["probability"] for each in printed["completions"]] == [each.probability for each in expected]
    assert {each["stopped"] for each in printed["completions"]} <= {"end", "length"}


def test_an_unknown_prefix_is_one_sentence(folder):
    done = run("complete", "aX", cwd=folder)
    assert (done.code, done.stdout, done.stderr.count("\n")) == (2, b"", 1)
