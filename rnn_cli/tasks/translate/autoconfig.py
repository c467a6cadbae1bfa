"""Defaults: what fits the pairs, for the options that were not given, each with its reason."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from rnn_cli.language.autoconfig import Choice, Speed
from rnn_cli.network.config import EncoderDecoderConfig, NetworkConfig
from rnn_cli.tasks.defaults import Data, Defaults, Preferences
from rnn_cli.tasks.translate.task import TranslateTask

SUITS = Preferences(
    epochs=60,
    most_epochs=150,
    hidden_size=256,
    dropout=0.4,
    batch_texts=64,
    learning_rate=0.002,
    enough=25,
)
# Sums of two numbers of three digits, 16,200 pairs, exact answers: dropout 0.4 and rate 0.002 22 % after half a minute,
# dropout 0 and 0.004 77 % after one. Other sizes of data are not measured yet.
SUITS_MANY = replace(SUITS, dropout=0.0, learning_rate=0.004)
MANY = 10_000  # pairs
FEW, FEWEST_ROWS = 2000, 16  # pairs, of which a batch has fewer
LONGEST, MOST_POSITIONS = 512, 16_384  # symbols of a source or a target; of a batch
FEWEST_EVALUATED, MOST_EVALUATED = 50, 1000


def choose(
    task: TranslateTask, given: Mapping[str, Any], speed: Speed | None = None, fine_tuning: bool = False
) -> Choice:
    """Complete the given values (None: not given) with what fits the pairs.

    `speed` is asked only if the length is in minutes. Without it, every size counts as fast enough.
    """
    lengths = task.lengths(task.training).max(axis=1)
    sizes = task.alphabets.sizes
    data = Data(sizes["input_size"], sizes["output_size"], lengths, len(lengths), "pairs", "pair")
    suits = SUITS_MANY if len(lengths) >= MANY else SUITS
    return PairDefaults(data, given, speed).choose(suits, fine_tuning)


class PairDefaults(Defaults):
    """The given values, and those picked for the rest."""

    def network(self, **others: Any) -> NetworkConfig:
        """Return the network of the values so far."""
        names = [field.name for field in fields(NetworkConfig) if field.name in self.values]
        sizes = {"input_size": self.data.input_size, "output_size": self.data.output_size}
        return EncoderDecoderConfig(**sizes | {name: self.values[name] for name in names} | others)

    def pick_directions(self, preferences: Preferences) -> None:
        """Pick two directions for the encoder."""
        self.pick("directions", 2, "of the encoder: it knows the whole source at each symbol")

    def pick_batch(self, preferences: Preferences) -> None:
        """Pick a length that holds nearly all pairs, and rows."""
        lengths, count = self.data.lengths, len(self.data.lengths)
        longest = min(int(lengths.max()), LONGEST)
        left_out = int((lengths > longest).sum())
        rest = f"; {left_out:,} longer pairs are left out" if left_out else ""
        self.pick("sequence_length", longest, f"symbols at most of a source or a target{rest}")
        rows = preferences.batch_texts if count >= FEW else max(FEWEST_ROWS, count * preferences.batch_texts // FEW)
        rows = max(1, min(rows, count, MOST_POSITIONS // self.values["sequence_length"]))
        self.pick("batch_size", rows, "pairs in a batch")
        steps = math.ceil(count / self.values["batch_size"])
        self.values.setdefault("evaluate_every", min(max(steps, FEWEST_EVALUATED), MOST_EVALUATED))
