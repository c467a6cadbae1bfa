"""ONNX Runtime computes what network/plain.py does, whole and step by step, and writes what rnn sample writes."""

import json

import numpy as np
import onnxruntime as runtime
import pytest
from portable_models import CASES, CODECS, NAMES, case_ids, plain_logits, random_checkpoint

from rnn_cli.export.onnx import onnx_model
from rnn_cli.export.portable import Portable
from rnn_cli.language.config import SamplingConfig
from rnn_cli.language.sampling import sample_texts


def session_of(checkpoint):
    return runtime.InferenceSession(onnx_model(Portable.of_checkpoint(checkpoint)).SerializeToString())


def states_of(session, rows=1):
    shapes = {each.name: each.shape for each in session.get_inputs() if each.name in ("h0", "c0")}
    return {name: np.zeros((shape[0], rows, shape[2]), np.float32) for name, shape in shapes.items()}


def run(session, ids, states, label):
    ids = np.array(ids, np.int64)
    more = {} if label is None else {"label": np.full(ids.shape[1], label, np.int64)}
    logits, *after = session.run(None, {"ids": ids, **more, **states})
    return logits, dict(zip(states, after))


def assert_near(found, expected):
    assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max()


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


def test_metadata_say_what_a_caller_needs():
    checkpoint = random_checkpoint("classify", directions=2)
    proto = onnx_model(Portable.of_checkpoint(checkpoint))
    metadata = {entry.key: entry.value for entry in proto.metadata_props}
    assert json.loads(metadata["rnn"])["outputs"] == checkpoint.task["labels"]
    assert "give a whole text at once" in metadata["meaning"]
    assert (proto.ir_version, proto.opset_import[0].version) == (8, 17)
