"""A small network of the kind of a model, with data of the user's: small enough to move each weight by itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from rnn_cli.checkpoint.checkpoint import CLASSIFY, TAG, TRANSLATE, Checkpoint
from rnn_cli.errors import UsageError
from rnn_cli.inspect.plain_model import Symbols
from rnn_cli.kernels.threads import Team
from rnn_cli.network.config import NetworkConfig
from rnn_cli.network.model import Model
from rnn_cli.network.pair_window import PairWindow
from rnn_cli.network.workspace import Batch, TrainingWindow
from rnn_cli.tasks.classify.task import ClassifyTask
from rnn_cli.tasks.forecast.forecaster import FORECAST, network_of, read_description
from rnn_cli.tasks.forecast.series import read_series
from rnn_cli.tasks.forecast.task import ForecastTask
from rnn_cli.tasks.labelled.model import LABELLED
from rnn_cli.tasks.labelled.task import LabelledTask
from rnn_cli.tasks.labelled_texts import LabelledTexts, read_labelled
from rnn_cli.tasks.tag.sentences import Sentence, read_tagged
from rnn_cli.tasks.tag.task import TagTask
from rnn_cli.tasks.translate.pairs import read_pairs
from rnn_cli.tasks.translate.symbols import symbols_in, symbols_of
from rnn_cli.tasks.translate.task import TranslateTask
from rnn_cli.training.config import TrainingConfig
from rnn_cli.training.task import Task

HIDDEN, MOST_LAYERS, STEPS = 4, 3, 10
TEXTS, LABELS = 4, 3
HORIZON = 3


def small_text_window(config: NetworkConfig, symbols: Symbols, random_seed: int = 1) -> TrainingWindow:
    """Return a small network of the kind of a language model in float64, and the first STEPS symbols of a text.

    Its initial states are not zero, as if the text went on.
    """
    inputs, targets = symbols.first(STEPS)
    used, ids = np.unique(np.concatenate([inputs, targets]), return_inverse=True)
    size = max(len(used), 2)
    model = small_model(replace(config, input_size=size, output_size=size), config, random_seed)
    window = TrainingWindow(model, len(inputs), 1, Team(1))
    starts = symbols.starts[: len(inputs), None].astype(np.uint8)
    starts[0] = 0
    window.load(Batch(ids[: len(inputs), None], starts, ids[len(inputs) :, None]))
    window.state[:] = 0.5 * np.random.default_rng(random_seed).standard_normal(window.state.shape)
    return window


def small_window(checkpoint: Checkpoint, path: str, random_seed: int = 1) -> TrainingWindow | PairWindow:
    """Return a small network of the kind of a model in float64, and a batch of a file like that of its training.

    The batch is one that the task of the model makes of the beginning of the file. Raises UsageError if the file does
    not fit the task.
    """
    name = checkpoint.task["name"]
    if name not in TASKS:
        raise UsageError(f"the task {name} of the model has no gradient check; use a model of another one")
    task = TASKS[name](checkpoint, path)
    config = TrainingConfig(steps=1, batch_size=TEXTS, sequence_length=4 * STEPS, random_seed=random_seed)
    window = task.window(small_model(task.network, checkpoint.config, random_seed), config, Team(1))
    load: Callable[[Any], None] = window.load  # each task hands out what its window takes
    load(task.batches(config).batch(0))
    return window


def small_model(sizes: NetworkConfig, kind: NetworkConfig, random_seed: int) -> Model:
    """Return random weights in float64 for the inputs and outputs of one configuration, and the kind of another."""
    names = ("cell", "activation", "directions", "embedding", "readout")
    config = replace(
        sizes,
        hidden_size=HIDDEN,
        num_layers=min(kind.num_layers, MOST_LAYERS),
        **{name: getattr(kind, name) for name in names},
    )
    model = Model.initialised(config, np.random.default_rng(random_seed), np.float64)
    model.parameters *= 2  # so that no gradient is too small to be compared
    return model


def few_labelled(path: str) -> LabelledTexts:
    """Return the beginnings of the first texts of a few labels."""
    data = read_labelled([path])
    labels = list(dict.fromkeys(data.labels.tolist()))[:LABELS]
    chosen = np.flatnonzero(np.isin(data.labels, labels))
    firsts = np.concatenate([chosen[data.labels[chosen] == label][:2] for label in labels])
    few = data.take(firsts).relabelled([data.names[label] for label in labels])
    return replace(few, texts=[text[: STEPS - 1] for text in few.texts])


def tag_task(checkpoint: Checkpoint, path: str) -> Task:
    """Return the task of the beginnings of the first sentences."""
    data = read_tagged([path], checkpoint.task["column"])
    few = [Sentence(sentence.tokens[:TEXTS], sentence.tags[:TEXTS]) for sentence in data.sentences[:TEXTS]]
    few = [Sentence(tuple(token[:STEPS] for token in each.tokens), each.tags) for each in few]
    return TagTask(data.name, few)


def translate_task(checkpoint: Checkpoint, path: str) -> Task:
    """Return the task of the beginnings of the first pairs."""
    data, words = read_pairs([path]), symbols_of(checkpoint).words
    few = data.take(np.arange(min(TEXTS, len(data))))
    targets = [(" " if words else "").join(symbols_in(target, words)[:STEPS]) for target in few.targets]
    return TranslateTask(replace(few, sources=[source[:STEPS] for source in few.sources], targets=targets))


def forecast_task(checkpoint: Checkpoint, path: str) -> Task:
    """Return the task of the series, with a short horizon."""
    data, shape = read_series([path]), read_description(checkpoint).shape
    shape = replace(shape, horizon=min(shape.horizon, HORIZON))
    return ForecastTask(data.name, data.series, shape, network_of(shape, checkpoint.config.quantiles))


TASKS: dict[str, Callable[[Checkpoint, str], Task]] = {
    CLASSIFY: lambda checkpoint, path: ClassifyTask(few_labelled(path)),
    LABELLED: lambda checkpoint, path: LabelledTask(few_labelled(path)),
    TAG: tag_task,
    TRANSLATE: translate_task,
    FORECAST: forecast_task,
}
