"""Defaults: sizes and lengths that fit the sentences, for the options that were not given, each with its reason."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from rnn_cli.kernels.simd.cpu import HAS_FAST_BFLOAT16
from rnn_cli.language.autoconfig import RATES, Choice, Speed
from rnn_cli.tasks.defaults import PRECISION, Data, Defaults
from rnn_cli.tasks.tag.task import TagTask
from rnn_cli.training.config import LENGTHS


class SizeRow(NamedTuple):
    """What suits sentences of up to `characters` characters together."""

    characters: float
    hidden_size: int
    num_layers: int
    dropout: float
    recurrent_dropout: float
    epochs: int


# Accuracy on the dev part of UD_Telugu-MTG (28,787 characters to train on, 662 tokens to score): 128 units 90.3 to 90.6
# after 16 epochs with dropout 0.5, 90.8 after 30 with 0.6 and recurrent dropout 0.3; then two layers of them 91.4, 256
# units 91.7, two layers of 256 91.5. Of UD_Afrikaans-AfriBooms (202,687): 128 units 94.7 after 16 epochs, 256 units
# 95.4 after 12, two layers of 256 95.5 after 8 epochs of three times the time. The other two rows are not measured.
SIZES = (
    SizeRow(10_000, 256, 1, 0.6, 0.3, 30),
    SizeRow(100_000, 256, 1, 0.6, 0.3, 30),
    SizeRow(400_000, 256, 1, 0.6, 0.0, 16),
    SizeRow(math.inf, 256, 1, 0.5, 0.0, 12),
)
FEWEST_EPOCHS = 8  # that a network should read in a given time, or a smaller one is taken
SMALLER = ((256, 2), (256, 1), (128, 2), (128, 1), (64, 1))  # units and layers, the largest first
MINUTES = 5.0  # at most, if no length is given
LEAST_LENGTH, MOST_LENGTH, LENGTH_STEP, FITTING = 64, 512, 32, 0.95  # of a row; share of the sentences that fit whole
LEAST_STEPS, MOST_POSITIONS = 25, 4096  # of an epoch; of a batch
FEWEST_EVALUATED, MOST_EVALUATED = 25, 500  # steps between two evaluations
RATE, RATE_OF_MANY_UNITS, MANY_UNITS = 0.004, 0.002, 256


def choose(task: TagTask, given: Mapping[str, Any], speed: Speed | None = None, fine_tuning: bool = False) -> Choice:
    """Complete the given values (None: not given) with what fits the sentences of a task.

    `speed` is asked only if there may be a limit of time. Without it, every size counts as fast enough. With
    `fine_tuning` the first weights are those of another model.
    """
    lengths = np.array([1 + len(sentence.text) for sentence in task.training])
    data = Data(len(task.alphabet), len(task.tags), lengths, task.scored, "sentences")
    return TagDefaults(data, given, speed).choose_all(fine_tuning)


class TagDefaults(Defaults):
    """The given values, and those picked for the rest. Each choice may depend on the choices before it."""

    def __init__(self, data: Data, given: Mapping[str, Any], speed: Speed | None = None) -> None:
        super().__init__(data, given, speed)
        self.characters = int(data.lengths.sum())
        self.row = next(row for row in SIZES if self.characters <= row.characters)

    def choose_all(self, fine_tuning: bool) -> Choice:
        """Complete the values."""
        if HAS_FAST_BFLOAT16:
            self.pick("precision", "bfloat16", PRECISION)
        else:
            self.pick("precision", "float32", "this processor multiplies it fastest")
        self.pick("directions", 2, "each token is tagged from all of its sentence")
        self.choose_size()
        self.choose_length()
        in_time = self.epochs_read(self.values["hidden_size"], self.values.get("num_layers", 1))
        self.pick_networks(self.row.epochs, in_time, fine_tuning)
        self.choose_rows()
        self.pick("dropout", self.row.dropout, "against overfitting")
        if self.row.recurrent_dropout:
            self.pick("recurrent_dropout", self.row.recurrent_dropout, "of the recurrent weights, against overfitting")
        self.choose_rate(fine_tuning)
        return Choice(self.network(), self.training(), tuple(self.reasons))

    def epochs_read(self, hidden_size: int, num_layers: int) -> float:
        """Return how many epochs a network of this size reads in the time, infinity if there is no limit."""
        minutes = self.values.get("minutes", math.inf if LENGTHS & self.values.keys() else MINUTES)
        if self.speed is None or minutes == math.inf:
            return math.inf
        network = self.network(hidden_size=hidden_size, num_layers=num_layers)
        return float(60 * minutes * self.speed(network, self.values["precision"]) / self.characters)

    def choose_size(self) -> None:
        """Pick the size that suits the sentences, or the largest that reads enough in the time."""
        size, why = (self.row.hidden_size, self.row.num_layers), f"right for {self.characters:,} characters"
        if not {"hidden_size", "num_layers"} & self.values.keys():
            for smaller in SMALLER[SMALLER.index(size) :]:
                if smaller != size:
                    why = f"they read {FEWEST_EPOCHS} epochs in the time"
                if self.epochs_read(*smaller) >= FEWEST_EPOCHS or smaller == SMALLER[-1]:
                    size = smaller
                    break
        self.pick("hidden_size", size[0], f"units in each direction: {why}")
        if size[1] > 1:
            self.pick("num_layers", size[1], "layers: the second one reads both directions of the first")

    def choose_length(self) -> None:
        """Pick the epochs after which the network would overfit, or a time if these take too long."""
        epochs, size = self.row.epochs, (self.values["hidden_size"], self.values.get("num_layers", 1))
        if "minutes" in self.values:
            self.pick("most_epochs", epochs, "epochs at most: typical for this many sentences")
        elif not LENGTHS & self.values.keys():
            if self.epochs_read(*size) >= epochs:
                self.pick("epochs", epochs, "epochs: typical for this many sentences")
            else:
                self.pick("minutes", MINUTES, "for many sentences; a longer run improves the model")
                self.values["most_epochs"] = epochs

    def choose_rows(self) -> None:
        """Pick rows that most sentences fit into, and as many of them as leave an epoch enough steps."""
        lengths = self.data.lengths
        fitting = int(np.quantile(lengths, FITTING, method="higher"))
        length = min(max(-(-fitting // LENGTH_STEP) * LENGTH_STEP, LEAST_LENGTH), MOST_LENGTH)
        longer = int(np.count_nonzero(lengths > length))
        cut = f"; {longer:,} longer ones are cut between tokens" if longer else ""
        self.pick("sequence_length", length, f"characters in a row of sentences{cut}")
        positions = min(MOST_POSITIONS, self.characters // LEAST_STEPS)
        self.pick("batch_size", max(1, positions // self.values["sequence_length"]), "rows in a batch")
        steps = -(-self.characters // (self.values["batch_size"] * self.values["sequence_length"]))
        self.values.setdefault("evaluate_every", min(max(steps, FEWEST_EVALUATED), MOST_EVALUATED))

    def choose_rate(self, fine_tuning: bool) -> None:
        """Pick the learning rate that suits the optimiser and the size."""
        optimizer = self.values.get("optimizer", "adam")
        slow = self.values.get("cell") == "rnn" or self.values["hidden_size"] > MANY_UNITS
        rate = RATES.get(optimizer, RATE_OF_MANY_UNITS if slow else RATE)
        if fine_tuning:
            self.pick("learning_rate", rate / 2, "at its peak: gentle, to keep what is learned already")
        else:
            self.pick("learning_rate", rate, f"at its peak, for {optimizer}")
