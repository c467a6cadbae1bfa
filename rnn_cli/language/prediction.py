"""What a model predicts at each position of a text."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rnn_cli.checkpoint.checkpoint import Checkpoint
from rnn_cli.kernels.threads import Team
from rnn_cli.language.ngrams import ngrams_of
from rnn_cli.language.stepper import Stepper
from rnn_cli.network.model import Model


@dataclass(frozen=True)
class Prediction:
    """The prediction after a symbol is `read`, which is None at the start of the text.

    `expected` lists (symbol, probability), most probable first. `came` is the symbol that followed in the text, with
    its probability; both are None at the end.
    """

    read: int | None
    expected: list[tuple[int, float]]
    came: int | None = None
    probability: float | None = None


def predictions(checkpoint: Checkpoint, text: str | bytes, top: int) -> list[Prediction]:
    """Return the predictions at the start of a text and after each of its symbols, with the `top` symbols of each."""
    codec = checkpoint.codec
    ids = codec.encode_prompt(text, what="the text").tolist()
    model = Model.from_torch(checkpoint.config, checkpoint.parameters)
    stepper = Stepper(model, 1, Team(1), ngrams=ngrams_of(checkpoint))
    steps = []
    for read, came in zip([None, *ids], [*ids, None]):
        probabilities = np.exp(stepper.step()[0])
        order = np.argsort(-probabilities, kind="stable")
        order = order[~np.isin(order, codec.never_sampled)]
        expected = [(int(symbol), float(probabilities[symbol])) for symbol in order[:top]]
        steps.append(Prediction(read, expected, came, None if came is None else float(probabilities[came])))
        if came is not None:
            stepper.branch(np.zeros(1, np.int64), np.array([came]))
    return steps
