"""rnn predict: a text and a model -> the next symbols, at its end or at each of its symbols."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Annotated

import typer

from rnn_cli.cli.options import DEFAULT_MODEL, Json, Label, ModelPath, Quiet, announce_compiling
from rnn_cli.config import check_range

if TYPE_CHECKING:
    from rnn_cli.language.prediction import Prediction
    from rnn_cli.text.codecs import Codec


def predict(
    text: Annotated[str, typer.Argument(help="The text so far.", show_default=False)],
    model: ModelPath = DEFAULT_MODEL,
    label: Label = None,
    top: Annotated[int, typer.Option("--top", help="Number of symbols to print.")] = 5,
    each: Annotated[bool, typer.Option("--each", help="At each symbol of the text, not only at its end.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Print the most probable next symbols with their probabilities.

    Example: rnn predict --each namaskar
    """
    check_range("top", top, 1, 1_114_113)

    from rnn_cli.checkpoint.checkpoint import load_checkpoint
    from rnn_cli.display.stdout import TextWriter
    from rnn_cli.display.tables import bars, walk
    from rnn_cli.language.prediction import predictions
    from rnn_cli.tasks.labelled.model import language_model
    from rnn_cli.text.documents import Document, text_for

    checkpoint = language_model(load_checkpoint(model), label)
    codec = checkpoint.codec
    announce_compiling(quiet)
    steps = predictions(checkpoint, text_for(codec, Document("the text", os.fsencode(text))), top)
    writer = TextWriter()
    if as_json:
        shown = steps if each else steps[-1:]
        objects = [describe(codec, step, each) for step in shown]
        writer.write_line(json.dumps(objects if each else objects[0]))
    elif each:
        writer.write_line(walk([with_names(codec, step) for step in steps]))
    else:
        writer.write_line(bars([(codec.name(symbol), p) for symbol, p in steps[-1].expected]))
    writer.close()


def with_names(codec: Codec, step: Prediction) -> tuple[str, str | None, float | None, list[tuple[str, float]]]:
    """Return a step with names for its symbols: (symbol read, next symbol, its probability, expected symbols)."""
    read = "start" if step.read is None else codec.name(step.read)
    came = None if step.came is None else codec.name(step.came)
    return read, came, step.probability, [(codec.name(symbol), p) for symbol, p in step.expected]


def describe(codec: Codec, step: Prediction, each: bool) -> dict[str, object]:
    """Return a step as --json prints it."""
    read, came, probability, expected = with_names(codec, step)
    seen = {"read": read, "came": came, "probability": probability} if each else {}
    return {**seen, "expected": [{"symbol": symbol, "probability": p} for symbol, p in expected]}
