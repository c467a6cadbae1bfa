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
    from rnn_cli.text.documents import Document
    from rnn_cli.text.vocabulary import Vocabulary

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
    from rnn_cli.language.candidates import GeneratedText
    from rnn_cli.language.sampling import CHUNK, Sampler
    from rnn_cli.text.documents import Document, text_for

    checkpoint = load_checkpoint(model)
    vocabulary = checkpoint.codec
    announce_compiling(quiet)
    sampler = Sampler(
        checkpoint,
        text_for(vocabulary, read_seed(seed, seed_file, vocabulary.lines))
        if seeds is None
        else read_seeds(seeds, vocabulary),
        config,
        stop=text_for(vocabulary, Document("the stop text", os.fsencode(stop))),
        unknown=unknown,
        threads=cores,
    )
    if random_seed is None and config.temperature > 0:
        note(f"random seed {config.random_seed}", quiet)
    writer = TextWriter(raw=raw)
    end = b"" if raw else b"\n"

    if jsonl:
        for text in sampler.texts(count):
            writer.write_line(json.dumps(describe(vocabulary, text)))
    elif count == len(sampler.starts) == config.best_of == 1 and not (config.unique or config.novel):
        writer.write(b"" if no_echo else vocabulary.decode(sampler.starts[0].ids))
        for piece in sampler.pieces(GeneratedText(), 1 if writer.terminal else CHUNK):
            writer.write(piece)
        writer.write(end)
    else:
        for text in sampler.texts(count):
            echo = b"" if no_echo else vocabulary.decode(text.start.ids)
            writer.write(echo + vocabulary.decode(text.symbols) + end)
    writer.close()


def read_seed(seed: str | None, seed_file: str | None, lines: bool) -> Document:
    """Return the prompt: the option, the file, stdin if it is not a terminal, or nothing.

    For a model of `lines`, the newline that ends a file is not part of the prompt.
    """
    from rnn_cli.text.documents import Document, read_documents

    if seed is not None:
        return Document("the seed", os.fsencode(seed))
    if seed_file is None and (sys.stdin is None or sys.stdin.isatty()):
        return Document("the seed", b"")
    (document,) = read_documents(["-" if seed_file is None else seed_file])
    return Document("the seed", document.data.removesuffix(b"\n")) if lines else document


def read_seeds(path: str, vocabulary: Vocabulary) -> list[str | bytes]:
    """Return the lines of a file as prompts; an empty line is the learned start."""
    from rnn_cli.text.documents import Document, read_documents, text_for

    (document,) = read_documents([path])
    if not document.data:
        raise UsageError(f"{document.name} is empty; give a prompt on each line")
    lines = document.data.removesuffix(b"\n").split(b"\n")
    return [
        text_for(vocabulary, Document(f"line {number:,} of {document.name}", line))
        for number, line in enumerate(lines, 1)
    ]


def describe(vocabulary: Vocabulary, text: GeneratedText) -> dict[str, object]:
    """Return what --jsonl prints of a text."""
    return {
        "seed": vocabulary.decode(text.start.ids).decode("utf-8", errors="replace"),
        "text": vocabulary.decode(text.symbols).decode("utf-8", errors="replace"),
        "characters": len(text.symbols),
        "bits_per_char": text.bits_per_char,
        "stopped": text.stopped,
    }
