"""Requests and answers over HTTP: OpenAI's legacy completions, and a path for each of the other tasks.

access.py says who may ask. No answer has a header that lets a page of another origin read it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from rnn_cli.errors import RnnError
from rnn_cli.serving.access import Access
from rnn_cli.serving.answerers import ANSWERERS
from rnn_cli.serving.answers import Answer, describe
from rnn_cli.serving.fields import RequestError, parse
from rnn_cli.serving.jobs import Job
from rnn_cli.serving.models import Models, answer_of, read_request
from rnn_cli.serving.task_engine import TaskJob

HEADERS = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
PATHS = {"/v1/completions": None, **{f"/v1/{task}": task for task in ANSWERERS}}
DONE = b"data: [DONE]\n\n"


class Guard:
    """Lets requests in, or answers with the reason why not."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self.app, self.access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        try:
            self.access.check(scope["headers"], scope["raw_path"] + scope["query_string"])
        except RequestError as error:
            await failure(error)(scope, receive, send)
        else:
            await self.app(scope, receive, send)


def failure(error: Exception) -> Response:
    """Return the answer to a request that failed."""
    values = describe(error)
    status = values["error"]["code"]
    more = {401: {"www-authenticate": "Bearer"}, 503: {"retry-after": "1"}}.get(status, {})
    return answered(values, status, more)


def answered(values: dict[str, Any], status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return an answer in JSON."""
    body = json.dumps(values).encode("ascii")
    return Response(body, status, {**HEADERS, **(headers or {})}, "application/json")


class Notice:
    """Tells a coroutine from another thread that there is something new."""

    def __init__(self) -> None:
        self._loop, self._event = asyncio.get_running_loop(), asyncio.Event()
        self._told = False

    def tell(self) -> None:
        """Wake the coroutine; for any thread. What is told twice before it wakes is told once."""
        if not self._told:
            self._told = True
            with suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._event.set)

    async def wait(self) -> None:
        """Wait until there is something new since the last call."""
        await self._event.wait()
        self._event.clear()
        self._told = False


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

    def application(self, access: Access) -> Starlette:
        """Return the application for a server."""
        routes = [Route(path, self.answer, methods=["POST"]) for path in PATHS]
        routes += [Route("/v1/models", self.list, methods=["GET"]), Route("/health", self.health, methods=["GET"])]
        return Starlette(
            routes=routes,
            middleware=[Middleware(Guard, access=access)],
            exception_handlers={HTTPException: refused, RnnError: failed, Exception: self.unexpected},  # type: ignore[dict-item]
        )

    async def list(self, request: Request) -> Response:
        """Return the models."""
        return answered(self.models.list())

    async def health(self, request: Request) -> Response:
        """Say that the server is there."""
        return answered({"status": "ok"})

    async def unexpected(self, request: Request, error: Exception) -> Response:
        """Return the answer to a request that failed for a reason that should not be."""
        self.complain(error)
        return failure(error)

    async def answer(self, request: Request) -> Response:
        """Answer a request for texts, or for another task."""
        try:
            data = await self._body(request)
            notice = Notice()
            job, cancel = await asyncio.to_thread(self._begin, PATHS[request.url.path], data, notice)
            if isinstance(job, Job) and job.request.stream:
                return Events(job, notice, cancel)
            async with while_client_waits(request.receive, cancel):
                await notice.wait()
                while not job.done:
                    await notice.wait()
        except ClientDisconnect:
            return Response(status_code=499)  # which nobody reads
        if job.failure:
            raise job.failure
        if not job.complete:
            return Response(status_code=499)
        return await asyncio.to_thread(lambda: answered(answer_of(job).whole()))

    def _begin(self, task: str | None, data: bytes, notice: Notice) -> tuple[Job | TaskJob, Callable[[], None]]:
        request = read_request(task, parse(data, self.models.limits), self.models.limits)
        return self.models.begin(request, changed=lambda job: notice.tell())

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


async def failed(request: Request, error: Exception) -> Response:
    """Return the answer to a request that cannot be answered."""
    return failure(error)


async def refused(request: Request, error: HTTPException) -> Response:
    """Return the answer to a request for what is not there."""
    sentence = {
        404: f"there is no such path; there are {', '.join(PATHS)} and /v1/models",
        405: "this path is asked in another way; see the header `Allow`",
    }.get(error.status_code, error.detail)
    values = describe(RequestError(sentence, status=error.status_code))
    return answered(values, error.status_code, dict(error.headers or {}))
