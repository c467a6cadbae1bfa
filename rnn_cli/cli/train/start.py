"""Start a run of `rnn train`: new, from another model, or resumed from a file."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

import typer

from rnn_cli.errors import CheckpointError, UsageError

if TYPE_CHECKING:
    from rnn_cli.checkpoint.checkpoint import Checkpoint
    from rnn_cli.display.progress import TrainingDisplay
    from rnn_cli.text.corpus import Corpus
    from rnn_cli.training.trainer import Trainer

OPTIONS = {  # the options whose names differ from the parameter that they set
    "num_layers": "--layers",
    "as_bytes": "--bytes",
    "lines": "--lines or --stream",
    "validation_files": "--validation-file",
    "fingerprint": "--no-fingerprint",
}


def option_of(name: str) -> str:
    """Return the option that sets a value."""
    return OPTIONS.get(name, f"--{name.replace('_', '-')}")


def read_corpus(source: dict[str, Any]) -> Corpus:
    """Read the corpus that a source describes."""
    from rnn_cli.text.corpus import load_corpus

    return load_corpus(
        source["paths"],
        as_bytes=bool(source["as_bytes"]),
        line_mode=source["lines"],
        validation_fraction=source["validation_fraction"],
        validation_files=source["validation_files"],
        random_seed=source["random_seed"],
        separator=source.get("separator"),
        column=source.get("column"),
        min_count=source.get("min_count") or 1,
    )


def is_source(value: Any) -> TypeGuard[dict[str, Any]]:
    """Say whether a value, which may come from a stranger's file, is a source."""
    match value:
        case {
            "paths": [_, *_] as paths,
            "lines": bool() | None,
            "as_bytes": bool() | None,
            "validation_fraction": float() | int() | None,
            "validation_files": list() | None as held_out,
            "random_seed": int(random_seed),
        }:
            names = {"separator": str | None, "column": str | None, "min_count": int | None}  # since 0.2
            known = all(isinstance(value.get(name), kind) for name, kind in names.items())
            return known and 0 <= random_seed < 1 << 63 and all(map(is_path, [*paths, *(held_out or [])]))
    return False


def is_path(value: Any) -> bool:
    """Say whether a value can be the name of a file."""
    try:
        return isinstance(value, str) and b"\0" not in os.fsencode(value)
    except UnicodeEncodeError:
        return False


def inherit_options(checkpoint: Checkpoint, path: Path, given: dict[str, Any], source: dict[str, Any]) -> None:
    """Take the options that the model fixes from it. Raises UsageError if they were given other values."""
    from rnn_cli.text.codecs import ParagraphCodec

    config, codec = checkpoint.config.to_dict(), checkpoint.codec
    fixed = (
        (given, {name: config[name] for name in ("cell", "activation", "hidden_size", "num_layers")}),
        (
            source,
            {
                "lines": codec.line_mode,
                "as_bytes": codec.kind == "bytes",
                "separator": codec.separator if isinstance(codec, ParagraphCodec) else None,
            },
        ),
    )
    if isinstance(codec, ParagraphCodec) and source["lines"] is not None:
        option = "--lines" if source["lines"] else "--stream"
        raise UsageError(f"{option} contradicts the model {path}, which reads texts of several lines; leave it out")
    for options, values in fixed:
        for name, value in values.items():
            if options[name] not in (None, value):
                option = option_of(name)
                if name == "lines":
                    option = "--lines" if options[name] else "--stream"
                if name == "separator":
                    option = "--files" if options[name] == "file" else "--paragraphs"
                raise UsageError(f"{option} contradicts the model {path}, which fixes it; leave it out")
        options.update(values)


def start_run(
    given: dict[str, Any], source: dict[str, Any], base: Path | None, threads: int, display: TrainingDisplay
) -> Trainer:
    """Start a new run, from the weights of `base` if it is given, and report what was chosen."""
    from rnn_cli.checkpoint.checkpoint import load_checkpoint
    from rnn_cli.language.autoconfig import LENGTHS, choose
    from rnn_cli.language.fine_tuning import reencode
    from rnn_cli.language.task import LanguageTask
    from rnn_cli.network.parameters import parameter_count
    from rnn_cli.text.holdout import DEFAULT_FRACTION
    from rnn_cli.training.memory_estimate import peak_memory
    from rnn_cli.training.throughput import units_per_second
    from rnn_cli.training.trainer import Trainer

    checkpoint = None
    if base:
        checkpoint = load_checkpoint(base)
        inherit_options(checkpoint, base, given, source)
    watched = given["schedule"] == "plateau" or any(given[name] is not None for name in (*LENGTHS, "patience"))
    if watched and source["validation_fraction"] is None:
        source["validation_fraction"] = DEFAULT_FRACTION  # shows whether the user's own length overfits
    corpus = read_corpus(source)
    if checkpoint:
        corpus = reencode(corpus, checkpoint.codec.extended_with(corpus.codec))
        corpus.mode_reason = "as the model it starts from does"
        new = len(corpus.codec) - len(checkpoint.codec)
        display.note(f"starting from {base}, which knows {len(checkpoint.codec) - 1:,} symbols; {new:,} are new")
    for line in describe(corpus).split("\n"):
        display.note(line)
    watching = "--patience" if given["patience"] is not None else "--schedule plateau"
    if corpus.validation is None and (given["patience"] is not None or given["schedule"] == "plateau"):
        raise UsageError(f"{watching} needs a part that is held out, and there is {corpus.split_reason}")
    speed = partial(units_per_second, threads=threads)
    choice = choose(corpus, given | {"random_seed": source["random_seed"]}, speed, fine_tuning=checkpoint is not None)
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
    model: Path,
    corpus: list[str] | None,
    given: dict[str, Any],
    threads: int,
    display: TrainingDisplay,
) -> tuple[Trainer, dict[str, Any]]:
    """Resume the run in the model file."""
    from rnn_cli.checkpoint.checkpoint import load_checkpoint
    from rnn_cli.language.task import LanguageTask
    from rnn_cli.training.trainer import Trainer

    odd = [option_of(name) for name, value in given.items() if value is not None]
    if odd:
        raise UsageError(f"--resume continues exactly as before; leave out {', '.join(odd)}")
    checkpoint = load_checkpoint(model)
    if checkpoint.progress is None:
        steps = checkpoint.record.get("steps")
        after = f" after {steps:,} steps" if isinstance(steps, int) else ""
        display.note(f"{model} is complete{after}; train it further with --from {model} -m FILE")
        raise typer.Exit(0)
    checkpoint.expect(LanguageTask.name)
    source = checkpoint.source
    if not is_source(source):
        raise CheckpointError(f"{model} does not say what it was trained on, so it cannot be resumed")
    source = source | {"paths": corpus or source["paths"]}
    trainer = Trainer.resume(checkpoint, LanguageTask(read_corpus(source)), threads)
    display.note(f"resuming {model} at step {trainer.progress.step:,}")
    return trainer, source


def describe(corpus: Corpus) -> str:
    """Return lines on what the corpus is and how it is read."""
    codec = corpus.codec
    mode = "one stream" if not codec.line_mode else "lines" if codec.ends_at_newline else "texts of several lines"
    dropped = f"; {corpus.dropped_lines:,} empty lines left out" if corpus.dropped_lines else ""
    unknown = f", {corpus.validation_unknown:,} unknown characters left out" if corpus.validation_unknown else ""
    return (
        f"{corpus.name}: {corpus.characters:,} characters to train on, "
        f"{len(codec) - 1:,} different {codec.kind}\n"
        f"read as {mode}: {corpus.mode_reason}{dropped}{other_modes(corpus)}\n"
        f"held out to validate: {corpus.split_reason}{unknown}" + "".join(f"\n{remark}" for remark in corpus.remarks)
    )


def other_modes(corpus: Corpus) -> str:
    """Return the options that read a text in another way, if the way was not chosen by the user."""
    if not corpus.mode_detected:
        return ""
    other = "--stream reads it as one text" if corpus.codec.line_mode else "--lines reads each line as a text"
    return f"; {other}, --paragraphs a text up to each blank line, --files a text in each file"
