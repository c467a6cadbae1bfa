"""What the file of each task in this folder provides, and what they share."""

from __future__ import annotations

from typing import Protocol

from rnn_cli.checkpoint.checkpoint import Checkpoint
from rnn_cli.cli.train.request import TrainRequest
from rnn_cli.display.progress import TrainingDisplay
from rnn_cli.network.parameters import parameter_count
from rnn_cli.training.config import TrainingConfig
from rnn_cli.training.memory_estimate import peak_memory
from rnn_cli.training.task import Task
from rnn_cli.training.trainer import Trainer


class Starting(Protocol):
    """A task as `rnn train` starts it: a module of this folder."""

    def start(
        self, request: TrainRequest, base: Checkpoint | None, threads: int, display: TrainingDisplay
    ) -> tuple[Trainer, TrainRequest]:
        """Read the data, say what is chosen, and return the trainer and the request with all that reading again needs.

        The random seed of the request is settled. `base` is the model that the run starts from. Raises UsageError.
        """
        ...

    def reread(self, request: TrainRequest, checkpoint: Checkpoint) -> Task:
        """Return the task of a run that is resumed, for Trainer.resume. Raises UsageError or CheckpointError."""
        ...


def say_network(task: Task, training: TrainingConfig, threads: int, display: TrainingDisplay) -> None:
    """Say how large the network is, and how much memory its training takes."""
    config = task.network
    memory = peak_memory(config, training, task.data_bytes(training))
    both = ", read in both directions" if config.directions == 2 else ""
    display.note(
        f"{config.cell} with {config.num_layers} x {config.hidden_size} units{both}: {parameter_count(config):,} "
        f"parameters, {threads} thread{'s' * (threads > 1)}, about {memory / 1e6:,.0f} MB"
    )
