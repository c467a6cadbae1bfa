"""Threads: the same bits for any number of them, and a barrier that holds."""

import threading

import numpy as np
import pytest

from rnn_cli.errors import RnnError
from rnn_cli.kernels.compiler.jit import kernel
from rnn_cli.kernels.network.optimizer import Step
from rnn_cli.kernels.simd.aligned import aligned_zeros
from rnn_cli.kernels.simd.cpu import HAS_BFLOAT16
from rnn_cli.kernels.threads import BARRIER_SIZE, Team, wait_for_all


def train(window):
    """Make a few steps; return all that they leave behind."""
    results = [window.train(Step(number, learning_rate=0.01, clip_norm=0.1)) for number in (1, 2, 3, 4)]
    model = window.model
    return np.array(results), model.parameters, window.moments, window.losses, window.state, window.carry


@pytest.mark.parametrize("others", [{}, {"directions": 2, "readout": "mean"}, {"embedding": "tied"}], ids=str)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_bits_do_not_depend_on_the_number_of_threads(make_window, cell, others, precision):
    if precision == "bfloat16" and not HAS_BFLOAT16:
        pytest.skip("the processor has no bfloat16")
    # So large that each thread has rows, panels and blocks of the norm.
    sizes = {"precision": precision, "batch": 7, "hidden_size": 50, "vocab_size": 270, "num_layers": 2} | others
    alone = train(make_window(cell, np.float32, Team(1), **sizes))
    initial = make_window(cell, np.float32, Team(1), **sizes).model.parameters
    assert not np.array_equal(alone[1], initial)
    for threads in (2, 3, 5):
        together = train(make_window(cell, np.float32, Team(threads), **sizes))
        for one, other in zip(alone, together):
            assert np.array_equal(one, other)


def test_threads_that_cannot_start_are_an_error(monkeypatch):
    start, started = threading.Thread.start, []

    def failing(thread):
        if len(started) == 1:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", failing)
    with pytest.raises(RnnError, match="cannot start 2 threads"):
        Team(2)
    assert Team(1).threads == 1


@kernel
def count_together(part, parts, barrier, counts, wrong, rounds):
    """Count up, wait, and note who has not yet counted; in each round another thread is the slowest."""
    for number in range(1, rounds + 1):
        delay = 30000 if number % parts == part else 0
        for _ in range(delay):
            counts[part, 1] = counts[part, 1] * 6364136223846793005 + 1
        counts[part, 0] += 1
        wait_for_all(barrier, parts)
        for other in range(parts):
            wrong[part] += counts[other, 0] != number
        wait_for_all(barrier, parts)


@pytest.mark.parametrize("threads", [1, 2, 3, 5])
def test_the_barrier_waits_for_all(threads):
    rounds = 200
    barrier = aligned_zeros(BARRIER_SIZE, np.int64)
    counts, wrong = np.zeros((threads, 8), np.int64), np.zeros(threads, np.int64)
    Team(threads).run(count_together, barrier, counts, wrong, rounds)
    assert counts[:, 0].tolist() == [rounds] * threads
    assert not wrong.any()


def test_team_runs_each_part_once_and_passes_errors_on():
    parts = []
    Team(3).run(lambda part, of, sign: parts.append((part, of, sign)), "x")
    assert sorted(parts) == [(0, 3, "x"), (1, 3, "x"), (2, 3, "x")]
    with pytest.raises(ZeroDivisionError):
        Team(2).run(lambda part, of: 1 // part)
