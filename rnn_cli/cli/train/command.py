"""rnn train: options -> request -> training -> display, log and file."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any

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
    thread_count,
    with_options,
)
from rnn_cli.cli.train.launcher import launched
from rnn_cli.cli.train.request import TaskName, TrainRequest
from rnn_cli.display.progress import TrainingDisplay
from rnn_cli.errors import UsageError
from rnn_cli.network.config import NetworkConfig
from rnn_cli.training.config import TrainingConfig

TEXT, SYMBOLS, SERIES = "The text", "The symbols", "The series"


@with_options(NetworkConfig, TrainingConfig, given_only=True)
def train(
    context: typer.Context,
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="[corpus]...", help="Text files, directories, or - for stdin.", show_default=False),
    ] = None,
    task: Annotated[
        TaskName | None,
        typer.Option(
            "--task",
            help="Learn from label TAB text, token TAB tag, source TAB target, or series; default: to write.",
            show_default=False,
            rich_help_panel=TEXT,
        ),
    ] = None,
    labelled: Annotated[
        bool,
        typer.Option(
            "--labelled", help="Learn from lines of label TAB text to write texts of a label.", rich_help_panel=TEXT
        ),
    ] = False,
    line_mode: Annotated[
        bool | None,
        typer.Option(
            "--lines/--stream",
            help="Each line is a text of its own, or all is one text; default: detected.",
            rich_help_panel=TEXT,
        ),
    ] = None,
    paragraphs: Annotated[
        bool,
        typer.Option("--paragraphs", help="Each text ends at a blank line.", rich_help_panel=TEXT),
    ] = False,
    whole_files: Annotated[
        bool, typer.Option("--files", help="Each file is a text of its own.", rich_help_panel=TEXT)
    ] = False,
    column: Annotated[
        str | None,
        typer.Option(
            "--column",
            help="The column of CSV or TSV, the field of JSON lines, or for tags of CoNLL-U (xpos).",
            rich_help_panel=TEXT,
        ),
    ] = None,
    min_count: Annotated[
        int | None,
        typer.Option(
            "--min-count", help="Leave characters, or words, out that occur less often.", rich_help_panel=SYMBOLS
        ),
    ] = None,
    words: Annotated[
        bool,
        typer.Option(
            "--words", help="Symbols are words between blanks, and a line is a sentence.", rich_help_panel=SYMBOLS
        ),
    ] = False,
    vocabulary: Annotated[
        int | None,
        typer.Option(
            "--vocabulary", help="Most frequent words to know; default: those seen twice.", rich_help_panel=SYMBOLS
        ),
    ] = None,
    target_words: Annotated[
        bool | None,
        typer.Option(
            "--target-words/--target-characters",
            help="To translate: blanks separate the symbols of a target, or each character is one; default: detected.",
            rich_help_panel=SYMBOLS,
        ),
    ] = None,
    tokens: Annotated[
        str | None,
        typer.Option(
            "--tokens",
            help="Symbols of several characters: smiles, graphemes, or a file with one on each line.",
            show_default=False,
            rich_help_panel=SYMBOLS,
        ),
    ] = None,
    as_bytes: Annotated[
        bool | None,
        typer.Option("--bytes", help="Symbols are bytes, so that any file will do.", rich_help_panel=SYMBOLS),
    ] = None,
    horizon: Annotated[
        int | None,
        typer.Option("--horizon", help="Values to forecast; default: two seasons.", rich_help_panel=SERIES),
    ] = None,
    season: Annotated[
        int | None,
        typer.Option("--season", help="Steps of a season; default: by times, autocorrelation.", rich_help_panel=SERIES),
    ] = None,
    quantiles: Annotated[
        str | None,
        typer.Option(
            "--quantiles",
            help="Forecast these quantiles, as 0.1,0.5,0.9; default: the mean.",
            show_default=False,
            rich_help_panel=SERIES,
        ),
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
            help="Start from the weights of this model (fine-tuning); a classifier starts from a language model.",
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
    mpi: Annotated[
        bool,
        typer.Option(
            "--mpi", help="Share the batches with the other processes of mpiexec or srun.", rich_help_panel=COMPUTATION
        ),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Print what would be chosen and how long it would take.", rich_help_panel=GENERAL
        ),
    ] = False,
    plot: Annotated[
        bool,
        typer.Option("--plot", help="Show the curve of the loss: live on a terminal.", rich_help_panel=GENERAL),
    ] = False,
    quiet: Quiet = False,
    **given: Any,
) -> None:
    """Train a model on text.

    Values marked as chosen fit the text, the machine and the time; each is printed with its reason.

    Example: rnn train corpora/stars.txt
    """
    party = None
    if mpi or launched().size > 1:
        from rnn_cli.cli.train.ranks import follow, gather

        party = gather(mpi)
        if party.rank:
            return follow(party, threads, until_stopped=dry_run)
    if precision != "auto":
        given["precision"] = precision
    request = TrainRequest(
        files=tuple(files or ()),
        validation_files=tuple(validation_files or ()),
        validation_fraction=validation_fraction,
        line_mode=line_mode,
        as_bytes=as_bytes or None,
        paragraphs=paragraphs or None,
        whole_files=whole_files or None,
        column=column,
        min_count=min_count,
        words=words or None,
        target_words=target_words,
        vocabulary=vocabulary,
        tokens=tokens,
        horizon=horizon,
        season=season,
        quantiles=quantiles,
        base=base,
        random_seed=random_seed,
        task="labelled" if labelled else task,
        values={name: value for name, value in given.items() if value is not None},
    )
    if task and labelled:
        raise UsageError("--task and --labelled contradict each other; give one of them")
    request.check()
    if resume and overwrite:
        raise UsageError("--resume and --overwrite contradict each other; give one of them")
    if dry_run and (resume or log or plot):
        raise UsageError("--dry-run trains nothing and starts afresh; leave out --resume, --log and --plot")
    if not resume and not files:
        raise UsageError("name a text file to train on, or - for stdin; for example: rnn train corpus.txt")
    cores = thread_count(threads, quiet)
    if party:
        cores = cores if threads else party.threads
    announce_compiling(quiet)
    with TrainingDisplay(quiet, partial(in_options, parameters=context.command.params), plotted=plot) as display:
        if party:
            request = party.completed(request, display, resume=resume)
        if dry_run:
            from rnn_cli.cli.train.dry_run import print_plan

            print_plan(request, model, cores, display, party)
        else:
            from rnn_cli.cli.train.run import run

            execute = context.obj or run  # rnn sweep trains in its own way
            execute(
                request, model, log, resume=resume, overwrite=overwrite, threads=cores, display=display, party=party
            )
