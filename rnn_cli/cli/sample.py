"""rnn sample: a prompt and a model -> texts on stdout."""

from __future__ import annotations

import json
import os
import stat
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from rnn_cli.cli.options import (
    COMPUTATION,
    DEFAULT_MODEL,
    MODEL_FILE,
    OUTPUT,
    Precision,
    Quiet,
    RandomSeed,
    Shard,
    Threads,
    announce_compiling,
    model_files,
    note,
    precision_for,
    seed_or_random,
    thread_count,
    with_options,
)
from rnn_cli.config import check_range
from rnn_cli.errors import UsageError
from rnn_cli.language.config import LENGTH, SamplingConfig
from rnn_cli.text.shards import shard_of

if TYPE_CHECKING:
    from rnn_cli.language.candidates import GeneratedText
    from rnn_cli.text.codecs import Codec

PROMPT = "The prompt"
LONG_SEED = 20_000  # characters; of a longer seed, a terminal shows how much is read


@with_options(SamplingConfig)
def sample(
    seed: Annotated[
        str | None,
        typer.Option(
            "--seed",
            "--prompt",
            help="The text to continue, or - for stdin.",
            show_default=False,
            rich_help_panel=PROMPT,
        ),
    ] = None,
    seed_file: Annotated[
        str | None,
        typer.Option(
            "--seed-file",
            help="A file with the prompt, or - for stdin. A model of lines ignores its final newline.",
            rich_help_panel=PROMPT,
        ),
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
            "--unknown",
            help="What to do with a character or word of the prompt unknown to the model.",
            rich_help_panel=PROMPT,
        ),
    ] = "error",
    label: Annotated[
        str | None,
        typer.Option(
            "--label",
            help="For a model of rnn train --labelled: the label of the texts.",
            show_default=False,
            rich_help_panel=PROMPT,
        ),
    ] = None,
    count: Annotated[
        int, typer.Option("--count", "-n", help="How many texts for each prompt.", rich_help_panel=LENGTH)
    ] = 1,
    stop: Annotated[
        str, typer.Option("--stop", help="End at this text.", show_default=False, rich_help_panel=LENGTH)
    ] = "",
    models: Annotated[
        list[Path] | None,
        typer.Option(
            "--model",
            "-m",
            help="The model file [default: model.safetensors]; several, as A:0.7 and B:0.3, are mixed.",
            show_default=False,
            autocompletion=model_files,
            rich_help_panel=MODEL_FILE,
        ),
    ] = None,
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
    shard: Shard = None,
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
    wanted = shard_of(shard)
    if wanted and random_seed is None and values["temperature"] > 0:
        raise UsageError("--shard is a part of one run; give --random-seed N, the same for all parts")
    for name in ("forbid", "pattern", "suffix"):
        values[name] = values[name] and os.fsencode(values[name]).decode()
    values["must_contain"] = tuple(os.fsencode(text).decode() for text in values["must_contain"])
    config = SamplingConfig(
        **values, valid_utf8=not raw, precision=precision_for(precision), random_seed=seed_or_random(random_seed)
    )
    cores = thread_count(threads, quiet)

    from rnn_cli.checkpoint.checkpoint import load_checkpoint
    from rnn_cli.display.progress import ScoringDisplay
    from rnn_cli.display.screen import can_animate
    from rnn_cli.display.stdout import TextWriter
    from rnn_cli.language.mixing import check_shares
    from rnn_cli.language.sampling import CHUNK, Sampler
    from rnn_cli.language.unknown import UnknownCharacters
    from rnn_cli.tasks.labelled.model import language_model
    from rnn_cli.text.documents import Document, text_for

    named = [named_model(each) for each in models or [Path(os.environ.get("RNN_MODEL") or DEFAULT_MODEL)]]
    shares = check_shares([share for _, share in named])
    checkpoint, *others = (language_model(load_checkpoint(path), label) for path, _ in named)
    codec = checkpoint.codec
    announce_compiling(quiet)
    prompts = read_prompts(seed, seed_file, seeds, codec)
    if not given and has_unread_stdin():
        note("stdin is not read without being asked for; --seed - reads a seed from it", quiet)
    left_out = UnknownCharacters(codec)
    for prompt in prompts:
        left_out.add(prompt)
    size = len(codec.encode(prompts[0])) if len(prompts) == 1 and len(prompts[0]) > LONG_SEED else 0
    shown = size > LONG_SEED and not quiet and can_animate()
    display = ScoringDisplay(quiet, size, f"{codec.unit}s", "of the seed read") if shown else None
    sampler = Sampler(
        checkpoint,
        prompts[0] if len(prompts) == 1 and seeds is None else prompts,
        config,
        stop=text_for(codec, Document("the stop text", os.fsencode(stop))),
        unknown=unknown,
        threads=cores,
        progress=display.advance if display else lambda count: None,
        others=list(zip(others, shares[1:])),
    )
    if left_out:
        note(f"left out of the seed: {left_out.describe()}", quiet)
    if random_seed is None and config.temperature > 0:
        note(f"random seed {config.random_seed}", quiet)
    chosen = wanted.of(count * len(prompts)) if wanted else None
    writer = TextWriter(raw=raw)
    end = b"" if raw else codec.text_end

    with display or nullcontext():
        if jsonl:
            for text in sampler.texts(count, chosen=chosen):
                if display:
                    display.close()
                writer.write_line(json.dumps(describe(codec, text)))
        else:
            waiting = b""  # the echo, until the seed is read: the live line would overwrite it
            for piece in sampler.pieces(count, 1 if writer.terminal else CHUNK, chosen):
                echo = codec.decode(piece.text.prompt.ids) if piece.first and not no_echo else b""
                waiting += echo + piece.data + (end if piece.last else b"")
                if display is None or not piece.first or piece.last:
                    if display:
                        display.close()
                    writer.write(waiting)
                    waiting = b""
    writer.close()


def named_model(argument: Path) -> tuple[Path, float]:
    """Return the path and the share that an argument names, as in A:0.7; without a number the share is 1.

    A file whose own name ends so is that file.
    """
    path, colon, number = str(argument).rpartition(":")
    try:
        share = float(number)
    except ValueError:
        return argument, 1.0
    return (argument, 1.0) if not colon or not path or argument.exists() else (Path(path), share)


def read_prompts(seed: str | None, seed_file: str | None, seeds: str | None, codec: Codec) -> list[str | bytes]:
    """Return the prompts: the option, a file, or stdin where that is asked for with "-"; by default an empty one.

    If a line is a text, lines of stdin are several prompts, and the newline that ends a file is not part of one.
    """
    from rnn_cli.text.documents import Document, read_documents, text_for

    if seeds is not None:
        return read_seeds(seeds, codec)
    path = "-" if seed == "-" else seed_file
    if path is None:
        return [text_for(codec, Document("the seed", os.fsencode(seed or "")))]
    if path == "-" and codec.ends_at_newline:
        return read_seeds(path, codec, empty=True)
    (document,) = read_documents([path])
    data = document.data.removesuffix(b"\n") if codec.line_mode else document.data
    return [text_for(codec, Document(document.name, data))]


def read_seeds(path: str, codec: Codec, empty: bool = False) -> list[str | bytes]:
    """Return the lines of a file as prompts; an empty line, or a file that may be `empty`, is the start."""
    from rnn_cli.text.documents import Document, read_documents, text_for

    (document,) = read_documents([path])
    if not document.data and not empty:
        raise UsageError(f"{document.name} is empty; give a prompt on each line")
    lines = document.data.removesuffix(b"\n").split(b"\n")
    names = (
        ["the seed"]
        if empty and len(lines) == 1
        else [f"line {n:,} of {document.name}" for n in range(1, 1 + len(lines))]
    )
    return [text_for(codec, Document(name, line)) for name, line in zip(names, lines)]


def has_unread_stdin() -> bool:
    """Say whether text waits on stdin: a file, or a pipe into which something has been written."""
    try:
        descriptor = sys.stdin.fileno()
        status = os.fstat(descriptor)
        if stat.S_ISREG(status.st_mode):
            return status.st_size > os.lseek(descriptor, 0, os.SEEK_CUR)
        if not stat.S_ISFIFO(status.st_mode):
            return False
        import fcntl
        import termios

        waiting = fcntl.ioctl(descriptor, termios.FIONREAD, bytes(4))
        return int.from_bytes(waiting, sys.byteorder) > 0
    except (AttributeError, ImportError, OSError, ValueError):  # no stdin, or a system without such questions
        return False


def describe(codec: Codec, text: GeneratedText) -> dict[str, object]:
    """Return what --jsonl prints of a text."""
    from rnn_cli.language.sampling import text_of

    return {
        "seed": codec.decode(text.prompt.ids).decode("utf-8", errors="replace"),
        "text": text_of(codec, text).decode("utf-8", errors="replace"),
        f"{codec.unit}s": len(text.symbols),
        "bits_per_word" if codec.unit == "word" else "bits_per_char": text.bits_per_char,
        "stopped": text.stopped,
    }
