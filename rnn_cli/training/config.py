"""The configuration of a training run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from rnn_cli.config import Config, limited, one_of, setting

LENGTHS = {"steps", "epochs", "minutes"}  # of which a run has one

length = partial(limited, group="How long")
learning = partial(limited, group="Learning")
regularising = partial(limited, group="Against overfitting")


@dataclass(frozen=True)
class TrainingConfig(Config):
    """How a model is trained. Exactly one of `steps`, `epochs` and `minutes` says for how long.

    most_epochs     passes after which a run of minutes ends even if there is time left
    evaluate_every  steps between two evaluations
    networks        each of them is as long as `steps` or `epochs` say; `minutes` are shared
    groups          parts of a batch whose gradients are added as a fixed tree; ranks share them (data_parallel.py)
    """

    batch_size: int = learning(1, 4096, 32, automatic=True, help="Sequences side by side in a step.")
    sequence_length: int = learning(1, 4096, 64, automatic=True, help="Time steps back that gradients go.")
    optimizer: str = one_of("adam", "sgd", "rmsprop", "adagrad", group="Learning", help="How weights are updated.")
    momentum: float = learning(0.0, 0.999, 0.9, help="Momentum of sgd.")
    schedule: str = one_of(
        "linear",
        "cosine",
        "step",
        "plateau",
        "constant",
        group="Learning",
        help="How the learning rate falls in the second half of the run.",
    )
    learning_rate: float = learning(1e-7, 10.0, 2e-3, automatic=True, help="Peak learning rate.")
    clip_norm: float = learning(1e-6, 1e6, 1.0, help="Norm to which longer gradients are scaled down.")
    dropout: float = regularising(0.0, 0.95, 0.0, automatic=True, help="Share of the outputs that a step drops.")
    recurrent_dropout: float = regularising(
        0.0, 0.95, 0.0, automatic=True, help="The same for recurrent weights (DropConnect)."
    )
    weight_decay: float = regularising(
        0.0, 10.0, 0.0, automatic=True, help="Weight decay, decoupled from the gradient."
    )
    average: float = regularising(0.0, 0.5, 0.0, help="Average the weights over this last share of the steps.")
    augment: float = regularising(
        0.0, 100.0, 0.0, automatic=True, help="Characters sampled from the text's 5-grams, for each of its own."
    )
    reset_chance: float = regularising(0.0, 1.0, 0.0, help="Probability of resetting a stream's state before a window.")
    steps: int | None = length(1, 10**9, help="Optimizer steps.")
    epochs: float | None = length(1e-3, 1e6, help="Passes over the text.")
    minutes: float | None = length(1e-3, 1e5, help="Minutes, not counting compilation.")
    most_epochs: float | None = limited(1e-3, 1e6)
    precision: str = one_of("float32", "bfloat16")
    evaluate_every: int = limited(1, 10**9, 100)
    groups: int = limited(
        1,
        4096,
        1,
        automatic=True,
        group="Computation",
        help="Parts of a batch whose gradients are added in a fixed order; ranks of MPI share them.",
    )
    networks: int = limited(
        1,
        64,
        1,
        automatic=True,
        group="The network",
        help="Networks to train one after the other; their mean predicts.",
    )
    patience: int | None = length(1, 10**6, help="Evaluations without improvement after which to stop early.")
    fingerprint: bool = setting(
        True, group="The model file", help="Save no fingerprint of the text, which sampling novel text needs."
    )
    counts: bool = setting(
        True, group="The model file", help="Save the network alone, without the counts of n-grams that stand beside it."
    )
    matches: bool = setting(
        False,
        group="The model file",
        help="Keep the training text in the file, so that long repetitions of it are predicted.",
    )
    random_seed: int = limited(0, 2**63 - 1, 0)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrainingConfig:
        """Build the configuration from a dictionary of its fields; older files lack some."""
        later = {"groups": 1, "networks": 1, "counts": False, "matches": False}
        config: TrainingConfig = super().from_dict({**later, **values})
        return config
