"""What is chosen where the user chose nothing: sizes and lengths that fit the corpus, each with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rnn_cli.config import ModelConfig, TrainingConfig
from rnn_cli.corpus import Corpus
from rnn_cli.kernels.host import HAS_BFLOAT16

# Up to so many characters: (hidden size, dropout). Larger texts feed larger networks; dropout holds back memorising.
SIZES = (
    (300, 32, 0.0),
    (3_000, 64, 0.3),
    (30_000, 128, 0.3),
    (500_000, 256, 0.3),
    (float("inf"), 512, 0.4),
)
SMALL_CORPUS = 500_000  # characters that are read EPOCHS times; larger texts get MINUTES
RATES = {"sgd": 0.5, "adagrad": 0.02}  # of other optimisers than Adam and RMSprop
EPOCHS = 12
FEWEST_STEPS = 400
MINUTES = 3.0
STREAM_LENGTH, LINE_LENGTH = 96, 32
MOST_STREAMS = 64
WINDOWS_PER_EPOCH = 20
FEWEST_EVALUATED, MOST_EVALUATED = 50, 500


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
    _, hidden, dropout = next(row for row in SIZES if characters <= row[0])
    pick("hidden_size", hidden, f"units suit {characters:,} characters of text")
    pick(
        "dropout",
        dropout,
        "against learning the text by heart" if dropout else "so short a text may be learned by heart",
    )

    usual = LINE_LENGTH if corpus.vocabulary.lines else STREAM_LENGTH
    length = pick("sequence_length", min(usual, characters), "characters back that the gradient goes")
    fitting = max(1, characters // (length * WINDOWS_PER_EPOCH))
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
    if not {"steps", "epochs", "minutes"} & set(wanted):
        if characters <= SMALL_CORPUS:
            epochs = max(EPOCHS, -(-FEWEST_STEPS // steps_per_epoch))
            pick("epochs", epochs, f"passes over the text: about {epochs * steps_per_epoch:,} steps")
        else:
            pick("minutes", MINUTES, "for a large text; --minutes gives it more")
    wanted.setdefault("evaluate_every", min(max(steps_per_epoch, FEWEST_EVALUATED), MOST_EVALUATED))

    model_fields = ("cell", "activation", "hidden_size", "num_layers")
    model = ModelConfig(
        vocab_size=len(corpus.vocabulary),
        **{name: wanted.pop(name) for name in model_fields if name in wanted},
    )
    return Choice(model, TrainingConfig(**wanted), tuple(reasons))
