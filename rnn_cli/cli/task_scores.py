"""rnn evaluate for models that answer: right answers are compared with those of the file."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from rnn_cli.cli.options import note

if TYPE_CHECKING:
    from rnn_cli.checkpoint.checkpoint import Checkpoint

WIDEST_TABLE = 20  # labels of a confusion table that people read; a larger one is in --json


def evaluate_classifier(
    checkpoint: Checkpoint, paths: list[str], model: str, *, as_json: bool, threads: int, quiet: bool
) -> None:
    """Print how many labels are right, and which are taken for which."""
    from rnn_cli.display.stdout import TextWriter
    from rnn_cli.display.tables import confusion_table, key_values
    from rnn_cli.tasks.classify.model import TextClassifier
    from rnn_cli.tasks.classify.scores import score_labelled
    from rnn_cli.tasks.labelled_texts import read_labelled

    classifier = TextClassifier(checkpoint, threads)
    scores = score_labelled(classifier, read_labelled(paths))
    if scores.unknown_labels:
        count = len(scores.unknown_labels)
        note(
            f"{count:,} label{'s are' if count > 1 else ' is'} not known to the model, as "
            f"'{scores.unknown_labels[0]}'; the texts count as wrong",
            quiet,
        )
    if scores.unknown_characters:
        note(f"unknown characters: {classifier.unknown.describe()}", quiet)
    writer = TextWriter()
    if as_json:
        writer.write_line(json.dumps({"model": model, **scores.to_dict()}))
    else:
        baseline = scores.baseline
        rows = [
            ("right", f"{scores.right:,} of {scores.texts:,} texts: {scores.accuracy:.1%}"),
            (f"always '{baseline['label']}'", f"{baseline['accuracy']:.1%}"),
            ("macro F1", f"{scores.macro_f1:.3f}"),
        ]
        if scores.bits_per_text is not None:
            rows.append(("bits per text", f"{scores.bits_per_text:.4f}"))
        writer.write_line(key_values(rows))
        if len(scores.labels) <= WIDEST_TABLE:
            writer.write_line("\n" + confusion_table(scores.labels, scores.confusion.tolist()))
    writer.close()


def evaluate_labelled(
    checkpoint: Checkpoint, paths: list[str], model: str, *, as_json: bool, threads: int, quiet: bool
) -> None:
    """Print the bits per character of texts given their labels, of each label and of all."""
    from rnn_cli.display.stdout import TextWriter
    from rnn_cli.display.tables import key_values
    from rnn_cli.tasks.labelled.scores import score_labelled
    from rnn_cli.tasks.labelled_texts import read_labelled

    scores = score_labelled(checkpoint, read_labelled(paths), threads)
    for label in scores.unknown_labels[:1]:
        note(f"texts of {len(scores.unknown_labels):,} labels that the model lacks are left out, as '{label}'", quiet)
    writer = TextWriter()
    if as_json:
        writer.write_line(json.dumps({"model": model, **scores.to_dict()}))
    else:
        rows = [
            ("bits per character", f"{scores.bits_per_char:.4f} given the label"),
            ("by shares of characters", f"{scores.unigram_bits:.4f}"),
            ("characters", f"{scores.characters:,} of {scores.texts:,} texts"),
            *((f"  {label}", f"{bits:.4f}  {texts:,} texts") for label, (texts, _, bits) in scores.by_label.items()),
        ]
        writer.write_line(key_values(rows))
    writer.close()


TASKS: dict[str, Callable[..., None]] = {"classify": evaluate_classifier, "labelled": evaluate_labelled}
