"""Text for stdout: exact bytes for a pipe, harmless characters for a terminal."""

from __future__ import annotations

import codecs
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# C0, DEL and C1; zero width and direction; separators; direction again; lone surrogates; byte order mark.
HIDDEN = "\\x00-\\x1f\\x7f-\\x9f\\u061c\\u200b\\u200e\\u200f\\u2028-\\u202e\\u2066-\\u2069\\ud800-\\udfff\\ufeff"
ALL_HIDDEN = re.compile(f"[{HIDDEN}]")
HIDDEN_BUT_LAYOUT = re.compile(f"(?![\\t\\n])[{HIDDEN}]")


def visible(text: str, *, keep_newlines: bool = False) -> str:
    r"""Return the text with escapes for characters that control a terminal or are invisible: `\x1b`, `\u202e`.

    With `keep_newlines` newlines and tabs stay as they are.
    """
    return (HIDDEN_BUT_LAYOUT if keep_newlines else ALL_HIDDEN).sub(escape, text)


def escape(match: re.Match[str]) -> str:
    """Return the escape of one character."""
    return match[0].encode("unicode_escape").decode("ascii")


class TextWriter:
    """Writes UTF-8 to stdout: visible and flushed at once on a terminal, the exact bytes in blocks elsewhere.

    Pieces may be cut anywhere: a terminal gets whole characters, and U+FFFD for bytes that are not valid UTF-8. `raw`
    leaves control characters as they are. `terminal` says whether stdout is a terminal. An OSError names the "standard
    output" as its file.
    """

    def __init__(self, *, raw: bool = False) -> None:
        flush_stdout()  # keeps the order of what was printed and what is written
        self._stream = sys.stdout.buffer
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._raw = raw
        self.terminal = sys.stdout.isatty()

    def write(self, data: bytes, *, final: bool = False) -> None:
        """Write a piece of the text; `final` says that it ends with a whole character."""
        with naming_stdout():
            if self.terminal and not self._raw:
                data = visible(self._decoder.decode(data, final), keep_newlines=True).encode()
            self._stream.write(data)
            if self.terminal:
                self._stream.flush()

    def write_line(self, text: str) -> None:
        """Write a text and a newline."""
        self.write(text.encode("utf-8", "backslashreplace") + b"\n")

    def flush(self) -> None:
        """Flush what was written so far."""
        flush_stdout()

    def close(self) -> None:
        """Write the rest of an incomplete character, and flush. The stream stays open."""
        self.write(b"", final=True)
        flush_stdout()


def flush_stdout() -> None:
    """Flush stdout. An OSError names the standard output."""
    with naming_stdout():
        sys.stdout.flush()


@contextmanager
def naming_stdout() -> Iterator[None]:
    """Name the standard output in an OSError that names no file."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or "standard output"
        raise
