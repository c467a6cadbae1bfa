"""The engine: what a request is answered does not depend on the requests beside it."""

import threading

import numpy as np
import pytest
from random_models import make_checkpoint

from rnn_cli.language.config import SamplingConfig
from rnn_cli.language.evaluation import evaluate_texts
from rnn_cli.language.sampling import sample_texts
from rnn_cli.serving.answers import PIECE, Answer
from rnn_cli.serving.engine import ROWS
from rnn_cli.serving.fields import Limits, RequestError
from rnn_cli.serving.models import Models, kept_after
from rnn_cli.serving.requests import read_completion
from rnn_cli.text.codecs import ByteCodec

LIMITS = Limits(max_tokens=3000, max_choices=500)


@pytest.fixture(scope="module", params=[True, False], ids=["lines", "stream"])
def models(request):
    served = Models({"m": make_checkpoint(request.param)}, LIMITS, threads=2)
    yield served
    served.close()


def begin(models, state=None, **values):
    """Begin a request; return its job, what gives it up, and the event of its end."""
    ended = threading.Event()
    job, cancel = models.begin(
        read_completion(values, LIMITS, states=True), state, lambda job: ended.set() if job.done else None
    )
    return job, cancel, ended


def answer(models, state=None, **values):
    """Return the job of a request that is done, and its answer."""
    job, _, ended = begin(models, state, **values)
    assert ended.wait(60)
    if job.failure:
        raise job.failure
    return job, Answer(job, "m").whole()


def texts(models, state=None, **values):
    return [choice["text"] for choice in answer(models, state, **values)[1]["choices"]]


def test_texts_are_those_of_sample(models):
    config = SamplingConfig(length=30, random_seed=5, temperature=0.9, top_k=6)
    expected = [text.decode() for text in sample_texts(models.checkpoints["m"], "ab", 7, config=config)]
    assert texts(models, prompt="ab", n=7, max_tokens=30, seed=5, temperature=0.9, top_k=6) == expected


def test_guided_texts_are_those_of_sample(models):
    pattern, checkpoint = "[a-d]+(e|f.*)", models.checkpoints["m"]
    guided = [begin(models, n=9, max_tokens=30, seed=k, pattern=pattern, ends_with="fe"[k % 2]) for k in range(5)]
    free = [begin(models, n=9, max_tokens=30, seed=k) for k in range(5)]
    for k in range(5):
        for begun, limits in ((guided, {"pattern": pattern, "suffix": "fe"[k % 2]}), (free, {})):
            config = SamplingConfig(length=30, random_seed=k, **limits)
            job, _, ended = begun[k]
            assert ended.wait(60)
            found = [choice["text"] for choice in Answer(job, "m").whole()["choices"]]
            assert found == [text.decode() for text in sample_texts(checkpoint, "", 9, config=config)]


def test_what_cannot_match_is_refused(models):
    with pytest.raises(RequestError, match="`pattern`") as caught:
        begin(models, pattern="[0-9]+")
    assert caught.value.field == "pattern"
    with pytest.raises(RequestError, match="`ends_with`") as caught:
        begin(models, ends_with="x")
    assert caught.value.field == "ends_with"
    (state,) = kept_after(answer(models, prompt="ab", keep=True)[0])
    with pytest.raises(RequestError, match="`pattern` needs the whole text"):
        begin(models, state, pattern="a.*")


def test_busy_rows_change_no_answer(models):
    requests = [
        {"prompt": "abc"[: k % 4], "n": 1 + k % 5, "seed": k, "temperature": 0.5 + k / 20, "max_tokens": 40 * (k % 9)}
        | ({"top_p": 0.8, "forbid": "c"} if k % 2 else {})
        for k in range(40)
    ]
    alone = [texts(models, **values) for values in requests]
    together = [begin(models, **values) for values in requests]
    assert sum(values["n"] for values in requests) > ROWS
    assert all(ended.wait(60) for _, _, ended in together)
    found = [[choice["text"] for choice in Answer(job, "m").whole()["choices"]] for job, _, _ in together]
    assert found == alone
    assert not any("c" in text for texts in found[1::2] for text in texts)


def test_longer_texts_than_rows_take_turns(models):
    long = begin(models, prompt="a", n=200, max_tokens=2000, min_length=2000, seed=1)
    short = begin(models, prompt="b", max_tokens=5, seed=1)
    assert short[2].wait(60)
    assert not long[0].done
    long[1]()
    assert long[2].wait(60)
    assert long[0].cancelled


def test_echo_with_logprobs_is_evaluate(models):
    text = "abcdefgh\u00e9\u20ac\U0001f600" * 3 + "\n" * models.checkpoints["m"].codec.line_mode
    _, found = answer(models, prompt=text, max_tokens=0, echo=True, logprobs=2)
    logprobs = found["choices"][0]["logprobs"]
    assert "".join(logprobs["tokens"]) == text == found["choices"][0]["text"]
    expected = evaluate_texts(models.checkpoints["m"], [text]).nats_per_char
    assert -np.mean(logprobs["token_logprobs"]) == pytest.approx(expected, rel=1e-5)
    assert [text[offset] for offset in logprobs["text_offset"]] == logprobs["tokens"]
    for token, value, top in zip(logprobs["tokens"], logprobs["token_logprobs"], logprobs["top_logprobs"]):
        assert len(top) == 2
        assert max(top.values()) >= value - 1e-6
        assert top.get(token, value) == pytest.approx(value, abs=1e-6)


def test_a_state_continues_as_the_whole_text_would(models):
    job, first = answer(models, prompt="ab", max_tokens=6, min_length=8, seed=3, keep=True)
    (state,) = kept_after(job)
    whole = "ab" + first["choices"][0]["text"] + "cd"
    expected = texts(models, prompt=whole, max_tokens=20, seed=9)
    for _ in range(2):
        assert texts(models, state, prompt="cd", max_tokens=20, seed=9) == expected


def test_the_best_of_several_comes_first(models):
    every = answer(models, prompt="a", n=9, max_tokens=20, seed=2, logprobs=0)[1]["choices"]
    best = answer(models, prompt="a", n=2, best_of=9, max_tokens=20, seed=2, logprobs=0)[1]["choices"]
    means = [np.mean(each["logprobs"]["token_logprobs"] or [-np.inf]) for each in every]
    order = np.argsort(-np.array(means), kind="stable")[:2]
    assert [each["text"] for each in best] == [every[k]["text"] for k in order]


def test_pieces_add_up_to_the_answer(models):
    pieces, ended = {}, threading.Event()
    answers = []

    def changed(job):
        answers[:] = answers or [Answer(job, "m")]
        for piece in answers[0].pieces():
            (choice,) = piece["choices"]
            pieces.setdefault(choice["index"], []).append(choice)
        if job.done:
            ended.set()

    values = {"prompt": ["a", "b"], "n": 3, "max_tokens": 50, "seed": 4, "stop": ["ab", "h"], "echo": True}
    models.begin(read_completion({**values, "stream": True}, LIMITS), changed=changed)
    assert ended.wait(60)
    joined = ["".join(part["text"] for part in pieces[key]) for key in sorted(pieces)]
    assert joined == texts(models, **values)
    assert all([part["finish_reason"] for part in parts].count(None) == len(parts) - 1 for parts in pieces.values())


def test_a_long_text_comes_in_small_pieces(models):
    values = {"prompt": "a", "n": 2, "max_tokens": 2000, "min_length": 2000, "seed": 4, "logprobs": 0}
    job, _, ended = begin(models, **values, stream=True)
    assert ended.wait(60)
    writer, found = Answer(job, "m"), {0: [], 1: []}
    writer.behind = True
    while writer.behind:
        for piece in writer.pieces():
            (choice,) = piece["choices"]
            found[choice["index"]].append(choice)
    assert all(len(choice["logprobs"]["tokens"]) <= PIECE // 2 for parts in found.values() for choice in parts)
    whole = answer(models, **values)[1]["choices"]
    for index, parts in found.items():
        assert "".join(part["text"] for part in parts) == whole[index]["text"]
        offsets = [offset for part in parts for offset in part["logprobs"]["text_offset"]]
        assert offsets == whole[index]["logprobs"]["text_offset"]


def test_an_unknown_character_is_a_request_error(models):
    for prompts, named in (("Z", "prompt"), (["Z"], "prompt"), (["a", "bZ"], "prompt[1]")):
        with pytest.raises(RequestError, match=r"never seen 'Z'.*of `prompt.*`unknown=") as caught:
            begin(models, prompt=prompts)
        assert caught.value.field == named
    with pytest.raises(RequestError, match="never seen '`'") as caught:  # which is around names, too
        begin(models, prompt=["a", "`"])
    assert caught.value.field == "prompt[1]"
    assert texts(models, prompt="Za", unknown="skip", seed=1) == texts(models, prompt="a", seed=1)


def test_too_many_requests_are_refused():
    served = Models({"m": make_checkpoint(False)}, Limits(max_waiting=1))
    job, cancel, ended = begin(served, prompt="a", max_tokens=3000, n=20)
    with pytest.raises(RequestError, match="try again") as caught:
        begin(served, prompt="a")
    assert caught.value.status == 503
    cancel()
    assert ended.wait(60)
    assert texts(served, prompt="a", max_tokens=1)
    served.close()


def test_patterns_share_a_limit_of_memory(models, monkeypatch):
    slow = {"n": 20, "max_tokens": 3000, "min_length": 2000, "pattern": "([a-d]|[e-h].)*"}
    assert texts(models, max_tokens=9, pattern="[a-d]*", seed=1)
    first, cancel, ended = begin(models, **slow)
    monkeypatch.setattr("rnn_cli.serving.models.MOST_GUIDED_AT_WORK", first.sampler.guide.nbytes + 100)
    with pytest.raises(RequestError, match="patterns") as caught:
        begin(models, **slow)
    assert caught.value.status == 503
    assert texts(models, prompt="a", max_tokens=3)
    cancel()
    assert ended.wait(60)
    assert texts(models, max_tokens=9, pattern="[a-d]*", seed=1)


def test_a_pattern_is_compiled_beside_the_loop(models):
    for values, quick in (({}, True), ({"pattern": "a*"}, False), ({"ends_with": "a"}, False), ({"forbid": "a"}, True)):
        assert models.is_quick(read_completion(values, LIMITS)) is quick


def test_a_model_of_bytes_names_bytes():
    served = Models({"m": make_checkpoint(False, codec=ByteCodec(False))}, LIMITS)
    logprobs = answer(served, prompt="\u20ac", echo=True, logprobs=0, max_tokens=0)[1]["choices"][0]["logprobs"]
    assert logprobs["tokens"] == ["bytes:\\xe2", "bytes:\\x82", "bytes:\\xac"]
    served.close()


def random_request(generator):
    """Return a request with fields of all kinds, and whether to give it up."""
    text = "abcdefgh\u00e9"
    values = {
        "prompt": [
            "".join(generator.choice(list(text), generator.integers(0, 40))) for _ in range(generator.integers(1, 5))
        ],
        "n": int(generator.integers(1, 6)),
        "max_tokens": int(generator.choice([0, 1, 20, 150])),
        "seed": int(generator.integers(0, 9)),
        "stream": bool(generator.random() < 0.5),
        "echo": bool(generator.random() < 0.5),
    }
    for name, value in (
        ("logprobs", 2),
        ("stop", ["ab", "h"]),
        ("forbid", "c"),
        ("pattern", "[^c]*(c(.|\\n)*)?"),
        ("temperature", 0.3),
    ):
        if generator.random() < 0.2:
            values[name] = value
    if "pattern" in values:
        values.pop("stop", None)  # which would cut a text that must match
    if not values["stream"] and generator.random() < 0.2:
        values["best_of"] = values["n"] + 3
    return values, bool(generator.random() < 0.25)


def test_the_scheduler_under_stress(models):
    """Requests of four clients at once, some of them given up: each answer is what it is without the others."""
    whole, given_up = {}, []

    def client(number):
        generator = np.random.default_rng(number)
        begun = []
        for _ in range(25):
            values, leaves = random_request(generator)
            begun.append((values, *begin(models, **values)))
            if leaves:
                given_up.append(begun.pop())
                given_up[-1][2]()
            elif generator.random() < 0.3:
                assert begun[-1][3].wait(60)
        for values, job, _, ended in begun:
            assert ended.wait(60)
            assert job.error is None
            whole[number, len(whole)] = values, Answer(job, "m").whole()

    clients = [threading.Thread(target=client, args=[number]) for number in range(4)]
    for each in clients:
        each.start()
    for each in clients:
        each.join(120)
    assert all(ended.wait(60) for _, _, _, ended in given_up)
    assert len(whole) + len(given_up) == 100
    assert not models._active
    for values, found in whole.values():
        expected = answer(models, **{**values, "stream": False})[1]
        assert found["choices"] == expected["choices"]


@pytest.mark.parametrize("stream", [True, False])
def test_too_few_texts_are_an_error(models, stream):
    job, _, ended = begin(models, prompt="a", n=2, max_tokens=0, unique=True, stream=stream)
    assert ended.wait(60)
    assert "raise the temperature" in str(job.failure)
