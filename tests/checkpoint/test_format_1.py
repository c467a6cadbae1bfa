"""Files of format 1, which released code wrote, load, sample, score, resume and fine-tune as they did then.

data/format-1 holds them, with what `rnn sample`, `rnn evaluate --json` and `rnn train` of that code made of them.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from commands import run

from rnn_cli.checkpoint.checkpoint import load_checkpoint, save_checkpoint
from rnn_cli.kernels.simd.cpu import HAS_BFLOAT16
from rnn_cli.language.task import LanguageTask
from rnn_cli.text.corpus import load_corpus
from rnn_cli.training.trainer import Trainer

DATA = Path(__file__).parent / "data" / "format-1"
MODELS = ("lstm-lines", "gru-stream", "rnn-bytes")
EVALUATED = [json.loads(line) for line in (DATA / "evaluate.jsonl").read_text().splitlines()]
# The files were trained with products in bfloat16. The same bits are promised on processors of the same kind only, so
# the trained weights are compared within what another kind, or a version that rounds the gates, too, may round
# differently in some dozens of steps.
NEEDS_BFLOAT16 = pytest.mark.skipif(not HAS_BFLOAT16, reason="this processor has no bfloat16, which the run used")
CLOSE = {"rtol": 1e-3, "atol": 1e-2}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return a directory with copies of all the files."""
    return Path(shutil.copytree(DATA, tmp_path / "data"))


def assert_same_weights(path: Path, expected: Path) -> None:
    """Assert that two files hold the same model, up to the roundings of another kind of processor."""
    ours, theirs = load_checkpoint(path), load_checkpoint(expected)
    assert ours.config == theirs.config
    assert ours.codec == theirs.codec
    for name, tensor in theirs.parameters.items():
        np.testing.assert_allclose(ours.parameters[name], tensor, **CLOSE)


@pytest.mark.parametrize("name", MODELS)
def test_a_model_samples_the_same_texts(name: str) -> None:
    done = run("sample", "-m", f"{name}.safetensors", "-n", 5, "--random-seed", 3, "--precision", "float32", cwd=DATA)
    assert done.code == 0, done.stderr
    assert done.stdout == (DATA / f"{name}.sample.txt").read_bytes()


@pytest.mark.parametrize("expected", EVALUATED, ids=MODELS)
def test_a_model_scores_as_before(expected: dict[str, object]) -> None:
    text = "stream.txt" if expected["characters"] == 600 else "lines.txt"
    done = run("evaluate", text, "-m", expected["model"], "--json", "--precision", "float32", cwd=DATA)
    assert done.code == 0, done.stderr
    found = json.loads(done.stdout)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name] == (pytest.approx(value, rel=1e-5) if isinstance(value, float) else value)


@pytest.mark.parametrize("name", MODELS)
def test_a_model_says_what_it_is(name: str) -> None:
    checkpoint = load_checkpoint(DATA / f"{name}.safetensors")
    assert checkpoint.task.keys() == {"name", "codec"}
    assert checkpoint.task["name"] == "language"
    assert len(checkpoint.codec) == checkpoint.config.input_size == checkpoint.config.output_size
    assert (checkpoint.progress, checkpoint.source) == (None, None)
    assert run("info", "-m", f"{name}.safetensors", cwd=DATA).code == 0


@pytest.mark.parametrize("name", [*MODELS, "interrupted"])
def test_a_model_is_saved_again_in_the_newer_format(tmp_path: Path, name: str) -> None:
    older = load_checkpoint(DATA / f"{name}.safetensors")
    save_checkpoint(tmp_path / "newer", older)
    newer = load_checkpoint(tmp_path / "newer")
    assert (newer.config, newer.task, newer.record) == (older.config, older.task, older.record)
    assert (newer.progress, newer.source) == (older.progress, older.source)
    assert all(np.array_equal(newer.tensors()[name], tensor) for name, tensor in older.tensors().items())


@NEEDS_BFLOAT16
def test_a_stopped_run_is_resumed_by_the_command(place: Path) -> None:
    done = run("train", "--resume", "lines.txt", "-m", "interrupted.safetensors", cwd=place)
    assert done.code == 0, done.stderr
    assert_same_weights(place / "interrupted.safetensors", place / "whole.safetensors")


@NEEDS_BFLOAT16
def test_a_stopped_run_is_resumed_by_the_library(place: Path) -> None:
    checkpoint = load_checkpoint(place / "interrupted.safetensors")
    corpus = load_corpus(
        [str(place / "lines.txt")], as_bytes=False, line_mode=None, validation_fraction=0.2, random_seed=1
    )
    trainer = Trainer.resume(checkpoint, LanguageTask(corpus), threads=2)
    for _ in trainer:
        pass
    save_checkpoint(place / "resumed", trainer.checkpoint())
    assert_same_weights(place / "resumed", place / "whole.safetensors")


def test_a_model_is_fine_tuned(place: Path) -> None:
    sizes = ["--steps", 20, "--batch-size", 4, "--sequence-length", 8, "--random-seed", 2]
    options = [*sizes, "--precision", "bfloat16" if HAS_BFLOAT16 else "float32"]
    done = run("train", "lines.txt", "--from", "lstm-lines.safetensors", *options, "-m", "new", cwd=place)
    assert done.code == 0, done.stderr
    if HAS_BFLOAT16:
        assert_same_weights(place / "new", place / "tuned.safetensors")
