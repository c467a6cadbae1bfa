"""Start a run of `rnn train`: new, from another model, or resumed from a file. The file of its task does the rest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import typer

from rnn_cli.checkpoint.checkpoint import LANGUAGE, load_checkpoint
from rnn_cli.cli.options import seed_or_random
from rnn_cli.cli.train import classify, forecast, labelled, language, tag, translate
from rnn_cli.cli.train.request import TrainRequest
from rnn_cli.cli.train.starting import Starting
from rnn_cli.display.progress import TrainingDisplay
from rnn_cli.errors import CheckpointError, TaskError
from rnn_cli.training.trainer import Trainer

STARTING: dict[str, Starting] = {
    LANGUAGE: language,
    "classify": classify,
    "labelled": labelled,
    "tag": tag,
    "translate": translate,
    "forecast": forecast,
}


def start_run(request: TrainRequest, threads: int, display: TrainingDisplay) -> tuple[Trainer, TrainRequest]:
    """Begin a new run and say what was chosen. Returns the request completed by its random seed and its base model."""
    asked_seed = request.random_seed
    request = replace(request, random_seed=seed_or_random(asked_seed))
    base = load_checkpoint(request.base) if request.base else None
    if base and request.task:
        base = base.as_one_network()
    trainer, request = STARTING[request.task or LANGUAGE].start(request, base, threads, display)
    if asked_seed is None:
        display.note(f"random seed {request.random_seed}")
    return trainer, request


def resume_run(
    model: Path, request: TrainRequest, threads: int, display: TrainingDisplay
) -> tuple[Trainer, TrainRequest]:
    """Continue the run that a model file holds. Returns its request; files of `request` take the place of its own.

    Raises UsageError if `request` gives anything else.
    """
    request.check_resumed()
    checkpoint = load_checkpoint(model)
    if checkpoint.progress is None:
        steps = checkpoint.record.get("steps")
        after = f" after {steps:,} steps" if isinstance(steps, int) else ""
        display.note(f"{model} is complete{after}; train it further with --from {model} -m FILE")
        raise typer.Exit(0)
    saved = TrainRequest.from_source(checkpoint.source)
    name = checkpoint.task["name"]
    if name not in STARTING:
        raise TaskError(name, LANGUAGE)
    if saved is None or (saved.task or LANGUAGE) != name:
        raise CheckpointError(f"{model} does not say what it was trained on, so it cannot be resumed")
    saved = replace(saved, files=request.files or saved.files)
    trainer = Trainer.resume(checkpoint, STARTING[name].reread(saved, checkpoint), threads)
    display.note(f"resuming {model} at step {trainer.progress.step:,}")
    return trainer, saved
