"""The boundary of the process: exit codes, closed pipes, signals, and one sentence for each failure."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NoReturn, TextIO

from rnn_cli.display.stdout import flush_stdout, visible
from rnn_cli.errors import RnnError, TaskError, UsageError
from rnn_cli.signals import Interruption, Stopped, at_end

INTERRUPTED, CLOSED_PIPE = 130, 141  # 128 + the number of SIGINT and of SIGPIPE

BLAS = ("OPENBLAS_NUM", "MKL_NUM", "BLIS_NUM", "VECLIB_MAXIMUM")  # as NumPy is built with, before it is imported
LONGEST_HALF = 400  # characters of an error; it may quote what a user or a file wrote


def main(arguments: Sequence[str] | None = None, app: Callable[..., Any] | None = None) -> int:
    """Run the command line and return its exit code. Tests pass an `app` in place of the program's own."""
    replace_closed_streams()
    stdout: TextIO | None = sys.stdout
    if stdout is None:
        complain("the standard output is closed; send it to /dev/null to throw the output away")
        return 1
    code = attempt(lambda: run(sys.argv[1:] if arguments is None else arguments, app))
    code = code or attempt(flush_stdout)
    release(stdout)
    release(sys.stderr)
    return code


def program() -> NoReturn:
    """Run the command line as a whole process.

    Exits at once, with everything flushed and closed. Python's own exit would wait for a thread that still computes if
    the command was stopped, and take a quarter of a second to free the compiler's data.
    """
    for library in BLAS:  # kernels have threads of their own; those of NumPy's small products would mostly wait
        os.environ.setdefault(f"{library}_THREADS", "1")
    code = main()
    for leave in at_end:
        with suppress(Exception):
            leave(code)
    os._exit(code)


def replace_closed_streams() -> None:
    """Open the null device for a closed stdin or stderr, so that the next file does not get its descriptor."""
    if sys.stdin is None:
        sys.stdin = open(os.devnull)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115


def run(arguments: Sequence[str], app: Callable[..., Any] | None) -> int:
    """Run a command and return the exit code that it chose."""
    check_arguments(arguments)
    if app is None:
        from rnn_cli import cli

        app = cli.app
    with Interruption("stopping; once more to stop at once"):
        result = app(args=list(arguments), prog_name="rnn", standalone_mode=False)
    return result if isinstance(result, int) else 0


def check_arguments(arguments: Sequence[str]) -> None:
    """Raise UsageError for an argument that is not valid UTF-8 in its original bytes."""
    for number, argument in enumerate(arguments, 1):
        try:
            os.fsencode(argument).decode("utf-8")
        except UnicodeError as problem:
            raise UsageError(f"argument {number} is not valid UTF-8: '{argument}'; write it in UTF-8") from problem


def attempt(action: Callable[[], int | None]) -> int:
    """Run an action and return its exit code. Explains a failure on stderr."""
    try:
        return action() or 0
    except BaseException as error:
        if os.environ.get("RNN_DEBUG", "0") not in ("", "0"):
            import traceback

            with suppress(OSError):
                traceback.print_exception(error)
        code, sentence = explain(error)
        if sentence:
            complain(sentence)
        return code


def explain(error: BaseException) -> tuple[int, str]:
    """Return the exit code for an exception, and a sentence, which is empty if there is nothing to say."""
    match error:
        case TaskError():
            from rnn_cli.cli.verbs import right_verb

            return error.exit_code, right_verb(error)
        case RnnError():
            return error.exit_code, str(error)
        case KeyboardInterrupt():
            return INTERRUPTED, ""
        case Stopped():
            return 128 + error.signum, ""
        case BrokenPipeError():
            return CLOSED_PIPE, ""
        case SystemExit():
            if isinstance(error.__context__, BrokenPipeError):  # Typer's answer to a closed pipe
                return CLOSED_PIPE, ""
            return (error.code or 0, "") if isinstance(error.code, int | None) else (1, str(error.code))
        case MemoryError():
            return 1, "there is not enough memory; make the model, the batch or the text smaller"
        case OSError():
            where = f": {error.filename}" if error.filename is not None else ""
            return 1, f"reading or writing failed{where}: {error.strerror or error}"
    if hasattr(error, "format_message"):  # an exception of Typer, whose base class is not public in all versions
        return explain_usage(error)
    reason = " ".join(str(error).split())[:LONGEST_HALF]
    if shadow := shadowing_file():
        return 1, f"'{shadow}' takes the place of a module of Python ({reason}); rename it or use another directory"
    if isinstance(error, ImportError):
        return 1, f"a library cannot be loaded: {reason}{import_advice(error)}"
    return 1, f"unexpected {type(error).__name__}: {reason}; set RNN_DEBUG=1 to see where"


def shadowing_file() -> str | None:
    """Return the file of a module that has the name of one of Python's own but lies elsewhere, or None."""
    own = os.path.dirname(os.path.realpath(os.__file__))
    elsewhere = ("site-packages", "dist-packages")
    for name in sorted(sys.stdlib_module_names & sys.modules.keys()):
        file = getattr(sys.modules[name], "__file__", None)
        if not file or "lib-dynload" in file or any(part in file for part in elsewhere):
            continue
        directory = os.path.dirname(os.path.abspath(file))
        here = {os.getcwd() if path == "" else os.path.abspath(path) for path in sys.path[:1]}
        outside = os.path.commonpath([own, os.path.realpath(directory)]) != own
        if outside and (directory in here or os.path.dirname(directory) in here):
            return file
    return None


def import_advice(error: ImportError) -> str:
    """Return what to do about a library that cannot be loaded, if the cause is known."""
    reason = str(error).lower()
    if "numba needs numpy" in reason or "numpy.core.multiarray failed" in reason or "compiled using numpy" in reason:
        return "; the installed NumPy and Numba do not fit together: install rnn in a fresh environment"
    if "cannot allocate memory" in reason or "failed to map segment" in reason:
        return "; there is not enough memory"
    if isinstance(error, ModuleNotFoundError):
        return "; rnn is installed without it: install rnn again with its dependencies"
    return "; set RNN_DEBUG=1 to see where"


def explain_usage(error: Any) -> tuple[int, str]:
    """Return the exit code and the sentence for an error of usage that Typer found."""
    if type(error).__name__ == "NoArgsIsHelpError":
        with suppress(OSError):
            print(error.format_message(), file=sys.stderr)
        return error.exit_code, ""
    context = getattr(error, "ctx", None)
    message = " ".join(error.format_message().split()).rstrip(".")
    hint = f"; see '{context.command_path} --help'" if context else ""
    return error.exit_code, message[:1].lower() + message[1:] + hint


def complain(sentence: str) -> None:
    """Write an error to stderr, without its middle if it is very long. Does nothing if stderr is closed or full."""
    if len(sentence) > 2 * LONGEST_HALF:
        sentence = f"{sentence[:LONGEST_HALF]} ... {sentence[-LONGEST_HALF:]}"
    with suppress(OSError):
        print(f"rnn: error: {visible(sentence)}", file=sys.stderr)


def release(stream: TextIO) -> None:
    """Flush a stream. Drops what cannot be written, of which Python would complain at exit."""
    try:
        stream.flush()
    except OSError:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


if __name__ == "__main__":
    program()
