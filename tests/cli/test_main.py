"""The process boundary: what each way to end looks like from outside."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import rnn_cli.__main__ as boundary
from rnn_cli.signals import COALESCE_SECONDS, StopRequest

# A small program round main(), with a command for each way to end.
PROGRAM = r"""
import os, sys, time
import typer
from rnn_cli import errors
from rnn_cli.__main__ import main
from rnn_cli.display.stdout import TextWriter
from rnn_cli.signals import StopRequest

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True, pretty_exceptions_enable=False)

@app.command()
def write(lines: int = typer.Option(1, min=0), how: str = "writer"):
    if how == "print":
        for number in range(lines):
            print("line", number)
    elif how == "echo":
        for number in range(lines):
            typer.echo(f"line {number}")
    else:
        writer = TextWriter()
        for number in range(lines):
            writer.write_line(f"line {number}")
        writer.close()

@app.command()
def fail(kind: str):
    def leave(code):
        sys.exit(code)
    def typer_exit(code):
        raise typer.Exit(code)
    def throw(error):
        raise error
    {
        "rnn": lambda: throw(errors.RnnError("the disk\x1b[2J is full")),
        "usage": lambda: throw(errors.UsageError("no such text")),
        "checkpoint": lambda: throw(errors.CheckpointError("no such model")),
        "divergence": lambda: throw(errors.DivergenceError("not finite")),
        "file": lambda: throw(OSError(28, "No space left on device", "/a/b")),
        "memory": lambda: throw(MemoryError()),
        "unexpected": lambda: throw(ValueError("odd")),
        "exit5": lambda: leave(5),
        "exit": lambda: leave(None),
        "text": lambda: leave("some text"),
        "typer7": lambda: typer_exit(7),
    }[kind]()

@app.command()
def wait(polite: bool = False):
    print("text so far")
    if polite:
        with StopRequest("\nfinishing the step\n") as request:
            print("ready", file=sys.stderr, flush=True)
            while request.requested is None:
                time.sleep(0.01)
            time.sleep(float(os.environ.get("HANG", 0)))
        raise typer.Exit(128 + request.requested)
    try:
        print("ready", file=sys.stderr, flush=True)
        time.sleep(60)
    finally:
        print("unwound", file=sys.stderr)

sys.exit(main(app=app))
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return the start of a command line that runs PROGRAM; without PYTHONUNBUFFERED, lest it hide something."""
    path = tmp_path_factory.mktemp("main") / "program.py"
    path.write_text(PROGRAM)
    return ["env", "-u", "PYTHONUNBUFFERED", sys.executable, str(path)]


def run(arguments: list[Any], **options: Any) -> tuple[int, str, str]:
    """Return the exit code, stdout and stderr of a program."""
    done = subprocess.run(arguments, capture_output=True, text=True, **options)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    "kind, code, message",
    [
        ("rnn", 1, r"rnn: error: the disk\x1b[2J is full"),
        ("usage", 2, "rnn: error: no such text"),
        ("checkpoint", 3, "rnn: error: no such model"),
        ("divergence", 4, "rnn: error: not finite"),
        ("file", 1, "rnn: error: reading or writing failed: /a/b: No space left on device"),
        (
            "memory",
            1,
            "rnn: error: there is not enough memory; make the model, the batch or the text smaller",
        ),
        ("unexpected", 1, "rnn: error: unexpected ValueError: odd; set RNN_DEBUG=1 to see where"),
        ("exit5", 5, ""),
        ("exit", 0, ""),
        ("text", 1, "rnn: error: some text"),
        ("typer7", 7, ""),
    ],
)
def test_exit_codes(program: list[str], kind: str, code: int, message: str) -> None:
    assert run([*program, "fail", kind]) == (code, "", f"{message}\n" if message else "")
    debug = run([*program, "fail", kind], env={**os.environ, "RNN_DEBUG": "1"})
    assert debug[0] == code
    assert ("Traceback" in debug[2]) == (kind != "typer7")
    assert debug[2].endswith(f"{message}\n" if message else debug[2])


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["nope"], "no such command 'nope'; see 'rnn --help'"),
        (["write", "--nope"], "no such option: --nope"),
        (["fail"], "missing argument 'kind'; see 'rnn fail --help'"),
        (["write", "--lines", "x"], "'x' is not a valid"),
        (["write", "--lines", "-1"], "-1 is not in the range"),
        (["fail", b"a\xff"], r"argument 2 is not valid UTF-8: 'a\udcff'; write it in UTF-8"),
    ],
)
def test_wrong_usage_is_one_sentence(program: list[str], arguments: list[Any], message: str) -> None:
    code, output, error = run([*program, *arguments], env={**os.environ, "PYTHONUTF8": "1"})
    assert (code, output) == (2, "")
    assert error.startswith("rnn: error: ")
    assert error.count("\n") == 1
    assert message.lower() in error.lower()


def test_without_a_command_the_help_is_shown(program: list[str]) -> None:
    code, output, error = run(program)
    assert (code, output) == (2, "")
    assert error.startswith("Usage: rnn")
    code, output, error = run([*program, "--help"])
    assert (code, error) == (0, "")
    assert output.startswith("Usage: rnn")


@pytest.mark.parametrize("how", ["print", "echo", "writer"])
@pytest.mark.parametrize("lines", [1, 100_000])
def test_a_closed_pipe_ends_quietly(program: list[str], how: str, lines: int) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [*program, "write", "--lines", str(lines), "--how", how]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("how", ["print", "echo", "writer"])
@pytest.mark.parametrize("lines", [1, 100_000])
def test_a_full_disk_is_one_sentence(program: list[str], how: str, lines: int) -> None:
    command = [*program, "write", "--lines", str(lines), "--how", how]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
        assert done.returncode == 1
        assert done.stderr.startswith("rnn: error: reading or writing failed")
        assert done.stderr.endswith("No space left on device\n")
        assert done.stderr.count("\n") == 1
        assert subprocess.run(command, stdout=full, stderr=full).returncode == 1


def test_closed_streams(program: list[str]) -> None:
    def shell(redirection: str) -> tuple[int, str, str]:
        return run(["sh", "-c", f'exec "$@" {redirection}', "sh", *program, "write"])

    sentence = "rnn: error: the standard output is closed; send it to /dev/null to throw the output away\n"
    assert shell(">&-") == (1, "", sentence)
    assert shell(">&- 2>&-") == (1, "", "")
    assert shell("2>&-") == (0, "line 0\n", "")
    assert shell("<&-") == (0, "line 0\n", "")
    assert shell("<&- 2>&-") == (0, "line 0\n", "")


def stop(command: list[str], *signals: signal.Signals, **options: Any) -> tuple[int, str, str]:
    """Start a program, send it a signal for each line that it says, and return how it ended."""
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, **options) as process:
        assert process.stderr is not None
        said = []
        for number in signals:
            said.append(process.stderr.readline())
            time.sleep(2 * COALESCE_SECONDS * bool(said[1:]))  # signals within that time are one
            process.send_signal(number)
        output, error = process.communicate(timeout=30)
        assert said[0] == "ready\n"
        return process.returncode, output, "".join(said[1:]) + error


SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
STOPPING = "stopping; once more to stop at once\n"


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_unwinds_the_command(program: list[str], number: signal.Signals) -> None:
    assert stop([*program, "wait"], number) == (128 + number, "text so far\n", f"{STOPPING}unwound\n")


@pytest.mark.parametrize("number", SIGNALS)
def test_a_stop_request_is_noted(program: list[str], number: signal.Signals) -> None:
    ended = stop([*program, "wait", "--polite"], number)
    assert ended == (128 + number, "text so far\n", "finishing the step\n")


@pytest.mark.parametrize("number", SIGNALS)
def test_a_second_signal_ends_at_once(program: list[str], number: signal.Signals) -> None:
    environment = {**os.environ, "HANG": "60"}
    code, _, error = stop([*program, "wait", "--polite"], signal.SIGTERM, number, env=environment)
    assert (code, error) == (128 + number, "finishing the step\n")


@pytest.mark.parametrize("number", SIGNALS)
def test_signals_that_come_together_are_one(program: list[str], number: signal.Signals) -> None:
    environment = {**os.environ, "HANG": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([*program, "wait", "--polite"], env=environment, **pipes) as process:
        assert process.stderr is not None
        process.stderr.readline()
        for signum in (number, signal.SIGTERM, number):
            process.send_signal(signum)
        assert process.communicate(timeout=30)[1] == b"finishing the step\n"
        assert process.returncode in (128 + number, 128 + signal.SIGTERM)  # whichever was seen first


# Its main thread computes in C for minutes, as it does when LLVM compiles.
BUSY = """
import hashlib, sys
from rnn_cli.signals import StopRequest
with StopRequest("at once") as request:
    print("ready", file=sys.stderr, flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", int(sys.argv[1]))
sys.exit(request.requested)
"""


def test_busy_main_thread_stops_at_once() -> None:
    command = [sys.executable, "-c", BUSY]
    assert stop([*command, "1000000000"], signal.SIGINT, signal.SIGTERM) == (143, "", "at once\n")
    assert stop([*command, "2000000"], signal.SIGINT) == (2, "", "at once\n")  # half a second: one signal stays one


@pytest.mark.parametrize("polite", [[], ["--polite"]])
def test_an_ignored_hangup_stays_ignored(program: list[str], polite: list[str]) -> None:
    command = ["sh", "-c", "trap '' HUP; exec \"$@\"", "sh", *program, "wait", *polite]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "ready\n"
        process.send_signal(signal.SIGHUP)
        time.sleep(0.2)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
        assert process.returncode == 143


def test_a_stop_request_puts_the_handlers_back() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with StopRequest("stopping") as request:
        assert [signal.getsignal(number) for number in SIGNALS] != before
        assert request.requested is None
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_the_boundary_imports_nothing_heavy() -> None:
    heavy = ["numpy", "numba", "rich", "safetensors", "typer", "traceback"]
    code = f"import sys, rnn_cli.__main__; print([name for name in {heavy} if name in sys.modules])"
    assert run([sys.executable, "-c", code]) == (0, "[]\n", "")


def test_numpy_takes_one_thread_for_a_product(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = "import sys, rnn_cli.__main__; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", loaded]).returncode == 0  # so that the variables come in time
    names = [f"{library}_THREADS" for library in boundary.BLAS]
    for name in names:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(names[0], "3")
    monkeypatch.setattr(boundary, "main", lambda: 0)
    monkeypatch.setattr(os, "_exit", lambda code: None)
    boundary.program()
    assert [os.environ[name] for name in names] == ["3", "1", "1", "1"]
