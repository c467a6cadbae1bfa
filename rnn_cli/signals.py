"""Signals that ask a command to stop: answered at once, obeyed at the next good moment."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any, NoReturn, Self

STOPPING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
COALESCE_SECONDS = 0.2  # seconds in which several signals are one: a closing terminal and `timeout` send theirs twice
at_work: list[Callable[[], bool]] = []
"""Each says whether the calling thread is in foreign code that no exception may pass, such as the compiler."""
at_end: list[Callable[[int], None]] = []
"""Each is called with the exit code when the program has said its last word, and may end the process itself."""
RESEND_SECONDS = 0.02  # seconds after which a waiting main thread has noticed a signal


class Stopped(BaseException):
    """A signal came: unwind, clean up and end. Like KeyboardInterrupt it is not an Exception."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum


class StopRequest:
    """While it is entered, the first stopping signal is answered on stderr and noted; a later one ends the process.

    An empty sentence answers nothing.

    `requested` is None until then, and the number of the signal after; the exit code is 128 + that number. What was
    ignored at entry (nohup) stays ignored. For the main thread only.

    Python calls handlers in the main thread, and not while that is inside LLVM, fsync or a long read. So a thread
    answers too, which the signal itself wakes: in all of these the interpreter's lock is free.
    """

    def __init__(self, sentence: str) -> None:
        self.requested: int | None = None
        self._answers = [f"{sentence.strip()}\n".encode()] if sentence else []
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        reading, self._wake = os.pipe()
        if os.name == "posix":
            os.set_blocking(self._wake, False)
        self._listener = threading.Thread(target=self._listen, args=[reading], daemon=True)
        self._listener.start()
        self._outer = signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        for number in STOPPING:
            if signal.getsignal(number) != signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._outer)
        os.close(self._wake)  # which ends the listener, once it has said what it has to say
        self._listener.join(1.0)

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if self.requested is None:
            self.requested = signum
        self._answer()

    def _answer(self) -> None:
        with suppress(IndexError, OSError):
            say(self._answers.pop(), b"\r\x1b[K")  # once, by whoever comes first

    def _listen(self, reading: int) -> None:
        """Answer the first signal, leave at one that comes later, and see to it that the main thread knows."""
        first, own = None, 0
        while numbers := os.read(reading, 1):
            (signum,) = numbers
            if signum not in self._before or own:
                own = 0
            elif first is None:
                first = time.monotonic()
                self._answer()
                time.sleep(RESEND_SECONDS)
                if self.requested is None and hasattr(signal, "pthread_kill"):
                    # It came when the main thread was about to wait in the system, which only a further one ends.
                    own = signum
                    signal.pthread_kill(threading.main_thread().ident or 0, signum)
            elif time.monotonic() - first > COALESCE_SECONDS:
                leave(signum)
        os.close(reading)


class Interruption(StopRequest):
    """A StopRequest that is obeyed at once: the first signal raises Stopped in the main thread.

    In foreign code that could not bear that, it ends the process.
    """

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        first = self.requested is None
        super()._handle(signum, frame)
        if first and any(is_busy() for is_busy in at_work):
            leave(signum)
        if first:
            raise Stopped(signum)


def say(sentence: bytes, on_terminal: bytes) -> None:
    """Write to stderr, with what a terminal needs before it.

    Not through sys.stderr, as the signal may have come in the middle of a write to that.
    """
    os.write(2, on_terminal + sentence if os.isatty(2) else sentence)


def leave(signum: int) -> NoReturn:
    """End the process at once with the code for a signal."""
    with suppress(OSError):
        say(b"", b"\x1b[?25h\n")  # a live display may have hidden the cursor
    os._exit(128 + signum)
