"""Signals that come at an odd moment: to another thread, twice on a terminal, before anybody listens."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import threading
import time

import pytest
from commands import PIPES, read_to_end

from rnn_cli.__main__ import main
from rnn_cli.signals import StopRequest

SIGNALS = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda n: n.name)
# Its main thread waits in a read that never ends, and another thread takes the signal.
BLOCKED = """
import os, signal, sys, threading, time
from rnn_cli.__main__ import main

def command(**options):
    waiting, _ = os.pipe()
    def take():
        time.sleep(0.2)
        signal.pthread_kill(threading.get_ident(), int(sys.argv[1]))
    threading.Thread(target=take, daemon=True).start()
    os.read(waiting, 1)

os._exit(main([], command))
"""
# It never ends by itself, and a live display has hidden its cursor.
STUBBORN = """
import sys, time
from rnn_cli.signals import StopRequest
with StopRequest("stopping"):
    sys.stderr.write("\\x1b[?25lready\\n")
    sys.stderr.flush()
    time.sleep(1000)
    while True:
        time.sleep(1000)
"""


@SIGNALS
def test_a_signal_to_another_thread_wakes_the_main_one(number: signal.Signals) -> None:
    command = [sys.executable, "-c", BLOCKED, str(int(number))]
    done = subprocess.run(command, timeout=60, **PIPES)
    assert (done.returncode, done.stderr) == (128 + number, b"stopping; once more to stop at once\n")


@SIGNALS
def test_a_second_signal_shows_the_cursor_again(number: signal.Signals) -> None:
    terminal, end = pty.openpty()
    with subprocess.Popen([sys.executable, "-c", STUBBORN], **{**PIPES, "stderr": end}) as process:
        os.close(end)
        shown = b""
        for awaited in (b"ready\r\n", b"stopping\r\n"):
            while awaited not in shown:
                shown += os.read(terminal, 1000)
            time.sleep(0.5)  # half a second later it is another signal
            process.send_signal(number)
        try:
            assert process.wait(60) == 128 + number
        finally:
            process.kill()
        shown += read_to_end(terminal)
    assert shown.endswith(b"\x1b[?25h\r\n")


def test_an_interrupt_before_the_handlers_are_set_has_its_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*arguments: object) -> None:
        signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        monkeypatch.setattr("rnn_cli.__main__.check_arguments", interrupt)
        assert main([]) == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert capsys.readouterr().err == ""


def test_a_later_signal_within_the_same_moment_is_the_same_one() -> None:
    """A closing terminal sends two; half a second later it is another one (see above)."""
    with StopRequest("stopping") as request:
        for number in (signal.SIGTERM, signal.SIGHUP):
            os.kill(os.getpid(), number)
            time.sleep(0.05)
        assert request.requested == signal.SIGTERM


def test_the_listener_ends_with_its_request() -> None:
    before = threading.active_count()
    with StopRequest("stopping"):
        assert threading.active_count() == before + 1
    assert threading.active_count() == before
