"""Compiled kernels are kept in a private directory, so that only the first run compiles.

What is in these files gets executed, so the directory must belong to the user and be closed to all others (mode 0700);
another one is not used. Its name holds a digest of all sources that are compiled and of the versions that compile them,
each file's name a digest of the signature and the processor, and each file begins with the digest of what follows. A
file that is missing, truncated or damaged means that the kernel is compiled again; a directory that cannot be written
means that nothing is kept. Neither is an error.

RNN_CACHE_DIR names another place; RNN_CACHE_DIR=off keeps nothing.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import pickle
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llvmlite
import numba
import numpy as np
from numba.core.caching import _Cache
from numba.core.compiler import CompileResult
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target
from numba.core.runtime import rtsys
from numba.core.serialize import dumps

from rnn_cli.kernels.simd.cpu import HAS_AMX, TILE_ROWS, TILE_VECTORS, VECTOR_BYTES
from rnn_cli.signals import at_work

DIGEST_SIZE = hashlib.sha256().digest_size
PACKAGE = Path(__file__).parents[2]

at_work.append(global_compiler_lock.is_locked)

on_compile: list[Callable[[], None]] = []
"""Called before a kernel is compiled because the cache does not hold it: a place to tell the user why it takes time."""


def base_directory() -> Path | None:
    """Return the directory that holds the caches of all versions, or None where none is wanted or known."""
    chosen = os.environ.get("RNN_CACHE_DIR")
    if chosen:
        return None if chosen == "off" else Path(chosen)
    if sys.platform == "win32":
        root = os.environ.get("LOCALAPPDATA")
    else:
        root = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(root) / "rnn" if root and os.path.isabs(root) else None


def sources_digest() -> str:
    """Return a digest of all that determines the machine code besides the processor."""
    digest = hashlib.sha256()
    versions = (sys.version, numba.__version__, llvmlite.__version__, np.__version__)
    digest.update(repr((versions, VECTOR_BYTES, TILE_ROWS, TILE_VECTORS, HAS_AMX)).encode())
    for path in sorted([*PACKAGE.glob("kernels/**/*.py"), *PACKAGE.glob("cells/**/*.py")]):
        digest.update(path.relative_to(PACKAGE).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def private_directory() -> Path | None:
    """Return the directory for this version, made if need be, or None where there is none that is ours alone."""
    base = base_directory()
    if base is None:
        return None
    directory = base / f"kernels-{sources_digest()}"
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = directory.lstat()
    except OSError:
        return None
    closed = sys.platform == "win32" or (status.st_uid == os.getuid() and not status.st_mode & 0o077)
    return directory if stat.S_ISDIR(status.st_mode) and closed else None


@functools.cache
def directory() -> Path | None:
    """Return the directory in use, found when it is first needed."""
    return private_directory()


def path_of(name: str, *key: object) -> Path | None:
    """Return the file for what `key` determines, or None where nothing is kept."""
    root = directory()
    return root and root / f"{name}-{hashlib.sha256(repr(key).encode()).hexdigest()[:16]}.kernel"


def read(path: Path | None) -> Any:
    """Return what was kept in a file, or None where it has to be compiled, which is announced."""
    try:
        content = path.read_bytes() if path else b""
    except OSError:
        content = b""
    if len(content) > DIGEST_SIZE and hashlib.sha256(content[DIGEST_SIZE:]).digest() == content[:DIGEST_SIZE]:
        return pickle.loads(content[DIGEST_SIZE:])
    for call in on_compile:
        call()
    return None


def write(path: Path | None, value: Any) -> None:
    """Keep a value, or not where that fails."""
    if path is None:
        return
    content = dumps(value)
    temporary = path.with_suffix(f".{os.getpid()}")
    try:
        temporary.write_bytes(hashlib.sha256(content).digest() + content)
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()


@global_compiler_lock
def cached_library(name: str, emit: Callable[[Any], None]) -> Any:
    """Return the code library `name`, from the cache or compiled from the LLVM module that `emit` fills."""
    codegen = cpu_target.target_context.codegen()
    path = path_of(name, codegen.magic_tuple())
    kept = read(path)
    if kept is not None:
        return codegen.unserialize_library(kept)
    library = codegen.create_library(name)
    library.enable_object_caching()
    module = library.create_ir_module(name)
    emit(module)
    library.add_ir_module(module)
    library.finalize()
    write(path, library.serialize_using_object_code())
    return library


class KernelCache(_Cache):
    """The cache of one function, in the form that Numba's dispatcher calls."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    @property
    def cache_path(self) -> str | None:
        """The directory that is used."""
        return str(directory()) if directory() else None

    def path(self, signature: Any, codegen: Any) -> Path | None:
        """Return the file for a signature on this processor."""
        function = self.function
        return path_of(function.__name__, function.__module__, str(signature), codegen.magic_tuple())

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the compiled function for a signature, or None where it has to be compiled."""
        rtsys.initialize(target_context)  # all that kept code needs; refresh() is for compiling, and takes 0.1 s
        kept = read(self.path(sig, target_context.codegen()))
        return kept and CompileResult._rebuild(target_context, *kept)

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep a compiled function."""
        write(self.path(sig, data.codegen), data._reduce())

    def enable(self) -> None:
        """Do nothing: the cache is always on."""

    def disable(self) -> None:
        """Do nothing: RNN_CACHE_DIR=off turns it off."""

    def flush(self) -> None:
        """Do nothing: no file is ever out of date."""
