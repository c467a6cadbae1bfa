"""Faults on purpose: calls of the system that fail or kill, and trainings that are stopped at a step."""

from __future__ import annotations

import contextlib
import os
import pkgutil
import signal
import traceback
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

from commands import Result, run

from rnn_cli import atomic_files as files
from rnn_cli.display.progress import TrainingDisplay

CALLS = {"open", "read", "write", "fsync", "replace", "close", "chmod", "unlink", "ftruncate"}


class FaultyOs:
    """Stands in for `os`: the fault happens at the Nth call that has to do with files."""

    def __init__(self, number: int, fault: Callable[[], None]) -> None:
        self.count, self._number, self._fault = 0, number, fault

    def __getattr__(self, name: str) -> Any:
        """Return what `os` has, its calls counted."""
        real = getattr(os, name)
        if name not in CALLS:
            return real

        def call(*arguments: Any, **options: Any) -> Any:
            self.count += 1
            if self.count == self._number:
                if name == "close":  # a close that fails has closed
                    real(*arguments)
                self._fault()
            return real(*arguments, **options)

        return call


@contextlib.contextmanager
def faulty_files(number: int, fault: Callable[[], None]) -> Iterator[FaultyOs]:
    """Let the fault happen at the Nth call of rnn_cli.atomic_files to the system."""
    faulty = FaultyOs(number, fault)
    with mock.patch.object(files, "os", faulty):
        yield faulty


def failing(number: int) -> Callable[[], None]:
    """Return a fault that raises an OSError of this number."""

    def fault() -> None:
        raise OSError(number, os.strerror(number))

    return fault


def in_child(action: Callable[[int], int | None], number: int) -> int:
    """Return what an action returned in a copy of this process, or minus the signal that killed it."""
    child = os.fork()
    if child == 0:
        code = 99
        try:
            code = action(number) or 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def kill() -> None:
    """End this process as a power cut does."""
    os.kill(os.getpid(), signal.SIGKILL)


def train_until(step: int, *arguments: object, **options: Any) -> Result:
    """Run a training in this process that SIGTERM stops when it reports this step or a later one."""
    real = TrainingDisplay.report

    def report(display: TrainingDisplay, values: Any, *others: Any) -> None:
        real(display, values, *others)
        if values["step"] >= step:
            os.kill(os.getpid(), signal.SIGTERM)

    with mock.patch.object(TrainingDisplay, "report", report):
        return run("train", *arguments, **options)


@contextlib.contextmanager
def interrupted(target: str, number: signal.Signals) -> Iterator[None]:
    """Send this process a signal when the function of this name is first called."""
    real, calls = pkgutil.resolve_name(target), []

    def call(*arguments: Any, **options: Any) -> Any:
        if not calls:
            calls.append(1)
            os.kill(os.getpid(), number)
        return real(*arguments, **options)

    with mock.patch(target, call):
        yield
