"""Run the commands as a user does: in this process, which is quick, or in one of their own."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import pty
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from unittest import mock

from rnn_cli.__main__ import main

PROGRAM = [sys.executable, "-m", "rnn_cli"]
STREAM_TEXT = "the cat sat on the mat, and the dog sat on the log.\nso they sat, and sat, and sat.\n" * 12
LINES_TEXT = "".join(f"{first}{last}\n" for first in ("an", "bel", "car", "dor") for last in "aeiouylmnrst")
COMPILING = "compiling kernels (first run only)\n"  # which is said on a fresh machine, once
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in ("RNN_MODEL", "RNN_DEBUG")}
PIPES: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
# A network and a text that train in milliseconds.
SMALL = ["--hidden-size", "8", "--batch-size", "4", "--sequence-length", "8", "--augment", "0", "--random-seed", "1"]


@dataclass(frozen=True)
class Result:
    """How a command ended: its exit code, the bytes of its stdout, and its stderr."""

    code: int
    stdout: bytes
    stderr: str

    @property
    def text(self) -> str:
        """Return stdout as text, with what is no UTF-8 as lone surrogates."""
        return self.stdout.decode("utf-8", "surrogateescape")


def result(code: int, output: bytes | None, error: bytes | None) -> Result:
    """Return a result, None being a stream that went elsewhere."""
    return Result(code, output or b"", (error or b"").decode("utf-8").replace(COMPILING, ""))


def run(
    *arguments: object, stdin: bytes = b"", cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> Result:
    """Run a command in this process."""
    streams = [io.TextIOWrapper(io.BytesIO(data), encoding="utf-8") for data in (stdin, b"", b"")]
    with contextlib.ExitStack() as stack:
        for name, stream in zip(("stdin", "stdout", "stderr"), streams):
            stack.enter_context(mock.patch.object(sys, name, stream))
        stack.enter_context(mock.patch.dict(os.environ, {**ENVIRONMENT, **(env or {})}, clear=True))
        stack.enter_context(contextlib.chdir(cwd or Path.cwd()))
        code = main([str(argument) for argument in arguments])
    output, error = (stream.buffer.getvalue() for stream in streams[1:])
    return result(code, output, error)


def run_process(*arguments: object, **options: Any) -> Result:
    """Run a command in a process of its own; the options are those of subprocess.run."""
    command = [*PROGRAM, *map(str, arguments)]
    done = subprocess.run(command, **{"timeout": 120, "env": ENVIRONMENT, **PIPES, **options})
    return result(done.returncode, done.stdout, done.stderr)


def run_on_terminal(*arguments: object) -> Result:
    """Run a command with its stdout on a terminal."""
    terminal, end = pty.openpty()
    command = [*PROGRAM, *map(str, arguments)]
    environment = {**ENVIRONMENT, "PYTHONUTF8": "1"}
    process = subprocess.Popen(command, env=environment, **{**PIPES, "stdout": end})
    os.close(end)
    output = read_to_end(terminal)
    _, error = process.communicate(timeout=120)
    return result(process.returncode, output.replace(b"\r\n", b"\n"), error)


def read_to_end(descriptor: int) -> bytes:
    """Return all that comes from a descriptor, and close it."""
    parts = []
    with contextlib.suppress(OSError):  # what a terminal raises at its end
        while part := os.read(descriptor, 1 << 16):
            parts.append(part)
    os.close(descriptor)
    return b"".join(parts)


def stop_training(
    number: signal.Signals,
    *arguments: object,
    cwd: Path,
    stdin: IO[bytes] | int = subprocess.DEVNULL,
    before_signal: Callable[[], None] = lambda: None,
) -> tuple[Result, bytes]:
    """Train in a process of its own and stop it with a signal after its first report; return what it logged, too.

    The log is a small pipe: the training cannot run far ahead of this reader, so it is never over too early.
    """
    pipe = cwd / "log.pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)  # without it, this would wait for a writer
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, 4096)
    command = [*PROGRAM, "train", *map(str, arguments), "--log", str(pipe)]
    process = subprocess.Popen(command, cwd=cwd, env=ENVIRONMENT, **{**PIPES, "stdin": stdin})
    while not select.select([reader], [], [], 0.1)[0]:
        assert process.poll() is None, process.communicate()
    before_signal()
    process.send_signal(number)
    os.set_blocking(reader, True)
    log = read_to_end(reader)
    output, error = process.communicate(timeout=120)
    pipe.unlink()
    return result(process.returncode, output, error), log
