"""What training needs to know of a task. To add a task, write one class that derives from `Task`.

The class says which network it trains (`network`), hands out numbered batches (`batches`, `validation_batches`), and
describes itself for the file (`describe`), so that the model can be used later. Then this trains it and saves it:

    trainer = Trainer(task, TrainingConfig(epochs=10), threads=2)
    for report in trainer:
        print(report.step, report.loss, report.validation_loss)
    save_checkpoint("model.safetensors", trainer.checkpoint())

language/task.py is the first task, and an example.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Protocol

from rnn_cli.checkpoint.checkpoint import Checkpoint
from rnn_cli.errors import UsageError
from rnn_cli.kernels.threads import Team
from rnn_cli.network.config import NetworkConfig
from rnn_cli.network.model import Model
from rnn_cli.network.pair_window import PairBatch, PairWindow
from rnn_cli.network.workspace import Batch, TrainingWindow
from rnn_cli.training.config import TrainingConfig
from rnn_cli.training.run_state import Report


class Batches(Protocol):
    """Batches by the number of their step.

    batch_size       rows of a batch, at most the batch size of the training
    steps_per_epoch  batches that score every unit once
    units_per_epoch  about how many units those score

    A batch has up to `sequence_length` positions; the trainer pads it with positions that are not scored.
    """

    batch_size: int
    steps_per_epoch: int
    units_per_epoch: int

    def batch(self, step: int) -> Batch | PairBatch:
        """Return the batch of a step (the first is 0).

        It must follow from the step alone, and from the random seed of the training: a run that is resumed asks for
        the same batches again, in the middle of an epoch.
        """
        ...


class Task(Protocol):
    """What a network is trained to do. Derive from this; what has a body here may stay as it is.

    name           the "name" in what `describe` returns
    network        the network that is trained
    unit           what a loss is per: "character", "word", "label", "value"
    blind_loss     nats per unit of guessing blindly, for example log(number of labels); a run that diverges goes
                   back to a state with a lower loss
    carries_state  whether a row continues the row before it, so that its state is kept from batch to batch (truncated
                   backpropagation through time). False: each batch holds whole texts and starts from the zero state
    symbols        how many symbols a step reads: their embeddings are added
    remarks        what to say when a run is over, beside `figures`; `complete` may set it
    """

    name: str
    network: NetworkConfig
    unit: str
    blind_loss: float
    carries_state: bool = False
    symbols: int = 1
    remarks: Sequence[str] = ()

    def window(self, model: Model, config: TrainingConfig, team: Team) -> TrainingWindow | PairWindow:
        """Return the memory that the network is trained in, which takes what `batches` hands out."""
        sizes = (config.sequence_length, config.batch_size)
        return TrainingWindow(model, *sizes, team, config.precision, self.symbols)

    @abstractmethod
    def batches(self, config: TrainingConfig) -> Batches:
        """Return what is trained on. Raises UsageError if `config` does not fit the data."""
        ...

    def validation_batches(self, config: TrainingConfig) -> Batches | None:
        """Return what is held out, without any randomness, or None. A large part is scored in part."""
        return None

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Return all that using the model needs (codec, labels, scaling), JSON-ready, with its "name"."""
        ...

    def record(self, config: TrainingConfig) -> dict[str, Any]:
        """Return what the file records of the data, JSON-ready: name, digest, sizes."""
        return {}

    def data_bytes(self, config: TrainingConfig) -> int:
        """Return about how many bytes of memory the data take during a run."""
        return 0

    def score(self, model: Model, team: Team) -> float | None:
        """Return a figure of the model on the held-out part by which the best one is chosen: higher is better.

        None, the default: the model with the lowest validation loss is the best.
        """
        return None

    def resumed(self, checkpoint: Checkpoint) -> Task:
        """Return the task as the run in a checkpoint had it.

        Raises UsageError if the data are other ones, CheckpointError if the checkpoint does not fit them.
        """
        checkpoint.expect(self.name)
        if checkpoint.task != self.describe() or checkpoint.config != self.network:
            raise UsageError("the data are not those that this model was trained on; give the same ones")
        return self

    def report_to_dict(self, report: Report) -> dict[str, Any]:
        """Return a report as the log and the history of the file have it, JSON-ready."""
        return report.to_dict()

    def report_from_dict(self, values: dict[str, Any]) -> Report:
        """Return the report that `report_to_dict` wrote. Raises KeyError, TypeError or UsageError if it is damaged."""
        return Report.from_dict(values)

    def complete(self, checkpoint: Checkpoint, team: Team) -> None:
        """Add to the checkpoint of a run that is over what follows from the best model, by default nothing."""
        return None

    def figures(self, loss: float, score: float | None) -> str:
        """Return how good the best model is, on the held-out part, in words."""
        scored = "" if score is None else f", score {score:.4f}"
        return f"validation {loss:.4f} nats per {self.unit}{scored}"

    def example(self, checkpoint: Checkpoint, seed: int) -> str | None:
        """Return a line that shows what a model does, while it is trained, or None. Raises CheckpointError."""
        return None
