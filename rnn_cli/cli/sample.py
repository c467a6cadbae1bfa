"""rnn sample: a seed and a model -> texts on stdout."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from rnn_cli.cli.options import (
    DEFAULT_MODEL,
    ModelPath,
    Quiet,
    RandomSeed,
    Threads,
    announce_compiling,
    note,
    random_seed,
    thread_count,
)
from rnn_cli.errors import UsageError

if TYPE_CHECKING:
    from rnn_cli.documents import Document
    from rnn_cli.sampling import Text


class Unknown(StrEnum):
    """What to do with a character of the seed that the model has never seen."""

    error = "error"
    skip = "skip"


def sample(
    seed: Annotated[
        str | None, typer.Option("--seed", "--prompt", help="The text to go on from.", show_default=False)
    ] = None,
    seed_file: Annotated[str | None, typer.Option("--seed-file", help="A file with the seed, or - for stdin.")] = None,
    model: ModelPath = DEFAULT_MODEL,
    count: Annotated[int, typer.Option("--count", "-n", help="How many texts.")] = 1,
    length: Annotated[
        int, typer.Option("--length", "-l", help="How many new characters each; a line may end before.")
    ] = 500,
    temperature: Annotated[
        float, typer.Option("--temperature", "-t", help="Less than 1 is safer, more is wilder, 0 is greedy.")
    ] = 1.0,
    top_k: Annotated[
        int, typer.Option("--top-k", help="Draw from the K most probable characters only; 0: from all.")
    ] = 0,
    stop: Annotated[str, typer.Option("--stop", help="End at this text.", show_default=False)] = "",
    no_echo: Annotated[bool, typer.Option("--no-echo", help="Leave the seed out.")] = False,
    unknown: Annotated[
        Unknown, typer.Option("--unknown", help="A seed character that the model does not know.")
    ] = Unknown.error,
    jsonl: Annotated[bool, typer.Option("--jsonl", help="Print one JSON object a text.")] = False,
    raw: Annotated[bool, typer.Option("--raw", help="No final newline, control characters as they are.")] = False,
    random_seed_option: RandomSeed = None,
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Write on from a seed.

    Example: rnn sample --seed "nama" -n 5
    """
    from rnn_cli.config import SamplingConfig, check_range

    if seed is not None and seed_file is not None:
        raise UsageError("--seed and --seed-file contradict each other; give one of them")
    check_range("count", count, 1, 10**9)
    config = SamplingConfig(temperature, top_k, length, random_seed(random_seed_option))
    cores = thread_count(threads)

    from rnn_cli.checkpoint import load_checkpoint
    from rnn_cli.display.text import TextWriter
    from rnn_cli.documents import Document, text_for
    from rnn_cli.sampling import CHUNK, Sampler, Text

    checkpoint = load_checkpoint(model)
    vocabulary = checkpoint.vocabulary
    announce_compiling(quiet)
    start = text_for(vocabulary, read_seed(seed, seed_file, vocabulary.lines))
    sampler = Sampler(
        checkpoint,
        start,
        config,
        stop=text_for(vocabulary, Document("the stop text", stop.encode())),
        unknown=unknown.value,
        threads=cores,
    )
    if random_seed_option is None and temperature > 0:
        note(f"random seed {config.random_seed}", quiet)
    echo = b"" if no_echo else vocabulary.decode(sampler.seed)
    writer = TextWriter(raw=raw)
    end = b"" if raw else b"\n"

    if jsonl:
        for text in sampler.texts(count):
            writer.write_line(
                json.dumps(describe(vocabulary.decode(sampler.seed), vocabulary.decode(text.symbols), text))
            )
    elif count == 1:
        writer.write(echo)
        for piece in sampler.pieces(Text(), 1 if writer.terminal else CHUNK):
            writer.write(piece)
        writer.write(end)
    else:
        for text in sampler.texts(count):
            writer.write(echo + vocabulary.decode(text.symbols) + end)
    writer.close()


def read_seed(seed: str | None, seed_file: str | None, lines: bool) -> Document:
    """Return the seed: the option, the file, stdin where that is no terminal, or nothing.

    Where a line is the text, the newline that ends a file is not part of it.
    """
    from rnn_cli.documents import Document, read_documents

    if seed is not None:
        return Document("the seed", seed.encode())
    if seed_file is None and (sys.stdin is None or sys.stdin.isatty()):
        return Document("the seed", b"")
    (document,) = read_documents(["-" if seed_file is None else seed_file])
    return Document("the seed", document.data.removesuffix(b"\n")) if lines else document


def describe(seed: bytes, written: bytes, text: Text) -> dict[str, object]:
    """Return what --jsonl prints of a text."""
    return {
        "seed": seed.decode("utf-8", errors="replace"),
        "text": written.decode("utf-8", errors="replace"),
        "characters": len(text.symbols),
        "bits_per_char": text.bits_per_char,
        "stopped": text.stopped,
    }
