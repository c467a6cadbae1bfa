"""Answers requests for labels, tags, translations and forecasts, several requests at once.

One thread takes inputs of requests that can be answered together, in turns, so that a long request does not hold up a
short one. No answer depends on the inputs beside it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from rnn_cli.serving.fields import RequestError
from rnn_cli.serving.jobs import Work
from rnn_cli.serving.task_requests import TaskRequest

ROWS = 32  # inputs, or beams of translations, that are answered in one turn

Objects = list[dict[str, Any]]


class Item(NamedTuple):
    """An input of a request, and its number from 1."""

    number: int
    value: Any


Answerer = Callable[[Sequence[Item], tuple[Any, ...]], list[Objects]]
"""Returns the objects of each input; the options are those of the request."""


class TaskJob(Work):
    """A request at work, and what of its answer is there. `inputs` are those that the request has, or stands for."""

    def __init__(self, request: TaskRequest, names: Sequence[str], answerer: Answerer) -> None:
        super().__init__()
        self.request, self.names, self.answerer = request, names, answerer
        inputs = [None] if request.inputs is None else request.inputs
        self.items = deque(Item(number, value) for number, value in enumerate(inputs, 1))
        self.unanswered = len(self.items)
        self.complete = self.unanswered == 0
        self._found: Objects = []

    @property
    def key(self) -> tuple[Any, ...]:
        """Jobs with equal keys can be answered together."""
        return id(self.answerer), self.request.options

    def answer(self, items: Sequence[Item]) -> None:
        """Answer some inputs, in order."""
        self.add(self.answerer(items, self.request.options))

    def add(self, found: Sequence[Objects]) -> None:
        """Add the answers to some inputs, in order."""
        for objects in found:
            self._found.extend(objects)
        self.unanswered -= len(found)
        self.complete = self.unanswered == 0

    def whole(self) -> dict[str, Any]:
        """Return the answer to a job that is done."""
        return {"object": "list", "task": self.request.task, "model": ", ".join(self.names), "data": self._found}


class TaskEngine:
    """Answers jobs in a thread of its own until `close`. All methods may be called from any thread."""

    def __init__(self) -> None:
        self._jobs: deque[TaskJob] = deque()
        self._wake = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def submit(self, job: TaskJob) -> None:
        """Begin a job. Raises RequestError if the engine has ended."""
        with self._wake:
            if self._closed:
                raise RequestError("the server is stopping", status=503)
            self._jobs.append(job)
            self._wake.notify()

    def close(self) -> None:
        """End the thread, and the jobs with it."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._closed or self._jobs)
                if self._closed:
                    return
                jobs = list(self._jobs)
                self._jobs.rotate(-1)
            first = jobs[0]
            answer_some([job for job in jobs if job.key == first.key and not job.done])
            for job in jobs:
                job.check_time()
                if job.done:
                    with self._wake:
                        self._jobs.remove(job)
                    job.changed()


def answer_some(jobs: Sequence[TaskJob]) -> None:
    """Answer some inputs of jobs that have the same key, as many as there are rows, taken in turns."""
    if not jobs:
        return
    turns, taken = deque(jobs), dict[TaskJob, list[Item]]()
    for _ in range(max(1, ROWS // jobs[0].request.rows)):
        while turns and not turns[0].items:
            turns.popleft()
        if turns:
            taken.setdefault(turns[0], []).append(turns[0].items.popleft())
            turns.rotate(-1)
    try:
        found = iter(jobs[0].answerer([item for items in taken.values() for item in items], jobs[0].request.options))
        answers = {job: [next(found) for _ in items] for job, items in taken.items()}
    except Exception:  # of one of them: each is answered by itself
        for job, items in taken.items():
            try:
                job.answer(items)
            except Exception as error:
                job.error = error
        return
    for job, own in answers.items():
        job.add(own)
