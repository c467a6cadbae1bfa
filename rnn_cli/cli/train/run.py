"""A run of `rnn train`: show, log and save what the Trainer reports, until the end or a signal."""

from __future__ import annotations

import json
import os
import shlex
import time
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import typer

from rnn_cli.atomic_files import check_writable, is_same, lock, sweep_stale, unusable, write_atomically
from rnn_cli.checkpoint.checkpoint import Checkpoint, save_checkpoint
from rnn_cli.cli.train.request import TrainRequest
from rnn_cli.cli.train.start import resume_run, start_run
from rnn_cli.display.progress import TrainingDisplay
from rnn_cli.errors import CheckpointError, DivergenceError, RnnError, UsageError
from rnn_cli.signals import StopRequest
from rnn_cli.training.diagnosis import diagnosis
from rnn_cli.training.run_state import Report
from rnn_cli.training.trainer import Trainer

if TYPE_CHECKING:
    from rnn_cli.cli.train.ranks import Party

SAVE_SECONDS = 10  # the longest that training continues after an evaluation without saving
SAMPLE_SECONDS = 15  # between two examples of what the model does


def run(
    request: TrainRequest,
    path: Path,
    log: Path | None,
    *,
    resume: bool,
    overwrite: bool,
    threads: int,
    display: TrainingDisplay,
    party: Party | None = None,
) -> None:
    """Start or continue a run, with other ranks if there is a `party`; train to its end or a signal, and save it."""
    check_written(path, log, request)
    check_writable(path)
    with lock(path):
        sweep_stale(path)
        if party:
            party.share_stdin(request)
        if resume:
            trainer, request = resume_run(path, request, threads, display)
            check_written(path, log, request)
        else:
            check_replaced(path, log, overwrite)
            trainer, request = start_run(request, threads, display)
        if party:
            party.share(trainer, request)
        train(trainer, request, path, log, resume, display)


def check_written(path: Path, log: Path | None, request: TrainRequest) -> None:
    """Raise UsageError if the model or the log would replace a file that is read, or one the other."""
    if any(is_same(path, text) for text in request.texts):
        raise UsageError(f"the model {path} would replace a text that is read; name another file with -m")
    if log and any(is_same(log, read) for read in (*request.texts, path, request.base) if read):
        raise UsageError(f"--log {log} would replace a file that is read, or the model; name another file")


def check_replaced(path: Path, log: Path | None, overwrite: bool) -> None:
    """Raise UsageError if the model or the log exists, unless it is to be replaced."""
    if path.exists() and not overwrite:
        raise UsageError(
            f"{path} exists already; continue its run (--resume), replace it (--overwrite) or name another (-m FILE)"
        )
    if log and log.is_file() and log.stat().st_size and not overwrite:
        raise UsageError(f"the log {log} exists already; replace it (--overwrite) or name another")


def train(
    trainer: Trainer, request: TrainRequest, path: Path, log: Path | None, resume: bool, display: TrainingDisplay
) -> None:
    """Train to the end, or until a signal; show, log and save."""
    saver = Saver(trainer, request, path, display)
    last_sample = time.monotonic()
    with (
        LogWriter(log, trainer.progress.step if resume else None, display) if log else nullcontext() as writer,
        StopRequest("\nfinishing the step and saving; once more to stop at once\n") as signals,
    ):
        ranks = trainer.ranks
        ranks.wish = lambda: signals.requested or 0
        trainer.stop = lambda: ranks.stopped > 0
        trainer.say = display.note
        display.unit = trainer.task.unit
        for report in saving_on_divergence(trainer, saver):
            display.report(report.to_dict(), trainer.fraction, trainer.remaining_seconds)
            if writer:
                writer.write(trainer.task.report_to_dict(report))
            if report.step % trainer.config.evaluate_every == 0 and not trainer.finished:
                if writer:
                    writer.sync()
                saver.save_sometimes()
                if time.monotonic() - last_sample > SAMPLE_SECONDS and not display.quiet:
                    show_example(trainer, display)
                    last_sample = time.monotonic()
        if writer:
            writer.sync()
        problem = saver.save()
        display.close()
        if problem:
            raise RnnError(f"{problem}; free some space or name another file with -m")
        if trainer.finished:
            for line in summary(trainer, path):
                display.note(line)
            limit = diagnosis(trainer.history, trainer.model.config, trainer.config, trainer.batches.units_per_epoch)
            for part in limit.splitlines() if limit else ():
                display.note(part)
        else:
            command = resume_command(request, path, log, ranks.size)
            display.note(f"stopped at step {trainer.progress.step:,}; continue with: {command}")
    if stopped := ranks.stopped:
        raise typer.Exit(128 + stopped)
    if writer and writer.failed:
        raise RnnError(f"the model is saved, but the log {log} is not complete; free some space")


def saving_on_divergence(trainer: Trainer, saver: Saver) -> Iterator[Report]:
    """Yield the reports of the trainer; if it diverges, save the best model so far, if there is one, first."""
    try:
        yield from trainer
    except DivergenceError:
        if (trainer.progress.best_step or trainer.members) and (problem := saver.save()):
            saver.display.note(problem)
        raise


def resume_command(request: TrainRequest, path: Path, log: Path | None, ranks: int) -> str:
    """Return the command that resumes a run. A text from stdin has to be given again."""
    launcher, mpi = (["mpiexec", "-n", str(ranks)], ["--mpi"]) if ranks > 1 else ([], [])
    command = [*launcher, "rnn", "train", *mpi, "--resume", "-m", str(path), *(["--log", str(log)] if log else [])]
    from_stdin = "-" in request.files
    return shlex.join([*command, *(request.files if from_stdin else [])]) + " < TEXT" * from_stdin


def show_example(trainer: Trainer, display: TrainingDisplay) -> None:
    """Show what the best model so far does, if its task has an example."""
    task, step = trainer.task, trainer.progress.step
    with suppress(CheckpointError):  # the model predicts values that are not finite; the trainer will find out, too
        example = task.example(Checkpoint(task.network, task.describe(), trainer.best_tensors()), step)
        if example is not None:
            display.sample(example)


def summary(trainer: Trainer, path: Path) -> Iterator[str]:
    """Yield lines on the file, the length of the run and the quality of the model."""
    progress = trainer.progress
    steps = f"{progress.step:,} step{'s' * (progress.step > 1)}"
    yield f"saved {path} ({path.stat().st_size / 1e6:.1f} MB) after {steps} in {progress.seconds:.0f} s"
    if progress.best_loss is not None:
        figures = trainer.task.figures(progress.best_loss, progress.best_score)
        several = trainer.model.config.members
        yield f"{figures} " + (f"of {several} networks together" if several > 1 else f"at step {progress.best_step:,}")
    yield from trainer.task.remarks


class Saver:
    """Writes the model file. A save that fails is reported and tried again; it does not end the training."""

    def __init__(self, trainer: Trainer, request: TrainRequest, path: Path, display: TrainingDisplay) -> None:
        self.trainer, self.request, self.path, self.display = trainer, request, path, display
        self._last = time.monotonic()

    def save_sometimes(self) -> None:
        """Save, unless the last save was less than SAVE_SECONDS ago."""
        if time.monotonic() - self._last >= SAVE_SECONDS and (problem := self.save()):
            self.display.note(f"{problem}; the training continues and will try again")

    def save(self) -> str:
        """Save now; return why that failed, or an empty string."""
        checkpoint = self.trainer.checkpoint()
        if checkpoint.progress is not None:
            checkpoint.source = self.request.to_source()
        self._last = time.monotonic()
        try:
            save_checkpoint(self.path, checkpoint)
        except RnnError as problem:
            return str(problem)
        return ""


class LogWriter:
    """Writes reports as JSON lines; on resume, drops the reports later than the saved step.

    If a line cannot be written, that is reported, nothing more is written, and the training continues.
    """

    def __init__(self, path: Path, step: int | None, display: TrainingDisplay) -> None:
        """Begin a log or, if there is a `step`, continue one from there."""
        self.failed, self._path, self._display = False, path, display
        try:
            if step is not None and path.is_file():
                write_atomically(path, "".join(reports_until(step, path)).encode())
                self._file = path.open("a", encoding="utf-8", buffering=1)
            else:
                self._file = path.open("w", encoding="utf-8", buffering=1)
        except OSError as problem:
            sentence = f"the log {path} cannot be written: {problem.strerror}; name another file"
            raise unusable(problem, sentence) from problem

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *problem: object) -> None:
        with suppress(OSError):  # what could not be written before cannot be now
            self._file.close()

    def sync(self) -> None:
        """Flush the log to the disk, so that a model is never ahead of its log."""
        with suppress(OSError):  # a pipe cannot do this
            os.fsync(self._file.fileno())

    def write(self, report: dict[str, Any]) -> None:
        """Add a report."""
        if self.failed:
            return
        try:
            self._file.write(json.dumps(report) + "\n")
        except OSError as problem:
            self.failed = True
            self._display.note(f"could not write the log {self._path}: {problem.strerror}; the training continues")


def reports_until(step: int, log: Path) -> list[str]:
    """Return the lines of a log up to a step, without the line that a crash cut off.

    Raises UsageError if the file holds anything but reports.
    """
    kept = []
    lines = log.read_text("utf-8", errors="replace").splitlines()
    for number, line in enumerate(lines, 1):
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line + "\n")
        except (ValueError, KeyError, TypeError, RecursionError):
            if number < len(lines) or number == 1:
                raise UsageError(f"{log} is not the log of a training (line {number:,}); name another file") from None
    return kept
