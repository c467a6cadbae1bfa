"""Start a run of `rnn train` that learns to write a text: the default task."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from rnn_cli.checkpoint.checkpoint import Checkpoint
from rnn_cli.cli.train.request import TrainRequest
from rnn_cli.cli.train.starting import say_network
from rnn_cli.display.progress import TrainingDisplay
from rnn_cli.errors import UsageError
from rnn_cli.language.autoconfig import choose
from rnn_cli.language.fine_tuning import reencode
from rnn_cli.language.task import LanguageTask
from rnn_cli.text.codecs import ParagraphCodec, TokenCodec
from rnn_cli.text.codecs.tokens import LIST
from rnn_cli.text.corpus import Corpus, load_corpus
from rnn_cli.text.holdout import DEFAULT_FRACTION
from rnn_cli.training.config import LENGTHS
from rnn_cli.training.throughput import units_per_second
from rnn_cli.training.trainer import Trainer

# Of the model that a run starts from.
INHERITED = ("cell", "activation", "hidden_size", "num_layers", "embedding", "members")


def start(
    request: TrainRequest, base: Checkpoint | None, threads: int, display: TrainingDisplay
) -> tuple[Trainer, TrainRequest]:
    """Read the corpus, say what is chosen, and return the trainer and the completed request."""
    refuse_directions(request)
    if base and request.base:
        request = inherit_options(request, base, request.base)
    watched = request.values.get("schedule") == "plateau" or "patience" in request.values
    fixed = (LENGTHS - {"minutes"}) & request.values.keys()  # minutes are a limit: a short text ends after some epochs
    if request.validation_fraction is None and (watched or fixed):
        request = replace(request, validation_fraction=DEFAULT_FRACTION)  # shows if the user's length is too long
    corpus = read_corpus(request, base)
    if base:
        corpus = reencode(corpus, base.codec.extended_with(corpus.codec))
        corpus.mode_reason = "as the model it starts from does"
        new = len(corpus.codec) - len(base.codec)
        display.note(f"starting from {request.base}, which knows {len(base.codec) - 1:,} symbols; {new:,} are new")
    for line in describe(corpus):
        display.note(line)
    if watched and corpus.validation is None:
        watching = "`patience`" if "patience" in request.values else '`schedule="plateau"`'
        raise UsageError(f"{watching} needs a part that is held out, and there is {corpus.split_reason}")
    return make_trainer(request, corpus, base, threads, display), request


def reread(request: TrainRequest, checkpoint: Checkpoint) -> LanguageTask:
    """Return the task of a run that is resumed."""
    return LanguageTask(read_corpus(request, checkpoint))


def refuse_directions(request: TrainRequest) -> None:
    """Raise UsageError for a network that reads what it has to predict."""
    if request.values.get("directions", 1) != 1:
        raise UsageError(
            "`directions=2` would read the characters that the model has to predict; leave it out, or give a `task`"
        )
    if request.values.get("readout", "last") != "last":
        raise UsageError("`readout` is for texts with a label; leave it out, or give `task=classify`")


def make_trainer(
    request: TrainRequest, corpus: Corpus, checkpoint: Checkpoint | None, threads: int, display: TrainingDisplay
) -> Trainer:
    """Choose the values that were not given, say why, and return the trainer."""
    speed = partial(units_per_second, threads=threads)
    given = {**request.values, "random_seed": request.random_seed}
    choice = choose(corpus, given, speed, checkpoint is not None, threads)
    for reason in choice.reasons:
        display.note(reason)
    if choice.training.minutes is not None:
        speed(choice.model, choice.training.precision)  # compiles the kernels before the minutes begin
    task = LanguageTask(corpus, choice.model)
    say_network(task, choice.training, threads, display)
    trainer = Trainer(task, choice.training, threads, start=checkpoint.parameters if checkpoint else None)
    if choice.training.fingerprint and task.fingerprint is None:
        display.note("the text is too long for a fingerprint: --novel and --max-copy of rnn sample will not work")
    return trainer


def inherit_options(request: TrainRequest, checkpoint: Checkpoint, path: Path) -> TrainRequest:
    """Take the values that the model fixes from it. Raises UsageError if another value is given for one of them."""
    config, codec = checkpoint.config.to_dict(), checkpoint.codec
    values = {name: config[name] for name in INHERITED}
    separator = codec.separator if isinstance(codec, ParagraphCodec) else None
    listed = isinstance(codec, TokenCodec) and codec.rule == LIST
    mode: dict[str, Any] = {
        "line_mode": None if separator else codec.line_mode,
        "as_bytes": codec.kind == "bytes",
        "words": codec.kind == "words" or None,
        "paragraphs": separator == "blank line" or None,
        "whole_files": separator == "file" or None,
        "tokens": request.tokens if listed else codec.rule if isinstance(codec, TokenCodec) else None,
    }
    given = request.given()
    for name, value in (values | mode).items():
        if given.get(name) not in (None, value):
            shown = f"`{name}={given[name]}`" if name in mode else f"`{name}`"
            raise UsageError(f"{shown} contradicts the model {path}, which fixes it; leave it out")
    return replace(request, values={**request.values, **values}, **mode)


def read_corpus(request: TrainRequest, checkpoint: Checkpoint | None) -> Corpus:
    """Read the corpus of a request whose random seed is settled; the words of a checkpoint are known besides."""
    return load_corpus(
        request.files,
        as_bytes=bool(request.as_bytes),
        line_mode=request.line_mode,
        validation_fraction=request.validation_fraction,
        validation_files=request.validation_files or None,
        random_seed=request.random_seed or 0,
        separator=request.separator,
        column=request.column,
        min_count=request.min_count,
        words=bool(request.words),
        vocabulary=request.vocabulary,
        base=checkpoint.codec if checkpoint else None,
        tokens=request.tokens,
    )


def describe(corpus: Corpus) -> list[str]:
    """Return lines that say what the corpus is and how it is read."""
    codec = corpus.codec
    mode = "one stream" if not codec.line_mode else "lines" if codec.ends_at_newline else "texts of several lines"
    dropped = f"; {corpus.dropped_lines:,} empty lines left out" if corpus.dropped_lines else ""
    vocabulary = f": {corpus.vocabulary_reason}" if corpus.vocabulary_reason else ""
    unknown = f", {corpus.validation_unknown:,} unknown characters left out" if corpus.validation_unknown else ""
    unit = "token" if isinstance(codec, TokenCodec) else codec.unit
    counted = f"{corpus.characters:,} {unit}s to train on"
    return [
        f"{corpus.name}: {counted}, {len(codec) - 1:,} different {codec.kind}{vocabulary}",
        f"read as {mode}: {corpus.mode_reason}{dropped}{other_modes(corpus)}",
        f"held out to validate: {corpus.split_reason}{unknown}",
        *corpus.remarks,
    ]


def other_modes(corpus: Corpus) -> str:
    """Return the options that read a text in another way, if the text itself decided the way."""
    if not corpus.mode_detected:
        return ""
    if corpus.codec.unit == "word":
        other = "--stream carries the state on" if corpus.codec.line_mode else "--lines makes each line a sentence"
        return f"; {other}"
    other = "--stream reads it as one text" if corpus.codec.line_mode else "--lines reads each line as a text"
    return f"; {other}, --paragraphs a text up to each blank line, --files a text in each file"
