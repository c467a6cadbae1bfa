"""Bytes that are kept for the time of a run: in memory or, where they are many, in a temporary file."""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Self

import numpy as np

from rnn_cli.errors import RnnError

IN_MEMORY = 1 << 24  # bytes; more of them go into a file
PIECE = 1 << 18  # symbols that are looked at together


class Spool:
    """Takes bytes, one after the other, and gives all of them back as an array. To be entered.

    More than IN_MEMORY of them are in a file without a name (in $TMPDIR), which ends with the last use of it,
    however the process ends. They are written, not mapped, so that a full disk is an error and no crash.
    """

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115
        self._size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *problem: object) -> None:
        with suppress(OSError):  # what could not be written before cannot be now
            self._file.close()

    def write(self, data: bytes | np.ndarray) -> None:
        """Add bytes, or the elements of an array. Raises RnnError where there is no room for them."""
        try:
            self._size += self._file.write(data if isinstance(data, bytes) else data.tobytes())
            self._file.flush()
        except OSError as error:
            place = tempfile.tempdir or "a temporary file"
            raise RnnError(
                f"cannot keep a text of this size in {place} ({error.strerror}); "
                "free some space, or set TMPDIR to a directory with enough of it"
            ) from error

    def array(self, dtype: np.dtype | type[np.uint8]) -> np.ndarray:
        """Return all as an array, which is read-only and mapped from the file where there is one."""
        if self._size > IN_MEMORY:
            return np.frombuffer(mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ), dtype)
        self._file.seek(0)
        return np.frombuffer(self._file.read(), dtype)


def pieces(ids: np.ndarray) -> Iterator[np.ndarray]:
    """Yield an array piece by piece, and let go of each when the next is asked for."""
    for start in range(0, len(ids), PIECE):
        yield ids[start : start + PIECE]
        release(ids)


def release(ids: np.ndarray) -> None:
    """Let go of the pages of a mapped array that have been read; they are read again where they are wanted.

    Until then the process counts them as its memory, the more the longer it reads.
    """
    base: Any = ids
    while isinstance(base, np.ndarray | memoryview):
        base = base.base if isinstance(base, np.ndarray) else base.obj
    if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)
