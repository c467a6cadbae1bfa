"""rnn report: a model and a text -> one self-contained page that shows what the network has learned."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rnn_cli.cli.options import (
    DEFAULT_MODEL,
    OUTPUT,
    Label,
    ModelPath,
    Quiet,
    RandomSeed,
    Threads,
    announce_compiling,
    model_files,
    one_model,
    seed_or_random,
    thread_count,
    was_given,
)
from rnn_cli.cli.output import check_output, write_output
from rnn_cli.errors import UsageError

if TYPE_CHECKING:
    from rnn_cli.checkpoint.checkpoint import Checkpoint


def report(
    context: typer.Context,
    file: Annotated[
        str | None,
        typer.Argument(
            metavar="[MODEL]",
            help="The model file, unless --model names it.",
            show_default=False,
            autocompletion=model_files,
        ),
    ] = None,
    text: Annotated[
        str | None,
        typer.Argument(
            metavar="[TEXT]",
            help="The text to read, a file or -; with labels for a classifier or tagger. Default: the model's own.",
            show_default=False,
        ),
    ] = None,
    model: ModelPath = DEFAULT_MODEL,
    output: Annotated[Path, typer.Option("--output", "-o", help="The page to write.", rich_help_panel=OUTPUT)] = Path(
        "report.html"
    ),
    label: Label = None,
    random_seed: RandomSeed = None,
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Write a page that shows how a model reads a text: surprisal, units, gates, gradients, embedding.

    Example: rnn report model.safetensors corpora/stars.txt -o report.html
    """
    if text is None and was_given(context, "model"):  # then the only argument is the text
        file, text = None, file
    model = one_model(context, None if file is None else Path(file), model)
    check_output(output, (".html", ".htm"), [model, text or "-"])
    seed, cores = seed_or_random(random_seed), thread_count(threads, quiet)

    from rnn_cli.checkpoint.checkpoint import load_checkpoint
    from rnn_cli.cli.info import describe, flatten
    from rnn_cli.inspect.page import page_of
    from rnn_cli.inspect.report import curves
    from rnn_cli.inspect.task_reports import REPORTS

    checkpoint = load_checkpoint(model).as_one_network()
    announce_compiling(quiet)
    task = checkpoint.task["name"]
    if task in REPORTS and label is not None:
        raise UsageError("--label is for a model of rnn train --labelled; leave it out")
    data = REPORTS[task](checkpoint, text, cores) if task in REPORTS else of_language(checkpoint, text, label, seed)
    facts = [row for row in flatten(describe(checkpoint)) if not row[0].startswith(("history", "versions"))]
    data |= {"model": model.name, "facts": facts, "curves": curves(checkpoint)}
    write_output(output, page_of(data), quiet)


def of_language(checkpoint: Checkpoint, path: str | None, label: str | None, random_seed: int) -> dict[str, Any]:
    """Return the report of a model that writes, of texts of a label if it has labels."""
    from rnn_cli.inspect.report import language_report
    from rnn_cli.tasks.labelled.model import language_model
    from rnn_cli.text.documents import read_document, text_for

    own = language_model(checkpoint, label)
    return language_report(own, None if path is None else text_for(own.codec, read_document(path)), random_seed)
