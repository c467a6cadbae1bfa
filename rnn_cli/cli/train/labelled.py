"""Start a run of `rnn train --labelled`."""

from __future__ import annotations

from functools import partial

import numpy as np

from rnn_cli.checkpoint.checkpoint import Checkpoint
from rnn_cli.cli.train.classify import TEXT_OPTIONS, describe, read
from rnn_cli.cli.train.request import TrainRequest
from rnn_cli.cli.train.starting import say_network
from rnn_cli.display.progress import TrainingDisplay
from rnn_cli.errors import UsageError
from rnn_cli.tasks.defaults import Data, Defaults, Preferences
from rnn_cli.tasks.labelled.model import read_description
from rnn_cli.tasks.labelled.task import LabelledTask
from rnn_cli.training.throughput import units_per_second
from rnn_cli.training.trainer import Trainer

SUITS = Preferences(
    epochs=15,
    most_epochs=25,
    hidden_size=256,
    dropout=0.5,
    batch_texts=96,
    learning_rate=0.004,
    directions=1,
    sizes=(64, 128, 256),
)


def start(
    request: TrainRequest, base: Checkpoint | None, threads: int, display: TrainingDisplay
) -> tuple[Trainer, TrainRequest]:
    """Read the texts, say what is chosen, and return the trainer and the request."""
    check(request)
    training, validation, reason = read(request)
    for line in describe(training, validation, reason):
        display.note(line)
    task = LabelledTask(training, validation)
    lengths = np.fromiter((1 + len(text) for text in training.texts), np.int64, len(training.texts))
    sizes = (task.network.input_size, task.network.output_size)
    data = Data(*sizes, lengths, int(lengths.sum()), "texts", "character")
    given = {**request.values, "random_seed": request.random_seed}
    choice = Defaults(data, given, partial(units_per_second, threads=threads)).choose(SUITS)
    for line in choice.reasons:
        display.note(line)
    task = LabelledTask(training, validation, network=choice.model)
    say_network(task, choice.training, threads, display)
    return Trainer(task, choice.training, threads), request


def reread(request: TrainRequest, checkpoint: Checkpoint) -> LabelledTask:
    """Return the task of a run that is resumed."""
    read_description(checkpoint)
    training, validation, _ = read(request)
    return LabelledTask(training, validation)


def check(request: TrainRequest) -> None:
    """Raise UsageError for values that do not go with labels."""
    for name in (*TEXT_OPTIONS, "counts", "readout"):
        if name in request.given():
            raise UsageError(f"`{name}` does not go with `labelled`; leave it out")
    if request.values.get("directions", 1) != 1:
        raise UsageError("`directions=2` would read the characters that the model has to predict; leave it out")
    if request.base:
        raise UsageError("a model of labels cannot start from another one; leave `base` out")
