"""Requests and answers as lines of JSON."""

import json

import pytest
from random_models import make_checkpoint

from rnn_cli.serving.fields import Limits
from rnn_cli.serving.models import Models
from rnn_cli.serving.stdio import LineServer


@pytest.fixture
def served():
    models = Models({"m": make_checkpoint(True), "n": make_checkpoint(False)}, Limits(max_states=3))
    yield models
    models.close()


def ask(models, *requests):
    """Return the answers to some lines, by their ids, in the order of their coming."""
    lines = []
    server = LineServer(models, lines.append)
    server.serve(each if isinstance(each, bytes) else json.dumps(each).encode() for each in requests)
    found = {}
    for line in lines:
        values = json.loads(line)
        found.setdefault(values["id"], []).append(values)
    return found


def test_answers_carry_the_ids_of_their_requests(served):
    found = ask(served, {"id": 1, "model": "m", "prompt": "a"}, {"id": "two", "model": "n"}, b"", b"{")
    assert [len(found[key]) for key in (1, "two", None)] == [1, 1, 1]
    assert (found[1][0]["model"], found["two"][0]["model"]) == ("m", "n")
    assert found[None][0]["error"]["type"] == "invalid_request_error"


def test_a_stream_ends_with_done(served):
    pieces = ask(served, {"id": 1, "model": "n", "stream": True, "max_tokens": 99, "seed": 5})[1]
    whole = ask(served, {"id": 1, "model": "n", "max_tokens": 99, "seed": 5})[1][0]
    assert [piece["done"] for piece in pieces] == [False] * (len(pieces) - 1) + [True]
    assert "".join(piece["choices"][0]["text"] for piece in pieces[:-1]) == whole["choices"][0]["text"]
    assert pieces[-1]["usage"] == whole["usage"]


def test_states_are_kept_used_and_released(served):
    lines = []
    server = LineServer(served, lines.append)

    def one(**values):
        server.serve([json.dumps({"model": "n", "seed": 1, **values}).encode()])
        return json.loads(lines[-1])

    (state,) = one(prompt="ab", max_tokens=0, keep=True)["states"]
    text = one(prompt="c", state=state)["choices"][0]["text"]
    assert text == one(prompt="abc")["choices"][0]["text"]
    assert one(prompt="c", state=state, model="m")["error"]["param"] == "state"
    assert one(keep=True, n=3)["error"]["param"] == "keep"
    server.answer(json.dumps({"id": 1, "release": state}).encode())
    assert json.loads(lines[-1]) == {"id": 1, "released": True}
    assert one(prompt="c", state=state)["error"]["code"] == 404


def test_a_request_can_be_cancelled(served):
    found = ask(served, {"id": 1, "model": "n", "max_tokens": 4096, "n": 99}, {"id": 2, "cancel": 1})
    assert found[2][0]["cancelled"] is True
    assert found[1][0]["error"]["code"] == 499
    assert ask(served, {"id": 2, "cancel": [1]})[2][0]["cancelled"] is False


def test_models_are_listed_and_named(served):
    found = ask(served, {"id": 1, "models": True}, {"id": 2}, {"id": 3, "model": "../m"})
    assert [model["id"] for model in found[1][0]["data"]] == ["m", "n"]
    assert [found[key][0]["error"]["code"] for key in (2, 3)] == [400, 404]


def test_a_closed_pipe_ends_the_service(served):
    def write(line):
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        LineServer(served, write).serve([b'{"id": 1, "model": "m"}', b'{"id": 2, "model": "m"}'])
