"""Requests are checked: each field, its range and its kind, and JSON that is not what it should be."""

import json

import pytest

from rnn_cli.serving.fields import Limits, RequestError, parse
from rnn_cli.serving.requests import read_completion

LIMITS = Limits(max_tokens=100, max_prompt=20, max_choices=8, max_body=2000)


@pytest.mark.parametrize(
    "data, words",
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"[]", "not a JSON object"),
        (b"\xff", "not valid UTF-8 at byte 1"),
        (b'{"a": NaN}', "not finite"),
        (b'{"a": -Infinity}', "not finite"),
        (b'{"a": 1e999}', "not finite"),
        (b'{"a": ' + b"9" * 1000 + b"}", "more than 20 digits"),
        (b'{"a": 1, "a": 2}', "comes twice"),
        (b"[" * 1999, "nested too deeply"),
        (b'{"a":' * 9 + b"{}" + b"}" * 9, "nested too deeply"),
        (b" " * 2001, "more than 2,000 bytes"),
    ],
)
def test_bad_json_is_refused(data, words):
    with pytest.raises(RequestError, match=words):
        parse(data, LIMITS)


@pytest.mark.parametrize(
    "values, field",
    [
        ({"prompt": 1}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": ["a", 1]}, "prompt"),
        ({"prompt": "a" * 21}, "prompt"),
        ({"prompt": "\ud800"}, "prompt"),
        ({"prompt": ["a"] * 9}, "prompt"),
        ({"prompt": ["a"] * 4, "n": 3}, "best_of"),
        ({"n": 0}, "n"),
        ({"n": True}, "n"),
        ({"n": 3, "best_of": 2}, "best_of"),
        ({"best_of": 2, "stream": True}, "best_of"),
        ({"max_tokens": 101}, "max_tokens"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"temperature": 101}, "temperature"),
        ({"temperature": "1"}, "temperature"),
        ({"seed": -1}, "seed"),
        ({"top_p": 2}, "top_p"),
        ({"forbid": 5}, "forbid"),
        ({"novel": 1}, "novel"),
        ({"pattern": 5}, "pattern"),
        ({"ends_with": 5}, "ends_with"),
        ({"must_contain": [5]}, "must_contain"),
        ({"must_contain": ["a"] * 9}, "must_contain"),
        ({"logprobs": 21}, "logprobs"),
        ({"logprobs": True}, "logprobs"),
        ({"stop": ["a"] * 5}, "stop"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": {"other": 1}}, "stream_options"),
        ({"unknown": "ignore"}, "unknown"),
        ({"suffix": "b"}, "suffix"),
        ({"logit_bias": {"1": 5}}, "logit_bias"),
        ({"state": "s1"}, "state"),
        ({"model": 5}, "model"),
        ({"nonsense": 1}, "nonsense"),
    ],
    ids=str,
)
def test_a_wrong_field_is_named(values, field):
    with pytest.raises(RequestError) as caught:
        read_completion(values, LIMITS)
    assert (caught.value.field, caught.value.status) == (field, 400)
    assert f"`{field}" in str(caught.value)


def test_what_asks_for_nothing_is_accepted():
    nothing = {
        "suffix": None,
        "presence_penalty": 0,
        "frequency_penalty": 0.0,
        "logit_bias": {},
        "user": "u",
        "n": None,
    }
    request = read_completion(json.loads(json.dumps(nothing)), LIMITS)
    assert (request.prompts, request.n, request.config.length, request.logprobs) == ([""], 1, 16, None)


def test_sampling_takes_the_names_of_the_api():
    request = read_completion({"seed": 7, "max_tokens": 9, "top_k": 3, "forbid": "x"}, LIMITS)
    config = request.config
    guided = read_completion({"pattern": "a+", "ends_with": "b", "must_contain": ["c", "d"]}, LIMITS).config
    assert (guided.pattern, guided.suffix, guided.must_contain) == ("a+", "b", ("c", "d"))
    assert read_completion({"must_contain": "c"}, LIMITS).config.must_contain == ("c",)
    assert (config.random_seed, config.length, config.top_k, config.forbid) == (7, 9, 3, "x")
