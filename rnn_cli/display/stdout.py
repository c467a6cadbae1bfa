"""Text on its way out: exact bytes for a pipe, harmless characters for a terminal."""

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
    r"""Return the text with characters that act on a terminal, or hide, as escapes: `\x1b`, `\u202e`.

    With `keep_newlines` newlines and tabs stay as they are.
    """
    return (HIDDEN_BUT_LAYOUT if keep_newlines else ALL_HIDDEN).sub(escape, text)


def escape(match: re.Match[str]) -> str:
    """Return the escape of one character."""
    return match[0].encode("unicode_escape").decode("ascii")


class TextWriter:
    """Writes UTF-8 to stdout: visible and flushed at once on a terminal, the exact bytes in blocks elsewhere.

    The bytes may come in any pieces; a terminal gets whole characters, and U+FFFD for what is no UTF-8. `raw`
    leaves control characters as they are. `terminal` says whether stdout is one. Raises OSError with the name
    "standard output".
    """

    def __init__(self, *, raw: bool = False) -> None:
        flush_stdout()  # what was printed stands before what is written
        self._stream = sys.stdout.buffer
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._raw = raw
        self.terminal = sys.stdout.isatty()

    def write(self, data: bytes, *, final: bool = False) -> None:
        """Write a piece of the text; `final` says that no character goes on behind it."""
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
        """Hand over what was written so far."""
        flush_stdout()

    def close(self) -> None:
        """Write what is left of an unfinished character, and flush. The stream stays open."""
        self.write(b"", final=True)
        flush_stdout()


def flush_stdout() -> None:
    """Hand over what stdout still holds. Raises OSError that names the standard output."""
    with naming_stdout():
        sys.stdout.flush()


@contextmanager
def naming_stdout() -> Iterator[None]:
    """Give an OSError without a file the name of the standard output."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or "standard output"
        raise
