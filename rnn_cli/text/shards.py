"""Shards: part I of N of some files, cut at the ends of lines, or of some texts, by their number.

The parts, one after the other, are the whole. So N processes that share nothing do the work of one.
"""

from __future__ import annotations

import os
import stat
from codecs import BOM_UTF8
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO

from rnn_cli.errors import UsageError
from rnn_cli.text.file_kinds import opener_of

MOST = 10**9
BLOCK = 1 << 16  # bytes in which the end of a line is looked for


@dataclass(frozen=True)
class Shard:
    """Part `index` of `count`; the first is 1."""

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Return the shard that is written I/N, as 2/8. Raises UsageError for anything else."""
        parts = text.split("/")
        if len(parts) == 2 and all(part.isascii() and part.isdigit() and len(part) < 12 for part in parts):
            index, count = map(int, parts)
            if 1 <= index <= count <= MOST:
                return cls(index, count)
        raise UsageError(f"`shard` must be I/N with I from 1 to N, as 2/8 for part 2 of 8, not {text}")

    def of(self, total: int) -> range:
        """Return which of `total` things belong to this shard; the shards are of equal size, to within one thing."""
        return range(total * (self.index - 1) // self.count, total * self.index // self.count)


def shard_of(text: str | None) -> Shard | None:
    """Return the shard that is written I/N, None for None."""
    return None if text is None else Shard.parse(text)


def parts_of(paths: Sequence[str], shard: Shard | None) -> list[tuple[str, range | None]]:
    """Return the bytes of each file that belong to a shard: whole lines; without a shard, None for all of each file.

    A line belongs to the shard in which its first byte is. Only the line at each cut is read. Files without a part are
    left out. Raises UsageError for a file that has no parts: stdin, a pipe, a compressed one.
    """
    if shard is None:
        return [(path, None) for path in paths]
    from rnn_cli.text.documents import check_stdin_once, reading  # loads NumPy

    check_stdin_once(paths)
    sizes = [size_of(path) for path in paths]
    wanted, before, parts = shard.of(sum(sizes)), 0, list[tuple[str, range | None]]()
    for path, size in zip(paths, sizes):
        first, last = max(wanted.start - before, 0), min(wanted.stop - before, size)
        before += size
        if first < last:
            with reading(path) as file:
                part = range(line_start(file, first), line_start(file, last))
            if part:
                parts.append((path, part))
    return parts


def size_of(path: str) -> int:
    """Return the size of a file in bytes. Raises UsageError for one that cannot be read from its middle."""
    from rnn_cli.text.documents import head_of, reading

    if path == "-":
        raise UsageError("`shard` reads a part of a file, and stdin comes as a whole; give a file by its name")
    with suppress(OSError):  # what cannot be read is explained below
        mode = os.stat(path).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise UsageError(f"`shard` reads a part of a file, and {path} comes as a whole; give a regular file")
    with reading(path) as file:
        if opener_of(path, head_of(file)) is not None:
            raise UsageError(f"`shard` reads a part of a file, and {path} is compressed; decompress it first")
        return os.fstat(file.fileno()).st_size


def line_start(file: BinaryIO, position: int) -> int:
    """Return where the first line begins that begins at a position or after it: at most the end of the file.

    A byte order mark is not part of a line.
    """
    file.seek(0)
    skipped = len(BOM_UTF8) if file.read(len(BOM_UTF8)) == BOM_UTF8 else 0
    if position <= skipped:
        return skipped
    file.seek(position - 1)  # the newline before the line
    while block := file.read(BLOCK):
        if (newline := block.find(b"\n")) >= 0:
            return file.tell() - len(block) + newline + 1
    return file.tell()
