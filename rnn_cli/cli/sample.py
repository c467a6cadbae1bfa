"""rnn sample: a prompt and a model -> texts on stdout."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from rnn_cli.cli.options import (
    COMPUTATION,
    DEFAULT_MODEL,
    OUTPUT,
    ModelPath,
    Precision,
    Quiet,
    RandomSeed,
    Threads,
    announce_compiling,
    note,
    precision_for,
    seed_or_random,
    thread_count,
    with_options,
)
from rnn_cli.config import check_range
from rnn_cli.errors import UsageError
from rnn_cli.language.config import LENGTH, SamplingConfig

if TYPE_CHECKING:
    from rnn_cli.language.candidates import GeneratedText
    from rnn_cli.text.codecs import Codec
    from rnn_cli.text.documents import Document

PROMPT = "The prompt"


@with_options(SamplingConfig)
def sample(
    seed: Annotated[
        str | None,
        typer.Option("--seed", "--prompt", help="The text to continue.", show_default=False, rich_help_panel=PROMPT),
    ] = None,
    seed_file: Annotated[
        str | None,
        typer.Option("--seed-file", help="A file with the prompt, or - for stdin.", rich_help_panel=PROMPT),
    ] = None,
    seeds: Annotated[
        str | None,
        typer.Option(
            "--seeds", help="A file of prompts, or - for stdin; each line is continued.", rich_help_panel=PROMPT
        ),
    ] = None,
    unknown: Annotated[
        Literal["error", "skip"],
        typer.Option(
            "--unknown", help="What to do with a character of the prompt unknown to the model.", rich_help_panel=PROMPT
        ),
    ] = "error",
    count: Annotated[
        int, typer.Option("--count", "-n", help="How many texts for each prompt.", rich_help_panel=LENGTH)
    ] = 1,
    stop: Annotated[
        str, typer.Option("--stop", help="End at this text.", show_default=False, rich_help_panel=LENGTH)
    ] = "",
    model: ModelPath = DEFAULT_MODEL,
    no_echo: Annotated[bool, typer.Option("--no-echo", help="Leave the prompt out.", rich_help_panel=OUTPUT)] = False,
    jsonl: Annotated[
        bool, typer.Option("--jsonl", help="Print one JSON object for each text.", rich_help_panel=OUTPUT)
    ] = False,
    raw: Annotated[
        bool,
        typer.Option(
            "--raw", help="No final newline; control characters and bytes as sampled.", rich_help_panel=OUTPUT
        ),
    ] = False,
    precision: Annotated[
        Precision,
        typer.Option(
            "--precision",
            help="bfloat16 is faster, mostly for many texts; a random seed gives other texts.",
            rich_help_panel=COMPUTATION,
        ),
    ] = "float32",
    random_seed: RandomSeed = None,
    threads: Threads = None,
    quiet: Quiet = False,
    **values: Any,
) -> None:
    """Generate text, continuing a prompt if there is one.

    Example: rnn sample --seed "nama" -n 5
    """
    sources = {"--seed": seed, "--seed-file": seed_file, "--seeds": seeds}
    given = [name for name, value in sources.items() if value is not None]
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} contradict each other; give one of them")
    check_range("count", count, 1, 10**9)
    values["forbid"] = os.fsencode(values["forbid"]).decode()
    config = SamplingConfig(
        **values, valid_utf8=not raw, precision=precision_for(precision), random_seed=seed_or_random(random_seed)
    )
    cores = thread_count(threads)

    from rnn_cli.checkpoint.checkpoint import load_checkpoint
    from rnn_cli.display.stdout import TextWriter
    from rnn_cli.language.sampling import CHUNK, Sampler
    from rnn_cli.text.documents import Document, text_for

    checkpoint = load_checkpoint(model)
    codec = checkpoint.codec
    announce_compiling(quiet)
    sampler = Sampler(
        checkpoint,
        text_for(codec, read_seed(seed, seed_file, codec.line_mode)) if seeds is None else read_seeds(seeds, codec),
        config,
        stop=text_for(codec, Document("the stop text", os.fsencode(stop))),
        unknown=unknown,
        threads=cores,
    )
    if random_seed is None and config.temperature > 0:
        note(f"random seed {config.random_seed}", quiet)
    writer = TextWriter(raw=raw)
    end = b"" if raw else b"\n"

    if jsonl:
        for text in sampler.texts(count):
            writer.write_line(json.dumps(describe(codec, text)))
    else:
        for piece in sampler.pieces(count, 1 if writer.terminal else CHUNK):
            echo = codec.decode(piece.text.prompt.ids) if piece.first and not no_echo else b""
            writer.write(echo + piece.data + (end if piece.last else b""))
    writer.close()


def read_seed(seed: str | None, seed_file: str | None, line_mode: bool) -> Document:
    """Return the prompt: the option, the file, stdin if it is not a terminal, or nothing.

    In line mode, the newline that ends a file is not part of the prompt.
    """
    from rnn_cli.text.documents import Document, read_documents

    if seed is not None:
        return Document("the seed", os.fsencode(seed))
    if seed_file is None and (sys.stdin is None or sys.stdin.isatty()):
        return Document("the seed", b"")
    (document,) = read_documents(["-" if seed_file is None else seed_file])
    return Document("the seed", document.data.removesuffix(b"\n")) if line_mode else document


def read_seeds(path: str, codec: Codec) -> list[str | bytes]:
    """Return the lines of a file as prompts; an empty line is the learned start."""
    from rnn_cli.text.documents import Document, read_documents, text_for

    (document,) = read_documents([path])
    if not document.data:
        raise UsageError(f"{document.name} is empty; give a prompt on each line")
    lines = document.data.removesuffix(b"\n").split(b"\n")
    return [
        text_for(codec, Document(f"line {number:,} of {document.name}", line)) for number, line in enumerate(lines, 1)
    ]


def describe(codec: Codec, text: GeneratedText) -> dict[str, object]:
    """Return what --jsonl prints of a text."""
    return {
        "seed": codec.decode(text.prompt.ids).decode("utf-8", errors="replace"),
        "text": codec.decode(text.symbols).decode("utf-8", errors="replace"),
        "characters": len(text.symbols),
        "bits_per_char": text.bits_per_char,
        "stopped": text.stopped,
    }
