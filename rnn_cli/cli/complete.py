"""rnn complete: a prefix and a model -> the most probable continuations."""

from __future__ import annotations

import json
import os
from typing import Annotated

import typer

from rnn_cli.cli.options import DEFAULT_MODEL, Json, Label, ModelPath, Quiet, Threads, announce_compiling, thread_count
from rnn_cli.config import check_range


def complete(
    prefix: Annotated[str, typer.Argument(help="The text so far.", show_default=False)],
    model: ModelPath = DEFAULT_MODEL,
    label: Label = None,
    count: Annotated[int, typer.Option("--count", "-n", help="Number of completions.")] = 5,
    length: Annotated[
        int, typer.Option("--length", "-l", help="New characters of each, or words; a line may end earlier.")
    ] = 40,
    plain: Annotated[bool, typer.Option("--plain", help="Leave out the probabilities.")] = False,
    no_echo: Annotated[bool, typer.Option("--no-echo", help="Leave out the prefix.")] = False,
    as_json: Json = False,
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Print the most probable completions: probability TAB text.

    Example: rnn complete "nam" -n 3
    """
    check_range("count", count, 1, 1000)
    check_range("length", length, 1, 10_000)
    cores = thread_count(threads, quiet)

    from rnn_cli.checkpoint.checkpoint import load_checkpoint
    from rnn_cli.display.stdout import TextWriter
    from rnn_cli.language.beam_search import complete as completions_of
    from rnn_cli.tasks.labelled.model import language_model
    from rnn_cli.text.codecs import BOUNDARY
    from rnn_cli.text.documents import Document, text_for

    checkpoint = language_model(load_checkpoint(model), label)
    codec = checkpoint.codec
    announce_compiling(quiet)
    start = text_for(codec, Document("the prefix", os.fsencode(prefix)))
    found = completions_of(checkpoint, start, count, length, threads=cores)
    ids = codec.encode_prompt(start, what="the prefix")
    last = int(ids[-1]) if len(ids) else BOUNDARY
    writer = TextWriter()
    if as_json:
        completions = [
            {
                "completion": codec.decode_after(last, completion.symbols).decode("utf-8", "replace"),
                "probability": completion.probability,
                "stopped": "end" if completion.ended else "length",
            }
            for completion in found
        ]
        writer.write_line(json.dumps({"prefix": prefix, "completions": completions}))
    else:
        for completion in found:
            share = b"" if plain else f"{completion.probability:.4g}\t".encode()
            echo = b"" if no_echo else codec.decode(ids)
            writer.write(share + echo + codec.decode_after(last, completion.symbols) + b"\n")
    writer.close()
