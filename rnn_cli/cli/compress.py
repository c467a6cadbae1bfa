"""rnn compress and rnn decompress: a file and perhaps a model -> a smaller file, and back."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from rnn_cli.cli.options import (
    COMPUTATION,
    MODEL_FILE,
    OUTPUT,
    Quiet,
    Threads,
    announce_compiling,
    model_files,
    note,
    thread_count,
)
from rnn_cli.errors import UsageError

SUFFIX = ".rnnz"
File = Annotated[str, typer.Argument(help="The file; - is stdin.", show_default=False)]
Output = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        help=f"The file to write, - for stdout; default: FILE with or without {SUFFIX}.",
        show_default=False,
        rich_help_panel=OUTPUT,
    ),
]
SharedModel = Annotated[
    Path | None,
    typer.Option(
        "--model",
        "-m",
        help="A model that both sides have; default: none, only contexts that learn from the file.",
        show_default=False,
        autocompletion=model_files,
        rich_help_panel=MODEL_FILE,
    ),
]
Learn = Annotated[
    bool,
    typer.Option(
        "--learn",
        help="Let a network learn from the file, too: smaller, slower, and only for machines of this kind.",
        rich_help_panel=COMPUTATION,
    ),
]


def compress(
    file: File,
    output: Output = None,
    model: SharedModel = None,
    learn: Learn = False,
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Compress a file by arithmetic coding with a model's probabilities.

    Example: rnn compress corpora/stars.txt -o stars.rnnz
    """
    from rnn_cli.language.compression import compress as compressed

    if learn and model:
        raise UsageError("--learn needs no model, and --model has learned already; give one of them")
    target = output or ("-" if file == "-" else file + SUFFIX)
    if target == "-" and sys.stdout.isatty():
        raise UsageError("compressed bytes do not belong on a terminal; name a file with --output")
    transform(file, target, model, quiet, partial(compressed, learn=learn, threads=thread_count(threads, quiet)))


def decompress(
    file: File,
    output: Output = None,
    model: SharedModel = None,
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Restore the exact content of a file of rnn compress; give the same model.

    Example: rnn decompress stars.rnnz -o stars.txt
    """
    from rnn_cli.language.compression import decompress as decompressed

    if output is None and file != "-" and not file.endswith(SUFFIX):
        raise UsageError(f"{file} does not end in {SUFFIX}; name the file to write with --output")
    target = output or ("-" if file == "-" else file.removesuffix(SUFFIX))
    transform(file, target, model, quiet, partial(decompressed, threads=thread_count(threads, quiet)))


def transform(file: str, target: str, model: Path | None, quiet: bool, change: Callable[..., bytes]) -> None:
    """Read a file, change its content, and write the result at once."""
    from rnn_cli.atomic_files import check_writable, is_same, write_atomically
    from rnn_cli.checkpoint.checkpoint import load_checkpoint
    from rnn_cli.display.stdout import TextWriter
    from rnn_cli.text.documents import read_content

    for name, path in (("the file", Path(file)), ("the model", model)):
        if target != "-" and path is not None and is_same(Path(target), path):
            raise UsageError(f"{target} is {name} itself; choose another file with --output")
    if target != "-":
        check_writable(Path(target))
    checkpoint = load_checkpoint(model) if model else None
    content = read_content(file)
    announce_compiling(quiet)
    began = time.monotonic()
    result = change(content, checkpoint)
    seconds = max(time.monotonic() - began, 1e-3)
    if target == "-":
        writer = TextWriter()
        writer.write(result, final=True)
        writer.close()
    else:
        write_atomically(target, result)
    longer = max(len(content), len(result))
    note(f"{len(content):,} -> {len(result):,} bytes, {longer / seconds / 1000:,.0f} KB a second", quiet)
