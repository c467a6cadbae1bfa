"""Threads: a team of workers that run one kernel together, and the barrier at which they wait inside it.

Kernels release the GIL, so plain Python threads run them in parallel, without a threading layer that would have to
survive forks. The thread that calls only waits, so that no exception of its own leaves the others alone
at a barrier. Where one thread is enough, it is the calling one: to hand a call over takes longer than a short kernel.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any, NamedTuple

from llvmlite import ir
from numba.core import types
from numba.core.extending import intrinsic

from rnn_cli.errors import RnnError
from rnn_cli.kernels.compiler.jit import kernel
from rnn_cli.kernels.simd.pointer import element_pointer
from rnn_cli.kernels.simd.vector import emit_call

ARRIVED, ROUND = 0, 8  # places in the barrier's memory, a cache line apart
BARRIER_SIZE = 16
PATIENCE = 4096  # looks at the barrier before the processor is offered to others


class Team:
    """A fixed number of threads that run one kernel together."""

    def __init__(self, threads: int) -> None:
        """Start the threads. Raises RnnError if they cannot all be started: a partial team would deadlock."""
        self.threads = threads
        self._pool = ThreadPoolExecutor(threads)
        if threads > 1:
            all_here = Barrier(threads)
            try:
                for _ in range(threads):
                    self._pool.submit(all_here.wait)
            except RuntimeError as problem:
                all_here.abort()
                raise RnnError(f"the system cannot start {threads} threads; lower `threads`") from problem

    def run(self, kernel: Callable[..., None], *args: Any) -> None:
        """Call kernel(part, parts, *args) once on each thread, and wait for all."""
        if self.threads == 1:
            kernel(0, 1, *args)
            return
        for call in [self._pool.submit(kernel, part, self.threads, *args) for part in range(self.threads)]:
            call.result()


class Share(NamedTuple):
    """One thread's share of the work: number `part` of `parts`."""

    part: int
    parts: int


class Rows(NamedTuple):
    """The rows of a batch from `first` up to, but not including, `last`."""

    first: int
    last: int


@kernel
def share_start(part, parts, total):
    """Return where `part` begins if `total` items are split evenly into `parts`."""
    return part * total // parts


@kernel
def rows_of_share(share, batch):
    """Return the rows of a batch that belong to a share."""
    return Rows(share_start(share.part, share.parts, batch), share_start(share.part + 1, share.parts, batch))


@intrinsic
def fetch_add(typingctx, array, index, number):
    """Atomically add to an element of an int64 array; return its old value."""

    def lower(context, builder, sig, args):
        pointer = element_pointer(context, builder, sig.args[0], *args[:2])
        return builder.atomic_rmw("add", pointer, args[2], "seq_cst")

    return types.int64(array, types.intp, types.int64), lower


@intrinsic
def pause(typingctx):
    """Tell the processor that this is a spin loop."""
    machine = platform.machine()

    def lower(context, builder, sig, args):
        if machine in ("x86_64", "AMD64"):
            emit_call(builder, "llvm.x86.sse2.pause", ir.VoidType(), [])
        elif machine in ("aarch64", "arm64"):
            emit_call(builder, "llvm.aarch64.hint", ir.VoidType(), [ir.IntType(32)(1)])
        return context.get_dummy_value()

    return types.void(), lower


@intrinsic
def offer_processor(typingctx):
    """Let another thread run."""
    name = "SwitchToThread" if os.name == "nt" else "sched_yield"

    def lower(context, builder, sig, args):
        emit_call(builder, name, ir.IntType(32), [])
        return context.get_dummy_value()

    return types.void(), lower


@kernel
def wait_for_all(barrier, parts):
    """Wait until all parts have arrived; `barrier` is an int64 array of BARRIER_SIZE zeros that they share."""
    current = fetch_add(barrier, ROUND, 0)
    if fetch_add(barrier, ARRIVED, 1) == parts - 1:
        fetch_add(barrier, ARRIVED, -parts)
        fetch_add(barrier, ROUND, 1)
        return
    looks = 0
    while fetch_add(barrier, ROUND, 0) == current:
        pause()
        looks += 1
        if looks > PATIENCE:
            offer_processor()
