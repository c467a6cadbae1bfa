"""Texts that are read several times, chunk by chunk: files where they are, and pipes from a copy."""

from __future__ import annotations

import codecs
import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from rnn_cli.errors import UsageError
from rnn_cli.text.columns import column_values
from rnn_cli.text.documents import check_stdin_once, decode_chunks, head_of, name_of, reading
from rnn_cli.text.file_kinds import HEAD, opener_of, other_kind
from rnn_cli.text.spool import Spool, pieces

CHUNK = 1 << 17  # bytes that are read at a time: with what is made of them, they stay in the processor's cache


@dataclass(frozen=True)
class Source:
    """The bytes of one file or pipe without its byte order mark, which took `skipped` bytes.

    Of a file that grows meanwhile, those are read that it had when it was opened.
    """

    path: str
    skipped: int
    size: int
    copy: np.ndarray | None

    @property
    def name(self) -> str:
        """What messages call it."""
        return name_of(self.path)

    def chunks(self, watch: Callable[[bytes], object] | None = None) -> Iterator[bytes]:
        """Yield the bytes, each chunk having been shown to `watch`.

        Raises UsageError where the file cannot be read any more, or has become shorter.
        """
        for chunk in self._file_chunks() if self.copy is None else self._copy_chunks(self.copy):
            if watch:
                watch(chunk)
            yield chunk

    def _file_chunks(self) -> Iterator[bytes]:
        missing = self.size
        with reading(self.path) as file:
            file.seek(self.skipped)
            while missing:
                chunk = file.read(min(CHUNK, missing))
                if not chunk:
                    raise changed(self.name)
                missing -= len(chunk)
                yield chunk

    def _copy_chunks(self, copy: np.ndarray) -> Iterator[bytes]:
        return (piece.tobytes() for piece in pieces(copy[self.skipped :]))

    def is_copy_of(self, other: Source) -> bool:
        """Say whether two texts have the same bytes."""
        return self.size == other.size and digest_of(self.chunks()) == digest_of(other.chunks())

    def characters(self, watch: Callable[[bytes], object] | None = None) -> Iterator[str]:
        """Yield the text chunk by chunk. Raises UsageError, besides as `chunks` does, where it is not UTF-8."""
        return decode_chunks(self.name, self.chunks(watch), self.skipped)


def digest_of(chunks: Iterator[bytes]) -> bytes:
    """Return the SHA-256 digest of bytes that come in chunks."""
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.digest()


def expand(paths: Sequence[str], as_bytes: bool = False) -> tuple[list[str], int]:
    """Return paths with the text files in directories, sorted, in place of these, and how many files were left out.

    Hidden files are passed over, and files that are not text are left out unless bytes are read. Raises UsageError for
    a directory without a text file.
    """
    files: list[str] = []
    left_out = 0
    for path in paths:
        if path == "-" or not os.path.isdir(path):
            files.append(path)
            continue
        inside = [
            os.path.join(folder, name)
            for folder, folders, names in os.walk(path, onerror=raise_it)
            if not any(part.startswith(".") for part in os.path.relpath(folder, path).split(os.sep) if part != ".")
            for name in names
            if not name.startswith(".")
        ]
        texts = [file for file in sorted(inside) if as_bytes or is_text(file)]
        if not texts:
            raise UsageError(f"there is no text file in the directory '{path}'; give one with texts, or files")
        left_out += len(inside) - len(texts)
        files += texts
    return files, left_out


def raise_it(error: OSError) -> None:
    """Raise UsageError for a directory that cannot be listed."""
    raise UsageError(f"cannot read the directory '{error.filename}' ({error.strerror}); check its permissions")


def is_text(path: str) -> bool:
    """Say whether a file in a directory begins as text does: a regular file of UTF-8 without a NUL, also compressed."""
    if not os.path.isfile(path):
        return False
    with reading(path) as file:
        head = file.read(HEAD)
    try:
        codecs.utf_8_decode(head, "strict", len(head) < HEAD)
    except UnicodeDecodeError:
        return False
    return bool(head) and b"\0" not in head and other_kind(head) is None


def open_sources(paths: Sequence[str], column: str | None = None) -> list[Source]:
    """Make files, and stdin for "-", ready to be read, or a `column` of them. Raises UsageError for one that cannot be.

    The values of a column are a line each; a newline within one is a blank.
    """
    check_stdin_once(paths)
    return [open_source(path) if column is None else open_column(path, column) for path in paths]


def open_column(path: str, column: str) -> Source:
    """Make a column of a table ready to be read, by a copy."""
    with Spool() as spool:
        for value in column_values(path, column):
            line = " ".join(value.replace("\r", "\n").split("\n")).strip()
            spool.write(line.encode("utf-8", "replace") + b"\n")
        copy = spool.array(np.uint8)
    return Source(path, 0, len(copy), copy)


def open_source(path: str) -> Source:
    """Make a file ready to be read, by a copy if it is compressed or not a regular file."""
    with reading(path) as file:
        size = 0
        if path != "-":
            status = os.fstat(file.fileno())
            plain = stat.S_ISREG(status.st_mode) and opener_of(path, head_of(file)) is None
            size = status.st_size if plain else 0  # 0 is also the size of files in /proc
        if size:
            start = file.read(len(codecs.BOM_UTF8))
            copy = None
        else:
            with Spool() as spool:
                while chunk := file.read(CHUNK):
                    spool.write(chunk)
                copy = spool.array(np.uint8)
            size, start = len(copy), copy[: len(codecs.BOM_UTF8)].tobytes()
    skipped = len(codecs.BOM_UTF8) if start == codecs.BOM_UTF8 else 0
    return Source(path, skipped, size - skipped, copy)


def changed(name: str) -> UsageError:
    """Return the error for a file that is another one when it is read again."""
    return UsageError(f"{name} was changed while it was read; train on a copy of it")
