"""A program on a pseudo-terminal, and what its screen shows."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pyte
from commands import ENVIRONMENT, PROGRAM

PATIENCE = 20.0  # seconds after which what was waited for is not coming
KEYS = {"up": "\x1b[A", "down": "\x1b[B", "right": "\x1b[C", "left": "\x1b[D", "end": "\x1b[F", "home": "\x1b[H"}
KEYS |= {"tab": "\t", "enter": "\r", "backspace": "\x7f", "escape": "\x1b", "delete": "\x1b[3~"}


def key(name: str) -> str:
    """Return what a terminal sends for a key: one of KEYS, or ^X for a letter with Ctrl."""
    return chr(ord(name[1]) & 0x1F) if name.startswith("^") else KEYS[name]


class Terminal:
    """A program on a terminal of some columns and rows. Use as a context manager, which kills what still runs."""

    def __init__(
        self,
        *arguments: object,
        cwd: Path,
        columns: int = 80,
        rows: int = 24,
        env: Mapping[str, str] | None = None,
        program: list[str] = PROGRAM,
    ) -> None:
        self.screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self.screen)
        self.output = b""
        self._master, end = pty.openpty()
        self.resize(columns, rows)
        environment = {**ENVIRONMENT, "TERM": "xterm-256color", **(env or {})}
        for name in ("COLUMNS", "LINES"):
            environment.pop(name, None)
        self.process = subprocess.Popen(
            [*program, *map(str, arguments)],
            cwd=cwd,
            env=environment,
            stdin=end,
            stdout=end,
            stderr=end,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(end)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *about: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.hang_up()

    def hang_up(self) -> None:
        """Close the terminal, as a connection that drops does."""
        if self._master >= 0:
            os.close(self._master)
            self._master = -1

    def resize(self, columns: int, rows: int) -> None:
        """Give the terminal another size."""
        self.screen.resize(rows, columns)
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def send(self, *keys: str) -> None:
        """Press keys, by their names, or type a text, which begins with a blank that is left out."""
        for each in keys:
            data = each[1:] if each.startswith(" ") else key(each)
            os.write(self._master, data.encode("utf-8", "surrogateescape"))

    def read(self, seconds: float = 0.05) -> None:
        """Take in what the program writes, for some seconds at most."""
        if self._master >= 0 and select.select([self._master], [], [], seconds)[0]:
            with contextlib.suppress(OSError):  # what a terminal raises at its end
                data = os.read(self._master, 1 << 16)
                self.output += data
                self._stream.feed(data)

    def wait(self, found: Callable[[], object]) -> None:
        """Wait until something is so on the screen."""
        end = time.monotonic() + PATIENCE
        while not found():
            assert time.monotonic() < end, self.shown
            assert self.process.poll() is None or self._pending(), self.shown
            self.read()

    def _pending(self) -> bool:
        return self._master >= 0 and bool(select.select([self._master], [], [], 0)[0])

    def wait_for(self, text: str) -> None:
        """Wait until the screen shows a text."""
        self.wait(lambda: text in self.shown)

    def end(self, number: signal.Signals | None = None) -> int:
        """Wait until the program ends, after a signal if one is given, and return its exit code."""
        if number is not None:
            self.process.send_signal(number)
        end = time.monotonic() + PATIENCE
        while self.process.poll() is None:
            assert time.monotonic() < end, self.shown
            self.read()
            if self._master < 0:
                time.sleep(0.02)
        while self._pending():
            before = len(self.output)
            self.read()
            if len(self.output) == before:
                break
        return self.process.returncode

    @property
    def rows(self) -> list[str]:
        """The rows of the screen, without the blanks at their ends."""
        return [row.rstrip() for row in self.screen.display]

    @property
    def shown(self) -> str:
        """The screen as one text."""
        return "\n".join(self.rows)

    def before_cursor(self) -> str:
        """Return what stands before the cursor in its row."""
        row = self.screen.buffer[self.screen.cursor.y]
        return "".join(row[x].data for x in range(self.screen.cursor.x))

    def ghost(self) -> str:
        """Return what stands after the cursor in its row in another colour than the text."""
        row = self.screen.buffer[self.screen.cursor.y]
        cells = [row[x] for x in range(self.screen.cursor.x, self.screen.columns)]
        return "".join(cell.data for cell in cells if cell.fg != "default" or cell.underscore)
