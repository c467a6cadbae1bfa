"""Start a run of `rnn train --task tag`."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from rnn_cli.checkpoint.checkpoint import LANGUAGE, Checkpoint
from rnn_cli.cli.train.request import TrainRequest
from rnn_cli.cli.train.starting import say_network
from rnn_cli.display.progress import TrainingDisplay
from rnn_cli.errors import UsageError
from rnn_cli.tasks.classify.fine_tuning import first_weights
from rnn_cli.tasks.tag.alphabet import Alphabet
from rnn_cli.tasks.tag.autoconfig import choose
from rnn_cli.tasks.tag.sentences import Sentence, read_tagged, split_sentences
from rnn_cli.tasks.tag.tagger import description_of
from rnn_cli.tasks.tag.task import TagTask
from rnn_cli.text.codecs import CharacterCodec
from rnn_cli.training.throughput import units_per_second
from rnn_cli.training.trainer import Trainer

INHERITED = ("cell", "activation", "hidden_size")  # of the model that a run starts from
TEXT_OPTIONS = (  # of texts that a model learns to write
    *("as_bytes", "line_mode", "paragraphs", "whole_files", "min_count", "tokens"),
    *("augment", "reset_chance", "matches", "fingerprint", "readout"),
)


class Data(NamedTuple):
    """The sentences to train on and those to hold out, what is held out, and the column of CoNLL-U or None."""

    name: str
    training: list[Sentence]
    validation: list[Sentence]
    reason: str
    column: str | None


def start(
    request: TrainRequest, base: Checkpoint | None, threads: int, display: TrainingDisplay
) -> tuple[Trainer, TrainRequest]:
    """Read the sentences, say what is chosen, and return the trainer and the request."""
    check(request)
    data = read(request)
    if request.column and data.column is None:
        raise UsageError(f"`column` is for CoNLL-U, and {data.name} is not in it; leave it out")
    alphabet = None
    if base:
        request, alphabet = inherit(request, data, base, display)
    task = TagTask(data.name, data.training, data.validation, alphabet=alphabet, column=data.column)
    for line in describe(task, data.reason):
        display.note(line)
    given: dict[str, Any] = {**request.values, "random_seed": request.random_seed}
    choice = choose(task, given, partial(units_per_second, threads=threads), fine_tuning=base is not None)
    for line in choice.reasons:
        display.note(line)
    task = TagTask(data.name, data.training, data.validation, choice.model, task.alphabet, data.column)
    say_network(task, choice.training, threads, display)
    first = first_weights(task.network, base, choice.training.random_seed) if base else None
    return Trainer(task, choice.training, threads, start=first), request


def reread(request: TrainRequest, checkpoint: Checkpoint) -> TagTask:
    """Return the task of a run that is resumed."""
    description_of(checkpoint)
    data = read(request)
    return TagTask(data.name, data.training, data.validation, column=data.column)


def check(request: TrainRequest) -> None:
    """Raise UsageError for values that mean nothing to a tagger."""
    for name in TEXT_OPTIONS:
        if name in request.given():
            raise UsageError(f"`{name}` is not for learning tags; leave it out")


def read(request: TrainRequest) -> Data:
    """Read the sentences of a request."""
    text = read_tagged(request.files, request.column)
    if request.validation_files:
        held_out = read_tagged(request.validation_files, request.column)
        reason = f"{held_out.name}, {len(held_out.sentences):,} sentences"
        return Data(text.name, text.sentences, held_out.sentences, reason, text.column)
    parts = split_sentences(text.sentences, request.validation_fraction, request.random_seed or 0)
    return Data(text.name, *parts, text.column)


def describe(task: TagTask, reason: str) -> list[str]:
    """Return lines that say what the data are, and what is unusual in them."""
    kind = "BIO tags of spans" if task.bio else "tags"
    read_as = f"the column {task.column} of CoNLL-U" if task.column else "the last column"
    lines = [
        f"{task.data_name}: {len(task.training):,} sentences to train on, {task.scored:,} tokens, "
        f"{len(task.tags):,} {kind}, read from {read_as}",
        f"held out to validate: {reason}",
    ]
    if new := sorted({tag for sentence in task.validation for tag in sentence.tags} - set(task.tags)):
        lines.append(f"{len(new):,} tags are held out only, as '{new[0]}'; their tokens count as wrong")
    return lines


def inherit(
    request: TrainRequest, data: Data, base: Checkpoint, display: TrainingDisplay
) -> tuple[TrainRequest, Alphabet]:
    """Take what a language model or a tagger fixes; its symbols come first. Raises UsageError for other values."""
    path = request.base or Path()
    known = base.codec if base.task["name"] == LANGUAGE else description_of(base)[0].codec
    if not isinstance(known, CharacterCodec):
        raise UsageError(f"{path} reads bytes, and a tagger reads characters; start from a model of characters")
    config = base.config.to_dict()
    fixed = {name: config[name] for name in INHERITED}
    for name, value in fixed.items():
        if request.values.get(name) not in (None, value):
            raise UsageError(f"`{name}` contradicts the model {path}, which fixes it; leave it out")
    own = Alphabet.of_texts(sentence.text for sentence in data.training).codec
    extended = CharacterCodec(known.symbols, line_mode=False).extended_with(own)
    display.note(
        f"starting from {path}, which knows {len(known) - 1:,} symbols; {len(extended) - len(known):,} are new"
    )
    layers = {"num_layers": config["num_layers"], **request.values}
    return replace(request, values={**layers, **fixed}), Alphabet(extended)
