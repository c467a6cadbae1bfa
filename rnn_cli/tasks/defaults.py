"""Defaults of tasks whose batches are whole texts, for the values that were not given, each with its reason."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np

from rnn_cli.kernels.simd.cpu import HAS_FAST_BFLOAT16
from rnn_cli.language.autoconfig import MOST_NETWORKS, RATES, SHARE_USED, TOGETHER, Choice, Speed, may_have_networks
from rnn_cli.network.config import NetworkConfig
from rnn_cli.tasks.whole_texts import LONGEST
from rnn_cli.training.config import LENGTHS, TrainingConfig

SHORTEST_WINDOW = 32  # steps of a row, so that several short texts share it
LONG_TEXT = 1024  # symbols; the longest text, if only few are so long, does not make all windows longer
MOST_POSITIONS = 16_384  # of a batch
FEWEST_EVALUATED, MOST_EVALUATED = 20, 1000
PRECISION = "this processor multiplies it faster; models are as good"


class Data(NamedTuple):
    """What the defaults of a task depend on.

    lengths  symbols of each text; scored: the symbols that are answered, in an epoch, and what they are: `unit`
    noun     what the lengths are of, for the reasons: "texts", "sentences"
    """

    input_size: int
    output_size: int
    lengths: np.ndarray
    scored: int
    noun: str
    unit: str = "label"


@dataclass(frozen=True)
class Preferences:
    """What suits a task. Each was measured on the data that are named beside it.

    epochs, most_epochs  of a run without a length, and of one of minutes, at most
    together             epochs of each of several networks, if that many fit the time; 0: one network is trained
    hidden_size          units; for a run of minutes, the largest of `sizes` that makes `enough` epochs
    batch_texts          texts of a batch
    """

    epochs: float
    most_epochs: float
    hidden_size: int
    dropout: float
    batch_texts: int
    learning_rate: float
    sizes: tuple[int, ...] = (64, 128, 256)
    enough: float = 12.0
    num_layers: int = 1
    directions: int = 2
    readout: str = "last"
    average: float = 0.0
    together: float = 0.0


class Defaults:
    """The given values, and those picked for the rest. Each choice may depend on the choices before it."""

    def __init__(self, data: Data, given: Mapping[str, Any], speed: Speed | None = None) -> None:
        self.data, self.speed = data, speed
        self.values = {name: value for name, value in given.items() if value is not None}
        self.reasons: list[str] = []

    def pick(self, name: str, value: Any, reason: str) -> None:
        """Take a value with its reason, if none was given."""
        if name not in self.values:
            self.values[name] = value
            shown = value if isinstance(value, str) else f"{value:,}"
            self.reasons.append(f"{name.replace('_', ' '):<18}{shown:<9}{reason}")

    def network(self, **others: Any) -> NetworkConfig:
        """Return the network of the values so far."""
        names = [field.name for field in fields(NetworkConfig) if field.name in self.values]
        sizes = {"input_size": self.data.input_size, "output_size": self.data.output_size}
        return NetworkConfig(**sizes | {name: self.values[name] for name in names} | others)

    def training(self) -> TrainingConfig:
        """Return the training configuration of the values so far."""
        names = [field.name for field in fields(TrainingConfig) if field.name in self.values]
        return TrainingConfig(**{name: self.values[name] for name in names})

    def epochs_in_time(self, hidden_size: int) -> float:
        """Return how many epochs a network of this size makes in the given minutes."""
        if self.speed is None or "minutes" not in self.values:
            return math.inf
        positions = 60 * self.values["minutes"] * self.speed(self.network(hidden_size=hidden_size), "float32")
        return positions / max(1, int(self.data.lengths.sum()))

    def pick_networks(self, epochs: float, in_time: float, fine_tuning: bool) -> None:
        """Pick as many networks of some `epochs` as fit the time, which is that of `in_time` epochs."""
        if epochs and in_time < math.inf and not fine_tuning and may_have_networks(self.values):
            networks = int(min(SHARE_USED * in_time / epochs, MOST_NETWORKS))
            if networks > 1:
                self.pick("networks", networks, f"of {epochs:g} epochs {TOGETHER}")
                self.values["most_epochs"] = epochs

    def choose(self, preferences: Preferences, fine_tuning: bool = False) -> Choice:
        """Complete the values. `fine_tuning`: the network is that of another model."""
        if HAS_FAST_BFLOAT16:
            self.pick("precision", "bfloat16", PRECISION)
        else:
            self.pick("precision", "float32", "this processor multiplies it fastest")
        self.pick_directions(preferences)
        self.pick_length(preferences)
        self.pick_size(preferences)
        self.pick_networks(preferences.together, self.epochs_in_time(self.values["hidden_size"]), fine_tuning)
        self.pick_batch(preferences)
        self.pick("dropout", preferences.dropout, "against overfitting")
        optimizer = self.values.get("optimizer", "adam")
        rate = preferences.learning_rate if optimizer == "adam" else RATES.get(optimizer, preferences.learning_rate)
        if fine_tuning:
            self.pick("learning_rate", rate / 2, "at its peak: gentle, to keep what is learned already")
        else:
            self.pick("learning_rate", rate, f"at its peak, for {optimizer}")
        if preferences.average:
            self.values.setdefault("average", preferences.average)
        return Choice(self.network(), self.training(), tuple(self.reasons))

    def pick_directions(self, preferences: Preferences) -> None:
        """Pick two directions, unless the label is read from the last step, where the second has read one symbol."""
        if preferences.directions == 1:
            return
        last = preferences.readout == "mean" and self.values.get("readout") == "last"
        if last:
            self.pick("directions", 1, "the last step has read the whole text forwards")
        else:
            self.pick("directions", 2, f"each step knows the whole of its {self.data.noun.removesuffix('s')}")
        if preferences.readout != "last":
            self.pick("readout", preferences.readout, f"over all steps of the {self.data.noun.removesuffix('s')}")

    def pick_length(self, preferences: Preferences) -> None:
        """Pick epochs, or the most that a run of minutes makes."""
        if not LENGTHS & self.values.keys():
            self.pick("epochs", preferences.epochs, f"passes over {len(self.data.lengths):,} {self.data.noun}")
        elif "minutes" in self.values:
            self.pick("most_epochs", preferences.most_epochs, "epochs at most")

    def pick_size(self, preferences: Preferences) -> None:
        """Pick the largest size that reads the texts often enough in the time."""
        size, reason = preferences.hidden_size, f"units: right for {self.data.scored:,} {self.data.unit}s"
        if "hidden_size" not in self.values:
            smaller = [each for each in preferences.sizes if each < size]
            while smaller and self.epochs_in_time(size) < preferences.enough:
                size, reason = smaller.pop(), f"units: they read the {self.data.noun} often enough in the time"
        self.pick("hidden_size", size, reason)
        if preferences.num_layers != 1:
            self.pick("num_layers", preferences.num_layers, "layers")

    def pick_batch(self, preferences: Preferences) -> None:
        """Pick rows that hold the longest text, and as many as hold the texts of a batch."""
        lengths = self.data.lengths
        longest, mean = int(lengths.max(initial=2)), float(lengths.mean()) if len(lengths) else 2.0
        steps, reason = min(max(longest, SHORTEST_WINDOW), LONGEST), f"symbols: the longest of the {self.data.noun}"
        if longest <= SHORTEST_WINDOW:
            reason = f"symbols: several short {self.data.noun} share a row"
        elif longest > LONG_TEXT:
            usual = int(np.quantile(lengths, 0.995))
            steps = min(max(usual, LONG_TEXT), LONGEST)
            cut = int(np.count_nonzero(lengths > steps))
            if cut:
                reason = f"symbols; of {cut:,} longer {self.data.noun} the rest is not read"
        self.pick("sequence_length", steps, reason)
        steps = self.values["sequence_length"]
        texts = min(preferences.batch_texts, max(4, len(lengths) // 20))
        rows = round(min(texts * min(mean, steps), MOST_POSITIONS) / steps)
        rows = min(max(1, rows), 4096)
        self.pick("batch_size", rows, f"rows, about {max(1, round(rows * steps / mean)):,} {self.data.noun} in a batch")
        steps_per_epoch = max(1, -(-int(lengths.clip(max=steps).sum()) // (self.values["batch_size"] * steps)))
        self.values.setdefault("evaluate_every", min(max(steps_per_epoch, FEWEST_EVALUATED), MOST_EVALUATED))
