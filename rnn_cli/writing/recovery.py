"""A recovery file: each change of a text is written down as it is made, so that a killed program loses nothing.

It lies beside the text, as `.NAME.rnn-write`, readable by its user only. Its first line is a JSON object with the text
as it was saved last; each further line is a change, [offset, characters removed, text inserted]. The system has each
change before the next key is read. Nothing waits for the disk, so a power cut may take the last seconds.
"""

from __future__ import annotations

import json
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from rnn_cli.atomic_files import target_of, write_all, write_atomically

APPEND = os.O_WRONLY | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
CREATE = APPEND | os.O_CREAT
READ = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
NAME = "rnn write"
VERSION = 1
LARGEST = 1 << 28  # bytes of a recovery file that is read


class Recovered(NamedTuple):
    """What a recovery file holds: the text that was saved last, the changes since, and when the last one was made.

    `size` is the number of its bytes that could be read.
    """

    base: str
    changes: list[tuple[int, int, str]]
    seconds: float
    size: int

    @property
    def text(self) -> str:
        """The text with all changes."""
        text = self.base
        for offset, count, inserted in self.changes:
            text = text[:offset] + inserted + text[offset + count :]
        return text


class Journal:
    """Writes the recovery file of a text. It exists only while something is not saved.

    `problem` says why it cannot be written, if that is so; the text can be written on without it.
    """

    def __init__(self, path: Path, base: str) -> None:
        self.path, self.problem = journal_path(path), ""
        self._base = base
        self._descriptor: int | None = None

    def add(self, offset: int, removed: str, inserted: str, text: str) -> None:
        """Write a change down, which has led to a text. After a failure, all of the text is written."""
        change: list[Any] = [offset, len(removed), inserted]
        try:
            if self.problem:
                self._write_anew(text)
            elif self._descriptor is None:
                self._descriptor = os.open(self.path, CREATE | os.O_TRUNC, 0o600)
                write_all(self._descriptor, self._lines(change))
            else:
                write_all(self._descriptor, json.dumps(change).encode() + b"\n")
        except OSError as error:
            self.problem = error.strerror or str(error)

    def _lines(self, change: list[Any]) -> bytes:
        """Return the content of a recovery file with one change."""
        return "".join(f"{json.dumps(line)}\n" for line in ({NAME: VERSION, "base": self._base}, change)).encode()

    def _write_anew(self, text: str) -> None:
        """Replace the file by one of which no line is missing or cut off. Raises OSError; it is then as it was."""
        self.close()
        os.close(os.open(self.path, CREATE, 0o600))  # so that it has this mode, and is not a link
        write_atomically(self.path, self._lines([0, len(self._base), text]))
        self._descriptor, self.problem = os.open(self.path, APPEND), ""

    def resume(self, recovered: Recovered) -> None:
        """Add further changes to the file that was recovered, after what could be read of it."""
        try:
            self._descriptor = os.open(self.path, APPEND)
            os.ftruncate(self._descriptor, recovered.size)
        except OSError as error:
            self.problem = error.strerror or str(error)

    def restart(self, base: str) -> None:
        """Begin anew after the text was saved, or given up: remove the file."""
        self._base, self.problem = base, ""
        self.close()
        with suppress(OSError):
            os.unlink(self.path)

    def move(self, path: Path) -> None:
        """Name the recovery file by another text from the next change on."""
        self.restart(self._base)
        self.path = journal_path(path)

    def close(self) -> None:
        """Leave the file as it is."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)


def journal_path(path: Path) -> Path:
    """Return the path of the recovery file of a text."""
    target = target_of(path)
    return target.with_name(f".{target.name}.rnn-write")


def read_journal(path: Path) -> Recovered | None:
    """Return what the recovery file of a text holds, or None if there is none that this user has written.

    A last line that is cut off is left out, and so is everything from the first line that is not a change of the text.
    """
    try:
        descriptor = os.open(journal_path(path), READ)
    except OSError:
        return None
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_size > LARGEST:
            return None
        lines = file.read(LARGEST).split(b"\n")[:-1]
    match loaded(lines[0]) if lines else None:
        case {"rnn write": 1, "base": str(base)} if is_text(base):
            pass
        case _:
            return None
    changes, size, read = [], len(base), len(lines[0]) + 1
    for line in lines[1:]:
        match loaded(line):
            case [int(offset), int(count), str(inserted)] if (
                min(offset, count) >= 0 and offset + count <= size and is_text(inserted)
            ):
                changes.append((offset, count, inserted))
                size += len(inserted) - count
                read += len(line) + 1
            case _:
                break
    return Recovered(base, changes, status.st_mtime, read)


def loaded(line: bytes) -> object:
    """Return the value of a line of JSON, or None."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def is_text(value: str) -> bool:
    """Say whether a string can be written as UTF-8."""
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
