"""rnn classify: lines and several models -> for each line, the model that gives it the highest probability."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rnn_cli.cli.options import Json, Quiet, Threads, announce_compiling, model_files, note, thread_count
from rnn_cli.errors import UsageError

if TYPE_CHECKING:
    from rnn_cli.display.stdout import TextWriter
    from rnn_cli.language.classification import Classifier


def classify(
    file: Annotated[str, typer.Argument(help="A text file, or - for stdin.")] = "-",
    models: Annotated[
        list[Path] | None,
        typer.Option(
            "--model",
            "-m",
            help="A model file; give two or more. Its name is the label.",
            show_default=False,
            autocompletion=model_files,
        ),
    ] = None,
    labelled: Annotated[
        bool, typer.Option("--labels", help="Lines are label TAB line: print the accuracy and a confusion table.")
    ] = False,
    jsonl: Annotated[bool, typer.Option("--jsonl", help="Print a JSON object for each line.")] = False,
    as_json: Json = False,
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Label each line with the most probable of several models.

    Prints label TAB margin TAB line; the margin is in bits over the second label.

    Example: rnn classify -m stars.safetensors -m dinosaurs.safetensors names.txt
    """
    paths = models or []
    labels = [path.stem for path in paths]
    if len(paths) < 2:
        raise UsageError("classify compares two models or more; name each with -m")
    if len(set(labels)) < len(labels):
        raise UsageError(f"two models have the same label, '{Counter(labels).most_common(1)[0][0]}'; rename a file")
    if as_json and not labelled:
        raise UsageError("--json is for --labels; give both, or --jsonl")
    if jsonl and labelled:
        raise UsageError("--jsonl and --labels contradict each other; give one of them")
    cores = thread_count(threads, quiet)

    from rnn_cli.checkpoint.checkpoint import load_checkpoint
    from rnn_cli.display.stdout import TextWriter
    from rnn_cli.language.classification import Classifier
    from rnn_cli.text.documents import read_lines

    checkpoints = [load_checkpoint(path) for path in paths]
    announce_compiling(quiet)
    classifier = Classifier(checkpoints, cores)
    writer = TextWriter()
    if labelled:
        report(classifier, labels, file, writer, as_json)
    else:
        number = 1
        for lines in read_lines(file):
            show(classifier, labels, lines, number, writer, jsonl)
            number += len(lines)
    writer.close()
    for label, unknown in zip(labels, classifier.unknown):
        if unknown:
            note(f"unknown to {label}: {unknown.describe()}", quiet)


def show(
    classifier: Classifier, labels: list[str], lines: list[bytes], number: int, writer: TextWriter, jsonl: bool
) -> None:
    """Print the label of each line; `number` is that of the first line."""
    all_bits = classifier.bits(lines)
    ordered = all_bits.copy()
    ordered.sort(axis=0)
    margins = (ordered[1] - ordered[0]).tolist()
    # A file name may hold what separates the columns and the rows.
    names = [os.fsencode(label.replace("\t", "\\t").replace("\n", "\\n")) for label in labels]
    for index, (line, best, margin) in enumerate(zip(lines, all_bits.argmin(axis=0).tolist(), margins)):
        if jsonl:
            scores = dict(zip(labels, all_bits[:, index].tolist()))
            values = {"line": number + index, "text": line.decode("utf-8", "replace"), "label": labels[best]}
            writer.write_line(json.dumps({**values, "margin_bits": margin, "bits": scores}))
        else:
            writer.write(b"%s\t%.4f\t%s\n" % (names[best], margin, line))
    writer.flush()


def report(classifier: Classifier, labels: list[str], file: str, writer: TextWriter, as_json: bool) -> None:
    """Print the accuracy on labelled lines, and a confusion table."""
    from rnn_cli.display.tables import confusion_table
    from rnn_cli.language.classification import confusion_of
    from rnn_cli.text.documents import read_lines

    confusion = confusion_of(classifier, labels, read_lines(file))
    count, right = sum(map(sum, confusion)), sum(row[index] for index, row in enumerate(confusion))
    if as_json:
        values = {"lines": count, "right": right, "accuracy": right / count, "labels": labels, "confusion": confusion}
        writer.write_line(json.dumps(values))
    else:
        writer.write_line(f"{right:,} of {count:,} lines are right: {right / count:.1%}")
        writer.write_line(confusion_table(labels, confusion))
