"""rnn train --dry-run: what a run would take, measured on a few of its steps, which are discarded."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from rnn_cli.cli.train.request import TrainRequest
from rnn_cli.cli.train.run import check_written
from rnn_cli.cli.train.start import start_run
from rnn_cli.display.progress import TrainingDisplay
from rnn_cli.display.report_line import format_time
from rnn_cli.display.stdout import TextWriter
from rnn_cli.display.tables import key_values
from rnn_cli.network.parameters import parameter_count
from rnn_cli.training.memory_estimate import peak_memory
from rnn_cli.training.throughput import exchange_seconds
from rnn_cli.training.trainer import Trainer

if TYPE_CHECKING:
    from rnn_cli.cli.train.ranks import Party

SECONDS = 1.0  # of steps that measure the speed
FEWEST_STEPS = 3  # of which the first one compiles
NETWORKS = {"1 Gbit/s": 1e9 / 8, "10 Gbit/s": 1e10 / 8}  # bytes per second between machines
RANKS, EFFICIENT = (2, 4, 16), 0.9


def print_plan(request: TrainRequest, model: Path, threads: int, display: TrainingDisplay, party: Party | None) -> None:
    """Make a few steps, and print the sizes, the speed and the length that the run would have."""
    check_written(model, None, request)
    if party:
        party.share_stdin(request)
    trainer, request = start_run(request, threads, display)
    if party:
        party.share(trainer, request)
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
    if party:
        rows += scaling(trainer, seconds_per_step, party)
    writer = TextWriter()
    writer.write_line(key_values(rows))
    writer.close()


def time_of_a_step(trainer: Trainer) -> float:
    """Return the mean seconds of the steps after the first one, which compiles; a run of one step has only that."""
    end = time.monotonic() + SECONDS
    ranks = trainer.ranks

    def wish() -> bool:
        if trainer.progress.step == 1:
            ranks.in_exchange = 0.0
        return trainer.progress.step >= FEWEST_STEPS and time.monotonic() - trainer.progress.overhead > end

    ranks.wish = wish
    trainer.stop = lambda: ranks.stopped > 0
    for _ in trainer:
        pass
    progress = trainer.progress
    if progress.step < 2:
        return progress.seconds
    return (progress.seconds - progress.overhead) / (progress.step - 1)


def scaling(trainer: Trainer, seconds: float, party: Party) -> list[tuple[str, str]]:
    """Return what ranks on several machines would gain, from the seconds that a step of these ranks takes.

    Ranks share the computation of a step. The exchange of the gradient takes as long for any batch.
    """
    parameters, rows = parameter_count(trainer.task.network), trainer.config.batch_size
    exchange = party.in_exchange / max(trainer.progress.step - 1, 1)
    computation = max(seconds - exchange, 1e-9) * party.size  # of one rank alone
    found = [("ranks", f"{party.size}, of about {rows / party.size:,.0f} rows")]
    if party.size > 1:
        found.append(("exchange, waiting", f"{exchange / seconds:.0%} of a step of {1000 * seconds:,.3g} ms"))
    for name, speed in NETWORKS.items():
        times = [computation / ranks + exchange_seconds(parameters, ranks, speed) for ranks in RANKS]
        gains = ", ".join(f"{ranks} ranks x{computation / each:.3g}" for ranks, each in zip(RANKS, times))
        enough = EFFICIENT / (1 - EFFICIENT) * exchange_seconds(parameters, RANKS[-1], speed) * rows / computation
        found.append((f"gain, {name}", f"{gains}; {EFFICIENT:.0%} efficient from {max(enough, 1):,.0f} rows a rank"))
    return found
