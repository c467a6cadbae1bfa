"""Mixing the predictions of several models of the same symbols: p(x) = sum over models of share * p_model(x)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from rnn_cli.checkpoint.checkpoint import Checkpoint
from rnn_cli.errors import UsageError
from rnn_cli.language.ngrams import NgramModel, ngrams_of
from rnn_cli.language.stepper import Prompt, ReadState, Stepper
from rnn_cli.network.model import Model
from rnn_cli.text.codecs import UNKNOWN, Codec

LEAST = 1e-37  # of a probability
SHOWN = 5  # symbols in a message


@dataclass(frozen=True)
class Part:
    """A further model of a mixture: its symbol for each symbol (V) of the first model, and its share."""

    model: Model
    ngrams: NgramModel | None
    symbols: np.ndarray
    share: float

    @classmethod
    def of(cls, codec: Codec, checkpoint: Checkpoint, share: float) -> Part:
        """Return a language model as a part. Raises UsageError unless its symbols are those of the codec."""
        ngrams = ngrams_of(checkpoint)
        model = Model.from_torch(checkpoint.config, checkpoint.parameters)
        return cls(model, ngrams, symbols_in(codec, checkpoint.codec), share)


def symbols_in(codec: Codec, other: Codec) -> np.ndarray:
    """Return the symbol in `other` of each symbol of a codec. Raises UsageError that names what differs."""
    try:
        symbols, back = codec.ids_in(other), other.ids_in(codec)
    except ValueError as error:
        one, its = (f"{each.kind}, {'lines' if each.line_mode else 'a stream'}" for each in (codec, other))
        raise UsageError(
            f"models that are mixed must read texts alike, and one reads {one}, another {its}"
            if one != its
            else "models that are mixed must cut texts into symbols and texts alike, and two of them do not"
        ) from error
    for own, ids, which in ((codec, symbols, "the first"), (other, back, "another")):
        lacking = np.flatnonzero(ids == UNKNOWN)
        if len(lacking):
            shown = ", ".join(f"'{own.name(symbol)}'" for symbol in lacking[:SHOWN])
            more = ", ..." if len(lacking) > SHOWN else ""
            raise UsageError(f"models that are mixed must have the same symbols, and only {which} has {shown}{more}")
    return symbols


def check_shares(shares: Sequence[float]) -> list[float]:
    """Return shares that add up to 1. Raises UsageError unless they are finite numbers above 0."""
    if not all(math.isfinite(share) and share > 0 for share in shares):
        raise UsageError("the share of a model must be a finite number above 0")
    total = math.fsum(shares)
    return [share / total for share in shares]


class MixedStepper:
    """Rows that several models read side by side; the next symbol is sampled from their mixture."""

    def __init__(self, steppers: Sequence[Stepper], symbols: Sequence[np.ndarray], shares: Sequence[float]) -> None:
        """Take a stepper for each model, with the same rows, its symbol for each symbol, and its share."""
        self._steppers, self._symbols, self._shares = steppers, symbols, shares
        self.rows = steppers[0].rows

    def begin(self, row: int, prompt: Prompt, text_index: int) -> np.ndarray:
        """Begin a text on a row; return the symbols to give to `run` first."""
        unread: list[ReadState | None] = [None] * len(self._steppers)
        given = [
            stepper.begin(row, replace(prompt, network_state=state), text_index)
            for stepper, state in zip(self._steppers, prompt.mixed_states or unread)
        ]
        return given[0]

    def after(self, prompt: Prompt, row: int) -> Prompt:
        """Return a prompt that a row has read with the states after it."""
        return replace(prompt, mixed_states=[stepper.state(row) for stepper in self._steppers])

    def run(self, symbols: np.ndarray) -> np.ndarray:
        """Read symbols (T, rows), sampling those that are SAMPLED in place; return their losses (T, rows) in nats."""
        losses = np.zeros(symbols.shape, np.float32)
        for t in range(len(symbols)):
            mixture = np.zeros((self.rows, len(self._symbols[0])))
            for stepper, own, share in zip(self._steppers, self._symbols, self._shares):
                mixture += share * np.exp(stepper.step())[:, own]
            losses[t] = self._steppers[0].choose_from(np.log(np.maximum(mixture, LEAST)), symbols[t : t + 1])
            for stepper, own in zip(self._steppers, self._symbols):
                stepper.window.inputs[0] = own[symbols[t]]
        return losses

    def worth(self, row: int) -> float:
        """Return the log of how much more probable the text of a row is than it was to be sampled with its guide."""
        return self._steppers[0].worth(row)

    def read(self, ids: Sequence[int] | np.ndarray) -> np.ndarray:
        """Read the same symbols on every row; return their losses (T) in nats."""
        given = np.ascontiguousarray(np.repeat(np.asarray(ids, np.int32)[:, None], self.rows, axis=1))
        return self.run(given)[:, 0]
