"""What suits a classifier, by the size of its data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rnn_cli.language.autoconfig import Choice, Speed
from rnn_cli.tasks.classify.task import ClassifyTask
from rnn_cli.tasks.defaults import Data, Defaults, Preferences

# Names of 18 languages (14,600 texts to learn from, 1,600 held out), 10 epochs, right in percent: 128 units, dropout
# 0.5, 64 texts in a batch 83.2; dropout 0.3 83.0; 32 texts in a batch 83.6; 256 units 84.1. In the same time one
# network of 60 epochs 83.8, three of 20 84.3, four of 15 84.8, six of 10 85.2.
SUITS = Preferences(
    epochs=30,
    most_epochs=60,
    hidden_size=256,
    dropout=0.5,
    batch_texts=48,
    learning_rate=0.004,
    readout="mean",
    enough=10,
    together=10,
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
