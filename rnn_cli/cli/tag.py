"""rnn tag: sentences and a model -> a tag for each token."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated

import typer

from rnn_cli.cli.options import DEFAULT_MODEL, ModelPath, Quiet, Shard, Threads, announce_compiling, thread_count
from rnn_cli.errors import UsageError
from rnn_cli.text.shards import parts_of, shard_of


def tag(
    file: Annotated[str, typer.Argument(help="A text file, or - for stdin.")] = "-",
    model: ModelPath = DEFAULT_MODEL,
    inline: Annotated[bool, typer.Option("--inline", help="Print token/TAG, a line for each line.")] = False,
    jsonl: Annotated[
        bool, typer.Option("--jsonl", help="Print a JSON object for each line: tokens, tags, spans of BIO tags.")
    ] = False,
    shard: Shard = None,
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Tag each token of each line; blanks separate tokens, and a line is a sentence.

    Prints token TAB tag, and an empty line after each sentence.

    Example: rnn tag sentences.txt -m tagger.safetensors
    """
    if inline and jsonl:
        raise UsageError("--inline and --jsonl contradict each other; give one of them")
    wanted = shard_of(shard)
    cores = thread_count(threads)

    from rnn_cli.checkpoint.checkpoint import load_checkpoint
    from rnn_cli.display.stdout import TextWriter
    from rnn_cli.tasks.tag.sentences import tokens_of
    from rnn_cli.tasks.tag.tagger import Tagger, object_of
    from rnn_cli.text.documents import numbered_lines

    parts = parts_of([file], wanted)
    checkpoint = load_checkpoint(model)
    announce_compiling(quiet)
    tagger = Tagger.of_checkpoint(checkpoint, cores)
    writer = TextWriter()
    numbered = (lines for path, part in parts for lines in numbered_lines(path, part, counted=jsonl))
    for first, lines in numbered:
        texts = [line.removesuffix(b"\r").decode("utf-8", "surrogateescape") for line in lines]
        sentences = [tokens_of(text) for text in texts]
        for number, (tokens, tags) in enumerate(zip(sentences, tagger.tag(sentences)), first):
            if jsonl:
                writer.write_line(json.dumps({"line": number, **object_of(tokens, tags, tagger.bio)}))
            else:
                text = inline_of(tokens, tags) if inline else columns_of(tokens, tags)
                writer.write(text.encode("utf-8", "surrogateescape"))
        writer.flush()
    writer.close()


def columns_of(tokens: Sequence[str], tags: Sequence[str]) -> str:
    """Return a line for each token, and an empty line; nothing for an empty line."""
    return "".join(f"{token}\t{tag}\n" for token, tag in zip(tokens, tags)) + "\n" * bool(tokens)


def inline_of(tokens: Sequence[str], tags: Sequence[str]) -> str:
    """Return the sentence on one line, each token with its tag after a slash."""
    return " ".join(f"{token}/{tag}" for token, tag in zip(tokens, tags)) + "\n"
