"""rnn evaluate: texts and a model -> scores."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from rnn_cli.cli.options import (
    DEFAULT_MODEL,
    Json,
    ModelPath,
    Quiet,
    Threads,
    announce_compiling,
    thread_count,
)


def evaluate(
    files: Annotated[list[str] | None, typer.Argument(help="Text files, or - for stdin.", show_default=False)] = None,
    model: ModelPath = DEFAULT_MODEL,
    as_json: Json = False,
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Score text: how many bits the model needs for each character.

    Example: rnn evaluate corpora/stars.txt --json
    """
    from rnn_cli.checkpoint import load_checkpoint
    from rnn_cli.display.progress import ScoringDisplay
    from rnn_cli.display.tables import key_values
    from rnn_cli.display.text import TextWriter
    from rnn_cli.documents import read_documents, text_for
    from rnn_cli.evaluation import evaluate_texts

    cores = thread_count(threads)
    checkpoint = load_checkpoint(model)
    announce_compiling(quiet)
    texts = [text_for(checkpoint.vocabulary, document) for document in read_documents(files or ["-"])]
    with ScoringDisplay(quiet, sum(map(len, texts))) as display:
        scores = evaluate_texts(checkpoint, texts, cores, display.advance)
    writer = TextWriter()
    if as_json:
        writer.write_line(json.dumps({"model": str(model), **scores.to_dict()}))
    else:
        writer.write_line(
            key_values(
                [
                    ("bits per character", f"{scores.bits_per_char:.4f}"),
                    ("nats per character", f"{scores.nats_per_char:.4f}"),
                    ("bits per byte", f"{scores.bits_per_byte:.4f}"),
                    ("perplexity", f"{scores.perplexity:.3f}"),
                    ("right at first guess", f"{scores.top1_accuracy:.1%}"),
                    ("right in five guesses", f"{scores.top5_accuracy:.1%}"),
                    ("characters", f"{scores.characters:,} ({scores.unknown:,} unknown)"),
                    ("state", scores.state),
                ]
            )
        )
    writer.close()
