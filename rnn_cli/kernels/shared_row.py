"""One row that threads compute together, as in sampling one text: each computes columns, and they meet at barriers.

The bits do not depend on the threads. They meet several times for each symbol, so another busy process makes them slow;
a `RowTeam` notices, and goes on with one thread.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from rnn_cli.kernels.compiler.jit import chosen_by_type, kernel
from rnn_cli.kernels.threads import Team, share_start, wait_for_all

# Threads share one row if each has so many parameters: two are 1.1 to 2.3 times as fast as one with 330,000 parameters,
# 1.8 times with a million, and slower with 130,000.
PARAMETERS_OF_A_THREAD = 150_000
ALONE, TOGETHER = 0, 1
TRIAL = 0.1  # seconds: threads that were idle may begin on one processor, until the system moves one
MEMORY = 0.01  # seconds: one slow call does not decide
SHORTEST_PAUSE, LONGEST_PAUSE = 0.2, 5.0  # seconds between two trials


class RowTeam:
    """Runs a kernel on a shared row with all threads or with one, whichever is faster.

    The slower way is tried again ever more rarely, and at once if the faster one becomes slower than that was.
    """

    def __init__(self, team: Team, clock: Callable[[], float] = time.perf_counter) -> None:
        """Take the team of all threads."""
        self._teams, self._clock = (Team(1), team), clock
        self._way, self._trying = TOGETHER, False
        self._seconds = [math.inf, math.inf]  # of each way, for a symbol, in its last calls
        self._since, self._pause = clock(), SHORTEST_PAUSE  # when the last trial began or ended; until the next

    def run(self, symbols: int, kernel: Callable[..., None], *args: Any) -> None:
        """Call kernel(part, parts, *args), which computes so many symbols, on each thread."""
        way = 1 - self._way if self._trying else self._way
        start = self._clock()
        self._teams[way].run(kernel, *args)
        now = self._clock()
        before, seconds = self._seconds[way], (now - start) / max(symbols, 1)
        kept = 0.0 if before == math.inf else math.exp((start - now) / MEMORY)
        self._seconds[way] = seconds if kept == 0 else kept * before + (1 - kept) * seconds
        if now - self._since < TRIAL:
            return
        slower = self._seconds[way] > self._seconds[1 - way]
        if self._trying:
            self._trying, self._since, self._pause = False, now, min(2 * self._pause, LONGEST_PAUSE)
            if not slower:
                self._way, self._pause = way, SHORTEST_PAUSE
        elif slower or now - self._since > self._pause:
            self._trying, self._since = True, now


def team_for(rows: int, parameters: int, threads: int) -> Team:
    """Return a team for rows that do not see each other: threads have rows of their own, or share a single one."""
    most = max(1, parameters // PARAMETERS_OF_A_THREAD) if rows == 1 else rows
    return Team(min(threads, most))


class SharedRow(NamedTuple):
    """Row 0 of a batch, which all threads compute together: thread `part` of `parts` takes some of the columns.

    What is computed of whole rows, all of them compute: they store the same numbers.
    """

    first: int
    last: int
    part: int
    parts: int
    barrier: Any


@chosen_by_type
def meet(rows):
    """Wait for the threads that compute the same row."""
    return wait_for_threads if rows.instance_class is SharedRow else go_on


@kernel
def go_on(rows):
    """Do nothing: the rows are of one thread alone."""


@kernel
def wait_for_threads(rows):
    """Wait for all."""
    wait_for_all(rows.barrier, rows.parts)


@chosen_by_type
def own_columns(rows, columns, count):
    """Return the first of some columns that this thread computes, and the one after its last; `count` stay together."""
    return columns_of_share if rows.instance_class is SharedRow else all_columns


@kernel
def all_columns(rows, columns, count):
    """Return all."""
    return 0, columns


@kernel
def columns_of_share(rows, columns, count):
    """Return those of a share."""
    groups = columns // count
    return share_start(rows.part, rows.parts, groups) * count, share_start(rows.part + 1, rows.parts, groups) * count
