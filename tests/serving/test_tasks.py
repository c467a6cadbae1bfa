"""Requests for labels, tags, translations and forecasts: checked, answered side by side, and in turns."""

import json
import threading

import pytest
from portable_models import HOSTILE, random_checkpoint
from random_models import make_checkpoint

from rnn_cli.serving.fields import Limits, RequestError
from rnn_cli.serving.models import Models, answer_of, read_request
from rnn_cli.serving.stdio import LineServer
from rnn_cli.serving.task_engine import ROWS, TaskEngine, TaskJob, answer_some
from rnn_cli.serving.task_requests import TaskRequest, read_task

LIMITS = Limits(max_prompt=50, max_choices=3)


@pytest.fixture(scope="module")
def models():
    checkpoints = {"classify": random_checkpoint("classify"), "tag": random_checkpoint("tag", directions=2)}
    served = Models({**checkpoints, "m": make_checkpoint(True)}, Limits())
    yield served
    served.close()


@pytest.mark.parametrize(
    "task, values, field",
    [
        ("classify", {}, "input"),
        ("classify", {"input": []}, "input"),
        ("classify", {"input": 1}, "input"),
        ("classify", {"input": "a\nb"}, "input"),
        ("classify", {"input": "a" * 51}, "input"),
        ("classify", {"input": ["a"] * 4}, "input"),
        ("classify", {"input": "\ud800"}, "input"),
        ("classify", {"input": "a", "top": 0}, "top"),
        ("classify", {"input": "a", "threshold": -1}, "threshold"),
        ("classify", {"input": "a", "threshold": True}, "threshold"),
        ("classify", {"input": "a", "model": ["m", "m"]}, "model"),
        ("tag", {"input": "a", "model": ["m", "n"]}, "model"),
        ("tag", {"input": "a", "top": 1}, "top"),
        ("translate", {"input": "a", "n": 257}, "n"),
        ("translate", {"input": "a", "beam": 0}, "beam"),
        ("forecast", {"horizon": -1}, "horizon"),
        ("forecast", {"input": 5}, "input"),
        ("forecast", {"input": ""}, "input"),
        ("forecast", {"input": []}, "input"),
        ("forecast", {"input": "1\nx\n"}, "input"),
        ("forecast", {"input": '"'}, "input"),
        ("forecast", {"input": [1, None, 2]}, "input"),
        ("forecast", {"input": [1, "2"]}, "input"),
        ("forecast", {"input": [1, True]}, "input"),
        ("forecast", {"input": [1, 1e31]}, "input"),
        ("forecast", {"input": [[1]]}, "input"),
        ("forecast", {"input": [{"y": 1, "z": 2}]}, "input"),
        ("forecast", {"input": [{"y": 1, "ds": [1]}]}, "input"),
        ("forecast", {"input": [{"y": 1, "ds": "\ud800"}]}, "input"),
        ("forecast", {"input": [{"y": 1, "ds": "9" * 400}]}, "input"),
        ("forecast", {"input": [{"y": 1, "unique_id": 3}]}, "input"),
        ("forecast", {"input": [{"y": 1, "unique_id": name} for name in "abcd"]}, "input"),
    ],
    ids=ascii,
)
def test_a_wrong_field_of_a_task_is_named(task, values, field):
    with pytest.raises(RequestError) as caught:
        read_task(task, values, LIMITS)
    assert (caught.value.field, caught.value.status // 100) == (field, 4)
    assert f"`{field}`" in str(caught.value)


def ask(models, *requests):
    """Return the answers to some requests that are begun together."""
    begun, ended = [], threading.Semaphore(0)
    for task, values in requests:
        request = read_request(task, values, models.limits)
        begun.append(models.begin(request, changed=lambda job: ended.release() if job.done else None)[0])
    for _ in begun:
        assert ended.acquire(timeout=60)
    return begun


@pytest.mark.parametrize(
    "task, values, words",
    [
        ("tag", {"model": "m", "input": "a"}, "for the task 'language'"),
        ("classify", {"model": "m", "input": "a"}, "two models or more"),
        ("classify", {"model": ["classify", "m"], "input": "a"}, "is a classifier"),
        ("classify", {"input": "a"}, "several models are served"),
        (None, {"model": "tag"}, "does not write texts"),
        ("sing", {}, "must be one of classify, tag"),
    ],
)
def test_a_model_of_another_task_is_refused(models, task, values, words):
    with pytest.raises(RequestError, match=words):
        ask(models, (task, values))


def test_answers_do_not_depend_on_others(models):
    requests = [
        ("classify", {"model": "classify", "input": ["abc"[: k % 4]] * (k + 1), "top": 1 + k % 2}) for k in range(9)
    ]
    requests += [("tag", {"model": "tag", "input": ["ab c", "d" * k]}) for k in range(9)]
    together = [answer_of(job).whole() for job in ask(models, *requests)]
    alone = [answer_of(ask(models, request)[0]).whole() for request in requests]
    for one, other in zip(together, alone):
        assert [each.get("label", each.get("tags")) for each in one["data"]] == [
            each.get("label", each.get("tags")) for each in other["data"]
        ]
        assert [each["line"] for each in one["data"]] == list(range(1, len(one["data"]) + 1))


def test_unknown_characters_are_not_kept(models):
    ask(models, ("classify", {"model": "classify", "input": "".join(map(chr, range(0x4E00, 0x4F00)))}))
    ((answerer,),) = [[each for (task, _), each in models._answerers.items() if task == "classify"]]
    labels = next(cell.cell_contents for cell in answerer.__closure__ if hasattr(cell.cell_contents, "labels"))
    assert labels.labels == list(HOSTILE)
    assert not any(unknown.counts for unknown in labels.unknown)


def jobs_of(answerer, *counts):
    return [TaskJob(TaskRequest("tag", (), list(range(count)), ()), ["m"], answerer) for count in counts]


def test_requests_take_turns():
    taken = []

    def answerer(items, options):
        taken.append(len(items))
        return [[{}] for _ in items]

    long, short = jobs_of(answerer, 1000, 3)
    answer_some([long, short])
    assert (taken, short.complete, long.unanswered) == ([ROWS], True, 1000 - ROWS + 3)


def test_a_wrong_input_fails_only_its_own_request():
    def answerer(items, options):
        if any(item.value == 7 for item in items):
            raise RequestError("seven")
        return [[{"value": item.value}] for item in items]

    good, bad = jobs_of(answerer, 3, 9)
    answer_some([good, bad])
    assert (good.error, str(bad.error)) == (None, "seven")
    assert good.whole()["data"] == [{"value": value} for value in range(3)]


def test_a_job_that_is_given_up_is_not_answered():
    going, asked = threading.Event(), []

    def answerer(items, options):
        asked.extend(items)
        assert going.wait(60)
        return [[{}] for _ in items]

    engine, ended = TaskEngine(), threading.Event()
    first, second = jobs_of(answerer, ROWS, 5)
    second.changed = ended.set
    engine.submit(first)
    engine.submit(second)
    second.cancelled = True
    going.set()
    assert ended.wait(60)
    engine.close()
    assert len(asked) <= ROWS + 5
    with pytest.raises(RequestError, match="stopping"):
        engine.submit(first)


def test_lines_ask_for_tasks_too(models):
    lines = []
    server = LineServer(models, lines.append)
    requests = [
        {"id": 1, "task": "tag", "model": "tag", "input": "ab c"},
        {"id": 2, "task": "sing"},
        {"id": 3, "task": ["tag"]},
        {"id": 4, "task": "classify", "model": "classify", "input": ["a", "b"]},
    ]
    server.serve(json.dumps(each).encode() for each in requests)
    found = {values["id"]: values for values in map(json.loads, lines)}
    assert found[1]["data"][0]["tokens"] == ["ab", "c"]
    assert [found[key]["error"]["param"] for key in (2, 3)] == ["task", "task"]
    assert [each["line"] for each in found[4]["data"]] == [1, 2]
