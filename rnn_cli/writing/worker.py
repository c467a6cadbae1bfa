"""A thread that answers the newest request, so that typing never waits for a model."""

from __future__ import annotations

import threading
from collections.abc import Callable

from rnn_cli.writing.suggestions import Answer, Request, Suggester


class Worker:
    """Answers requests until `close`. An older one is given up when a newer one comes.

    `answered` is called by the thread with each answer, or with the exception that has ended the thread.
    """

    def __init__(self, suggester: Suggester, answered: Callable[[Answer | Exception], None]) -> None:
        self._suggester, self._answered = suggester, answered
        self._newest: Request | None = None
        self._closed = False
        self._wake = threading.Condition()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def ask(self, request: Request) -> None:
        """Have a request answered, instead of an older one that is not answered yet."""
        with self._wake:
            self._newest = request
            self._wake.notify()

    def close(self) -> None:
        """Give up what is at work, and end the thread."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        self._thread.join()

    def _is_outdated(self) -> bool:
        return self._newest is not None or self._closed

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._newest is not None or self._closed)
                request, self._newest = self._newest, None
            if self._closed or request is None:
                return
            try:
                answer = self._suggester.answer(request, self._is_outdated, self._answered)
            except Exception as error:
                self._answered(error)
                return
            if answer is not None:
                self._answered(answer)
