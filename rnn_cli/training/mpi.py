"""The ranks of MPI that a launcher (mpiexec, srun) has started: what they exchange, and a watch over them.

No other file imports mpi4py. A rank that waits asks again and again: so signals reach it, and long messages travel only
while it asks. In between it offers its processor to others, and after a while it sleeps. At a step ranks first wait
for the slowest with a short message, and then exchange the gradient without sleeps.

Ranks stand in a ring. A thread of each sends its right neighbour a beat every second, also while the rank reads,
compiles or computes. If the left neighbour is silent, its process is dead or stopped, or its machine is lost, and the
thread ends all ranks: the others would wait for it forever.
"""

from __future__ import annotations

import os
import threading
import time
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache, partial
from itertools import accumulate
from typing import Any

import numpy as np

from rnn_cli.errors import RnnError, UsageError
from rnn_cli.training.data_parallel import Node, Ranks, share, subtrees, tree_sum

SPIN, SPIN_IF_SLOWER = 0.2, 0.001  # seconds that a rank waits without a sleep: for data, for ranks that compute
LONGEST_SLEEP = 0.001
BEAT_SECONDS = 1.0
SILENCE_SECONDS = 15.0  # without a beat, after which a rank is lost; a busy machine delays beats by a second or two
SILENCE_AT_START = 120.0  # the same while the texts are read, when Python may be busy for long
LAST_WORDS_SECONDS = 1.0  # for the launcher to pass on what a rank wrote; it drops what it has not read at an abort
LARGEST_MESSAGE = 1 << 30  # bytes; older libraries count with 32 bits

# A sleep of 0 seconds takes 70 us on Linux, and a message of a megabyte arrives in dozens of pieces.
offer_processor: Callable[[], None] = getattr(os, "sched_yield", partial(time.sleep, 0))


@cache
def division(ranks: int, groups: int, length: int) -> tuple[list[slice], list[int], list[list[Node]]]:
    """Return what each rank has: a slice of a vector of this length, its size, and the subtrees of its groups."""
    parts = [share(rank, ranks, length) for rank in range(ranks)]
    nodes = [subtrees(share(rank, ranks, groups), groups) for rank in range(ranks)]
    return [slice(part.start, part.stop) for part in parts], [len(part) for part in parts], nodes


class MpiRanks(Ranks):
    """The ranks of an MPI communicator, by default of all that the launcher started."""

    def __init__(self, comm: Any = None) -> None:
        """Find the other ranks. Raises UsageError if mpi4py or the library of MPI is missing."""
        super().__init__()
        try:
            from mpi4py import MPI
        except ModuleNotFoundError as problem:
            raise UsageError("the library mpi4py is missing; install it with: pip install 'rnn-cli[mpi]'") from problem
        except (ImportError, RuntimeError) as problem:
            raise UsageError(
                "mpi4py finds no MPI library; load the module of your cluster, or on one machine: pip install mpich"
            ) from problem
        self._mpi: Any = MPI
        self._comm = MPI.COMM_WORLD if comm is None else comm
        self._testall = MPI.Request.Testall
        self.rank, self.size = self._comm.Get_rank(), self._comm.Get_size()
        self._agreed, self._now = 0, 0.0
        self._watching: threading.Thread | None = None
        self._ending, self._patience = threading.Event(), SILENCE_AT_START

    @property
    def stopped(self) -> int:
        """The number of the signal at which all ranks stop, or 0."""
        return self._agreed if self.size > 1 else self.wish()

    def clock(self) -> float:
        """Return the time of the first rank, in seconds, as of the step that was made last."""
        return self._now if self.size > 1 else time.monotonic()

    def sum_of(self, sums: list[np.ndarray], groups: int, total: np.ndarray) -> None:
        """Put the sum over all groups into `total`, the same bits on each rank; `total` may be one of the sums."""
        slices, counts, nodes = division(self.size, groups, len(total))
        own, others = slices[self.rank], [rank for rank in range(self.size) if rank != self.rank]
        found = {node: np.empty(counts[self.rank], total.dtype) for rank in others for node in nodes[rank]}
        requests = [self._comm.Irecv(found[node], rank) for rank in others for node in nodes[rank]]
        requests += [self._comm.Isend(each[slices[rank]], rank) for rank in others for each in sums]
        self.wait(*requests)
        found |= zip(nodes[self.rank], (each[own] for each in sums))
        total[own] = tree_sum(found, groups)
        self.wait(self._comm.Iallgatherv(self._mpi.IN_PLACE, [total, counts]))

    def gather(self, parts: list[np.ndarray]) -> list[np.ndarray]:
        """Return the arrays of all ranks; `parts` has an array for each, of which this rank's is filled in."""
        own, sizes = parts[self.rank], [part.size for part in parts]
        received = np.empty(sum(sizes), own.dtype)
        self.wait(self._comm.Iallgatherv(np.ascontiguousarray(own).ravel(), [received, sizes]))
        return [received[end - each.size : end].reshape(each.shape) for each, end in zip(parts, accumulate(sizes))]

    def gather_values(self, *values: float) -> np.ndarray:
        """Return some numbers of each rank: (ranks, numbers), float64."""
        return np.stack(self.gather([np.array(values, np.float64)] * self.size))

    def agree(self, losses: Sequence[float], groups: int) -> list[float]:
        """Return the losses of all groups from those of this rank's. Agrees on the clock and on whether to stop."""
        self._patience = SILENCE_SECONDS
        counts = [2 + len(share(rank, self.size, groups)) for rank in range(self.size)]
        ends, found = list(accumulate(counts)), np.empty(sum(counts))
        found[ends[self.rank] - counts[self.rank] : ends[self.rank]] = [self.wish(), time.monotonic(), *losses]
        self.wait(self._comm.Iallgatherv(self._mpi.IN_PLACE, [found, counts]), spin=SPIN_IF_SLOWER)
        parts = [found[end - count : end].tolist() for count, end in zip(counts, ends)]
        self._agreed, self._now = int(max(part[0] for part in parts)), parts[0][1]
        return [loss for part in parts for loss in part[2:]]

    def first(self, value: float | None) -> float | None:
        """Return the value of the first rank, so that all decide alike."""
        found = float(self.gather_values(np.nan if value is None else value)[0, 0])
        return None if value is None else found

    def check_equal(self, parameters: np.ndarray) -> None:
        """Raise RnnError if the ranks do not have the same parameters, as their processors compute differently."""
        digests = self.gather_values(zlib.crc32(parameters.data))
        if (digests != digests[0]).any():
            raise RnnError("the ranks came to different weights; run them on machines with the same processor")

    def broadcast(self, kind: int, content: bytes = b"") -> tuple[int, bytes]:
        """Return what the first rank gives: a number and bytes."""
        head = np.array([kind, len(content)], np.int64)
        self.wait(self._comm.Ibcast(head))
        data = np.frombuffer(content, np.uint8) if self.rank == 0 else np.empty(int(head[1]), np.uint8)
        for start in range(0, len(data), LARGEST_MESSAGE):
            self.wait(self._comm.Ibcast(data[start : start + LARGEST_MESSAGE]))
        return int(head[0]), data.tobytes()

    def sharing(self, processors: Sequence[int]) -> int:
        """Return how many ranks of this machine may run on the same processors as this one."""
        here = self._comm.Split_type(self._mpi.COMM_TYPE_SHARED)
        return int(here.allgather(list(processors)).count(list(processors)))

    def wait(self, *requests: Any, spin: float = SPIN) -> None:
        """Wait for exchanges to end, for the first `spin` seconds without a sleep. Raises RnnError if one fails."""
        began, pause, pending = time.monotonic(), 0.0, list(requests)
        try:
            while not self._testall(pending):
                if time.monotonic() - began < spin:
                    offer_processor()
                else:
                    pause = min(pause + 1e-5, LONGEST_SLEEP)
                    time.sleep(pause)
        except self._mpi.Exception as problem:
            raise RnnError(f"the exchange with the other ranks failed: {problem.Get_error_string()}") from problem
        self.in_exchange += time.monotonic() - began

    def watch(self, lost: Callable[[int, float], None]) -> bool:
        """Start to watch the ranks. If one is silent, call `lost` with its number and the seconds, and end all ranks.

        Returns False if the library lets only one thread communicate; then only the launcher watches.
        """
        if self.size > 1 and self._mpi.Query_thread() == self._mpi.THREAD_MULTIPLE:
            comm, left = self._comm.Dup(), (self.rank - 1) % self.size

            def beat_and_listen() -> None:
                ended = False
                with suppress(self._mpi.Exception):  # which the end of a machine may raise, too
                    ended = self._ends_regularly(comm, left)
                    comm.Free()
                if not ended:
                    lost(left, self._patience)
                    time.sleep(LAST_WORDS_SECONDS)
                    self._comm.Abort(1)

            self._watching = threading.Thread(target=beat_and_listen, daemon=True)
            self._watching.start()
        return self.size == 1 or self._watching is not None

    def _ends_regularly(self, comm: Any, left: int) -> bool:
        """Send beats to the right and listen to the left, until both say that they end. False if it is silent."""
        right = (self.rank + 1) % self.size
        beat, heard = np.zeros(1, np.uint8), np.zeros(1, np.uint8)  # 1 in the last beat of a rank
        sent, received = comm.Isend(beat, right), comm.Irecv(heard, left)
        last = before = time.monotonic()
        left_ended = False
        while not (beat[0] and left_ended and sent.Test()):
            if self._ending.wait(BEAT_SECONDS):
                time.sleep(0.005)
            now = time.monotonic()
            if now - before > 5 * BEAT_SECONDS:  # this process was stopped itself, as all are if a user suspends them
                last = now
            before = now
            if not left_ended and received.Test():
                last, left_ended = now, bool(heard[0])
                if not left_ended:
                    received = comm.Irecv(heard, left)
            if not beat[0] and sent.Test():
                beat[0] = self._ending.is_set()
                sent = comm.Isend(beat, right)
            if not left_ended and now - last > self._patience:
                return False
        return True

    def leave(self) -> None:
        """Say goodbye to the other ranks, which all do so, and wait for them. After that there is no MPI."""
        self._ending.set()
        if self._watching is not None:
            self._watching.join()
        self._comm.Barrier()
        if self._mpi.get_vendor()[0] != "MPICH":  # whose ranks hang in it now and then, and may end without it
            self._mpi.Finalize()

    def abort(self, code: int) -> None:
        """End all ranks with an exit code."""
        self._comm.Abort(code)
