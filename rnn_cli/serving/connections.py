"""The server: connections with limits on their number, and on the time that each part of a request may take.

uvicorn limits neither the time in which a request must arrive, nor that in which an answer must be read. This adds both
to its protocol, by the names of uvicorn 0.34 to 0.54; tests/serving/test_attacks.py holds them.
"""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import os
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from rnn_cli.errors import RnnError
from rnn_cli.serving.access import HEADER_LIMIT
from rnn_cli.serving.answers import describe
from rnn_cli.serving.fields import Connecting, RequestError

SECONDS = {"headers": 10.0, "body": 30.0}  # in which each part of a request must arrive
IDLE_SECONDS = 30  # after an answer
AHEAD_BYTES = 65_536  # that are read of the requests after one that is being answered
READ_SECONDS, READ_BYTES = 15.0, 15_000  # of an answer that waits, a client must take so much in so long
TICK = 0.05  # seconds between looks at whether to stop
HANDOVER_SECONDS = 0.0005  # that a thread of Python goes on while another one waits
LOGGERS = ("uvicorn", "uvicorn.error", "uvicorn.access", "asyncio")


class Connection(H11Protocol):
    """A connection that is given up if its client is too slow, or if it is one too many."""

    def __init__(self, *arguments: Any, most: int, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._most, self._phase = most, ""
        self._since = self.loop.time()  # when it was made, or had its last answer
        self._timers: dict[str, asyncio.TimerHandle] = {}

    @property
    def busy(self) -> bool:
        """Whether a request is being answered."""
        return self.cycle is not None and not self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the place of the connection that has waited longest for a request, if there are too many."""
        super().connection_made(transport)
        if len(self.connections) > self._most:
            there = [each for each in self.connections if not each.transport.is_closing()]
            idle = [each for each in there if isinstance(each, Connection) and not (each.busy or each is self)]
            if len(there) > self._most and idle:
                min(idle, key=lambda each: each._since).give_up(408, "other connections need the place of this one")
            elif len(there) > self._most:
                return self.give_up(503, "there are too many connections; try again later")
        return self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timers."""
        super().connection_lost(exc)
        for timer in self._timers.values():
            timer.cancel()

    def data_received(self, data: bytes) -> None:
        """Take a part of a request, and of those after it."""
        super().data_received(data)
        # uvicorn stops reading at a request after one at work, and then does not see that the client leaves.
        if self.flow.read_paused and len(self.conn.trailing_data[0]) < AHEAD_BYTES:
            self.flow.resume_reading()
        self._watch()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        self._since = self.loop.time()
        self._watch()

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection."""
        super().timeout_keep_alive_handler()
        self._watch()

    def pause_writing(self) -> None:
        """Give the client some time to read."""
        super().pause_writing()
        self._time_reading()

    def resume_writing(self) -> None:
        """Take note that the client reads."""
        super().resume_writing()
        self._timers["reading"].cancel()

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP; called while the error is handled."""
        status = getattr(sys.exc_info()[1], "error_status_hint", 400)
        sentence = f"the headers have more than {HEADER_LIMIT:,} bytes; send less" if status == 431 else msg
        self.give_up(status, sentence)

    def give_up(self, status: int, sentence: str) -> None:
        """Close the connection, with an answer if there is none yet."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE) and self._phase != "idle":
            body = json.dumps(describe(RequestError(sentence, status=status))).encode("ascii")
            headers = [
                ("content-type", "application/json"),
                ("content-length", str(len(body))),
                ("connection", "close"),
            ]
            for event in (h11.Response(status_code=status, headers=headers), h11.Data(body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.close()
        self._watch()

    def _watch(self) -> None:
        """Time the phase that the connection is in, if it is a new one."""
        if (phase := self._phase_now()) != self._phase:
            self._phase = phase
            if "phase" in self._timers:
                self._timers["phase"].cancel()
            if phase in SECONDS:
                self._time("phase", SECONDS[phase], self._too_slow)
            elif phase == "closing":
                self._time_reading()

    def _phase_now(self) -> str:
        if self.transport.is_closing():
            return "closing"
        if self.conn.their_state is h11.IDLE:
            return "headers" if self.cycle is None or self.conn.trailing_data[0] else "idle"
        return "body" if self.conn.their_state is h11.SEND_BODY else "answer"

    def _time(self, name: str, seconds: float, act: Callable[[], None]) -> None:
        if name in self._timers:
            self._timers[name].cancel()
        self._timers[name] = self.loop.call_later(seconds, act)

    def _time_reading(self) -> None:
        """Give the connection up if its client does not take enough of what waits for it."""
        before = self.transport.get_write_buffer_size()

        def look() -> None:
            if before - self.transport.get_write_buffer_size() < READ_BYTES:
                self.transport.abort()
            else:
                self._time_reading()

        self._time("reading", READ_SECONDS, look)

    def _too_slow(self) -> None:
        self.give_up(408, f"the {self._phase} of the request did not arrive in {SECONDS[self._phase]:g} seconds")


class Server(uvicorn.Server):
    """A server that leaves the signals to others: rnn_cli/signals.py has its own way with them."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Do nothing."""
        yield


@dataclass(frozen=True)
class Watch:
    """What the server asks and tells while it runs.

    stopping  whether to stop
    stop      let all that is at work fail
    started   told the port once the server listens
    complain  told of errors that should not have been
    """

    stopping: Callable[[], bool]
    stop: Callable[[], None]
    started: Callable[[int], None]
    complain: Callable[[BaseException], None]


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens. Raises RnnError if that is not possible."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except (OSError, UnicodeError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno and error.errno > 0 else error
        raise RnnError(f"cannot listen on {host}, `port` {port}: {reason}; choose another one") from error


def serve(app: ASGIApp, listener: socket.socket, connecting: Connecting, watch: Watch) -> None:
    """Answer requests until it is to stop. What is at work then has `grace` seconds to end."""
    for name in LOGGERS:  # which would quote requests, and print to stderr
        logging.getLogger(name).addHandler(logging.NullHandler())
        logging.getLogger(name).propagate = False
    server = Server(
        uvicorn.Config(
            app,
            http=functools.partial(Connection, most=connecting.max_connections),  # type: ignore[arg-type]
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            h11_max_incomplete_event_size=HEADER_LIMIT,
            timeout_keep_alive=IDLE_SECONDS,
            timeout_graceful_shutdown=int(connecting.grace) + 2,
        )
    )
    with quick_handovers(), asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(run(server, listener, connecting.grace, watch))


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes a loop of uvloop, which needs less time for a request; None if it is not installed."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


@contextmanager
def quick_handovers() -> Iterator[None]:
    """Let a thread that has a model run wait less for the loop, which otherwise answers several requests first."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(HANDOVER_SECONDS)
    try:
        yield
    finally:
        sys.setswitchinterval(usual)


async def run(server: Server, listener: socket.socket, grace: float, watch: Watch) -> None:
    """Run a server until it is to stop, and has."""
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, about: watch.complain(about.get("exception") or RuntimeError()))

    async def stop_in_time() -> None:
        while not server.started:
            await asyncio.sleep(TICK)
        watch.started(listener.getsockname()[1])
        while not watch.stopping():
            await asyncio.sleep(TICK)
        server.should_exit = True
        await asyncio.sleep(grace)
        watch.stop()

    stopping = asyncio.create_task(stop_in_time())
    await server.serve(sockets=[listener])
    stopping.cancel()
