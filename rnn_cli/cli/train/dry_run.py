"""rnn train --dry-run: what a run would take, measured on a few of its steps, which are discarded."""

from __future__ import annotations

import time
from pathlib import Path

from rnn_cli.cli.train.request import TrainRequest
from rnn_cli.cli.train.run import check_written
from rnn_cli.cli.train.start import start_run
from rnn_cli.display.progress import TrainingDisplay
from rnn_cli.display.report_line import format_time
from rnn_cli.display.stdout import TextWriter
from rnn_cli.display.tables import key_values
from rnn_cli.network.parameters import parameter_count
from rnn_cli.training.memory_estimate import peak_memory
from rnn_cli.training.trainer import Trainer

SECONDS = 1.0  # of steps that measure the speed
FEWEST_STEPS = 3  # of which the first one compiles


def print_plan(request: TrainRequest, model: Path, threads: int, display: TrainingDisplay) -> None:
    """Make a few steps, and print the sizes, the speed and the length that the run would have."""
    check_written(model, None, request)
    trainer, _ = start_run(request, threads, display)
    task, training, batches = trainer.task, trainer.config, trainer.batches
    per_epoch = batches.steps_per_epoch
    seconds_per_step = time_of_a_step(trainer)
    if training.minutes is None:
        steps = trainer.progress.total_steps or 1
        seconds = steps * seconds_per_step
    else:
        seconds = 60 * training.minutes
        steps = max(1, round(seconds / seconds_per_step))
        if training.most_epochs is not None:
            steps = min(steps, max(1, round(training.most_epochs * per_epoch)))
            seconds = min(seconds, steps * seconds_per_step)
    rows = [
        ("parameters", f"{parameter_count(task.network):,}"),
        ("memory at the peak", f"{peak_memory(task.network, training, task.data_bytes(training)) / 1e6:,.0f} MB"),
        (f"{task.unit}s per second", f"{batches.units_per_epoch / per_epoch / seconds_per_step:,.0f}"),
        ("steps", f"{steps:,}"),
        ("epochs", f"{steps / per_epoch:,.2f}"),
        ("time", format_time(seconds)),
    ]
    writer = TextWriter()
    writer.write_line(key_values(rows))
    writer.close()


def time_of_a_step(trainer: Trainer) -> float:
    """Return the mean seconds of the steps after the first one, which compiles; a run of one step has only that."""
    end = time.monotonic() + SECONDS
    trainer.stop = lambda: trainer.progress.step >= FEWEST_STEPS and time.monotonic() - trainer.progress.overhead > end
    for _ in trainer:
        pass
    progress = trainer.progress
    if progress.step < 2:
        return progress.seconds
    return (progress.seconds - progress.overhead) / (progress.step - 1)
