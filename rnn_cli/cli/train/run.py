"""A run of `rnn train`: what the Trainer reports is shown, logged and saved, until the end or a signal."""

from __future__ import annotations

import json
import math
import os
import shlex
import time
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import typer

from rnn_cli.atomic_files import write_atomically
from rnn_cli.errors import CheckpointError, DivergenceError, RnnError, UsageError

if TYPE_CHECKING:
    from rnn_cli.display.progress import TrainingDisplay
    from rnn_cli.training.trainer import Report, Trainer

SAVE_SECONDS = 10  # the longest that training goes on after an evaluation without saving
SAMPLE_SECONDS = 15  # between two looks at what the model writes
SAMPLE_LENGTH = 70


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
            display.report(report.to_dict(), trainer.fraction, trainer.remaining_seconds)
            if writer:
                writer.write(report)
            if report.step % trainer.config.evaluate_every == 0 and not trainer.finished:
                if writer:
                    writer.sync()
                saver.save_sometimes()
                if time.monotonic() - last_sample > SAMPLE_SECONDS and not display.quiet:
                    with suppress(CheckpointError):  # a model of numbers that are too large; the training will say so
                        display.sample(sample_line(trainer))
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
            display.note(f"stopped at step {trainer.progress.step:,}; go on with: {resuming(source, path, log)}")
    if request.requested is not None:
        raise typer.Exit(128 + request.requested)
    if writer and writer.failed:
        raise RnnError(f"the model is saved, but the log {log} is not complete; free some space")


def saving_on_divergence(trainer: Trainer, saver: Saver) -> Iterator[Report]:
    """Yield the reports of the trainer; where it diverges, save the best model so far first, if there is one."""
    try:
        yield from trainer
    except DivergenceError:
        if trainer.progress.best_step and (problem := saver.save()):
            saver.display.note(problem)
        raise


def resuming(source: dict[str, Any], path: Path, log: Path | None) -> str:
    """Return the command that goes on with a run. What came from stdin has to come once more."""
    command = ["rnn", "train", "--resume", "-m", str(path), *(["--log", str(log)] if log else [])]
    from_stdin = "-" in source["paths"]
    return shlex.join([*command, *(source["paths"] if from_stdin else [])]) + " < TEXT" * from_stdin


def sample_line(trainer: Trainer) -> str:
    """Return a short text by the best model so far."""
    from rnn_cli.checkpoint.checkpoint import Checkpoint
    from rnn_cli.language.config import SamplingConfig
    from rnn_cli.language.sampling import sample_texts

    config = SamplingConfig(temperature=0.8, length=SAMPLE_LENGTH, random_seed=trainer.progress.step)
    model = Checkpoint(trainer.model.config, trainer.corpus.codec, trainer.best_tensors())
    (text,) = sample_texts(model, config=config)
    return " ".join(text.decode("utf-8", errors="replace").split())


def summary(trainer: Trainer, path: Path) -> Iterator[str]:
    """Yield what a run came to."""
    progress = trainer.progress
    steps = f"{progress.step:,} step{'s' * (progress.step > 1)}"
    yield f"saved {path} ({path.stat().st_size / 1e6:.1f} MB) after {steps} in {progress.seconds:.0f} s"
    if progress.best_loss is not None:
        bits = progress.best_loss / math.log(2)
        yield f"validation {progress.best_loss:.4f} nats = {bits:.3f} bits per character at step {progress.best_step:,}"


def absolute(source: dict[str, Any]) -> dict[str, Any]:
    """Return the files of a source by their absolute paths, so that a run can be resumed from another directory."""
    return {
        name: source[name] and [path if path == "-" else str(Path(path).resolve()) for path in source[name]]
        for name in ("paths", "validation_files")
    }


class Saver:
    """Writes the model file; a save that fails is said and tried again, and does not end the training."""

    def __init__(self, trainer: Trainer, source: dict[str, Any], path: Path, display: TrainingDisplay) -> None:
        self.trainer, self.source, self.path, self.display = trainer, source, path, display
        self._last = time.monotonic()

    def save_sometimes(self) -> None:
        """Save, unless that was done a moment ago."""
        if time.monotonic() - self._last >= SAVE_SECONDS and (problem := self.save()):
            self.display.note(f"{problem}; the training goes on and will try again")

    def save(self) -> str:
        """Save now; return why that failed, or nothing."""
        from rnn_cli.checkpoint.checkpoint import save_checkpoint

        checkpoint = self.trainer.checkpoint()
        if checkpoint.progress is not None:
            checkpoint.progress["source"] = {**self.source, **absolute(self.source)}
        self._last = time.monotonic()
        try:
            save_checkpoint(self.path, checkpoint)
        except RnnError as problem:
            return str(problem)
        return ""


class LogWriter:
    """Writes reports as JSON lines; after a resume, those behind the step that was saved are written anew.

    Where a line cannot be written that is said, no more are, and the training goes on.
    """

    def __init__(self, path: Path, step: int | None, display: TrainingDisplay) -> None:
        """Begin a log or, where there is a `step`, go on with it."""
        self.failed, self._path, self._display = False, path, display
        try:
            if step is not None and path.is_file():
                write_atomically(path, "".join(reports_until(step, path)).encode())
                self._file = path.open("a", encoding="utf-8", buffering=1)
            else:
                self._file = path.open("w", encoding="utf-8", buffering=1)
        except OSError as problem:
            raise UsageError(f"the log {path} cannot be written: {problem.strerror}; name another file") from problem

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *problem: object) -> None:
        with suppress(OSError):  # what could not be written before cannot be now
            self._file.close()

    def sync(self) -> None:
        """Make what was written last, so that a model is never ahead of its log."""
        with suppress(OSError):  # a pipe cannot do this
            os.fsync(self._file.fileno())

    def write(self, report: Report) -> None:
        """Add a report."""
        if self.failed:
            return
        try:
            self._file.write(json.dumps(report.to_dict()) + "\n")
        except OSError as problem:
            self.failed = True
            self._display.note(f"could not write the log {self._path}: {problem.strerror}; the training goes on")


def reports_until(step: int, log: Path) -> list[str]:
    """Return the lines of a log up to a step, without the line that a crash cut off.

    Raises UsageError for a file of anything but reports.
    """
    kept = []
    lines = log.read_text("utf-8", errors="replace").splitlines()
    for number, line in enumerate(lines, 1):
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line + "\n")
        except (ValueError, KeyError, TypeError, RecursionError):
            if number < len(lines) or number == 1:
                raise UsageError(f"{log} is no log of a training (line {number:,}); name another file") from None
    return kept
