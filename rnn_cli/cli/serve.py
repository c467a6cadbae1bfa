"""rnn serve: models -> answers to requests, as lines of JSON."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import typer

from rnn_cli.cli.classify import default_model
from rnn_cli.cli.options import (
    COMPUTATION,
    MODEL_FILE,
    Precision,
    Quiet,
    Threads,
    announce_compiling,
    model_files,
    note,
    precision_for,
    thread_count,
    with_options,
)
from rnn_cli.errors import UsageError
from rnn_cli.serving.fields import Limits


@with_options(Limits)
def serve(
    models: Annotated[
        list[Path] | None,
        typer.Option(
            "--model",
            "-m",
            help="A model, by the name of its file; several if it is given several times.",
            show_default=False,
            autocompletion=model_files,
            rich_help_panel=MODEL_FILE,
        ),
    ] = None,
    stdio: Annotated[bool, typer.Option("--stdio", help="Read requests from stdin, one JSON object a line.")] = False,
    precision: Annotated[
        Precision, typer.Option("--precision", help="That of the products.", rich_help_panel=COMPUTATION)
    ] = "float32",
    threads: Threads = None,
    quiet: Quiet = False,
    **values: Any,
) -> None:
    """Answer requests for texts, as JSON lines on stdin and stdout.

    Example: rnn serve --stdio -m model.safetensors
    """
    paths = models or default_model()
    names = [path.stem for path in paths]
    if not stdio:
        raise UsageError("give --stdio: requests are read from stdin")
    if not paths:
        raise UsageError("name a model with -m")
    if len(set(names)) < len(names):
        raise UsageError(f"two models have the same name, '{Counter(names).most_common(1)[0][0]}'; rename a file")
    limits = Limits(**values)
    cores = thread_count(threads, quiet)

    from rnn_cli.checkpoint.checkpoint import load_checkpoint
    from rnn_cli.display.stdout import TextWriter
    from rnn_cli.serving.models import Models
    from rnn_cli.serving.stdio import LineServer

    announce_compiling(quiet)
    served = Models(
        {name: load_checkpoint(path) for name, path in zip(names, paths)}, limits, cores, precision_for(precision)
    )
    writer = TextWriter()

    def write(line: str) -> None:
        writer.write_line(line)
        writer.flush()

    note(f"serving {', '.join(names)}; one request a line", quiet)
    LineServer(served, write).serve(request_lines(sys.stdin.buffer, limits.max_body))
    served.close()
    writer.close()


def request_lines(stream: BinaryIO, limit: int) -> Iterator[bytes]:
    """Yield the lines of a stream as they come; of one of more than `limit` bytes only as much as shows that it is."""
    while line := stream.readline(limit + 2):
        rest = line
        while not rest.endswith(b"\n") and len(rest) > limit:
            rest = stream.readline(limit + 2)
        yield line.removesuffix(b"\n")
