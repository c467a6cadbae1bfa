"""Signals that ask a command to stop: by unwinding at once, or at the next good moment."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any

STOPPING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Stopped(BaseException):
    """A signal came: unwind, clean up and end. Like KeyboardInterrupt it is no Exception."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum


def raise_on_signals() -> None:
    """Let SIGTERM and SIGHUP raise Stopped, as SIGINT raises KeyboardInterrupt. Ignored ones stay ignored."""

    def handle(signum: int, frame: FrameType | None) -> None:
        raise Stopped(signum)

    for number in STOPPING[1:]:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handle)


class StopRequest:
    """While it is entered, the first stopping signal is only noted, so that work can end at a good moment.

    `requested` is None until then, and the number of the signal after; the exit code is 128 + that number.
    `sentence` is then written to stderr. A second signal ends the process at once. What was ignored at entry
    (nohup) stays ignored. For the main thread only.
    """

    def __init__(self, sentence: str) -> None:
        self.requested: int | None = None
        self._sentence = f"{sentence.strip()}\n".encode()
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        for number in STOPPING:
            if signal.getsignal(number) != signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        # os.write, because the signal may have come in the middle of a write to sys.stderr.
        on_terminal = os.isatty(2)
        if self.requested is not None:
            with suppress(OSError):
                os.write(2, b"\x1b[?25h\n" if on_terminal else b"")  # a live display may have hidden the cursor
            os._exit(128 + signum)
        self.requested = signum
        with suppress(OSError):
            os.write(2, b"\r\x1b[K" + self._sentence if on_terminal else self._sentence)
