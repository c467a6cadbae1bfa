"""Requests and answers as lines of JSON, for editors and games: no port, nothing to defend but the pipe.

Each line in is a request with an `id` of the client's choice: for texts (requests.py), or if it has a `task` for
labels, tags, translations or a forecast (task_requests.py). Each line out has that `id`, and either the answer, a piece
of it ("done": false) if `stream` is true, or an `error`. Requests run side by side, and answers come as they are ready.
Besides:

{"id": 2, "cancel": 1}        gives up request 1
{"id": 3, "release": "s1"}    forgets a state
{"id": 4, "models": true}     lists the models
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable
from typing import Any

from rnn_cli.errors import RnnError
from rnn_cli.serving.answers import Answer, describe
from rnn_cli.serving.fields import RequestError, parse, whole_text
from rnn_cli.serving.jobs import Job, KeptState
from rnn_cli.serving.models import Models, Request, answer_of, kept_after, read_request
from rnn_cli.serving.requests import CompletionRequest
from rnn_cli.serving.task_engine import TaskJob

ID_LIMIT = 200  # characters


class LineServer:
    """Answers lines. `write` takes a line without its newline; it is called from several threads, one at a time."""

    def __init__(self, models: Models, write: Callable[[str], None]) -> None:
        self.models, self._write = models, write
        self._states: dict[str, KeptState] = {}
        self._given = 0  # states so far
        self._active: dict[Any, Callable[[], None]] = {}
        self._lock = threading.RLock()
        self._idle = threading.Condition(self._lock)
        self.failure: OSError | None = None

    def serve(self, lines: Iterable[bytes]) -> None:
        """Answer all lines, and wait for the last answers. Raises OSError if an answer could not be written."""
        for line in lines:
            if line.strip():
                self.answer(line)
            if self.failure:
                break
        with self._idle:
            self._idle.wait_for(lambda: self.failure or not self._active)
            if self.failure:
                raise self.failure

    def answer(self, line: bytes) -> None:
        """Answer a line, or begin to."""
        number: Any = None
        try:
            values = parse(line, self.models.limits)
            number = values.pop("id", None)
            if not isinstance(number, int | str | None) or len(str(number)) > ID_LIMIT:
                number = None
                raise RequestError("`id` must be a whole number or a short text", "id")
            if isinstance(number, str):
                whole_text("id", number)
            action = next((name for name in ("cancel", "release", "models") if name in values), None)
            if action:
                if len(values) > 1:
                    raise RequestError(f"`{action}` comes alone", action)
                self._send(number, self._act(action, values[action]))
            else:
                self._begin(number, read_request(values.pop("task", None), values, self.models.limits, states=True))
        except RnnError as error:
            self._send(number, describe(error))

    def _act(self, action: str, value: Any) -> dict[str, Any]:
        with self._lock:
            if action == "models":
                return self.models.list()
            if action == "cancel":
                cancel = self._active.get(value) if isinstance(value, int | str) else None
                if cancel:
                    cancel()
                return {"cancelled": cancel is not None}
            known = isinstance(value, str) and self._states.pop(value, None) is not None
            return {"released": known}

    def _begin(self, number: Any, request: Request) -> None:
        with self._lock:
            if number is not None and number in self._active:
                raise RequestError("a request with this `id` is at work", "id")
            state = None
            if isinstance(request, CompletionRequest):
                if request.state is not None and (state := self._states.get(request.state)) is None:
                    raise RequestError("there is no such `state`; it was released, or never given", "state", 404)
                room = self.models.limits.max_states - len(self._states)
                if request.keep and len(request.prompts) * request.n > room:
                    raise RequestError("too many states are kept; release some", "keep")
            key = number if number is not None else object()
            answers: list[Answer | TaskJob] = []

            def changed(job: Any) -> None:
                with self._lock:
                    answers[:] = answers or [answer_of(job)]
                    over = job.done  # looked at once, as it may be cancelled at any time
                    if key in self._active:
                        self._tell(number, job, answers[0], over)
                    if over:
                        self._active.pop(key, None)
                        self._idle.notify_all()

            _, self._active[key] = self.models.begin(request, state, changed)

    def _tell(self, number: Any, job: Job | TaskJob, answer: Answer | TaskJob, over: bool) -> None:
        """Send what is new in an answer."""
        try:
            if over and job.cancelled:
                raise RequestError("the request was cancelled", status=499)
            if isinstance(answer, Answer) and job.request.stream:
                answer.behind = True
                while answer.behind:
                    for piece in answer.pieces():
                        self._send(number, {**piece, "done": False})
            if over and job.failure:
                raise job.failure
            if isinstance(answer, Answer) and job.request.stream:
                if over:
                    self._send(number, {**answer.last(), **self._keep(answer.job), "done": True})
            elif over:
                kept = self._keep(answer.job) if isinstance(answer, Answer) else {}
                self._send(number, {**answer.whole(), **kept})
        except Exception as error:
            self._send(number, describe(error))

    def _keep(self, job: Job) -> dict[str, Any]:
        """Keep the states after the texts of a job, if that is wanted; return their names."""
        if not job.request.keep:
            return {}
        names = []
        for state in kept_after(job):
            self._given += 1
            names.append(f"s{self._given}")
            self._states[names[-1]] = state
        return {"states": names}

    def _send(self, number: Any, values: dict[str, Any]) -> None:
        with self._lock:
            try:
                if self.failure is None:
                    self._write(json.dumps({"id": number, **{key: values[key] for key in values if key != "id"}}))
            except OSError as error:
                self.failure = error
                self._idle.notify_all()
