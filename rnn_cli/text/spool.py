"""Bytes that are kept while a run lasts: in memory or, if they are many, in a temporary file."""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Self

import numpy as np

from rnn_cli.errors import RnnError

IN_MEMORY = 1 << 24  # bytes; more of them go into a file
PIECE = 1 << 18  # symbols processed at a time


class Spool:
    """Collects bytes and returns all of them as an array. Use it as a context manager.

    More than IN_MEMORY bytes are kept in a file without a name (in $TMPDIR), which vanishes after its last use, however
    the process ends. They are written, not mapped, so that a full disk is an error and not a crash.
    """

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115
        self._size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *problem: object) -> None:
        with suppress(OSError):  # data that could not be written before cannot be written now
            self._file.close()

    def write(self, data: bytes | np.ndarray) -> None:
        """Add bytes, or the elements of an array. Raises RnnError if there is no room for them."""
        with naming_the_file():
            self._size += self._file.write(data if isinstance(data, bytes) else data.tobytes())
            self._file.flush()

    def array(self, dtype: np.dtype | type[np.uint8]) -> np.ndarray:
        """Return all as an array, which is read-only and mapped from the file if there is one."""
        with naming_the_file():
            if self._size > IN_MEMORY:
                return np.frombuffer(mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ), dtype)
            self._file.seek(0)
            return np.frombuffer(self._file.read(), dtype)


@contextmanager
def naming_the_file() -> Iterator[None]:
    """Raise RnnError, with the directory and what helps, for an OSError of the temporary file."""
    try:
        yield
    except OSError as error:
        place = tempfile.tempdir or "a temporary file"
        raise RnnError(
            f"cannot keep a text of this size in {place} ({error.strerror}); "
            "free some space, or set TMPDIR to a directory with enough of it"
        ) from error


def pieces(ids: np.ndarray) -> Iterator[np.ndarray]:
    """Yield an array piece by piece; release each one when the next is requested."""
    for start in range(0, len(ids), PIECE):
        yield ids[start : start + PIECE]
        release(ids)


def release(ids: np.ndarray) -> None:
    """Release the pages of a mapped array that have been read; the OS reads them again on demand.

    Otherwise they count as memory of the process, which would grow as it reads.
    """
    base: Any = ids
    while isinstance(base, np.ndarray | memoryview):
        base = base.base if isinstance(base, np.ndarray) else base.obj
    if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)
