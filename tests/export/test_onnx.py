"""ONNX Runtime computes what network/plain.py does, whole and step by step, and writes what rnn sample writes."""

import json
import re
from pathlib import Path

import numpy as np
import onnxruntime as runtime
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
    plain_answers,
    plain_logits,
    random_checkpoint,
)

from rnn_cli.export.onnx import onnx_models
from rnn_cli.export.portable import Portable
from rnn_cli.export.targets import Request, export_files
from rnn_cli.language.config import SamplingConfig
from rnn_cli.language.sampling import sample_texts
from rnn_cli.tasks.forecast.forecaster import Forecaster
from rnn_cli.tasks.forecast.series import numbered, read_series
from rnn_cli.tasks.tag.tagger import Tagger
from rnn_cli.tasks.translate.translator import Translator

ROOT = Path(__file__).parents[2]


def session_of(checkpoint):
    return sessions_of(checkpoint)[0]


def sessions_of(checkpoint):
    graphs = onnx_models(Portable.of_checkpoint(checkpoint)).values()
    return [runtime.InferenceSession(graph.SerializeToString()) for graph in graphs]


def states_of(session, rows=1):
    shapes = {each.name: each.shape for each in session.get_inputs() if each.name in ("h0", "c0")}
    return {name: np.zeros((shape[0], rows, shape[2]), np.float32) for name, shape in shapes.items()}


def run(session, ids, states, label):
    ids = np.array(ids, np.int64)
    more = {} if label is None else {"label": np.full(ids.shape[1], label, np.int64)}
    logits, *after = session.run(None, {"ids": ids, **more, **states})
    return logits, dict(zip(states, after))


def assert_near(found, expected):
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("task, values", CASES, ids=NAMES)
def test_logits_are_those_of_the_equations(cell, task, values):
    checkpoint = random_checkpoint(task, cell, **values)
    label = 1 if task == "labelled" else None
    session, ids = session_of(checkpoint), case_ids(checkpoint)
    others = [0, *reversed(ids[1:])]
    logits, _ = run(session, np.array([ids, others]).T, states_of(session, 2), label)
    for row, symbols in enumerate((ids, others)):
        assert_near(logits[:, row], plain_logits(checkpoint, symbols, label))


def test_streaming_equals_the_whole(cell):
    checkpoint = random_checkpoint("language", cell)
    session, ids = session_of(checkpoint), np.array([case_ids(checkpoint)]).T
    whole, last = run(session, ids, states_of(session), None)
    states, pieces = states_of(session), []
    for step in ids[:, None]:
        logits, states = run(session, step, states, None)
        pieces.append(logits)
    # The runtime's RNN multiplies all inputs at once, in another order; its LSTM and GRU give the same bits.
    bound = 1e-6 if cell.name == "rnn" else 0
    assert np.abs(np.concatenate(pieces) - whole).max() <= bound * np.abs(whole).max()
    assert all(np.abs(states[name] - last[name]).max() <= bound * np.abs(last[name]).max() for name in last)


@pytest.mark.parametrize("kind", ["lines", "stream", "words", "tokens"])
def test_greedy_text_is_that_of_the_kernels(cell, kind):
    tied = {"embedding": "tied"} if kind == "words" else {}
    checkpoint = random_checkpoint("language", cell, CODECS[kind], seed=8, **tied)
    (expected,) = sample_texts(checkpoint, config=SamplingConfig(temperature=0, length=60))
    session = session_of(checkpoint)
    about = json.loads(session.get_modelmeta().custom_metadata_map["rnn"])
    states, written = states_of(session), []
    ids = [0] if about["newline"] < 1 else [0, about["newline"]]
    for _ in range(60):
        logits, states = run(session, np.array([ids]).T, states, None)
        logits[-1, 0, about["never_sampled"]] = -np.inf
        ids = [int(logits[-1, 0].argmax())]
        if ids == [0]:
            break
        written += ids
    assert checkpoint.codec.decode(written) == expected
    assert len(written) > 3


def read_sources(encoder, sources):
    """Return what the decoder needs of sources of symbols, side by side, and the states."""
    ids = np.zeros((max(map(len, sources)), len(sources)), np.int64)
    for column, source in enumerate(sources):
        ids[: len(source), column] = source
    lengths = np.array(list(map(len, sources)), np.int32)
    names = [each.name for each in encoder.get_outputs()]
    found = dict(zip(names, encoder.run(None, {"ids": ids, "lengths": lengths})))
    states = {name: found.pop(name) for name in names if name.endswith("0")}
    return {"lengths": lengths, **found}, states


@pytest.mark.parametrize("layers, directions", [(1, 2), (2, 2), (2, 1)])
def test_decoder_is_that_of_the_equations(cell, layers, directions):
    checkpoint = random_checkpoint("translate", cell, CHARACTERS, layers=layers, directions=directions)
    encoder, decoder = sessions_of(checkpoint)
    sources, target = [[3, 1, 4, 1, 5, 0], [0], [2, 6, 0]], [0, 2, 1, 4]
    read, states = read_sources(encoder, sources)
    ids = np.repeat(np.array([target]).T, 3, axis=1)
    logits, attention, *_ = decoder.run(None, {"ids": ids, **read, **states})
    for column, source in enumerate(sources):
        assert_near(logits[:, column], plain_answers(checkpoint, source, target[1:]))
        assert np.abs(attention[:, column, : len(source)].sum(axis=1) - 1).max() < 1e-5
        assert (attention[:, column, len(source) :] == 0).all()


@pytest.mark.parametrize("directions", [1, 2])
def test_answers_are_those_of_the_kernels(cell, directions):
    checkpoint = random_checkpoint("translate", cell, CHARACTERS, directions=directions, seed=9)
    encoder, decoder = sessions_of(checkpoint)
    translator = Translator.of_checkpoint(checkpoint, 1)
    expected = [list(answers[0].symbols) for answers in translator.translate(SOURCES)]
    read, states = read_sources(encoder, [translator.symbols.encode_source(source).tolist() for source in SOURCES])
    ids, written = np.zeros((1, len(SOURCES)), np.int64), []
    for _ in range(2 * checkpoint.task["longest"] + 8):
        logits, _, *after = decoder.run(None, {"ids": ids, **read, **states})
        states, ids = dict(zip(states, after)), logits.argmax(axis=-1)
        written.append(ids[0])
    for column, answer in enumerate(expected):
        own = [*(int(symbols[column]) for symbols in written), 0]
        assert own[: own.index(0)] == answer


@pytest.mark.parametrize("own, quantiles", FORECASTERS)
def test_forecasts_are_those_of_the_kernels(own, quantiles):
    checkpoint = random_checkpoint("forecast", own, quantiles=quantiles)
    (session,), forecaster = sessions_of(checkpoint), Forecaster.of_checkpoint(checkpoint)
    for values in SERIES:
        both = np.stack([values, values[::-1]])
        expected = forecaster.forecast([numbered("y", each) for each in both])
        (found,) = session.run(None, {"values": both.T.copy()})
        assert found.shape == expected.transpose(1, 0, 2).shape
        assert_near(found.transpose(1, 0, 2), expected)


def test_metadata_say_what_a_caller_needs():
    checkpoint = random_checkpoint("classify", directions=2)
    (proto,) = onnx_models(Portable.of_checkpoint(checkpoint)).values()
    metadata = {entry.key: entry.value for entry in proto.metadata_props}
    assert json.loads(metadata["rnn"])["outputs"] == checkpoint.task["labels"]
    assert "give a whole text at once" in metadata["meaning"]
    assert (proto.ir_version, proto.opset_import[0].version) == (8, 17)


RUNNERS = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "export.md").read_text("utf-8"), re.DOTALL)[:4]


def runs(number, folder, checkpoint, monkeypatch, capsys, change=("", "")):
    """Return what a runner of the documentation prints of a model."""
    name = ("names", "tagger", "dates", "visitors")[number]
    files, _ = export_files("onnx", Request(checkpoint, folder / f"{name}.onnx"))
    for path, data in files.items():
        path.write_bytes(data)
    monkeypatch.chdir(folder)
    exec(compile(RUNNERS[number].replace(*change), name, "exec"), {})
    return capsys.readouterr().out


def test_runner_of_the_documentation_writes(tmp_path, monkeypatch, capsys):
    checkpoint = random_checkpoint("language", seed=12)
    checkpoint.parameters["decoder.bias"][0] = 0  # so that the most probable text ends
    (expected,) = sample_texts(checkpoint, config=SamplingConfig(temperature=0, length=60))
    assert 4 < len(expected.decode()) < 60
    assert runs(0, tmp_path, checkpoint, monkeypatch, capsys) == expected.decode() + "\n\n"


@pytest.mark.parametrize("tags", [BIO, ("NOUN", "VERB")])
def test_runner_of_the_documentation_tags(tmp_path, monkeypatch, capsys, tags):
    checkpoint = random_checkpoint("tag", codec=CHARACTERS, tags=tags, directions=2, seed=4)
    words = ["abc", "é<b>", "zé<", "fedcba", "ag", *"gfedcba"]
    (expected,) = Tagger.of_checkpoint(checkpoint, 1).tag([words])
    printed = runs(1, tmp_path, checkpoint, monkeypatch, capsys, ("The old dog sleeps", " ".join(words)))
    assert printed.split() == [f"{word}/{tag}" for word, tag in zip(words, expected)]


def test_runner_of_the_documentation_translates(tmp_path, monkeypatch, capsys):
    checkpoint = random_checkpoint("translate", codec=CHARACTERS, directions=2, seed=9)
    translator = Translator.of_checkpoint(checkpoint, 1)
    for source in ("abc", "é<b>"):
        ((answer, *_),) = translator.translate([source])
        printed = runs(2, tmp_path, checkpoint, monkeypatch, capsys, ("7 September 1999", source))
        assert printed == translator.symbols.decode(answer.symbols) + "\n"


def test_runner_of_the_documentation_forecasts(tmp_path, monkeypatch, capsys):
    checkpoint = random_checkpoint("forecast")
    (tmp_path / "corpora").symlink_to(ROOT / "corpora")
    series = read_series([str(ROOT / "corpora" / "visitors.csv")]).series
    expected = Forecaster.of_checkpoint(checkpoint).forecast(series)[0, :2, 0]
    printed = runs(3, tmp_path, checkpoint, monkeypatch, capsys).strip("[]\n ").split()
    assert np.abs(np.array(printed, float) - expected).max() < 1e-4 * np.abs(expected).max()
