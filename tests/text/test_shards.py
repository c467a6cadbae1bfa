"""Shards: the parts of files are whole lines, and together they are the files."""

from __future__ import annotations

import gzip
import os
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnn_cli.errors import UsageError
from rnn_cli.text import shards
from rnn_cli.text.documents import numbered_lines, read_pieces
from rnn_cli.text.shards import MOST, Shard, parts_of

BOM = b"\xef\xbb\xbf"
TEXT = st.lists(st.sampled_from([b"a", b"\n", b"bc\n", b"\r\n", b"d\xff", b"efghijklmnop", BOM]), max_size=12).map(
    b"".join
)


def in_shards(paths: list[str], count: int) -> list[list[tuple[str, range | None]]]:
    """Return the parts of each shard."""
    return [parts_of(paths, Shard(index, count)) for index in range(1, count + 1)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder whose files each example overwrites."""
    return tmp_path_factory.mktemp("shards")


@settings(deadline=None)
@given(st.lists(TEXT, min_size=1, max_size=3), st.integers(1, 12), st.sampled_from([3, 1000]))
def test_shards_together_are_the_files(folder: Path, texts: list[bytes], count: int, size: int) -> None:
    paths = [str(folder / name) for name in "abc"[: len(texts)]]
    for path, text in zip(paths, texts):
        Path(path).write_bytes(text)
    shares = in_shards(paths, count)
    read = [list(read_pieces(path, size, part)) for parts in shares for path, part in parts]
    assert b"".join(data for pieces in read for data, _ in pieces) == b"".join(t.removeprefix(BOM) for t in texts)
    # Only what has no newline at the end of its file ends without one, and says so.
    ends = [pieces[-1][1] for pieces in read]
    assert sum(ends) == sum(bool(t.removeprefix(BOM)) and not t.endswith(b"\n") for t in texts)
    for path in paths:
        whole = [(first + k, line) for first, lines in numbered_lines(path, size=size) for k, line in enumerate(lines)]
        parts = [part for share in shares for name, part in share if name == path]
        numbered = [found for part in parts for found in numbered_lines(path, part, size=size)]
        assert [(first + k, line) for first, lines in numbered for k, line in enumerate(lines)] == whole


@given(st.integers(0, 10**12), st.integers(1, 9))
def test_things_are_shared_out_evenly(total: int, count: int) -> None:
    parts = [Shard(index, count).of(total) for index in range(1, count + 1)]
    assert (parts[0].start, parts[-1].stop) == (0, total)
    assert all(one.stop == other.start for one, other in pairwise(parts))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_a_line_belongs_to_the_shard_of_its_first_byte(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"ab\n" + b"c" * 30 + b"\nd\n")
    paths = [str(tmp_path / "text")]
    lines = [
        [line for path, part in parts for line, _ in read_pieces(path, 100, part)] for parts in in_shards(paths, 6)
    ]
    assert lines == [[b"ab\n" + b"c" * 30 + b"\n"], [], [], [], [], [b"d\n"]]


def test_a_shard_reads_its_own_part_only(tmp_path: Path) -> None:
    """The file has more bytes than a test could read; nearly all of them are holes."""
    size, middle = 1 << 36, 1 << 35
    with open(tmp_path / "text", "wb") as file:
        file.truncate(size)
        file.seek(middle - 1)
        file.write(b"\nab\ncd\nef\n")
    ((path, part),) = parts_of([str(tmp_path / "text")], Shard(1 + middle // 4, size // 4))
    assert list(read_pieces(path, 1000, part)) == [(b"ab\ncd\n", False)]


@pytest.mark.parametrize(
    "text", ["", "1", "0/2", "3/2", "1/0", "-1/2", "1/2/3", "a/b", "1.0/2", f"1/{MOST + 1}", "\u0661/2"]
)
def test_what_is_not_a_shard_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="`shard` must be I/N"):
        Shard.parse(text)
    assert Shard.parse("02/8") == Shard(2, 8)


def test_files_without_parts_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.gz").write_bytes(gzip.compress(b"a\nb\n"))
    if sys.platform != "win32":
        os.mkfifo(tmp_path / "pipe")
    for name, words in (
        ("text.gz", "compressed"),
        ("pipe", "regular file"),
        ("missing", "No such file"),
        (".", "directory"),
    ):
        with pytest.raises(UsageError, match=words):
            parts_of([str(tmp_path / name)], Shard(1, 2))
    with pytest.raises(UsageError, match="stdin"):
        parts_of(["-"], Shard(1, 2))
    assert parts_of(["-"], None) == [("-", None)]
    assert shards.shard_of(None) is None
