"""The Python file computes and writes what this program does."""

import subprocess
import sys

import numpy as np
import pytest
from portable_models import CASES, CODECS, NAMES, case_ids, plain_logits, random_checkpoint

from rnn_cli.export.targets import Request, export_files
from rnn_cli.language.config import SamplingConfig
from rnn_cli.language.sampling import sample_texts


def exported(checkpoint, folder):
    """Write the files and return the names that the Python file defines."""
    files, _ = export_files("numpy", Request(checkpoint, folder / 'mo"del.x'))
    for path, data in files.items():
        path.write_bytes(data)
    path = folder / 'mo"del.py'
    names = {"__file__": str(path), "__name__": "imported"}
    exec(compile(path.read_text("utf-8"), path, "exec"), names)
    return names


@pytest.mark.parametrize("task, values", CASES, ids=NAMES)
def test_logits_of_numpy_are_those_of_the_equations(cell, tmp_path, task, values):
    checkpoint = random_checkpoint(task, cell, **values)
    label, ids = 1 if task == "labelled" else None, case_ids(checkpoint)
    logits, _ = exported(checkpoint, tmp_path)["run"](ids, label)
    expected = plain_logits(checkpoint, ids, label)
    assert np.abs(logits - expected).max() < 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("kind", CODECS)
def test_numpy_writes_the_greedy_text(tmp_path, kind):
    checkpoint = random_checkpoint("language", codec=CODECS[kind], seed=8)
    names = exported(checkpoint, tmp_path)
    for prompt in ("", "the cat" if kind == "words" else "ab"):
        config = SamplingConfig(temperature=0, length=40)
        (expected,) = sample_texts(checkpoint, prompt.encode() if kind == "bytes" else prompt, config=config)
        before = names["encode"](prompt)[-1]
        text = checkpoint.codec.decode_after(before, list(names["write"](prompt, 40)))
        assert text.decode(errors="ignore").encode() == expected  # which has no incomplete last character


def test_the_file_runs_as_a_program(tmp_path):
    exported(random_checkpoint("classify"), tmp_path)
    done = subprocess.run([sys.executable, tmp_path / 'mo"del.py', "abc"], capture_output=True, text=True, check=True)
    assert done.stdout.strip()
