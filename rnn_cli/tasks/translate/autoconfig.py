"""Defaults: what fits the pairs, for the options that were not given, each with its reason."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, NamedTuple

from rnn_cli.language.autoconfig import Choice, Speed
from rnn_cli.network.config import EncoderDecoderConfig, NetworkConfig
from rnn_cli.tasks.defaults import Data, Defaults, Preferences
from rnn_cli.tasks.translate.task import TranslateTask


class Network(NamedTuple):
    """A size of both networks, and how many epochs a run of minutes must make with it."""

    num_layers: int
    hidden_size: int
    enough: float


SUITS = Preferences(epochs=60, most_epochs=150, hidden_size=256, dropout=0.4, batch_texts=64, learning_rate=0.002)
SUITS_MANY = replace(SUITS, epochs=15, most_epochs=60, learning_rate=0.004)
MANY = 10_000  # pairs
# Pronunciations, 3,600 words of Bulgarian, dropout 0.4 (0.3 with 128 units), rate 0.002, 40 epochs, words wrong on the
# part that chooses: 1 x 256 33.1 %, with recurrent dropout 33.6 %, 2 x 128 30.0 %, 2 x 256 28.2 %. A beam of 4 changes
# that by at most 0.7 points, averaged weights by at most 0.2. Of a few hundred pairs, right: one layer 31 to 36 % (180
# epochs: 36 to 39 %), two 17 to 36 %.
# Sums of numbers of three digits, 45,000 pairs, rate 0.004, without dropout: all of 300 right, with 1 x 128 units after
# 11 epochs, with 1 x 256 after 5. With dropout 0.4 and rate 0.002 22 % after half a minute.
NETWORKS = (Network(2, 256, 25), Network(2, 128, 20), Network(1, 128, 10), Network(1, 64, 0))
NETWORKS_MANY = (Network(2, 256, 25), Network(1, 256, 10), Network(1, 128, 10), Network(1, 64, 0))
NETWORKS_FEW = (Network(1, 256, 25), Network(1, 128, 10), Network(1, 64, 0))
# Few epochs do not overfit, and of many pairs more epochs do not.
EPOCHS_WITHOUT_DROPOUT, EPOCHS_WITHOUT_DROPOUT_MANY, DROPOUT_OF_AN_EPOCH = 12, 20, 0.015
FEW, FEWEST_ROWS = 2000, 16  # pairs, of which a batch has fewer
LONGEST, MOST_POSITIONS = 512, 16_384  # symbols of a source or a target; of a batch
FEWEST_EVALUATED, MOST_EVALUATED = 200, 1000  # steps between evaluations
EVALUATIONS = 15  # of a run, at least


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

    def pick_size(self, preferences: Preferences) -> None:
        """Pick the largest network that reads the pairs often enough in the time."""
        count, timed = len(self.data.lengths), "minutes" in self.values
        networks: tuple[Network, ...] = NETWORKS_FEW if count < FEW else NETWORKS if count < MANY else NETWORKS_MANY
        if count >= MANY and not timed:
            networks = networks[1:]
        asked = {name: self.values[name] for name in ("num_layers", "hidden_size") if name in self.values}
        fitting = [each for each in networks if asked.items() <= each._asdict().items()] or [networks[0]]
        chosen = next((each for each in fitting if self.epochs_of(each) >= each.enough), fitting[-1])
        reason = "read the pairs often enough in the time" if timed else f"right for {count:,} pairs"
        self.pick("hidden_size", chosen.hidden_size, f"units: {reason}")
        self.pick("num_layers", chosen.num_layers, "layers" if chosen.num_layers > 1 else "layer")

    def epochs_of(self, network: Network) -> float:
        """Return how many epochs a network makes in the given minutes, those that were given, or infinity."""
        if self.speed is None or "minutes" not in self.values:
            return math.inf
        config = self.network(num_layers=network.num_layers, hidden_size=network.hidden_size)
        positions = 60 * self.values["minutes"] * self.speed(config, self.values["precision"])
        return positions / max(1, int(self.data.lengths.sum()))

    @property
    def planned_epochs(self) -> float:
        """How many epochs the run makes, about."""
        if "epochs" in self.values:
            return float(self.values["epochs"])
        if "steps" in self.values:
            return float(self.values["steps"] * self.values["batch_size"] / len(self.data.lengths))
        own = Network(self.values["num_layers"], self.values["hidden_size"], 0)
        return min(self.values["most_epochs"], self.epochs_of(own))

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
        most = max(1, min(max(steps, FEWEST_EVALUATED), MOST_EVALUATED))
        self.values.setdefault("evaluate_every", max(1, min(most, int(self.planned_epochs * steps / EVALUATIONS))))
        epochs = self.planned_epochs
        without = EPOCHS_WITHOUT_DROPOUT_MANY if count >= MANY else EPOCHS_WITHOUT_DROPOUT
        share = DROPOUT_OF_AN_EPOCH * max(0.0, epochs - without)
        self.pick(
            "dropout", min(preferences.dropout, round(share, 2)), f"against overfitting in about {epochs:,.0f} epochs"
        )
