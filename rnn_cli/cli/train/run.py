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

from rnn_cli.atomic_files import unusable, write_atomically
from rnn_cli.errors import CheckpointError, DivergenceError, RnnError, UsageError

if TYPE_CHECKING:
    from rnn_cli.display.progress import TrainingDisplay
    from rnn_cli.training.trainer import Report, Trainer

SAVE_SECONDS = 10  # the longest that training continues after an evaluation without saving
SAMPLE_SECONDS = 15  # between two examples of what the model does


def run(
    trainer: Trainer,
    source: dict[str, Any],
    path: Path,
    log: Path | None,
    resume: bool,
    display: TrainingDisplay,
) -> None:
    """Train to the end, or until a signal; show, log and save."""
    from rnn_cli.signals import StopRequest
    from rnn_cli.training.diagnosis import diagnosis

    saver = Saver(trainer, source, path, display)
    last_sample = time.monotonic()
    with (
        LogWriter(log, trainer.progress.step if resume else None, display) if log else nullcontext() as writer,
        StopRequest("\nfinishing the step and saving; once more to stop at once\n") as request,
    ):
        trainer.stop = lambda: request.requested is not None
        trainer.say = display.note
        for report in saving_on_divergence(trainer, saver):
            values = trainer.task.report_to_dict(report)
            display.report(values, trainer.fraction, trainer.remaining_seconds)
            if writer:
                writer.write(values)
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
            limit = diagnosis(trainer.history, trainer.model.config, trainer.config)
            for part in limit.splitlines() if limit else ():
                display.note(part)
        else:
            display.note(f"stopped at step {trainer.progress.step:,}; continue with: {resuming(source, path, log)}")
    if request.requested is not None:
        raise typer.Exit(128 + request.requested)
    if writer and writer.failed:
        raise RnnError(f"the model is saved, but the log {log} is not complete; free some space")


def saving_on_divergence(trainer: Trainer, saver: Saver) -> Iterator[Report]:
    """Yield the reports of the trainer; if it diverges, save the best model so far, if there is one, first."""
    try:
        yield from trainer
    except DivergenceError:
        if trainer.progress.best_step and (problem := saver.save()):
            saver.display.note(problem)
        raise


def resuming(source: dict[str, Any], path: Path, log: Path | None) -> str:
    """Return the command that resumes a run. What came from stdin has to come once more."""
    command = ["rnn", "train", "--resume", "-m", str(path), *(["--log", str(log)] if log else [])]
    from_stdin = "-" in source["paths"]
    return shlex.join([*command, *(source["paths"] if from_stdin else [])]) + " < TEXT" * from_stdin


def show_example(trainer: Trainer, display: TrainingDisplay) -> None:
    """Show what the best model so far does, if its task has an example."""
    from rnn_cli.checkpoint.checkpoint import Checkpoint

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
        yield f"{figures} at step {progress.best_step:,}"


def absolute(source: dict[str, Any]) -> dict[str, Any]:
    """Return the absolute paths of the files of a source, so that a run can be resumed from another directory."""
    return {
        name: source[name] and [path if path == "-" else str(Path(path).resolve()) for path in source[name]]
        for name in ("paths", "validation_files")
    }


class Saver:
    """Writes the model file. A save that fails is reported and tried again; it does not end the training."""

    def __init__(self, trainer: Trainer, source: dict[str, Any], path: Path, display: TrainingDisplay) -> None:
        self.trainer, self.source, self.path, self.display = trainer, source, path, display
        self._last = time.monotonic()

    def save_sometimes(self) -> None:
        """Save, unless the last save was less than SAVE_SECONDS ago."""
        if time.monotonic() - self._last >= SAVE_SECONDS and (problem := self.save()):
            self.display.note(f"{problem}; the training continues and will try again")

    def save(self) -> str:
        """Save now; return why that failed, or an empty string."""
        from rnn_cli.checkpoint.checkpoint import save_checkpoint

        checkpoint = self.trainer.checkpoint()
        if checkpoint.progress is not None:
            checkpoint.source = {**self.source, **absolute(self.source)}
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
