"""rnn train: options -> configuration -> Trainer -> display, log and file."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rnn_cli.cli.options import (
    COMPUTATION,
    DEFAULT_MODEL,
    GENERAL,
    MODEL_FILE,
    ModelPath,
    Precision,
    Quiet,
    RandomSeed,
    Threads,
    announce_compiling,
    in_options,
    model_files,
    seed_or_random,
    thread_count,
    with_options,
)
from rnn_cli.cli.train.dry_run import print_plan
from rnn_cli.cli.train.run import run
from rnn_cli.cli.train.start import resume_run, start_run
from rnn_cli.config import check_range
from rnn_cli.errors import UsageError
from rnn_cli.network.config import NetworkConfig
from rnn_cli.training.config import TrainingConfig

if TYPE_CHECKING:
    from rnn_cli.display.progress import TrainingDisplay

TEXT = "The text"


@with_options(NetworkConfig, TrainingConfig, given_only=True)
def train(
    context: typer.Context,
    corpus: Annotated[list[str] | None, typer.Argument(help="Text files, or - for stdin.", show_default=False)] = None,
    lines: Annotated[
        bool | None,
        typer.Option(
            "--lines/--stream",
            help="Each line is a text of its own, or all is one text; default: detected.",
            rich_help_panel=TEXT,
        ),
    ] = None,
    as_bytes: Annotated[
        bool | None,
        typer.Option("--bytes", help="Symbols are bytes, so that any file will do.", rich_help_panel=TEXT),
    ] = None,
    validation_fraction: Annotated[
        float | None,
        typer.Option(
            "--validation-fraction",
            help="Share of the text to hold out; default: 0.1; 0 for a short stream and no given length.",
            rich_help_panel=TEXT,
        ),
    ] = None,
    validation_files: Annotated[
        list[str] | None,
        typer.Option("--validation-file", help="Another text to hold out.", show_default=False, rich_help_panel=TEXT),
    ] = None,
    model: ModelPath = DEFAULT_MODEL,
    base: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="Start from the weights of this model (fine-tuning).",
            show_default=False,
            autocompletion=model_files,
            rich_help_panel=MODEL_FILE,
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the run that the model file holds.", rich_help_panel=MODEL_FILE)
    ] = False,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Replace an existing model file and log.", rich_help_panel=MODEL_FILE),
    ] = False,
    log: Annotated[
        Path | None,
        typer.Option("--log", help="Write the reports to this file as JSON lines.", rich_help_panel=MODEL_FILE),
    ] = None,
    precision: Annotated[
        Precision,
        typer.Option(
            "--precision", help="Of the operands of matrix products; sums are in float32.", rich_help_panel=COMPUTATION
        ),
    ] = "auto",
    random_seed: RandomSeed = None,
    threads: Threads = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Print what would be chosen and how long it would take.", rich_help_panel=GENERAL
        ),
    ] = False,
    quiet: Quiet = False,
    **given: Any,
) -> None:
    """Train a model on text.

    Values marked as chosen fit the text, the machine and the time; each is printed with its reason.

    Example: rnn train corpora/stars.txt
    """
    from rnn_cli.atomic_files import check_writable, lock, sweep_stale
    from rnn_cli.display.progress import TrainingDisplay

    given["precision"] = None if precision == "auto" else precision
    source: dict[str, Any] = {
        "lines": lines,
        "as_bytes": as_bytes,
        "validation_fraction": validation_fraction,
        "validation_files": validation_files or None,
    }
    check_options(given, source)
    if resume and overwrite:
        raise UsageError("--resume and --overwrite contradict each other; give one of them")
    if dry_run and (resume or log):
        raise UsageError("--dry-run writes nothing and starts afresh; leave out --resume and --log")
    if not resume and not corpus:
        raise UsageError("name a text file to train on, or - for stdin; for example: rnn train corpus.txt")
    check_written(model, log, [*(corpus or []), *(validation_files or [])], base)
    cores = thread_count(threads)
    announce_compiling(quiet)
    wording = partial(in_options, parameters=context.command.params)
    if dry_run:
        with TrainingDisplay(quiet, wording) as display:
            source = {"paths": corpus, **source, "random_seed": seed_or_random(random_seed)}
            trainer = start_run(given, source, base, cores, display)
            note_seed(source, random_seed, display)
            print_plan(trainer)
        return
    check_writable(model)
    with lock(model), TrainingDisplay(quiet, wording) as display:
        sweep_stale(model)
        if resume:
            trainer, source = resume_run(
                model, corpus, {**given, **source, "from": base, "random_seed": random_seed}, cores, display
            )
            check_written(model, log, source["paths"] + (source["validation_files"] or []))
        else:
            if model.exists() and not overwrite:
                raise UsageError(
                    f"{model} exists already; continue its run (--resume), replace it (--overwrite) "
                    "or name another (-m FILE)"
                )
            if log and log.is_file() and log.stat().st_size and not overwrite:
                raise UsageError(f"the log {log} exists already; replace it (--overwrite) or name another")
            source = {"paths": corpus, **source, "random_seed": seed_or_random(random_seed)}
            trainer = start_run(given, source, base, cores, display)
            note_seed(source, random_seed, display)
        run(trainer, source, model, log, resume, display)


def check_written(model: Path, log: Path | None, texts: list[str], base: Path | None = None) -> None:
    """Raise UsageError if the model or the log would replace a file that is read, or one the other."""
    from rnn_cli.atomic_files import is_same

    if any(is_same(model, text) for text in texts):
        raise UsageError(f"the model {model} would replace a text that is read; name another file with -m")
    if log and any(is_same(log, path) for path in (*texts, model, base) if path):
        raise UsageError(f"--log {log} would replace a file that is read, or the model; name another file")


def note_seed(source: dict[str, Any], chosen: int | None, display: TrainingDisplay) -> None:
    """Say what the random seed is, unless the user chose it."""
    if chosen is None:
        display.note(f"random seed {source['random_seed']}")


def check_options(given: dict[str, Any], source: dict[str, Any]) -> None:
    """Raise UsageError for options that are out of range or contradict each other, before anything is read."""
    lengths = [f"--{name}" for name in ("minutes", "epochs", "steps") if given[name] is not None]
    if len(lengths) > 1:
        raise UsageError(f"{' and '.join(lengths)} contradict each other; give one of them")
    values = {name: value for name, value in given.items() if value is not None}
    model_values = {
        name: values.pop(name) for name in ("cell", "activation", "hidden_size", "num_layers") if name in values
    }
    if given["momentum"] is not None and given["optimizer"] != "sgd":
        raise UsageError("--momentum is for --optimizer sgd; give both or leave it out")
    config = NetworkConfig(**model_values)
    TrainingConfig(**values)
    if config.activation != NetworkConfig.activation and config.cell != "rnn":
        raise UsageError("--activation is for --cell rnn; give both or leave it out")
    if source["validation_fraction"] is not None:
        check_range("validation_fraction", source["validation_fraction"], 0.0, 0.9)
        if source["validation_files"]:
            raise UsageError("--validation-fraction and --validation-file contradict each other; give one of them")
