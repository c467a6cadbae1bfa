"""The Python file computes and writes what this program does."""

import subprocess
import sys

import numpy as np
import pytest
from portable_models import (
    BIO,
    CASES,
    CHARACTERS,
    CODECS,
    FORECASTERS,
    NAMES,
    SERIES,
    SOURCES,
    case_ids,
    plain_logits,
    random_checkpoint,
)

from rnn_cli.export.targets import Request, export_files
from rnn_cli.language.config import SamplingConfig
from rnn_cli.language.sampling import sample_texts
from rnn_cli.tasks.forecast.forecaster import Forecaster
from rnn_cli.tasks.forecast.series import numbered
from rnn_cli.tasks.tag.tagger import Tagger
from rnn_cli.tasks.translate.translator import Translator


def exported(checkpoint, folder):
    """Write the files and return the names that the Python file defines."""
    files, _ = export_files("numpy", Request(checkpoint, folder / 'mo"del LABEL.x'))
    for path, data in files.items():
        path.write_bytes(data)
    path = folder / 'mo"del LABEL.py'
    names = {"__file__": str(path), "__name__": "imported"}
    exec(compile(path.read_text("utf-8"), path, "exec"), names)
    return names


@pytest.mark.parametrize("task, values", CASES, ids=NAMES)
def test_logits_of_numpy_are_those_of_the_equations(cell, tmp_path, task, values):
    checkpoint = random_checkpoint(task, cell, **values)
    ids, names = case_ids(checkpoint), exported(checkpoint, tmp_path)
    labels = checkpoint.task["labels"][1:2] if task == "labelled" else []
    logits = names["run"](ids, {}, *labels)
    expected = plain_logits(checkpoint, ids, 1 if labels else None)
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


@pytest.mark.parametrize("directions", [1, 2])
def test_numpy_translates(cell, tmp_path, directions):
    checkpoint = random_checkpoint("translate", cell, CHARACTERS, directions=directions, seed=9)
    names = exported(checkpoint, tmp_path)
    translator = Translator.of_checkpoint(checkpoint, 1)
    expected = [translator.symbols.decode(each[0].symbols) for each in translator.translate(SOURCES)]
    assert [names["translate"](source) for source in SOURCES] == expected


@pytest.mark.parametrize("own, quantiles", FORECASTERS)
def test_numpy_forecasts(tmp_path, own, quantiles):
    checkpoint = random_checkpoint("forecast", own, quantiles=quantiles)
    names, forecaster = exported(checkpoint, tmp_path), Forecaster.of_checkpoint(checkpoint)
    for values in SERIES:
        (expected,) = forecaster.forecast([numbered("y", values)])
        found = names["forecast"](values)
        assert found.shape == expected.shape
        assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("tags", [BIO, ("NOUN", "VERB")])
def test_numpy_tags(tmp_path, tags):
    checkpoint = random_checkpoint("tag", codec=CHARACTERS, tags=tags, directions=2, seed=4)
    words = [*SOURCES[0], "zé<", "fedcba", "ag", *"gfedcba"]
    (expected,) = Tagger.of_checkpoint(checkpoint, 1).tag([words])
    assert exported(checkpoint, tmp_path)["tag"](words) == expected


@pytest.mark.parametrize("task", ["language", "labelled", "classify", "tag", "translate", "forecast"])
def test_the_file_runs_as_a_program(tmp_path, task):
    exported(
        random_checkpoint(task, codec=CODECS["lines"] if task in ("language", "labelled") else CHARACTERS), tmp_path
    )
    path = tmp_path / 'mo"del LABEL.py'
    numbers = "".join(f"{value}\n" for value in SERIES[0])
    done = subprocess.run([sys.executable, path, "abc"], input=numbers, capture_output=True, text=True, check=True)
    assert done.stdout.strip()


def test_the_file_is_short_and_clean(tmp_path, cell):
    exported(random_checkpoint("language", cell), tmp_path)
    path = tmp_path / 'mo"del LABEL.py'
    code = [line for line in path.read_text("utf-8").splitlines() if line.strip()]
    assert len(code) <= 60
    assert max(map(len, code)) <= 120
