"""What a file is if it is not plain UTF-8: compressed text, which is read, and others, for which a command is named."""

from __future__ import annotations

import codecs
import os
from collections.abc import Callable
from typing import Any, BinaryIO

from rnn_cli.errors import UsageError

HEAD = 4096  # bytes that are looked at
TEXT_BYTES = b"\t\n\r\x0b\x0c\x1b" + bytes(range(32, 256))
UTF16_SHARED, UTF16_OTHERS = 0.9, 0.5  # shares of control characters at even and at odd offsets, or the other way round
GZIP, BZIP2, XZ, ZSTD = b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd"
COMPRESSED = {".gz": GZIP, ".bz2": BZIP2, ".xz": XZ, ".zst": ZSTD}
COMMANDS = {
    GZIP: ("compressed by gzip", "gzip -dc"),
    BZIP2: ("compressed by bzip2", "bzip2 -dc"),
    XZ: ("compressed by xz", "xz -dc"),
    ZSTD: ("compressed by zstd", "zstd -dc"),
    b"PK\x03\x04": ("a zip file, or a document in one (docx, odt, epub)", "unzip -p"),
    b"7z\xbc\xaf\x27\x1c": ("a 7z archive", "7z x -so"),
    b"%PDF-": ("a PDF", "pdftotext FILE -"),
    b"{\\rtf": ("a rich text document", "pandoc -f rtf -t plain"),
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": ("an old Word document", "antiword"),
}
MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


def opener_of(path: str, head: bytes) -> Callable[[BinaryIO], Any] | None:
    """Return what reads a compressed file, or None if the name or the first bytes are those of another kind.

    Raises UsageError for zstd if this Python cannot read it.
    """
    magic = COMPRESSED.get(os.path.splitext(path)[1].lower())
    if magic is None or not head.startswith(magic):
        return None
    if magic == GZIP:
        import gzip

        return gzip.open
    if magic == BZIP2:
        import bz2

        return bz2.open
    if magic == XZ:
        import lzma

        return lzma.open
    try:
        from importlib import import_module

        return import_module("compression.zstd").open  # Python 3.14
    except ImportError as error:
        raise UsageError(
            f"'{path}' is compressed by zstd, which this Python cannot read; zstd -dc FILE | ... - gives it the text"
        ) from error


def is_damage(error: Exception) -> bool:
    """Say whether an error is one that a damaged compressed file raises; their types are in modules not loaded."""
    return type(error).__module__ in ("zlib", "lzma", "_lzma", "compression.zstd", "_zstd")


def other_kind(head: bytes) -> str | None:
    """Return what begins with some bytes, and the command that makes text of it, or None if it may be plain text."""
    for magic, (kind, command) in COMMANDS.items():
        if head.startswith(magic):
            command = command if "FILE" in command else f"{command} FILE"
            return f"it is {kind}; {command} prints its text"
    return None


def encoding_of(head: bytes) -> str | None:
    """Return the name of an encoding of two or four bytes a character, by its mark or, without one, by its look."""
    for mark, encoding in MARKS.items():
        if head.startswith(mark):
            return encoding
    head = head[: len(head) // 2 * 2]
    for odd in (0, 1):  # the byte that the characters of a script share comes first in big-endian order
        shared, others = (controls_in(head[start::2]) for start in (odd, 1 - odd))
        if len(head) >= 16 and shared >= UTF16_SHARED and others < UTF16_OTHERS:
            return "UTF-16LE" if odd else "UTF-16BE"
    return None


def controls_in(data: bytes) -> float:
    """Return the share of bytes that are control characters which no text has."""
    return len(data.translate(None, TEXT_BYTES)) / max(len(data), 1)
