"""Start a run of `rnn train --task classify`."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from rnn_cli.checkpoint.checkpoint import LANGUAGE, Checkpoint
from rnn_cli.cli.train.request import TrainRequest
from rnn_cli.cli.train.starting import say_network
from rnn_cli.display.progress import TrainingDisplay
from rnn_cli.errors import UsageError
from rnn_cli.tasks.classify.autoconfig import choose
from rnn_cli.tasks.classify.fine_tuning import first_weights
from rnn_cli.tasks.classify.model import read_description
from rnn_cli.tasks.classify.task import ClassifyTask
from rnn_cli.tasks.encoding import codec_of_texts
from rnn_cli.tasks.labelled_texts import LabelledTexts, read_labelled, split_texts
from rnn_cli.text.codecs import Codec
from rnn_cli.training.throughput import units_per_second
from rnn_cli.training.trainer import Trainer

INHERITED = ("cell", "activation", "hidden_size", "num_layers")  # of the model that a run starts from
TEXT_OPTIONS = (
    *("as_bytes", "line_mode", "paragraphs", "whole_files", "column", "min_count", "words", "vocabulary", "tokens"),
    *("augment", "reset_chance", "matches"),
)  # that are about a text without labels
FEW_TEXTS = 2  # a label with fewer is named


def start(
    request: TrainRequest, base: Checkpoint | None, threads: int, display: TrainingDisplay
) -> tuple[Trainer, TrainRequest]:
    """Read the texts, say what is chosen, and return the trainer and the request."""
    check(request)
    training, validation, reason = read(request)
    for line in describe(training, validation, reason):
        display.note(line)
    codec: Codec = codec_of_texts(training.texts)
    given: dict[str, Any] = {**request.values, "random_seed": request.random_seed}
    if base:
        request, given, codec = inherit(request, given, base, codec, display)
    task = ClassifyTask(training, validation, codec)
    speed = partial(units_per_second, threads=threads)
    choice = choose(task, given, speed, fine_tuning=base is not None)
    for line in choice.reasons:
        display.note(line)
    task = ClassifyTask(training, validation, codec, choice.model)
    say_network(task, choice.training, threads, display)
    first = first_weights(task.network, base, choice.training.random_seed) if base else None
    return Trainer(task, choice.training, threads, start=first), request


def reread(request: TrainRequest, checkpoint: Checkpoint) -> ClassifyTask:
    """Return the task of a run that is resumed."""
    read_description(checkpoint)
    training, validation, _ = read(request)
    return ClassifyTask(training, validation)


def check(request: TrainRequest) -> None:
    """Raise UsageError for values that are about texts without labels, or contradict each other."""
    for name in TEXT_OPTIONS:
        if name in request.given():
            raise UsageError(f"`{name}` is for learning to write a text; leave it out to classify")
    if (request.values.get("readout"), request.values.get("directions")) == ("last", 2):
        raise UsageError(
            "`readout=last` reads the last step, at which the second direction has read one symbol; "
            "leave `directions` or `readout` out"
        )


def read(request: TrainRequest) -> tuple[LabelledTexts, LabelledTexts | None, str]:
    """Read the texts of a request: those to train on, those to hold out, and what is held out."""
    data = read_labelled(request.files)
    if request.validation_files:
        held_out = read_labelled(request.validation_files)
        return data, held_out, f"{held_out.name}, {len(held_out.texts):,} texts"
    return split_texts(data, request.validation_fraction, request.random_seed or 0)


def describe(training: LabelledTexts, validation: LabelledTexts | None, reason: str) -> list[str]:
    """Return lines that say what the data are, and what is unusual in them."""
    total, kind = len(training.texts), "fastText's __label__" if training.fasttext else "label TAB text"
    answer, share = training.commonest
    lines = [
        f"{training.name}: {total:,} texts to train on, {len(training.names):,} labels, read as {kind}",
        f"the commonest label is '{answer}', with {share:.1%} of the texts",
        f"held out to validate: {reason}",
    ]
    if training.empty:
        lines.append(f"{training.empty:,} lines without a text are left out")
    rare = np.flatnonzero(training.counts < FEW_TEXTS)
    if len(rare):
        first = int(rare[0])
        name, where = training.names[first], training.first_lines[first]
        more = f", as have {len(rare) - 1:,} more" if len(rare) > 1 else ""
        lines.append(f"the label '{name}' ({where}) has a single text{more}: it can hardly be learned")
    if len(rare) > total / 2:
        lines.append("most labels have a single text; is the label the first column?")
    if validation is not None and (unknown := set(validation.names) - set(training.names)):
        lines.append(
            f"{len(unknown):,} labels of {validation.name} are not among those to train on, as '{min(unknown)}'; "
            "their texts count as wrong"
        )
    return lines


def inherit(
    request: TrainRequest, given: dict[str, Any], base: Checkpoint, codec: Codec, display: TrainingDisplay
) -> tuple[TrainRequest, dict[str, Any], Codec]:
    """Take what a language model or a classifier fixes; its symbols come first. Raises UsageError for other values."""
    path = request.base or Path()
    own = base.codec if base.task["name"] == LANGUAGE else read_description(base)[0]
    config = base.config.to_dict()
    fixed = {name: config[name] for name in INHERITED}
    for name, value in fixed.items():
        if request.values.get(name) not in (None, value):
            raise UsageError(f"`{name}` contradicts the model {path}, which fixes it; leave it out")
    extended = own.extended_with(codec)
    new = len(extended) - len(own)
    display.note(f"starting from {path}, which knows {len(own) - 1:,} symbols; {new:,} are new")
    request = replace(request, values={**request.values, **fixed})
    return request, {**given, **fixed}, extended
