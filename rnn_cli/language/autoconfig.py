"""Defaults: sizes and lengths that fit the corpus, for the options that were not given, each with its reason."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, NamedTuple

from rnn_cli.kernels.simd.cpu import HAS_FAST_BFLOAT16
from rnn_cli.language.networks import network_for
from rnn_cli.network.config import NetworkConfig
from rnn_cli.network.parameters import parameter_count
from rnn_cli.text.corpus import Corpus
from rnn_cli.training.config import LENGTHS, TrainingConfig
from rnn_cli.training.throughput import rows_for


class EpochPlan(NamedTuple):
    """How many epochs, None: as many as fit the time; and how many sampled symbols are read beside each of the text."""

    epochs: int | None
    augment: float = 0.0


class SizeRow(NamedTuple):
    """What suits texts of up to `characters` characters, as lines and as a stream."""

    characters: float
    hidden_size: int
    dropout: float
    lines: EpochPlan
    stream: EpochPlan


# A large network with high dropout learns a short text best, but only for a few epochs: then it overfits. Tried on
# dinosaurs.txt, stars.txt, greetings.txt, a part of names.txt and passages of tinyshakespeare, and never on a part that
# a result is given for. With augmentation (and, up to 10,000 characters, the sizes and epochs that suit both together),
# a stream of 3,000 characters has 3.67 bits per character instead of 4.39, of 10,000 3.08 instead of 3.16, 30,000 2.48
# and 2.52, 100,000 2.25 and 2.33, 250,000 2.21 and 2.26; lines of 3,000 characters 3.02 and 3.06, of 10,000 2.905 and
# 2.912; from 15,000 on it is the same to 0.005.
SIZES = (
    SizeRow(300, 32, 0.0, EpochPlan(400), EpochPlan(400)),
    SizeRow(3_000, 512, 0.7, EpochPlan(8, 2.0), EpochPlan(8, 2.0)),
    SizeRow(10_000, 512, 0.75, EpochPlan(12, 1.0), EpochPlan(12, 1.0)),
    SizeRow(50_000, 512, 0.6, EpochPlan(8), EpochPlan(8, 1.0)),
    SizeRow(500_000, 512, 0.5, EpochPlan(8), EpochPlan(12, 0.5)),
    SizeRow(3_000_000, 512, 0.4, EpochPlan(None), EpochPlan(None)),
    SizeRow(float("inf"), 1024, 0.4, EpochPlan(None), EpochPlan(None)),
)
# Words: sizes that suit the number of words; a vocabulary is soon overfitted, so there is dropout from the first epoch.
WORD_SIZES = (
    SizeRow(300, 32, 0.0, EpochPlan(100), EpochPlan(100)),
    SizeRow(10_000, 128, 0.6, EpochPlan(30), EpochPlan(30)),
    SizeRow(100_000, 256, 0.5, EpochPlan(15), EpochPlan(15)),
    SizeRow(float("inf"), 512, 0.5, EpochPlan(None), EpochPlan(None)),
)
# A large network pays if it reads enough. On 0.9 million characters of tinyshakespeare, in the same time and in nats
# (million characters read): after 15 s 128 units 1.636 (7.5), 256 1.646 (2.5), 512 1.780 (0.7); after 30 s 1.573 (15),
# 1.533 (5), 1.583 (1.4); after 60 s 256 units 1.477 (10), 512 1.475 (2.9); all with dropout 0.2.
# On 5 million characters (Penn Treebank) 512 units have 1.461 bits after 4 minutes, and 1,024 units 1.427 after
# 5, both with dropout 0.1. On 5 million of a dictionary, 10 minutes, with counts: 512 units, which read 29 million
# characters, 1.507 bits; 1,024 units, which read 8 million, 1.492.
HIDDEN_SIZES = (128, 256, 512)
ENOUGH_READ = 3_000_000
ENOUGH_FOR_LARGEST = 6_000_000  # of 1,024 units
# A few epochs do not overfit, and a small network overfits less. 10 million characters, 0.9
# epochs of 512 units: 1.305 nats without dropout, 1.326 with 0.4. The play again, 512 units with dropout 0, 0.1, 0.2,
# 0.3, 0.4: 3.2 epochs 1.460, 1.466, 1.475, -, 1.504; 9.6 epochs -, -, 1.441, 1.433, 1.434. 256 units, 8 epochs: 1.480,
# 1.486, 1.495.
EPOCHS_WITHOUT_DROPOUT, WITHOUT_DROPOUT_OF_LARGEST = 4, 1.5
DROPOUT_OF_AN_EPOCH = 0.06  # after those
# These were measured with 1.2 million parameters on 0.9 million characters. A text with more characters for each
# parameter is overfitted later: on 5 million, 11 epochs of 512 units have 1.496 bits with dropout 0.4 and recurrent
# dropout 0.22, and 4 epochs 1.461 with 0.1 and none. 1,024 units on 5 million others, 3.3 epochs: rate 0.004 without
# dropout 1.521, with 0.1 1.515, rate 0.002 without 1.520; 1.3 epochs without, rates 0.002, 0.004, 0.008: 1.563, 1.543,
# 1.549.
PARAMETERS_OF_A_CHARACTER = 1.0
# Many epochs overfit in spite of dropout. 512 units on eight ninths of that play, recurrent
# dropout 0, 0.15, 0.2, 0.25, 0.4: 9.6 epochs 1.436, -, 1.462, -, -; 14 epochs 1.445, 1.411, -, -, -; 22 epochs 1.447,
# -, -, 1.406, 1.430. 768 units in the time of those 22 epochs: 1.415 without, 1.408 with 0.25.
EPOCHS_WITHOUT_RECURRENT_DROPOUT = 9
RECURRENT_DROPOUT_OF_AN_EPOCH, MOST_RECURRENT_DROPOUT = 0.03, 0.25
# Weight decay lets the rate be higher. 512 units on the same, 22 epochs, with n-gram counts; weight decay 0, 0.05, 0.1,
# 0.2, 0.4 at rate 0.004: 1.365, 1.356, 1.354, 1.360, 1.376; 0.1 at rates 0.006, 0.008, 0.012: 1.347, 1.343, 1.341; none
# at 0.008: 1.360. 2 epochs of 1,024 units on 5 million characters: none at rate 0.003 1.512 bits, 0.1 1.513, and 0.1 at
# rate 0.006 1.504. Passages of 10,000 and of 100,000 characters gain 0.2 %, names nothing. All with the LSTM.
WEIGHT_DECAY = 0.1
# With it, few epochs take a higher rate, too. Rates 0.004 and 0.006, network alone, in bits: a dictionary, 512 units, 1
# million characters 2.008, 1.999, 3 million 1.834, 1.828, 7.5 million 1.722, 1.698; the play, 256 units, 3 epochs,
# 2.383, 2.351.
RATE, RATE_OF_MANY_EPOCHS, RATE_OF_LARGE_TEXT, RATE_OF_RNN = 0.004, 0.008, 0.006, 0.002
MANY_EPOCHS = 9
# A development split of names.txt, in nats, with n-gram counts: one network 1.905, 2, 3, 4, 5, 6 and 7 of them 1.898,
# 1.894, 1.893, 1.892, 1.891 and 1.892.
MOST_NETWORKS = 8
SHARE_USED = 0.9  # of the time
TOGETHER = "fit the time; their mean predicts better, answers take longer"
MINUTES = 3.0
LINE_LENGTH, STREAM_LENGTH = 32, 64
# A short run needs small batches, for more steps. Letters and blanks of a dictionary, network alone, in bits; 512
# units, streams x window: 1 million characters read 64 x 96 2.191, 32 x 48 2.027, 24 x 32 2.001, 16 x 48 2.009; 3
# million 64 x 96 1.929, 32 x 96 1.874, 64 x 48 1.868, 24 x 64 1.844, 32 x 48 1.834, 16 x 64 1.851; 10 million 64 x 96
# 1.694, 64 x 48 1.646, 48 x 64 1.636, 32 x 48 1.651; 1,024 units, 3 million 64 x 96 1.778, 32 x 48 1.730. The best have
# about as many positions in a batch as steps, and windows half as long again as there are streams. So have other cells,
# 3 million, 64 x 96 and 32 x 48: GRU 1.961, 1.938, plain 2.113, 2.051. Words need smaller
# batches still. Perplexity after 2 minutes on one thread, without unknown words, 64 x 96, 64 x 32, 24 x 32, 12 x 32:
# the plays, 1.6 million words read, 264, 196, 193, 182; 5 MB of documentation, half a million read, 719, 547, 410, 393.
MOST_STREAMS, FEWEST_STREAMS, STREAMS_TOGETHER = 64, 8, 8
STEPS_OF_A_STREAM, SHARE_OF_WORDS = 1.5, 1 / 3
# Half of the rows that a thread should have cost 5 to 15 % of the speed. More than four threads get more streams
# (throughput.py), and a higher rate with them. The play again, 10 epochs of 512 units: 64 streams 1.419 nats; 256
# streams with the rate of 64 times 1.4 or 2, 1.452 and 1.432.
LINE_WINDOWS, STREAM_WINDOWS = 20, 40  # of an epoch, at least, for each stream of a batch
FEWEST_EVALUATED, MOST_EVALUATED = 50, 500
RATES = {"sgd": 0.5, "adagrad": 0.02}  # of the optimisers that need another rate than adam


@dataclass(frozen=True)
class Choice:
    """A complete configuration, and one line for each choice that says why."""

    model: NetworkConfig
    training: TrainingConfig
    reasons: tuple[str, ...]


Speed = Callable[[NetworkConfig, str], float]  # of a network and a precision, in characters per second of training


def choose(
    corpus: Corpus, given: Mapping[str, Any], speed: Speed | None = None, fine_tuning: bool = False, threads: int = 1
) -> Choice:
    """Complete the given values (None: not given) with what fits the corpus, and `fine_tuning` or a new model.

    `speed` is asked only if the length is in minutes. Without it, every size counts as fast enough.
    """
    chooser = AutoConfig(corpus, given, speed, threads)
    chooser.choose_precision()
    chooser.choose_length()
    chooser.choose_augmentation(fine_tuning)
    chooser.choose_size()
    chooser.choose_networks(fine_tuning)
    chooser.choose_streams()
    chooser.choose_dropout()
    chooser.choose_weight_decay(fine_tuning)
    chooser.choose_rate(fine_tuning)
    return Choice(chooser.model(), chooser.training(), tuple(chooser.reasons))


def may_have_networks(values: Mapping[str, Any]) -> bool:
    """Return whether several networks may be chosen: only for given minutes, which one does not use up."""
    return "minutes" in values and not {"networks", "patience"} & values.keys()


class AutoConfig:
    """The given values, and those picked for the rest. Each choice may depend on the choices before it."""

    def __init__(self, corpus: Corpus, given: Mapping[str, Any], speed: Speed | None, threads: int = 1) -> None:
        self.values = {name: value for name, value in given.items() if value is not None}
        self.reasons: list[str] = []
        self.speed, self.threads = speed, threads
        self.codec, self.lines = corpus.codec, corpus.codec.line_mode
        self.unit, self.words = corpus.codec.unit, corpus.codec.unit == "word"
        self.characters = corpus.characters
        sizes = WORD_SIZES if self.words else SIZES
        self.row = next(row for row in sizes if self.characters <= row.characters)
        self.plan = self.row.lines if self.lines else self.row.stream
        self.most_epochs = self.plan.epochs

    def pick(self, name: str, value: Any, reason: str) -> None:
        """Take a value with its reason, if none was given."""
        if name not in self.values:
            self.values[name] = value
            shown = value if isinstance(value, str) else f"{value:,}"
            self.reasons.append(f"{name.replace('_', ' '):<18}{shown:<9}{reason}")

    def model(self, **others: Any) -> NetworkConfig:
        """Return the network of the values so far."""
        chosen = {field.name: self.values[field.name] for field in fields(NetworkConfig) if field.name in self.values}
        return network_for(self.codec, **chosen | others)

    def training(self) -> TrainingConfig:
        """Return the training configuration of the values so far."""
        names = [field.name for field in fields(TrainingConfig) if field.name in self.values]
        return TrainingConfig(**{name: self.values[name] for name in names})

    def read(self, hidden_size: int) -> float:
        """Return how many characters a network of this size, or each of several, reads in the given minutes."""
        if self.speed is None or "minutes" not in self.values:
            return math.inf
        seconds = 60 * self.values["minutes"] / self.values.get("networks", 1)
        return seconds * self.speed(self.model(hidden_size=hidden_size), self.values["precision"])

    def choose_precision(self) -> None:
        """Pick bfloat16 if the processor is faster with it."""
        if HAS_FAST_BFLOAT16:
            self.pick("precision", "bfloat16", "this processor multiplies it faster; models are as good")
        else:
            self.pick("precision", "float32", "this processor multiplies it fastest")

    def choose_length(self) -> None:
        """Pick minutes for a large text, and epochs for a text that the network would overfit."""
        if self.most_epochs is None and not LENGTHS & self.values.keys():
            self.pick("minutes", MINUTES, "for a large text; a longer run improves the model")
        elif self.most_epochs is not None and not LENGTHS & self.values.keys():
            self.pick("epochs", self.most_epochs, "epochs: typical for this length")
        elif self.most_epochs is not None and "minutes" in self.values:
            self.pick("most_epochs", self.most_epochs, "epochs at most: typical for this length")

    def choose_augmentation(self, fine_tuning: bool) -> None:
        """Pick augmentation for a short text, from which a new network learns too little."""
        if self.plan.augment and not fine_tuning:
            self.pick("augment", self.plan.augment, "characters sampled from its 5-grams beside each")

    def choose_size(self) -> None:
        """Pick the size that suits the text, or the largest that reads enough in the time."""
        hidden, reason = self.row.hidden_size, f"units: right for {self.characters:,} {self.unit}s of text"
        if "hidden_size" not in self.values:
            enough = min(ENOUGH_READ, (self.most_epochs or math.inf) * self.characters_per_epoch)
            smaller = [size for size in HIDDEN_SIZES if size < hidden]
            while smaller and self.read(hidden) < max(enough, ENOUGH_FOR_LARGEST * (hidden > HIDDEN_SIZES[-1])):
                hidden, reason = smaller.pop(), f"units: they read {enough:,} {self.unit}s in the time"
        self.pick("hidden_size", hidden, reason)

    def choose_networks(self, fine_tuning: bool) -> None:
        """Pick as many networks as fit the time, if one leaves most of it unused."""
        if self.most_epochs is None or self.words or fine_tuning or not may_have_networks(self.values):
            return
        if self.speed is not None:
            fit = SHARE_USED * self.read(self.values["hidden_size"]) / (self.most_epochs * self.characters_per_epoch)
            if (networks := int(min(fit, MOST_NETWORKS))) > 1:
                self.pick("networks", networks, TOGETHER)

    def choose_streams(self) -> None:
        """Pick the length of backpropagation, and as many streams as leave an epoch enough windows."""
        streams, window, reason = MOST_STREAMS, LINE_LENGTH if self.lines else STREAM_LENGTH, "streams in a batch"
        if self.most_epochs is None:
            streams, window, reason = self.streams_of_a_large_text()
        self.pick("sequence_length", min(window, self.characters), f"{self.unit}s that the gradient goes back")
        windows = LINE_WINDOWS if self.lines else STREAM_WINDOWS
        fitting = max(1, self.characters // (self.values["sequence_length"] * windows))
        self.pick("batch_size", min(streams, fitting), reason)
        self.values.setdefault("evaluate_every", min(max(self.steps_per_epoch, FEWEST_EVALUATED), MOST_EVALUATED))

    def streams_of_a_large_text(self) -> tuple[int, int, str]:
        """Return the streams and the window that give a batch as many positions as there are steps, and the reason."""
        if {"batch_size", "sequence_length"} <= self.values.keys():
            return MOST_STREAMS, LINE_LENGTH, ""  # neither is picked, so the speed need not be measured
        positions = math.sqrt(self.symbols_read) * (SHARE_OF_WORDS if self.words else 1.0)
        streams = streams_for(positions / LINE_LENGTH if self.lines else math.sqrt(positions / STEPS_OF_A_STREAM))
        window = LINE_LENGTH if self.lines else round(STEPS_OF_A_STREAM * streams)
        usual = rows_for(self.threads)
        enough = usual if usual > MOST_STREAMS else usual // 2
        if enough > streams:
            return enough, window, f"streams in a batch, for {self.threads} threads"
        few = ": few, for more steps" if streams < MOST_STREAMS else ""
        return streams, window, f"streams in a batch{few}"

    @property
    def characters_per_epoch(self) -> int:
        """About how many characters are read in an epoch, the sampled ones included."""
        return round(self.characters * (1 + self.values.get("augment", 0.0)))

    @property
    def steps_per_epoch(self) -> int:
        """About how many steps an epoch takes."""
        return max(1, -(-self.characters_per_epoch // (self.values["batch_size"] * self.values["sequence_length"])))

    @property
    def symbols_read(self) -> float:
        """About how many symbols a run of epochs or minutes reads; infinite if that is not known."""
        return min(self.values.get("epochs", math.inf) * self.characters, self.read(self.values["hidden_size"]))

    @cached_property
    def epochs(self) -> float:
        """About how many passes over the text there will be."""
        return min(self.values.get("steps", math.inf) / self.steps_per_epoch, self.symbols_read / self.characters)

    def choose_dropout(self) -> None:
        """Pick more dropout for more epochs and for a larger network."""
        hidden, dropout = self.values["hidden_size"], self.row.dropout
        reason = "against overfitting" if dropout else "so short a text may be memorised"
        part = hidden / self.row.hidden_size
        if self.most_epochs is not None:
            part *= 2
        elif "dropout" not in self.values:
            epochs = self.epochs
            crowded = min(
                1.0,
                parameter_count(self.model(hidden_size=max(hidden, HIDDEN_SIZES[-1])))
                / (PARAMETERS_OF_A_CHARACTER * self.characters),
            )
            without = WITHOUT_DROPOUT_OF_LARGEST if hidden > HIDDEN_SIZES[-1] else EPOCHS_WITHOUT_DROPOUT
            enough = min(DROPOUT_OF_AN_EPOCH * max(0, epochs - without), dropout) * crowded
            if enough < dropout:
                dropout, reason = enough, f"right for about {epochs:.1f} epochs"
            self.choose_recurrent_dropout(epochs, part * crowded)
        if dropout and part < 1:
            dropout, reason = dropout * part, f"enough for {hidden:,} units"
        self.pick("dropout", round(dropout, 2), reason)

    def choose_recurrent_dropout(self, epochs: float, part: float) -> None:
        """Pick recurrent dropout too if dropout is not enough against this many epochs."""
        over = RECURRENT_DROPOUT_OF_AN_EPOCH * (epochs - EPOCHS_WITHOUT_RECURRENT_DROPOUT)
        chosen = round(min(over, MOST_RECURRENT_DROPOUT) * min(part, 1), 2)
        if chosen > 0:
            self.pick("recurrent_dropout", chosen, f"of the recurrent weights, for about {epochs:.1f} epochs")

    def _learns_long(self, fine_tuning: bool) -> bool:
        """Say whether a new network reads a text of characters that is not overfitted soon."""
        return self.most_epochs is None and not self.words and not fine_tuning

    def choose_weight_decay(self, fine_tuning: bool) -> None:
        """Pick weight decay for a new network that reads a large text."""
        adaptive = self.values.get("optimizer", "adam") == "adam"
        if self._learns_long(fine_tuning) and adaptive:
            self.pick("weight_decay", WEIGHT_DECAY, "of all weights, against overfitting")

    def choose_rate(self, fine_tuning: bool) -> None:
        """Pick the learning rate that suits the optimiser, the network and the number of epochs."""
        if "learning_rate" in self.values:
            return
        optimizer, rate = self.values.get("optimizer", "adam"), RATE
        if optimizer in RATES:
            rate = RATES[optimizer]
        elif self.values.get("cell", "lstm") != "lstm":
            rate = RATE_OF_RNN if self.values["cell"] == "rnn" else RATE
        elif self.values["hidden_size"] > HIDDEN_SIZES[-1]:
            rate = RATE_OF_LARGE_TEXT
        elif self._learns_long(fine_tuning):
            rate = RATE_OF_MANY_EPOCHS if self.epochs >= MANY_EPOCHS else RATE_OF_LARGE_TEXT
        if (more := self.values["batch_size"] / MOST_STREAMS) > 1 and optimizer == "adam":
            rate = round(rate * math.sqrt(more), 4)
        if fine_tuning:
            self.pick("learning_rate", rate / 4, "at its peak: gentle, to keep what is learned already")
        else:
            self.pick("learning_rate", rate, f"at its peak, for {optimizer}")


def streams_for(wanted: float) -> int:
    """Return a number of streams, of those that are trained fast, near the one that is wanted."""
    fitting = min(max(wanted, FEWEST_STREAMS), MOST_STREAMS)
    return round(fitting / STREAMS_TOGETHER) * STREAMS_TOGETHER
