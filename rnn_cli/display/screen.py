"""Lines on stderr that stay and, on a terminal, one line that changes."""

from __future__ import annotations

import os
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Self, TextIO

if TYPE_CHECKING:
    from rich.live import Live

NARROW = 60  # columns of a terminal on which sentences are broken between words, and tables have one column
LIVE_SECONDS, PLAIN_SECONDS = 0.1, 10.0


class Screen:
    """Writes to stderr, or nothing when `quiet`. Use as a context manager. `clock` returns seconds.

    If writing to stderr fails, the screen is quiet from then on: a closed terminal must not end a training.
    """

    def __init__(self, quiet: bool, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.quiet = quiet
        self._clock = clock
        self._shown = clock()
        self._live = make_live() if not quiet and can_animate() else None
        self.animated = self._live is not None

    def is_due(self) -> bool:
        """Say whether it is time to show progress again, and if so start the next interval."""
        now = self._clock()
        due = now - self._shown >= (LIVE_SECONDS if self.animated else PLAIN_SECONDS)
        if due:
            self._shown = now
        return due

    @property
    def width(self) -> int:
        """Columns for the changing line: one less than the terminal has, so that it does not wrap."""
        return self._live.console.width - 1 if self._live else 79

    def print(self, line: str) -> None:
        """Write a line that stays."""
        if not self.quiet:
            with self._forgiving():
                if self._live:
                    self._live.console.print(line, soft_wrap=True)
                else:
                    print(line, file=sys.stderr, flush=True)

    def redraw(self, line: str) -> None:
        """Replace the line that changes. Does nothing if there is none."""
        if self._live and not self.quiet:
            from rich.text import Text

            with self._forgiving():
                self._live.start()
                self._live.update(Text(line, style="cyan", no_wrap=True, overflow="crop"), refresh=True)

    def close(self) -> None:
        """Remove the line that changes."""
        if self._live:
            with self._forgiving():
                self._live.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def _forgiving(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            self.quiet = True


def fitted(line: str, stream: TextIO) -> str:
    """Return a line for a stream: on a terminal of less than NARROW columns it is broken between words."""
    columns = columns_of(stream)
    if columns is None or columns >= NARROW or len(line) <= columns:
        return line  # a wide terminal wraps it, and gives it back whole when it is copied
    return "\n".join(textwrap.wrap(line, columns, break_long_words=False, break_on_hyphens=False))


def columns_of(stream: TextIO) -> int | None:
    """Return the columns of a terminal, or None for another stream and for a terminal that does not say."""
    try:
        if not stream.isatty():
            return None
        given = os.environ.get("COLUMNS", "")
        return (int(given) if given.isdecimal() else os.get_terminal_size(stream.fileno()).columns) or None
    except (OSError, ValueError):
        return None


def can_animate() -> bool:
    """Say whether stderr is a terminal that can redraw a line, whatever FORCE_COLOR says."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def make_live() -> Live:
    """Return a live line on stderr that is redrawn on request, without a thread of its own."""
    from rich.console import Console
    from rich.live import Live

    console = Console(file=sys.stderr, highlight=False, markup=False, emoji=False)
    return Live(console=console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False)
