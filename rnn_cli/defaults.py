"""What is chosen where the user chose nothing: sizes and lengths that fit the corpus, each with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from rnn_cli.config import ModelConfig, TrainingConfig
from rnn_cli.corpus import Corpus
from rnn_cli.kernels.host import HAS_BFLOAT16


class Row(NamedTuple):
    """What suits texts of up to so many characters; epochs as lines and as a stream, None: as many as fit the time."""

    characters: float
    hidden_size: int
    dropout: float
    line_epochs: int | None
    stream_epochs: int | None


# A large network learns a short text best where most of it is left out in each step, and only for some epochs: after
# those it knows the text by heart. Tried on dinosaurs.txt, stars.txt, a part of names.txt and the beginning of
# tinyshakespeare, and never on a part that a result is given for.
SIZES = (
    Row(300, 32, 0.0, 400, 400),
    Row(3_000, 128, 0.3, 20, 20),
    Row(10_000, 256, 0.5, 16, 16),
    Row(50_000, 512, 0.6, 8, 8),
    Row(500_000, 512, 0.5, 8, 12),
    Row(float("inf"), 512, 0.4, None, None),
)
MINUTES = 3.0
LINE_LENGTH, STREAM_LENGTH, LONG_STREAM_LENGTH = 32, 64, 96
MOST_STREAMS = 64
LINE_WINDOWS, STREAM_WINDOWS = 20, 40  # of an epoch, at least, for each of the streams that are read side by side
FEWEST_EVALUATED, MOST_EVALUATED = 50, 500
RATES = {"sgd": 0.5, "adagrad": 0.02}  # of optimisers that need another one than adam


@dataclass(frozen=True)
class Choice:
    """A complete configuration, and one line for each choice that says why."""

    model: ModelConfig
    training: TrainingConfig
    reasons: tuple[str, ...]


def choose(corpus: Corpus, given: Mapping[str, Any], fine_tuning: bool = False) -> Choice:
    """Complete what the user gave (None: nothing) with what fits the corpus, and a model that is trained already."""
    wanted = {name: value for name, value in given.items() if value is not None}
    reasons: list[str] = []

    def pick(name: str, value: Any, reason: str) -> Any:
        if name not in wanted:
            wanted[name] = value
            shown = value if isinstance(value, str) else f"{value:,}"
            reasons.append(f"{name.replace('_', ' '):<16}{shown:<10}{reason}")
        return wanted[name]

    characters = corpus.characters
    lines = corpus.vocabulary.lines
    row = next(row for row in SIZES if characters <= row.characters)
    most_epochs = row.line_epochs if lines else row.stream_epochs
    pick("hidden_size", row.hidden_size, f"units suit {characters:,} characters of text")
    pick(
        "dropout",
        row.dropout,
        "against learning the text by heart" if row.dropout else "so short a text may be learned by heart",
    )

    stream_length = LONG_STREAM_LENGTH if most_epochs is None else STREAM_LENGTH
    usual = LINE_LENGTH if lines else stream_length
    length = pick("sequence_length", min(usual, characters), "characters back that the gradient goes")
    fitting = max(1, characters // (length * (LINE_WINDOWS if lines else STREAM_WINDOWS)))
    batch = pick("batch_size", min(MOST_STREAMS, fitting), "streams are read side by side")
    optimizer = wanted.get("optimizer", "adam")
    slow = wanted.get("cell") == "rnn" or wanted["hidden_size"] > 512
    rate = RATES.get(optimizer, 0.002 if slow else 0.004)
    if fine_tuning:
        pick("learning_rate", rate / 4, f"is the peak of the rate of {optimizer}: gentle with what is learned already")
    else:
        pick("learning_rate", rate, f"is the peak of the rate of {optimizer}")

    if HAS_BFLOAT16:
        pick("precision", "bfloat16", "products are twice as fast, and models as good")
    else:
        pick("precision", "float32", "is what this processor has")

    steps_per_epoch = max(1, -(-characters // (batch * length)))
    lengths = {"steps", "epochs", "minutes"} & set(wanted)
    if most_epochs is None and not lengths:
        pick("minutes", MINUTES, "for a large text; --minutes gives it more")
    elif most_epochs is not None and not lengths:
        pick("epochs", most_epochs, f"passes over the text: about {most_epochs * steps_per_epoch:,} steps")
    elif most_epochs is not None and "minutes" in lengths:
        pick("most_epochs", most_epochs, "passes are enough: more would learn it by heart; --epochs gives it more")
    wanted.setdefault("evaluate_every", min(max(steps_per_epoch, FEWEST_EVALUATED), MOST_EVALUATED))

    model_fields = ("cell", "activation", "hidden_size", "num_layers")
    model = ModelConfig(
        vocab_size=len(corpus.vocabulary),
        **{name: wanted.pop(name) for name in model_fields if name in wanted},
    )
    return Choice(model, TrainingConfig(**wanted), tuple(reasons))
