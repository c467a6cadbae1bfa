"""Start a run of `rnn train`: new, from another model, or resumed from a file."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import typer

from rnn_cli.checkpoint.checkpoint import Checkpoint, load_checkpoint
from rnn_cli.cli.options import seed_or_random
from rnn_cli.cli.train.request import TrainRequest
from rnn_cli.display.progress import TrainingDisplay
from rnn_cli.errors import CheckpointError, UsageError
from rnn_cli.language.autoconfig import choose
from rnn_cli.language.fine_tuning import reencode
from rnn_cli.language.task import LanguageTask
from rnn_cli.network.parameters import parameter_count
from rnn_cli.text.codecs import ParagraphCodec
from rnn_cli.text.corpus import Corpus, load_corpus
from rnn_cli.text.holdout import DEFAULT_FRACTION
from rnn_cli.training.config import LENGTHS
from rnn_cli.training.memory_estimate import peak_memory
from rnn_cli.training.throughput import units_per_second
from rnn_cli.training.trainer import Trainer

INHERITED = ("cell", "activation", "hidden_size", "num_layers", "embedding")  # of the model that a run starts from


def start_run(request: TrainRequest, threads: int, display: TrainingDisplay) -> tuple[Trainer, TrainRequest]:
    """Begin a new run and say what was chosen. Returns the request completed by its random seed and its base model."""
    asked_seed = request.random_seed
    request = replace(request, random_seed=seed_or_random(asked_seed))
    checkpoint = None
    if request.base:
        checkpoint = load_checkpoint(request.base)
        request = inherit_options(request, checkpoint, request.base)
    watched = request.values.get("schedule") == "plateau" or "patience" in request.values
    if request.validation_fraction is None and (watched or LENGTHS & request.values.keys()):
        request = replace(request, validation_fraction=DEFAULT_FRACTION)  # shows if the user's length is too long
    corpus = read_corpus(request, checkpoint)
    if checkpoint:
        corpus = reencode(corpus, checkpoint.codec.extended_with(corpus.codec))
        corpus.mode_reason = "as the model it starts from does"
        new = len(corpus.codec) - len(checkpoint.codec)
        display.note(
            f"starting from {request.base}, which knows {len(checkpoint.codec) - 1:,} symbols; {new:,} are new"
        )
    for line in describe(corpus).split("\n"):
        display.note(line)
    if watched and corpus.validation is None:
        watching = "`patience`" if "patience" in request.values else '`schedule="plateau"`'
        raise UsageError(f"{watching} needs a part that is held out, and there is {corpus.split_reason}")
    trainer = make_trainer(request, corpus, checkpoint, threads, display)
    if asked_seed is None:
        display.note(f"random seed {request.random_seed}")
    return trainer, request


def make_trainer(
    request: TrainRequest, corpus: Corpus, checkpoint: Checkpoint | None, threads: int, display: TrainingDisplay
) -> Trainer:
    """Choose the values that were not given, say why, and return the trainer."""
    speed = partial(units_per_second, threads=threads)
    given = {**request.values, "random_seed": request.random_seed}
    choice = choose(corpus, given, speed, fine_tuning=checkpoint is not None)
    for reason in choice.reasons:
        display.note(reason)
    if choice.training.minutes is not None:
        speed(choice.model, choice.training.precision)  # compiles the kernels before the minutes begin
    config, task = choice.model, LanguageTask(corpus, choice.model)
    memory = peak_memory(config, choice.training, task.data_bytes(choice.training))
    display.note(
        f"{config.cell} with {config.num_layers} x {config.hidden_size} units: {parameter_count(config):,} parameters, "
        f"{threads} thread{'s' * (threads > 1)}, about {memory / 1e6:,.0f} MB"
    )
    trainer = Trainer(task, choice.training, threads, start=checkpoint.parameters if checkpoint else None)
    if choice.training.fingerprint and task.fingerprint is None:
        display.note("the text is too long for a fingerprint: --novel and --max-copy of rnn sample will not work")
    return trainer


def resume_run(
    model: Path, request: TrainRequest, threads: int, display: TrainingDisplay
) -> tuple[Trainer, TrainRequest]:
    """Continue the run that a model file holds. Returns its request; files of `request` take the place of its own.

    Raises UsageError if `request` gives anything else.
    """
    given = [f"`{name}={value}`" if isinstance(value, bool) else f"`{name}`" for name, value in request.given().items()]
    if given:
        raise UsageError(f"--resume continues exactly as before; leave out {', '.join(given)}")
    checkpoint = load_checkpoint(model)
    if checkpoint.progress is None:
        steps = checkpoint.record.get("steps")
        after = f" after {steps:,} steps" if isinstance(steps, int) else ""
        display.note(f"{model} is complete{after}; train it further with --from {model} -m FILE")
        raise typer.Exit(0)
    checkpoint.expect(LanguageTask.name)
    saved = TrainRequest.from_source(checkpoint.source)
    if saved is None:
        raise CheckpointError(f"{model} does not say what it was trained on, so it cannot be resumed")
    saved = replace(saved, files=request.files or saved.files)
    trainer = Trainer.resume(checkpoint, LanguageTask(read_corpus(saved, checkpoint)), threads)
    display.note(f"resuming {model} at step {trainer.progress.step:,}")
    return trainer, saved


def inherit_options(request: TrainRequest, checkpoint: Checkpoint, path: Path) -> TrainRequest:
    """Take the values that the model fixes from it. Raises UsageError if another value is given for one of them."""
    config, codec = checkpoint.config.to_dict(), checkpoint.codec
    values = {name: config[name] for name in INHERITED}
    separator = codec.separator if isinstance(codec, ParagraphCodec) else None
    mode: dict[str, Any] = {
        "line_mode": None if separator else codec.line_mode,
        "as_bytes": codec.kind == "bytes",
        "words": codec.kind == "words" or None,
        "paragraphs": separator == "blank line" or None,
        "whole_files": separator == "file" or None,
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
    )


def describe(corpus: Corpus) -> str:
    """Return lines that say what the corpus is and how it is read."""
    codec = corpus.codec
    mode = "one stream" if not codec.line_mode else "lines" if codec.ends_at_newline else "texts of several lines"
    dropped = f"; {corpus.dropped_lines:,} empty lines left out" if corpus.dropped_lines else ""
    vocabulary = f": {corpus.vocabulary_reason}" if corpus.vocabulary_reason else ""
    unknown = f", {corpus.validation_unknown:,} unknown characters left out" if corpus.validation_unknown else ""
    return (
        f"{corpus.name}: {corpus.characters:,} {codec.unit}s to train on, "
        f"{len(codec) - 1:,} different {codec.kind}{vocabulary}\n"
        f"read as {mode}: {corpus.mode_reason}{dropped}{other_modes(corpus)}\n"
        f"held out to validate: {corpus.split_reason}{unknown}" + "".join(f"\n{remark}" for remark in corpus.remarks)
    )


def other_modes(corpus: Corpus) -> str:
    """Return the options that read a text in another way, if the text itself decided the way."""
    if not corpus.mode_detected:
        return ""
    if corpus.codec.unit == "word":
        other = "--stream carries the state on" if corpus.codec.line_mode else "--lines makes each line a sentence"
        return f"; {other}"
    other = "--stream reads it as one text" if corpus.codec.line_mode else "--lines reads each line as a text"
    return f"; {other}, --paragraphs a text up to each blank line, --files a text in each file"
