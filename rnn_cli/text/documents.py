"""Text in: files and stdin as bytes, read whole, and bytes as UTF-8, whole or chunk by chunk."""

from __future__ import annotations

import codecs
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from rnn_cli.errors import UsageError
from rnn_cli.text.codecs import Codec
from rnn_cli.text.file_kinds import HEAD, encoding_of, is_damage, opener_of, other_kind

PIECE = 1 << 20  # bytes of lines that are read at a time
TO_TRAIN = "convert it to UTF-8 or use `as_bytes=True`"  # what to do with a text to train on that is not UTF-8


@dataclass(frozen=True)
class Document:
    """The bytes of one file without its byte order mark, which took `skipped` bytes."""

    name: str
    data: bytes
    skipped: int = 0


def read_documents(paths: Sequence[str]) -> list[Document]:
    """Read whole files; "-" is stdin. Raises UsageError for one that cannot be read."""
    check_stdin_once(paths)
    return [read_document(path) for path in paths]


def read_document(path: str) -> Document:
    """Read one file, or stdin for "-", to its end."""
    with reading(path) as file:
        data = file.read()
    rest = data.removeprefix(codecs.BOM_UTF8)
    return Document(name_of(path), rest, len(data) - len(rest))


def read_content(path: str) -> bytes:
    """Read all bytes of one file, or of stdin for "-"."""
    with reading(path) as file:
        return bytes(file.read())


def read_pieces(path: str, size: int = PIECE, part: range | None = None) -> Iterator[tuple[bytes, bool]]:
    """Read a file, or stdin for "-", as it comes: (whole lines, False) as soon as they are there.

    A line of more than `size` bytes comes in parts, cut between characters; where it is cut depends on this line alone.
    What has no newline at the end of the file comes last, with True. No more than twice the size is held. With `part`,
    only these bytes of a file are read, which must be whole lines (text/shards.py).
    """
    rest, begun = bytearray(), part is not None and part.start > 0
    with reading(path) as file:
        if part is not None:
            file.seek(part.start)
        while chunk := file.read1(size if part is None else min(size, part.stop - file.tell())):  # type: ignore[attr-defined]
            rest += chunk
            if not begun and not codecs.BOM_UTF8.startswith(rest):
                begun = True
                if rest.startswith(codecs.BOM_UTF8):
                    del rest[: len(codecs.BOM_UTF8)]
            while len(rest) > size and rest.find(b"\n", 0, size + 1) < 0:
                end = character_end(rest, size)
                yield bytes(rest[:end]), False
                del rest[:end]
            end = rest.rfind(b"\n", max(len(rest) - len(chunk), 0)) + 1
            if end:
                yield bytes(rest[:end]), False
                del rest[:end]
    if not begun:
        rest = rest.removeprefix(codecs.BOM_UTF8)
    if rest:
        yield bytes(rest), True


def read_lines(path: str, size: int = PIECE) -> Iterator[list[bytes]]:
    """Read the lines of a file, or stdin for "-", as they come, without their newlines.

    A line of more than `size` bytes comes in parts, each as a line of its own.
    """
    for data, _ in read_pieces(path, size):
        yield data.removesuffix(b"\n").split(b"\n")


def numbered_lines(
    path: str, part: range | None = None, *, counted: bool = True, size: int = PIECE
) -> Iterator[tuple[int, list[bytes]]]:
    """Read lines as `read_lines` does, each list after the number of its first line in the file, from 1.

    Of a part, the lines before it are counted, which reads them; unless `counted`, its first line is number 1.
    """
    number = 1 + (newlines_before(path, part) if counted else 0)
    for data, _ in read_pieces(path, size, part):
        yield number, data.removesuffix(b"\n").split(b"\n")
        number += data.count(b"\n")


def newlines_before(path: str, part: range | None) -> int:
    """Return the number of lines of a file before a part of it."""
    if part is None or part.start == 0:
        return 0
    return sum(data.count(b"\n") for data, _ in read_pieces(path, part=range(part.start)))


def character_end(data: bytes | bytearray, most: int) -> int:
    """Return where to cut data of UTF-8 so that no character is cut in two: at `most`, or up to 3 bytes before."""
    cuts = (cut for cut in range(most, max(most - 4, 0), -1) if data[cut] & 0xC0 != 0x80)
    return next(cuts, most)


def check_stdin_once(paths: Sequence[str]) -> None:
    """Raise UsageError where several of some paths are stdin."""
    if paths.count("-") > 1:
        raise UsageError("stdin (-) can be read only once; name it once")


@contextmanager
def reading(path: str) -> Iterator[BinaryIO]:
    """Open a file, or stdin for "-"; of a compressed file, its text. Raises UsageError if opening or reading fails."""
    try:
        if path != "-":
            with open(path, "rb") as file:
                opener = opener_of(path, head_of(file))
                if opener is None:
                    yield file
                    return
                with opener(file) as text:
                    yield text
        elif sys.stdin is None:
            raise UsageError("stdin is closed; give a file")
        else:
            with suppress(AttributeError, OSError, ValueError):  # where it has no descriptor
                os.set_blocking(sys.stdin.fileno(), True)  # or "nothing yet" would be taken for its end
            yield sys.stdin.buffer
    except OSError as error:
        directory = isinstance(error, IsADirectoryError)
        advice = "give the files in it" if directory else "check its name and permissions"
        if error.strerror is None:  # of a compressed file
            raise UsageError(f"cannot read '{path}' ({error}); it is damaged") from error
        raise UsageError(f"cannot read '{path}' ({error.strerror}); {advice}") from error
    except EOFError as error:
        raise UsageError(f"cannot read '{path}' to its end; it is damaged, or a part of it is missing") from error
    except Exception as error:
        if not is_damage(error):
            raise
        raise UsageError(f"cannot read '{path}' ({error}); it is damaged") from error


def head_of(file: BinaryIO) -> bytes:
    """Return the first bytes of the file that is read, without moving in it; none of a pipe, which cannot do that."""
    with suppress(OSError, AttributeError, ValueError):
        return os.pread(file.fileno(), 8, 0)
    return b""


def name_of(path: str) -> str:
    """Return what messages call a path."""
    return "stdin" if path == "-" else path


def joined_names(names: Sequence[str]) -> str:
    """Return the base names of files, at most three of them."""
    shown = [os.path.basename(name) for name in names[:3]]
    if len(names) > 3:
        shown.append(f"{len(names) - 3:,} more")
    return os.fsencode(", ".join(shown)).decode("utf-8", "replace")  # a name may be any bytes


def decode_chunks(name: str, chunks: Iterable[bytes], skipped: int = 0, advice: str = TO_TRAIN) -> Iterator[str]:
    """Yield the text of a file that comes in chunks, which may end within a character.

    Raises UsageError, with the place and the advice, where it is not UTF-8.
    """
    offset, lines, head, rest = skipped, 1, b"", b""

    def decode(data: bytes, final: bool) -> tuple[str, int]:
        try:
            return codecs.utf_8_decode(data, "strict", final)
        except UnicodeDecodeError as error:
            byte, line = offset + error.start + 1, lines + data.count(b"\n", 0, error.start)
            where = f"{name} is not valid UTF-8 at byte {byte:,} (line {line:,})"
            if found := other_kind(head):
                raise UsageError(f"{where}: {found}") from error
            encoding = encoding_of(head[:HEAD])
            found = f"it begins as {encoding} does" if encoding else f"found 0x{data[error.start]:02x}"
            raise UsageError(f"{where}: {found}; {iconv(encoding) if encoding else advice}") from error

    for chunk in chunks:
        data = rest + chunk
        if not head:
            head = data
            check_plain(name, head)
        text, taken = decode(data, False)
        yield text
        rest = data[taken:]
        offset += taken
        lines += int(np.count_nonzero(np.frombuffer(chunk, np.uint8) == ord("\n")))
    decode(rest, True)


def check_plain(name: str, head: bytes) -> None:
    """Raise UsageError for a text that is valid UTF-8 but a PDF, or UTF-16 without a mark."""
    if head.isascii() and (found := other_kind(head)):
        raise UsageError(f"{name} is not plain text: {found}")
    encoding = encoding_of(head[:HEAD])
    if encoding in ("UTF-16LE", "UTF-16BE"):
        raise UsageError(f"{name} looks like {encoding} without a byte order mark; {iconv(encoding)}")


def iconv(encoding: str) -> str:
    """Return what to do with a text in another encoding."""
    return f"convert it to UTF-8 with iconv -f {encoding} -t UTF-8 FILE"


def decode_text(document: Document, advice: str = TO_TRAIN) -> str:
    """Return a document as text. Raises UsageError, with the place and the advice, where it is not UTF-8."""
    return "".join(decode_chunks(document.name, [document.data], document.skipped, advice))


def lines_of(text: str | bytes) -> list[str] | list[bytes]:
    """Return the lines of a text without their newlines; the last one may have none."""
    lines: list[Any] = text.split("\n") if isinstance(text, str) else text.split(b"\n")
    return lines if lines[-1] else lines[:-1]


def text_for(codec: Codec, document: Document) -> str | bytes:
    """Return a document as a codec encodes it. Raises UsageError as `decode_text` does."""
    return document.data if codec.reads_bytes else decode_text(document, "convert it to UTF-8")
