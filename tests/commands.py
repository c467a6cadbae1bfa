"""Run the commands as a user does: in this process, which is quick, or in one of their own."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from rnn_cli.__main__ import main

PROGRAM = [sys.executable, "-m", "rnn_cli"]
STREAM_TEXT = "the cat sat on the mat, and the dog sat on the log.\nso they sat, and sat, and sat.\n" * 12
LINES_TEXT = "".join(f"{first}{last}\n" for first in ("an", "bel", "car", "dor") for last in "aeiouylmnrst")
# A network and a text that train in milliseconds.
SMALL = ["--hidden-size", "8", "--batch-size", "4", "--sequence-length", "8", "--random-seed", "1"]


@dataclass(frozen=True)
class Result:
    """How a command ended: its exit code, the bytes of its stdout, and its stderr."""

    code: int
    stdout: bytes
    stderr: str

    @property
    def text(self) -> str:
        """Return stdout as text."""
        return self.stdout.decode("utf-8")


def run(
    *arguments: object, stdin: bytes = b"", cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> Result:
    """Run a command in this process."""
    streams = [io.TextIOWrapper(io.BytesIO(data), encoding="utf-8") for data in (stdin, b"", b"")]
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    with contextlib.ExitStack() as stack:
        for name, stream in zip(("stdin", "stdout", "stderr"), streams):
            stack.enter_context(mock.patch.object(sys, name, stream))
        stack.enter_context(mock.patch.dict(os.environ, env or {}))
        if env is None or "RNN_MODEL" not in env:
            os.environ.pop("RNN_MODEL", None)
        if cwd is not None:
            stack.enter_context(contextlib.chdir(cwd))
        try:
            code = main([str(argument) for argument in arguments])
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
    _, output, error = (stream.buffer.getvalue() for stream in streams)  # type: ignore[attr-defined]
    return Result(code, output, error.decode("utf-8"))


def run_process(*arguments: object, **options: Any) -> Result:
    """Run a command in a process of its own; the options are those of subprocess.run."""
    options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    done = subprocess.run([*PROGRAM, *map(str, arguments)], timeout=120, **options)
    return Result(done.returncode, done.stdout or b"", (done.stderr or b"").decode("utf-8"))


def run_on_terminal(*arguments: object) -> Result:
    """Run a command with its stdout on a terminal."""
    terminal, end = pty.openpty()
    process = subprocess.Popen(
        [*PROGRAM, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=end,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUTF8": "1"},
    )
    os.close(end)
    output = read_to_end(terminal)
    _, error = process.communicate(timeout=120)
    return Result(process.returncode, output.replace(b"\r\n", b"\n"), error.decode("utf-8"))


def read_to_end(descriptor: int) -> bytes:
    """Return all that comes from a descriptor, and close it."""
    parts = []
    with contextlib.suppress(OSError):  # what a terminal raises at its end
        while part := os.read(descriptor, 1 << 16):
            parts.append(part)
    os.close(descriptor)
    return b"".join(parts)


def stop_training(
    number: signal.Signals, *arguments: object, cwd: Path, before_signal: Any = None
) -> tuple[Result, bytes]:
    """Train in a process of its own and stop it with a signal after its first report; return what it logged, too.

    The log is a small pipe: the training cannot run far ahead of this reader, so it is never over too early.
    """
    pipe = cwd / "log.pipe"
    os.mkfifo(pipe)
    command = [*PROGRAM, "train", *map(str, arguments), "--log", str(pipe)]
    process = subprocess.Popen(
        command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    reader = os.open(pipe, os.O_RDONLY)
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, 4096)
    first = os.read(reader, 1)
    if before_signal is not None:
        before_signal()
    process.send_signal(number)
    log = first + read_to_end(reader)
    output, error = process.communicate(timeout=120)
    pipe.unlink(missing_ok=True)
    return Result(process.returncode, output, error.decode("utf-8")), log
