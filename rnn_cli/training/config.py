"""The configuration of a training run."""

from __future__ import annotations

from dataclasses import dataclass

from rnn_cli.config import Config, limited, one_of


@dataclass(frozen=True)
class TrainingConfig(Config):
    """How a model is trained. Exactly one of `steps`, `epochs` and `minutes` says for how long.

    most_epochs        after which a run of minutes ends even if there is time left
    momentum           of sgd
    recurrent_dropout  share of the recurrent weights that a step leaves out (DropConnect)
    average            share of the steps, the last ones, over which the weights are averaged
    augment            how many symbols drawn from the n-grams of the text are read with each one of it
    reset_chance       probability that a stream starts a window from the zero state
    precision          of the operands of the matrix products: "float32", or "bfloat16" where the processor has it
    """

    batch_size: int = limited(1, 4096, 32)
    sequence_length: int = limited(1, 4096, 64)
    optimizer: str = one_of("adam", "sgd", "rmsprop", "adagrad")
    momentum: float = limited(0.0, 0.999, 0.9)
    schedule: str = one_of("linear", "cosine", "step", "plateau", "constant")
    learning_rate: float = limited(1e-7, 10.0, 2e-3)
    clip_norm: float = limited(1e-6, 1e6, 1.0)
    dropout: float = limited(0.0, 0.95, 0.0)
    recurrent_dropout: float = limited(0.0, 0.95, 0.0)
    weight_decay: float = limited(0.0, 10.0, 0.0)
    average: float = limited(0.0, 0.5, 0.0)
    augment: float = limited(0.0, 100.0, 0.0)
    reset_chance: float = limited(0.0, 1.0, 0.0)
    steps: int | None = limited(1, 10**9)
    epochs: float | None = limited(1e-3, 1e6)
    minutes: float | None = limited(1e-3, 1e5)
    most_epochs: float | None = limited(1e-3, 1e6)
    precision: str = "float32"
    evaluate_every: int = limited(1, 10**9, 100)
    patience: int | None = limited(1, 10**6)
    fingerprint: bool = True
    random_seed: int = limited(0, 2**63 - 1, 0)
