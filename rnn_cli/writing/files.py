"""The file of a text: read once, saved atomically, and compared before it is overwritten."""

from __future__ import annotations

import codecs
import os
from pathlib import Path

from rnn_cli.atomic_files import check_writable, write_atomically
from rnn_cli.errors import UsageError
from rnn_cli.text.documents import Document, decode_text

LARGEST = 4 << 20  # bytes of a text; each keystroke looks at all of it
UNNAMED = "untitled"  # beside which the recovery file of a text without a name lies


class TextFile:
    """A file of UTF-8 text. A byte order mark and line ends of CR LF are taken out, and written again."""

    def __init__(self, path: str) -> None:
        """Read a file; one that does not exist is empty. Raises UsageError if it cannot be used."""
        check_writable(path)
        self.path = Path(path)
        data = self._read()
        self._known, self.exists = data, data is not None
        rest = (data or b"").removeprefix(codecs.BOM_UTF8)
        self._mark = (data or b"")[: len(data or b"") - len(rest)]
        if data is not None and not os.access(path, os.W_OK):
            raise UsageError(f"'{path}' may only be read; change its permissions, or write another file")
        if len(rest) > LARGEST:
            raise UsageError(f"'{path}' has {len(rest):,} bytes, and a text to write may have {LARGEST:,}")
        text = decode_text(Document(path, rest, len(self._mark)), "give a text in UTF-8")
        self.crlf = "\r\n" in text and text.count("\r") == text.count("\n") == text.count("\r\n")
        self.text = text.replace("\r\n", "\n") if self.crlf else text

    def _read(self) -> bytes | None:
        """Return what the file holds, up to a little more than the largest text; None if it does not exist."""
        try:
            with open(self.path, "rb") as file:
                return file.read(LARGEST + len(codecs.BOM_UTF8) + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UsageError(f"cannot read '{self.path}' ({error.strerror}); check its permissions") from error

    def data_of(self, text: str) -> bytes:
        """Return the bytes that a text is saved as."""
        return self._mark + (text.replace("\n", "\r\n") if self.crlf else text).encode("utf-8")

    @property
    def changed(self) -> bool:
        """Whether another program has changed the file since it was read or saved. A file that is gone has not."""
        try:
            data = self._read()
        except UsageError:  # which saving will say
            return False
        return data is not None and data != self._known

    def save(self, text: str) -> None:
        """Write a text. Raises OSError; the old file is then as it was."""
        data = self.data_of(text)
        write_atomically(self.path, data)
        self._known = data
