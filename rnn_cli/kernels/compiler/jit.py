"""The ways to compile: `kernel` for what other kernels call, `entry_kernel` for what Python calls.

Both release the interpreter's lock. Entries are compiled with all that they call, and kept in the cache.

No fast-math flag is set: each operation is rounded as it is written, so that the same equations give the same bits
in training, sampling and scoring, and a test for NaN stays true. What may be fused says `fma`.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import numba

import rnn_cli.kernels.simd.vector_math  # noqa: F401 - makes the vector type and its functions known to the compiler
from rnn_cli.kernels.compiler.cache import KernelCache
from rnn_cli.kernels.compiler.linking import ChoosingDispatcher, LinkedDispatcher

RARELY = 5_000  # objects that the compiler makes between two collections; Python's own number is 700
OPTIONS = {"nopython": True, "nogil": True, "error_model": "numpy", "_nrt": False}


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function as a part of each kernel that calls it."""
    return LinkedDispatcher(function, OPTIONS)


def chosen_by_type(choose: Callable[..., Any]) -> Callable[..., Any]:
    """Turn a function that returns a kernel for the Numba types of its arguments into that kernel, for each caller."""
    return ChoosingDispatcher(choose, OPTIONS)


def entry_kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function that Python calls, and keep it in the cache."""
    dispatcher = numba.jit(**OPTIONS)(function)
    dispatcher._cache = KernelCache(function)
    remember_types(dispatcher)
    collect_rarely(dispatcher)
    return dispatcher


def collect_rarely(dispatcher: Any) -> None:
    """Let the garbage collector look less often while a dispatcher compiles: it took a fifteenth of that time."""
    compile_for = dispatcher.compile

    def compile_at_once(signature: Any) -> Any:
        usual = gc.get_threshold()
        gc.set_threshold(max(usual[0], RARELY), *usual[1:])
        try:
            return compile_for(signature)
        finally:
            gc.set_threshold(*usual)

    dispatcher.compile = compile_at_once


def remember_types(dispatcher: Any) -> None:
    """Let a dispatcher remember the type of the last argument that Numba has to look into.

    That is a network, as Numba cannot tell at a glance which equations are in it: a look takes longer than a short
    kernel, and a server calls one with the same network again and again.
    """
    find = dispatcher.typeof_pyval
    last = (None, None)

    def typeof(value: Any) -> Any:
        nonlocal last
        known, its_type = last  # together, as several threads call this
        if known is not value:
            its_type = find(value)
            last = value, its_type
        return its_type

    dispatcher.typeof_pyval = typeof
