"""Requests and answers over HTTP: OpenAI's legacy completions, and a path for each of the other tasks.

access.py says who may ask. No answer has a header that lets a page of another origin read it.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from rnn_cli.errors import RnnError
from rnn_cli.serving.access import Access
from rnn_cli.serving.answerers import ANSWERERS
from rnn_cli.serving.answers import Answer, describe
from rnn_cli.serving.fields import RequestError, parse
from rnn_cli.serving.jobs import Job
from rnn_cli.serving.models import Models, answer_of, read_request

HEADERS = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
STATUS_HEADERS = {401: {"www-authenticate": "Bearer"}, 503: {"retry-after": "1"}}
EMPTY: Mapping[str, str] = {}
PATHS = {"/v1/completions": None, **{f"/v1/{task}": task for task in ANSWERERS}}
DONE = b"data: [DONE]\n\n"
SHORT_BODY, SHORT_ANSWER = 2048, 4096  # bytes and symbols that are read and written in less time than 0.1 ms

T = TypeVar("T")


def failure(error: Exception, headers: Mapping[str, str] = EMPTY) -> Response:
    """Return the answer to a request that failed."""
    values = describe(error)
    status = values["error"]["code"]
    return answered(values, status, {**headers, **STATUS_HEADERS.get(status, {})})


def answered(values: dict[str, Any], status: int = 200, headers: Mapping[str, str] = EMPTY) -> Response:
    """Return an answer in JSON."""
    return Response(json.dumps(values).encode("ascii"), status, {**HEADERS, **headers}, "application/json")


class Bell:
    """Wakes coroutines from other threads. Those that are told at nearly the same time wake the loop once."""

    def __init__(self) -> None:
        self._loop, self._rung = asyncio.get_running_loop(), False
        self._told: deque[asyncio.Event] = deque()

    def ring(self, event: asyncio.Event) -> None:
        """Set an event soon; for any thread."""
        self._told.append(event)  # before the look, as `_wake` looks in the reverse order
        if not self._rung:
            self._rung = True
            with suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        self._rung = False
        while self._told:
            self._told.popleft().set()


class Notice:
    """Tells a coroutine from another thread that there is something new."""

    def __init__(self, bell: Bell) -> None:
        self._bell, self._event = bell, asyncio.Event()
        self._told = False

    def tell(self) -> None:
        """Wake the coroutine; for any thread. What is told twice before it wakes is told once."""
        if not self._told:
            self._told = True
            self._bell.ring(self._event)

    async def wait(self) -> None:
        """Wait until there is something new since the last call."""
        await self._event.wait()
        self._event.clear()
        self._told = False


async def done(call: Callable[[], T], quick: bool) -> T:
    """Return what a call returns. It runs in another thread unless it is quicker than to hand it over."""
    return call() if quick else await asyncio.to_thread(call)


@asynccontextmanager
async def while_client_waits(receive: Receive, cancel: Callable[[], None]) -> AsyncIterator[None]:
    """Give a request up if its client leaves meanwhile, and in any case at the end."""

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        cancel()

    watching = asyncio.create_task(watch())
    try:
        yield
    finally:
        watching.cancel()
        cancel()


class Events(Response):
    """The answer to a request for a stream: server-sent events, an object each, as they become certain."""

    def __init__(self, job: Job, notice: Notice, cancel: Callable[[], None]) -> None:
        super().__init__(headers=HEADERS, media_type="text/event-stream")
        del self.headers["content-length"]
        self.job, self.notice, self.cancel = job, notice, cancel

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events. A client that reads slowly gets fewer and larger ones."""
        answer = Answer(self.job, self.job.owner[0])
        async with while_client_waits(receive, self.cancel):
            await self.notice.wait()
            if self.job.error:
                return await failure(self.job.error)(scope, receive, send)
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            while True:
                over = self.job.done  # before the pieces: what comes after them comes with the next notice
                pieces = answer.pieces()
                over = over and not answer.behind
                error = self.job.failure if over else None
                if error:
                    pieces.append(describe(error))
                elif over and self.job.request.include_usage:
                    pieces.append(answer.last())
                data = b"".join(b"data: %s\n\n" % json.dumps(piece).encode("ascii") for piece in pieces)
                if over and not error:
                    data += DONE
                if data:
                    await send({"type": "http.response.body", "body": data, "more_body": not over})
                if over:
                    return None
                await (asyncio.sleep(0) if answer.behind else self.notice.wait())


class Service:
    """Answers the requests of all paths. `complain` is told of errors that should not have been."""

    def __init__(self, models: Models, complain: Callable[[BaseException], None]) -> None:
        self.models, self.complain = models, complain
        self._bell: Bell | None = None  # once there is a loop
        self._listed: dict[str, Callable[[], dict[str, Any]]] = {
            "/v1/models": models.list,
            "/health": lambda: {"status": "ok"},
        }

    def application(self, access: Access) -> ASGIApp:
        """Return the application for a server that `access` guards."""

        async def application(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                response = await self._respond(Request(scope, receive), access)
                await response(scope, receive, send)
            except Exception as error:
                self.complain(error)
                raise

        return application

    async def _respond(self, request: Request, access: Access) -> Response:
        """Return the answer to a request, be it an error."""
        scope = request.scope
        try:
            access.check(scope["headers"], scope["raw_path"] + scope["query_string"])
            path, reading = scope["path"], scope["path"] in self._listed
            if not reading and path not in PATHS:
                raise RequestError(f"there is no such path; there are {', '.join(PATHS)} and /v1/models", status=404)
            methods = ("GET", "HEAD") if reading else ("POST",)
            if scope["method"] not in methods:
                error = RequestError("this path is asked in another way; see the header `Allow`", status=405)
                return failure(error, {"allow": ", ".join(methods)})
            return answered(self._listed[path]()) if reading else await self._answer(request)
        except ClientDisconnect:
            return Response(status_code=499)  # which nobody reads
        except RnnError as error:
            return failure(error)
        except Exception as error:  # which should not be
            self.complain(error)
            return failure(error)

    async def _answer(self, request: Request) -> Response:
        """Return the answer to a request for texts, or for another task."""
        task, limits = PATHS[request.scope["path"]], self.models.limits
        self._bell = self._bell or Bell()
        data, notice = await self._body(request), Notice(self._bell)
        short = len(data) <= SHORT_BODY
        asked = await done(lambda: read_request(task, parse(data, limits), limits), short)
        quick = short and self.models.is_quick(asked)
        job, cancel = await done(lambda: self.models.begin(asked, changed=lambda job: notice.tell()), quick)
        if isinstance(job, Job) and job.request.stream:
            return Events(job, notice, cancel)
        async with while_client_waits(request.receive, cancel):
            await notice.wait()
            while not job.done:
                await notice.wait()
        if job.failure:
            raise job.failure
        if not job.complete:
            return Response(status_code=499)
        return await done(lambda: answered(answer_of(job).whole()), asked.size <= SHORT_ANSWER)

    async def _body(self, request: Request) -> bytes:
        """Return the body. Raises RequestError if it is too long, or is not sent as JSON."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json" or "content-encoding" in request.headers:
            raise RequestError("send the request as it is, with `Content-Type: application/json`", status=415)
        limit, data = self.models.limits.max_body, bytearray()
        length = request.headers.get("content-length", "0")
        too_long = RequestError(f"the request has more than {limit:,} bytes; make it shorter", status=413)
        if int(length) > limit:
            raise too_long
        async for part in request.stream():
            data += part
            if len(data) > limit:
                raise too_long
        return bytes(data)
