"""The study of a sweep: trials are handed out once each, also to several processes, and a journal is untrusted."""

from __future__ import annotations

import json
import os
import pickle
import platform
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rnn_cli.errors import UsageError
from rnn_cli.sweep import study as module
from rnn_cli.sweep.space import SPACE, About, settled, varied
from rnn_cli.sweep.study import ALIVE, GivenUpError, Result, Running, Sweep, is_stale, read_about, read_result

ABOUT = About(["text", "--steps", "9"], ["cell", "learning_rate", "dropout"], 1)


def result(loss: float, score: float | None = None) -> Result:
    """Return what a training came to."""
    return Result(loss, score, 9, "character")


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Return where a study may be."""
    return str(tmp_path / "study")


def begun(sweep: Sweep, wanted: int = 99) -> Running:
    """Return a new trial."""
    trial = sweep.next(wanted)
    assert trial is not None
    return trial


def test_a_study_ends_with_as_many_trials_as_wanted(path: str) -> None:
    sweep, values = Sweep(path, ABOUT), []
    while trial := sweep.next(4):
        values.append(trial.values)
        trial.complete(result(trial.number))
    assert [each.number for each in sweep.outcomes()] == [0, 1, 2, 3]
    assert [each.values for each in Sweep(path).outcomes()] == values
    assert Sweep(path).next(4) is None
    assert sweep.counts() == {"complete": 4, "pruned": 0, "running": 0, "waiting": 0, "failed": 0}


def test_the_values_follow_from_the_seed_and_the_trials_before(tmp_path: Path) -> None:
    found = []
    for name in "ab":
        sweep = Sweep(str(tmp_path / name), ABOUT)
        for _ in range(12):  # the first ten are at random
            trial = begun(sweep)
            trial.complete(result(abs(float(trial.values["dropout"]) - 0.3)))
        found.append([each.values for each in sweep.outcomes()])
    assert found[0] == found[1]
    assert len({str(values) for values in found[0]}) == 12
    other = begun(Sweep(str(tmp_path / "c"), ABOUT._replace(random_seed=2)))
    assert other.values not in found[0]


def test_trials_of_two_processes_differ(path: str) -> None:
    one, other = Sweep(path, ABOUT), Sweep(path, ABOUT)
    trials = [begun(sweep, 4) for sweep in (one, other, one, other)]
    assert [trial.number for trial in trials] == [0, 1, 2, 3]
    assert len({str(trial.values) for trial in trials}) == 4
    assert one.next(4) is None
    assert other.next(4) is None


def test_two_that_begin_the_last_trial_at_once_make_one(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = Sweep(path, ABOUT), Sweep(path)
    first = begun(one, 1)
    count = other._others
    monkeypatch.setattr(other, "_others", lambda number: 0 if number == float("inf") else count(number))
    assert other.next(1) is None
    first.complete(result(1.0))
    assert one.counts() == {"complete": 1, "pruned": 0, "running": 0, "waiting": 0, "failed": 0}
    assert [each.number for each in one.outcomes()] == [0]


def test_a_trial_that_is_worse_than_most_is_pruned(path: str) -> None:
    sweep = Sweep(path, ABOUT)
    for loss in (1.0, 1.1, 1.2, 1.3):
        trial = begun(sweep)
        assert not any(trial.report(result(loss), part / 10) for part in range(10))
        trial.complete(result(loss))
    good, bad = begun(sweep), begun(sweep)
    assert not bad.report(result(9.0), 0.15)  # too early to say
    assert not good.report(result(1.05), 0.3)
    assert bad.report(result(9.0), 0.3)
    bad.prune(result(9.0))
    assert sweep.outcomes()[-1] == (bad.number, bad.values, True, result(9.0))
    assert sweep.counts()["pruned"] == 1


def test_scores_count_before_losses_and_more_is_better(path: str) -> None:
    sweep = Sweep(path, ABOUT)
    for loss, score in ((1.0, 0.5), (3.0, 0.75), (2.0, 0.25)):
        begun(sweep).complete(result(loss, score))
    assert [each.result.score for each in sweep.outcomes()] == [0.75, 0.5, 0.25]
    assert sweep.outcomes()[0].result.value == 0.25


def test_a_training_that_diverged_counts_but_has_no_outcome(path: str) -> None:
    sweep = Sweep(path, ABOUT)
    begun(sweep).prune(None)
    assert sweep.outcomes() == []
    assert sweep.next(1) is None


def test_a_killed_trial_is_made_again_once(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = Sweep(path, ABOUT)
    killed = begun(sweep, 1)
    assert sweep.next(1) is None  # it may be alive
    monkeypatch.setattr(module, "STALE_SECONDS", -1)
    again = begun(Sweep(path), 1)
    assert (again.number, again.values) == (1, killed.values)
    with pytest.raises(GivenUpError):  # it was alive after all, and too late
        killed.report(result(0.5), 0.5)
    with pytest.raises(GivenUpError):
        killed.complete(result(0.5))
    assert sweep.outcomes() == []
    other = begun(Sweep(path), 1)
    assert other.values != killed.values
    monkeypatch.undo()
    other.complete(result(0.25))
    assert sweep.counts() == {"complete": 1, "pruned": 0, "running": 0, "waiting": 0, "failed": 2}


def test_a_stopped_trial_is_made_again(path: str) -> None:
    sweep = Sweep(path, ABOUT)
    first = begun(sweep, 1)
    first.abandon(retry=True)
    second = begun(sweep, 1)
    assert second.values == first.values
    second.abandon(retry=False)
    assert begun(sweep, 1).values != first.values


def trial(begun: float, **alive: Any) -> Any:
    """Return a trial that began some seconds ago."""
    start = datetime.fromtimestamp(time.time() - begun)
    return SimpleNamespace(user_attrs={ALIVE: alive} if alive else {}, datetime_start=start)


def test_signs_of_life() -> None:
    gone, here, now = 2**22 + 1, os.getpid(), time.time()  # no system has so many processes
    assert not is_stale(trial(30))
    assert is_stale(trial(1e5))
    assert is_stale(trial(30, host=platform.node(), pid=gone, time=now))
    assert not is_stale(trial(30, host="another machine", pid=gone, time=now))
    assert is_stale(trial(1e5, host="another machine", pid=gone, time=now - 1e4))
    assert not is_stale(trial(1e5, host=platform.node(), pid=here, time=now))
    assert not is_stale(trial(30, host=platform.node(), pid="x", time="y"))


def test_values_are_those_of_the_space() -> None:
    values = {"cell": "gru", "hidden_size": 70, "num_layers": 2, "learning_rate": 0.00123456, "dropout": 0.28}
    wanted = {**values, "hidden_size": 64, "learning_rate": 0.00123}
    assert settled(values, list(SPACE)) == wanted
    for name, value in (("cell", "x"), ("cell", 1), ("hidden_size", 10**9), ("learning_rate", "1"), ("dropout", None)):
        with pytest.raises(UsageError):
            settled({**values, name: value}, list(SPACE))
    with pytest.raises(UsageError):
        settled({**values, "batch_size": 1}, list(SPACE))
    with pytest.raises(UsageError):
        settled(values, ["cell"])


def test_what_is_given_is_not_varied() -> None:
    assert varied({"steps", "cell"}) == ["hidden_size", "num_layers", "learning_rate", "dropout"]
    assert varied({"base"}) == ["learning_rate", "dropout"]
    with pytest.raises(UsageError, match="nothing is left to vary"):
        varied(set(SPACE))


def test_a_study_is_about_one_thing(path: str) -> None:
    other = ABOUT._replace(arguments=["other"], names=["dropout"])
    begun(Sweep(path, other)).abandon(retry=True)
    sweep = Sweep(path, ABOUT)  # no trial has come to something
    assert begun(sweep).values.keys() == set(ABOUT.names)
    assert Sweep(path, ABOUT).about == Sweep(path).about == ABOUT
    with pytest.raises(UsageError, match="another sweep"):
        Sweep(path, other)


# What a journal may hold


def written(path: str) -> list[Any]:
    """Return the operations of a journal with a complete trial and one that runs."""
    sweep = Sweep(path, ABOUT)
    trial = begun(sweep)
    trial.report(result(2.0), 0.5)
    trial.complete(result(1.0))
    begun(sweep)
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def replaced(name: str, value: object) -> Callable[[list[Any]], None]:
    """Return what gives each operation that has a field another value of it."""

    def replace(operations: list[Any]) -> None:
        for operation in operations:
            if name in operation:
                operation[name] = value

    return replace


HOSTILE: dict[str, Callable[[list[Any]], None]] = {
    "an unknown operation": lambda operations: operations.append({"op_code": 77}),
    "no operation": lambda operations: operations.insert(0, [1, 2]),
    "a number too many": lambda operations: operations.insert(0, 7),
    "no study": lambda operations: operations.clear(),
    "another study": replaced("study_name", "other"),
    "a study without a direction": replaced("directions", []),
    "attributes that are none": replaced("user_attr", 7),
    "an unknown distribution": replaced("distribution", '{"name": "os.system", "attributes": {}}'),
    "a nested distribution": replaced("distribution", "[" * 5000),
    "an unknown state": replaced("state", 99),
    "values that are none": replaced("values", ["x"]),
    "a value that is none": replaced("intermediate_value", "x"),
    "a time that is none": replaced("datetime_start", "yesterday"),
    "an unknown parameter": replaced("param_name", "__class__"),
    "a parameter out of range": replaced("param_value_internal", 1e300),
}


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_journal_is_refused(path: str, change: Callable[[list[Any]], None]) -> None:
    operations = written(path)
    change(operations)
    data = "".join(json.dumps(operation) + "\n" for operation in operations)
    Path(path).write_text(data)
    with pytest.raises(UsageError):
        Sweep(path).outcomes()
    assert Path(path).read_text() == data


@pytest.mark.parametrize(
    "data", [b"the cat\n", b"\x80\x04K\x01.", b"[" * 100_000, b"\0" * 10**6, b'{"op_code": "0"}\n']
)
def test_a_file_that_is_not_a_journal_stays_as_it_is(path: str, data: bytes) -> None:
    Path(path).write_bytes(data)
    with pytest.raises(UsageError, match="is not the study of a sweep"):
        Sweep(path, ABOUT)
    assert Path(path).read_bytes() == data


def test_nothing_is_unpickled(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    written(path)
    monkeypatch.setattr(pickle, "loads", None)
    monkeypatch.setattr(pickle, "load", None)
    assert len(Sweep(path).outcomes()) == 1


def test_a_line_that_a_crash_cut_off_is_removed(path: str) -> None:
    written(path)
    whole = Path(path).read_bytes()
    for end in range(1, 40, 6):
        Path(path).write_bytes(whole + whole.splitlines(keepends=True)[-1][:end])
        sweep = Sweep(path)
        assert Path(path).read_bytes() == whole
        assert len(sweep.outcomes()) == 1
    assert not os.path.exists(f"{path}.lock")
    trial = begun(sweep)
    trial.complete(result(0.5))
    assert Sweep(path).outcomes()[0].number == trial.number


@pytest.mark.parametrize(
    "found",
    [
        None,
        {},
        {**ABOUT._asdict(), "names": []},
        {**ABOUT._asdict(), "names": ["steps"]},
        {**ABOUT._asdict(), "arguments": [1]},
        {**ABOUT._asdict(), "arguments": ["a\0b"]},
        {**ABOUT._asdict(), "random_seed": -1},
        {**ABOUT._asdict(), "more": 1},
    ],
)
def test_a_study_about_nothing_is_refused(found: object) -> None:
    with pytest.raises(UsageError, match="does not say what it is about"):
        read_about(found, "study")


def test_damaged_results_are_none() -> None:
    good = result(1.0)._asdict()
    assert read_result(good) == result(1.0)
    for name, value in (("loss", "x"), ("loss", float("nan")), ("score", "x"), ("step", 1.5), ("unit", None)):
        assert read_result({**good, name: value}) is None
    assert read_result(None) is None
