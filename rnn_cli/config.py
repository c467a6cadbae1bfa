"""Configurations: what a model is and how it is trained, with the limits that every entrance checks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from rnn_cli.errors import UsageError


def limited(low: float, high: float, default: Any = None, option: str | None = None) -> Any:
    """Declare a number of a configuration that lies in [low, high], or is None where that is the default.

    `option` is its name on the command line where that is another one.
    """
    return field(default=default, metadata={"low": low, "high": high, "option": option})


def one_of(*names: str) -> Any:
    """Declare a name of a configuration, the first of which is the default."""
    return field(default=names[0], metadata={"names": names})


class Config:
    """What a dataclass of named values inherits: UsageError where one is out of its range, not finite or no number."""

    def __post_init__(self) -> None:
        for item in fields(self):  # type: ignore[arg-type]
            value = getattr(self, item.name)
            if value not in item.metadata.get("names", (value,)):
                raise UsageError(
                    f"{item.name.replace('_', '-')} must be one of {', '.join(item.metadata['names'])}, not {value}"
                )
            if "low" in item.metadata and (value is not None or item.default is not None):
                check_range(item.metadata["option"] or item.name, value, item.metadata["low"], item.metadata["high"])

    def to_dict(self) -> dict[str, Any]:
        """Return the values as a JSON-ready dictionary."""
        return asdict(self)  # type: ignore[call-overload]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Any:
        """Build the configuration from a dictionary that holds exactly its fields."""
        names = {item.name for item in fields(cls)}  # type: ignore[arg-type]
        if set(values) != names:
            odd = sorted(set(values) ^ names)
            raise UsageError(f"the {cls.__name__} has missing or unknown fields: {', '.join(map(str, odd))}")
        return cls(**values)


def check_range(name: str, value: Any, low: float, high: float) -> None:
    """Raise UsageError unless `value` is a finite number in [low, high], whole where both limits are whole numbers."""
    whole = isinstance(low, int) and isinstance(high, int)
    kind = "a whole number" if whole else "a number"
    allowed = int if whole else (int, float)
    if not isinstance(value, allowed) or isinstance(value, bool) or not low <= value <= high:
        shown = f"{low:,} to {high:,}" if whole else f"{low:g} to {high:g}"
        raise UsageError(f"{name.replace('_', '-')} must be {kind} from {shown}, not {value}")


@dataclass(frozen=True)
class ModelConfig(Config):
    """The network: a stack of recurrent layers and a linear readout."""

    cell: str = "lstm"
    activation: str = "tanh"
    vocab_size: int = limited(2, 1_114_113, 2)
    hidden_size: int = limited(1, 8192, 128)
    num_layers: int = limited(1, 16, 1, option="layers")


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


@dataclass(frozen=True)
class SamplingConfig(Config):
    """How symbols are drawn, and which texts are taken.

    The distribution is softmax(logits / temperature) over the symbols that may come, cut down in this order: to the
    `top_k` most probable (0: all), to the fewest of these that have at least the share `top_p`, and to those that are
    at least `min_p` times as probable as the first. Temperature 0 takes the most probable symbol.

    A text has at most `length` new symbols; with its seed at least `min_length`, before which no end and no stop text
    ends it, and at most `max_length`, where it is cut off. No character of `forbid` is drawn. More than `max_copy`
    symbols in a row are not copied from the corpus; a text that could not go on otherwise ends. In a model of bytes,
    `valid_utf8` draws no byte that cannot go on, and leaves out a character that the length would cut in two.

    `unique` takes no text twice, `novel` none that is a line of the corpus; further texts take their places. Of
    `best_of` texts the one with the fewest bits per character is taken.

    `precision` is that of the operands of the products, as in training. In bfloat16 a seed gives other texts.
    """

    temperature: float = limited(0.0, 100.0, 1.0)
    top_k: int = limited(0, 1_114_113, 0)
    length: int = limited(0, 10**9, 500)
    random_seed: int = limited(0, 2**63 - 1, 0)
    top_p: float = limited(0.0, 1.0, 1.0)
    min_p: float = limited(0.0, 1.0, 0.0)
    forbid: str = ""
    min_length: int = limited(0, 10**9, 0)
    max_length: int | None = limited(1, 10**9)
    max_copy: int | None = limited(5, 10**9)
    valid_utf8: bool = True
    unique: bool = False
    novel: bool = False
    best_of: int = limited(1, 10**6, 1)
    precision: str = "float32"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_length is not None and self.min_length > self.max_length:
            raise UsageError(f"--min-length {self.min_length} is more than --max-length {self.max_length}")
