"""Compiled kernels are kept in a private directory, so that only the first run compiles.

The files in it are executed, so the directory must belong to the user and be closed to all others (mode 0700); any
other directory is ignored. Its name holds a digest of all sources that are compiled and of the versions that compile
them, each file's name a digest of the signature and the processor, and each file begins with the digest of its content.
A file that is missing, truncated or damaged is compiled again. None of this is an error.

RNN_CACHE_DIR names the directory; RNN_CACHE_DIR=off keeps nothing. If the directory cannot be used, a private one under
$TMPDIR takes its place; if that fails too, every run compiles. `announcement` says which.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import pickle
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import llvmlite
import numba
import numpy as np
from numba.core.caching import _Cache
from numba.core.compiler import CompileResult
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target
from numba.core.runtime import rtsys
from numba.core.serialize import dumps

from rnn_cli import __version__
from rnn_cli.kernels.simd.cpu import HAS_AMX, TILE_ROWS, TILE_VECTORS, VECTOR_BYTES
from rnn_cli.signals import at_work

DIGEST_SIZE = hashlib.sha256().digest_size
PACKAGE = Path(__file__).parents[2]
COMPILED_FOLDERS = ("kernels", "cells")
ADVICE = "set RNN_CACHE_DIR to a directory of your own"

at_work.append(global_compiler_lock.is_locked)

on_compile: list[Callable[[], None]] = []
"""Called before a kernel is compiled because the cache does not hold it: a place to tell the user why it takes time."""
on_unkept: list[Callable[[str], None]] = []
"""Called with a sentence when a compiled kernel could not be written."""


class Location(NamedTuple):
    """The directory in use, or None, and for each directory that could not be used a reason."""

    directory: Path | None
    reasons: tuple[str, ...] = ()


def base_directory() -> Path | None:
    """Return the directory that holds the caches of all versions, or None if none is wanted or known."""
    chosen = os.environ.get("RNN_CACHE_DIR")
    if chosen:
        return None if chosen == "off" else Path(chosen)
    if sys.platform == "win32":
        root = os.environ.get("LOCALAPPDATA")
    else:
        root = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(root) / "rnn" if root and os.path.isabs(root) else None


def temporary_base() -> Path | None:
    """Return the directory under $TMPDIR that stands in for the base directory, or None if there is none."""
    user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
    try:
        root = Path(tempfile.gettempdir())
        mode = root.stat().st_mode
    except OSError:
        return None
    if mode & 0o002 and not mode & stat.S_ISVTX:  # others could put their own directory in its place
        return None
    return root / f"rnn-cache-{user}"


def source_files() -> Iterator[tuple[str, bytes]]:
    """Yield path and content of each module that is compiled: its source or, if there is none, its bytecode."""
    if PACKAGE.is_dir():
        for folder in COMPILED_FOLDERS:
            for path in (PACKAGE / folder).glob("**/*.py*"):
                legacy = path.suffix == ".pyc" and path.parent.name != "__pycache__"
                if path.suffix == ".py" or (legacy and not path.with_suffix(".py").exists()):
                    yield path.relative_to(PACKAGE).as_posix(), path.read_bytes()
        return
    from importlib import resources  # the package is in a zip file, or in the program itself

    pending = [(folder, resources.files("rnn_cli").joinpath(folder)) for folder in COMPILED_FOLDERS]
    while pending:
        name, directory = pending.pop()
        for entry in directory.iterdir():
            entry_name = f"{name}/{entry.name}"
            if entry.is_dir():
                pending.append((entry_name, entry))
            elif entry.name.endswith((".py", ".pyc")):
                yield entry_name, entry.read_bytes()


def sources_digest() -> str | None:
    """Return a digest of all that determines the machine code besides the processor, or None if it cannot be known.

    It cannot be known if the file of a loaded module is not found: a later version would then have the same digest.
    """
    digest = hashlib.sha256()
    versions = (sys.version, numba.__version__, llvmlite.__version__, np.__version__, __version__)
    digest.update(repr((versions, VECTOR_BYTES, TILE_ROWS, TILE_VECTORS, HAS_AMX)).encode())
    try:
        files = sorted(source_files())
    except Exception:  # importers may raise anything; without the sources nothing is kept
        return None
    found = {path.rpartition(".")[0] for path, _ in files}
    for name in [*sys.modules]:
        folder, *rest = name.split(".")[1:] or [""]
        if name.startswith("rnn_cli.") and folder in COMPILED_FOLDERS and rest:
            module = "/".join((folder, *rest))
            package = sys.modules[name] is not None and hasattr(sys.modules[name], "__path__")
            if not package and module not in found:
                return None
    if not files:
        return None
    for path, content in files:
        digest.update(path.encode() + content)
    return digest.hexdigest()[:16]


def private_directory(base: Path, digest: str) -> Path:
    """Return the directory for this version in `base`, created if needed. Raises OSError if it is not ours alone."""
    directory = base / f"kernels-{digest}"
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(base)) from error
    check_private(directory)
    return directory


def check_private(directory: Path) -> None:
    """Raise OSError unless a directory belongs to this user and is closed to all others."""
    status = directory.lstat()
    if not stat.S_ISDIR(status.st_mode):
        raise NotADirectoryError(0, "not a directory", str(directory))
    if sys.platform != "win32":
        if status.st_uid != os.getuid():
            raise PermissionError(0, "it belongs to another user", str(directory))
        if status.st_mode & 0o077:
            raise PermissionError(0, f"others may enter it; chmod 700 '{directory}' closes it", str(directory))


def temporary_directory(digest: str) -> Path:
    """Return the private directory under $TMPDIR, created if needed. Raises OSError if there is none."""
    base = temporary_base()
    if base is None:
        raise OSError(0, "there is no safe temporary directory", "$TMPDIR")
    base.mkdir(mode=0o700, exist_ok=True)
    check_private(base)
    return private_directory(base, digest)


def reason_of(error: OSError) -> str:
    """Return why a directory cannot be used, in words."""
    return f"'{error.filename}' cannot be used ({error.strerror})" if error.filename else str(error)


def find_location() -> Location:
    """Return the first directory that can be used, and why those before it cannot."""
    if os.environ.get("RNN_CACHE_DIR") == "off":
        return Location(None, ("RNN_CACHE_DIR is off",))
    digest = sources_digest()
    if digest is None:
        return Location(None, ("the sources of the program cannot be read, which tell its versions apart",))
    reasons: list[str] = []
    base = base_directory()
    if base is None:
        reasons.append("there is no home directory")
    else:
        try:
            return Location(private_directory(base, digest))
        except OSError as error:
            reasons.append(reason_of(error))
    try:
        return Location(temporary_directory(digest), tuple(reasons))
    except OSError as error:
        return Location(None, (*reasons, reason_of(error)))


@functools.cache
def location() -> Location:
    """Return the location in use, found when it is first needed."""
    return find_location()


def directory() -> Path | None:
    """Return the directory in use, or None if nothing is kept."""
    return location().directory


def announcement() -> str:
    """Return what to tell a user who waits for the compiler."""
    found, reasons = location()
    if found and not reasons:
        return "compiling kernels (first run only)"
    if found:
        return f"compiling kernels (first run only); they are kept in '{found}', as {reasons[0]}; {ADVICE}"
    if os.environ.get("RNN_CACHE_DIR") == "off":
        return "compiling kernels (in every run, as RNN_CACHE_DIR is off)"
    advice = "" if sources_digest() is None else f"; {ADVICE}"
    return f"compiling kernels, in every run, as they cannot be kept: {' and '.join(reasons)}{advice}"


def path_of(name: str, *key: object) -> Path | None:
    """Return the file for `key`, or None if nothing is kept."""
    root = directory()
    return root and root / f"{name}-{hashlib.sha256(repr(key).encode()).hexdigest()[:16]}.kernel"


def second_path(path: Path) -> Path | None:
    """Return the file under $TMPDIR that `write` used if it could not write `path`, or None if it is not private."""
    base = temporary_base()
    if base is None or base == path.parent.parent:
        return None
    other = base / path.parent.name
    try:
        check_private(base)
        check_private(other)
    except OSError:
        return None
    return other / path.name


def read(path: Path | None) -> Any:
    """Return the value kept in a file, or None if it has to be compiled, which is announced."""
    value = read_file(path)
    if value is None and path is not None:
        value = read_file(second_path(path))  # not before: to find $TMPDIR, Python writes a file in it
    if value is None:
        for call in on_compile:
            call()
    return value


def read_file(path: Path | None) -> Any:
    """Return the value in a file, or None if the file is missing or damaged."""
    try:
        content = path.read_bytes() if path else b""
    except OSError:
        return None
    if len(content) > DIGEST_SIZE and hashlib.sha256(content[DIGEST_SIZE:]).digest() == content[:DIGEST_SIZE]:
        return pickle.loads(content[DIGEST_SIZE:])
    return None


def write(path: Path | None, value: Any) -> None:
    """Keep a value. If the directory cannot be written, keep it under $TMPDIR; if that fails too, say so once."""
    if path is None:
        return
    content = dumps(value)
    data = hashlib.sha256(content).digest() + content
    try:
        write_file(path, data)
    except OSError as error:
        reason = f"'{path.parent}' cannot be written ({error.strerror})"
        with contextlib.suppress(OSError):
            other = temporary_directory(path.parent.name.removeprefix("kernels-")) / path.name
            if other != path and not path.is_dir():
                write_file(other, data)
                tell_unkept(f"the compiled kernels are kept in '{other.parent}', as {reason}; {ADVICE}")
                return
        if not path.is_dir():
            tell_unkept(f"the compiled kernels are not kept, so that the next run compiles again: {reason}; {ADVICE}")


def write_file(path: Path, data: bytes) -> None:
    """Write a file in one step. Raises OSError, and leaves nothing behind, if that fails."""
    temporary = path.with_suffix(f".{os.getpid()}")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def tell_unkept(sentence: str) -> None:
    """Hand a sentence to those who listen, once."""
    calls = on_unkept.copy()
    on_unkept.clear()
    for call in calls:
        call(sentence)


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
        """Return the compiled function for a signature, or None if it has to be compiled."""
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
