"""rnn train: options -> configuration -> Trainer -> display, log and file."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rnn_cli.cli.options import (
    DEFAULT_MODEL,
    ModelPath,
    Precision,
    Quiet,
    RandomSeed,
    Threads,
    announce_compiling,
    model_files,
    random_seed,
    thread_count,
)
from rnn_cli.cli.train.dry_run import print_plan
from rnn_cli.cli.train.run import run
from rnn_cli.cli.train.start import resume_run, start_run
from rnn_cli.errors import UsageError

if TYPE_CHECKING:
    from rnn_cli.display.progress import TrainingDisplay


class CellName(StrEnum):
    """The cells, as the command offers them; a test holds this list against the registry."""

    lstm = "lstm"
    gru = "gru"
    rnn = "rnn"


class Activation(StrEnum):
    """The activations of the plain cell."""

    tanh = "tanh"
    relu = "relu"
    sigmoid = "sigmoid"


class OptimizerName(StrEnum):
    """The optimisers, held against the kernels by a test."""

    adam = "adam"
    sgd = "sgd"
    rmsprop = "rmsprop"
    adagrad = "adagrad"


class ScheduleName(StrEnum):
    """The schedules of the learning rate."""

    linear = "linear"
    cosine = "cosine"
    step = "step"
    plateau = "plateau"
    constant = "constant"


def train(
    corpus: Annotated[
        list[str] | None, typer.Argument(help="Text files, directories of them, or - for stdin.", show_default=False)
    ] = None,
    model: ModelPath = DEFAULT_MODEL,
    minutes: Annotated[float | None, typer.Option("--minutes", help="How long to train, after compiling.")] = None,
    epochs: Annotated[float | None, typer.Option("--epochs", help="How many passes over the text.")] = None,
    steps: Annotated[int | None, typer.Option("--steps", help="How many steps.")] = None,
    cell: Annotated[CellName | None, typer.Option("--cell", help="The kind of network; default: lstm.")] = None,
    activation: Annotated[
        Activation | None, typer.Option("--activation", help="For --cell rnn; default: tanh.")
    ] = None,
    hidden_size: Annotated[int | None, typer.Option("--hidden-size", help="Units in each layer.")] = None,
    layers: Annotated[int | None, typer.Option("--layers", help="Layers; default: 1.")] = None,
    dropout: Annotated[
        float | None, typer.Option("--dropout", help="Share of outputs left out, from 0 to 0.95.")
    ] = None,
    recurrent_dropout: Annotated[
        float | None, typer.Option("--recurrent-dropout", help="Share of recurrent weights left out.")
    ] = None,
    batch_size: Annotated[int | None, typer.Option("--batch-size", help="Streams side by side.")] = None,
    sequence_length: Annotated[
        int | None, typer.Option("--sequence-length", help="Steps back that the gradient goes.")
    ] = None,
    optimizer: Annotated[
        OptimizerName | None, typer.Option("--optimizer", help="How the weights are updated; default: adam.")
    ] = None,
    momentum: Annotated[float | None, typer.Option("--momentum", help="For --optimizer sgd; default: 0.9.")] = None,
    schedule: Annotated[
        ScheduleName | None,
        typer.Option("--schedule", help="How the rate falls in the second half; default: linear."),
    ] = None,
    learning_rate: Annotated[float | None, typer.Option("--learning-rate", help="The highest rate.")] = None,
    clip_norm: Annotated[float | None, typer.Option("--clip-norm", help="Longest gradient; default: 1.")] = None,
    precision: Annotated[
        Precision | None, typer.Option("--precision", help="Of the matrix products; sums stay float32. Default: auto.")
    ] = None,
    weight_decay: Annotated[
        float | None, typer.Option("--weight-decay", help="Share of the weights, times the rate, lost in a step.")
    ] = None,
    average: Annotated[
        float | None, typer.Option("--average", help="Average the weights over this last part, 0 to 0.5.")
    ] = None,
    augment: Annotated[
        float | None,
        typer.Option("--augment", help="Characters drawn from its 5-grams, read with each one of a short text."),
    ] = None,
    reset_chance: Annotated[
        float | None, typer.Option("--reset-chance", help="How often a stream forgets its past, 0 to 1 a window.")
    ] = None,
    lines: Annotated[
        bool | None,
        typer.Option("--lines/--stream", help="Each line a text of its own, or one long text; default: detected."),
    ] = None,
    paragraphs: Annotated[
        bool, typer.Option("--paragraphs", help="Each text ends at a blank line; its lines belong together.")
    ] = False,
    whole_files: Annotated[bool, typer.Option("--files", help="Each file is a text of its own.")] = False,
    column: Annotated[
        str | None,
        typer.Option("--column", help="Of a CSV or TSV file or JSON lines, this column; each value is a line."),
    ] = None,
    min_count: Annotated[
        int | None, typer.Option("--min-count", help="Leave out characters that occur less often; they are unknown.")
    ] = None,
    as_bytes: Annotated[bool | None, typer.Option("--bytes", help="Symbols are bytes: any file will do.")] = None,
    validation_fraction: Annotated[
        float | None,
        typer.Option(
            "--validation-fraction",
            help="Held out, never trained on; default: 0.1, or nothing of a short stream if no length is given.",
        ),
    ] = None,
    validation_file: Annotated[
        list[str] | None,
        typer.Option("--validation-file", help="Held-out text of its own.", show_default=False),
    ] = None,
    patience: Annotated[
        int | None, typer.Option("--patience", help="Stop after so many evaluations without a better one.")
    ] = None,
    base: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="Start from this model's weights (fine-tune).",
            show_default=False,
            autocompletion=model_files,
        ),
    ] = None,
    no_fingerprint: Annotated[
        bool,
        typer.Option("--no-fingerprint", help="Leave out what --novel and --max-copy of sample need of the text."),
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where the model file stopped.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing model file, and log.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be chosen and how long it would take, and stop.")
    ] = False,
    log: Annotated[Path | None, typer.Option("--log", help="Write reports to this file, as JSON lines.")] = None,
    random_seed_option: RandomSeed = None,
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Train a model on text.

    Example: rnn train corpora/stars.txt
    """
    from rnn_cli.atomic_files import check_writable, lock, sweep_stale
    from rnn_cli.display.progress import TrainingDisplay

    given = {
        "minutes": minutes,
        "epochs": epochs,
        "steps": steps,
        "cell": cell.value if cell else None,
        "activation": activation.value if activation else None,
        "hidden_size": hidden_size,
        "num_layers": layers,
        "dropout": dropout,
        "recurrent_dropout": recurrent_dropout,
        "batch_size": batch_size,
        "sequence_length": sequence_length,
        "optimizer": optimizer.value if optimizer else None,
        "momentum": momentum,
        "schedule": schedule.value if schedule else None,
        "learning_rate": learning_rate,
        "clip_norm": clip_norm,
        "precision": None if precision in (None, Precision.auto) else precision.value,
        "weight_decay": weight_decay,
        "average": average,
        "augment": augment,
        "reset_chance": reset_chance,
        "patience": patience,
        "fingerprint": False if no_fingerprint else None,
    }
    source: dict[str, Any] = {
        "lines": lines,
        "as_bytes": as_bytes,
        "separator": "blank line" if paragraphs else "file" if whole_files else None,
        "column": column,
        "min_count": min_count,
        "validation_fraction": validation_fraction,
        "validation_files": validation_file or None,
    }
    check_options(given, source)
    if paragraphs and whole_files:
        raise UsageError("--paragraphs and --files contradict each other; give one of them")
    if resume and overwrite:
        raise UsageError("--resume and --overwrite contradict each other; give one of them")
    if dry_run and (resume or log):
        raise UsageError("--dry-run writes nothing and begins anew; leave out --resume and --log")
    if not resume and not corpus:
        raise UsageError("name a text file to train on, or - for stdin; for example: rnn train corpus.txt")
    check_written(model, log, [*(corpus or []), *(validation_file or [])], base)
    cores = thread_count(threads, quiet)
    announce_compiling(quiet)
    if dry_run:
        with TrainingDisplay(quiet) as display:
            source = {"paths": corpus, **source, "random_seed": random_seed(random_seed_option)}
            trainer = start_run(given, source, base, cores, display)
            note_seed(source, random_seed_option, display)
            print_plan(trainer)
        return
    check_writable(model)
    with lock(model), TrainingDisplay(quiet) as display:
        sweep_stale(model)
        if resume:
            trainer, source = resume_run(
                model, corpus, {**given, **source, "from": base, "random_seed": random_seed_option}, cores, display
            )
            check_written(model, log, source["paths"] + (source["validation_files"] or []))
        else:
            if model.exists() and not overwrite:
                raise UsageError(
                    f"{model} exists already; go on with it (--resume), replace it (--overwrite) "
                    "or name another (-m FILE)"
                )
            if log and log.is_file() and log.stat().st_size and not overwrite:
                raise UsageError(f"the log {log} exists already; replace it (--overwrite) or name another")
            source = {"paths": corpus, **source, "random_seed": random_seed(random_seed_option)}
            trainer = start_run(given, source, base, cores, display)
            note_seed(source, random_seed_option, display)
        run(trainer, source, model, log, resume, display)


def check_written(model: Path, log: Path | None, texts: list[str], base: Path | None = None) -> None:
    """Raise UsageError where the model or the log would replace what is read, or the one the other."""
    from rnn_cli.atomic_files import is_same

    if any(is_same(model, text) for text in texts):
        raise UsageError(f"the model {model} would replace a text that is read; name another file with -m")
    if log and any(is_same(log, path) for path in (*texts, model, base) if path):
        raise UsageError(f"--log {log} would replace a file that is read, or the model; name another file")


def note_seed(source: dict[str, Any], chosen: int | None, display: TrainingDisplay) -> None:
    """Tell the random seed where it was drawn."""
    if chosen is None:
        display.note(f"random seed {source['random_seed']}")


def check_options(given: dict[str, Any], source: dict[str, Any]) -> None:
    """Raise UsageError for options that are out of range or contradict each other, before anything is read."""
    from rnn_cli.config import check_range
    from rnn_cli.network.config import NetworkConfig
    from rnn_cli.training.config import TrainingConfig

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
    if source["separator"] and source["lines"] is not None:
        raise UsageError("--paragraphs and --files say what a text is, as --lines and --stream do; give one of them")
    if source["as_bytes"] and (source["separator"] or source["min_count"] is not None):
        raise UsageError("--bytes has neither paragraphs nor rare characters; leave one of the two out")
    if source["min_count"] is not None:
        check_range("min-count", source["min_count"], 1, 10**9)
    if source["validation_fraction"] is not None:
        check_range("validation-fraction", source["validation_fraction"], 0.0, 0.9)
        if source["validation_files"]:
            raise UsageError("--validation-fraction and --validation-file contradict each other; give one of them")
