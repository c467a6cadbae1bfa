"""What suits a classifier, by the size of its data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rnn_cli.language.autoconfig import Choice, Speed
from rnn_cli.tasks.classify.task import ClassifyTask
from rnn_cli.tasks.defaults import Data, Defaults, Preferences

SUITS = Preferences(
    epochs=30,
    most_epochs=60,
    hidden_size=128,
    dropout=0.5,
    batch_texts=64,
    learning_rate=0.004,
    readout="mean",
)


def choose(
    task: ClassifyTask, given: Mapping[str, Any], speed: Speed | None = None, fine_tuning: bool = False
) -> Choice:
    """Complete the given values (None: not given) with what fits the texts, and `fine_tuning` or a new model.

    `speed` is asked only if the length is in minutes. Without it, every size counts as fast enough.
    """
    lengths = np.fromiter((1 + len(text) for text in task.training.texts), np.int64, len(task.training.texts))
    data = Data(len(task.codec), len(task.labels), lengths, len(lengths), "texts")
    return Defaults(data, given, speed).choose(SUITS, fine_tuning)
