"""rnn classify: lines and a classifier, or several language models -> a label for each line."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rnn_cli.cli.options import (
    DEFAULT_MODEL,
    Json,
    Quiet,
    Shard,
    Threads,
    announce_compiling,
    model_files,
    note,
    thread_count,
)
from rnn_cli.config import check_range
from rnn_cli.errors import UsageError
from rnn_cli.text.shards import parts_of, shard_of

if TYPE_CHECKING:
    from rnn_cli.display.stdout import TextWriter
    from rnn_cli.tasks.classify.labelling import Labeller


def classify(
    file: Annotated[str, typer.Argument(help="A text file, or - for stdin.")] = "-",
    models: Annotated[
        list[Path] | None,
        typer.Option(
            "--model",
            "-m",
            help="A classifier, or two or more language models, whose names are the labels.",
            show_default=False,
            autocompletion=model_files,
        ),
    ] = None,
    labelled: Annotated[
        bool, typer.Option("--labels", help="Lines are label TAB line: print the accuracy and a confusion table.")
    ] = False,
    top: Annotated[int, typer.Option("--top", help="Print the N most probable labels of each line.")] = 1,
    threshold: Annotated[
        float | None, typer.Option("--threshold", help="Print ? for a margin of less than this many bits.")
    ] = None,
    jsonl: Annotated[
        bool, typer.Option("--jsonl", help="Print a JSON object for each line, with probabilities.")
    ] = False,
    as_json: Json = False,
    shard: Shard = None,
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Label each line: with a classifier (rnn train --task classify), or the most probable of language models.

    Prints label TAB margin TAB line; the margin is in bits over the second label.

    Example: rnn classify -m stars.safetensors -m dinosaurs.safetensors names.txt
    """
    paths = models or default_model()
    names = [path.stem for path in paths]
    if not paths:
        raise UsageError("name a classifier with -m, or two models or more that write text")
    if len(set(names)) < len(names):
        raise UsageError(f"two models have the same label, '{Counter(names).most_common(1)[0][0]}'; rename a file")
    if as_json and not labelled:
        raise UsageError("--json is for --labels; give both, or --jsonl")
    others = {"--jsonl": jsonl, "--top": top != 1, "--threshold": threshold is not None, "--shard": shard is not None}
    if labelled and any(others.values()):
        given = next(name for name, is_given in others.items() if is_given)
        raise UsageError(f"{given} and --labels contradict each other; give one of them")
    check_range("top", top, 1, 10**6)
    if threshold is not None:
        check_range("threshold", threshold, 0.0, 1e9)
    wanted = shard_of(shard)
    cores = thread_count(threads, quiet)

    from rnn_cli.checkpoint.checkpoint import load_checkpoint
    from rnn_cli.display.stdout import TextWriter, visible
    from rnn_cli.tasks.classify.labelling import labeller
    from rnn_cli.text.documents import numbered_lines

    parts = parts_of([file], wanted)
    checkpoints = [load_checkpoint(path) for path in paths]
    announce_compiling(quiet)
    labels = labeller(checkpoints, names, cores)
    writer = TextWriter()
    if labelled:
        report(labels, file, writer, as_json)
    else:
        for path, part in parts:
            for number, lines in numbered_lines(path, part, counted=jsonl):
                show(labels, lines, number, writer, jsonl=jsonl, top=top, threshold=threshold or 0.0)
    writer.close()
    for label, unknown in zip(names, labels.unknown):
        if unknown:
            note(visible(f"unknown to {label}: {unknown.describe()}"), quiet)


def default_model() -> list[Path]:
    """Return the model that other commands read without -m, if there is one."""
    path = Path(os.environ.get("RNN_MODEL") or DEFAULT_MODEL)
    return [path] if path.exists() else []


def show(
    labeller: Labeller,
    lines: list[bytes],
    number: int,
    writer: TextWriter,
    *,
    jsonl: bool,
    top: int,
    threshold: float,
) -> None:
    """Print the labels of each line; `number` is that of the first line."""
    from rnn_cli.tasks.classify.labelling import UNSURE, object_of, rank

    # A file name may hold what separates the columns and the rows.
    names = [
        label.replace("\t", "\\t").replace("\n", "\\n").encode("utf-8", "surrogateescape") for label in labeller.labels
    ]
    for index, (line, ranking) in enumerate(zip(lines, rank(labeller, lines, top))):
        if jsonl:
            writer.write_line(
                json.dumps({"line": number + index, **object_of(labeller, line, ranking, top, threshold)})
            )
            continue
        for place, (each, distance) in enumerate(zip(ranking.best[:top], ranking.behind)):
            name = names[each] if place or ranking.margin >= threshold else UNSURE.encode()
            writer.write(b"%s\t%.4f\t%s\n" % (name, -distance if place else ranking.margin, line))
    writer.flush()


def report(labeller: Labeller, file: str, writer: TextWriter, as_json: bool) -> None:
    """Print the accuracy on labelled lines, and a confusion table."""
    from rnn_cli.display.tables import confusion_table
    from rnn_cli.text.documents import read_lines

    labels = labeller.labels
    confusion = labeller.confusion(read_lines(file))
    count, right = sum(map(sum, confusion)), sum(row[index] for index, row in enumerate(confusion))
    if as_json:
        values = {"lines": count, "right": right, "accuracy": right / count, "labels": labels, "confusion": confusion}
        writer.write_line(json.dumps(values))
    else:
        writer.write_line(f"{right:,} of {count:,} lines are right: {right / count:.1%}")
        writer.write_line(confusion_table(labels, confusion))
