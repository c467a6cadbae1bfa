"""rnn translate: sources, one a line, and a model -> a target for each."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from rnn_cli.cli.options import DEFAULT_MODEL, ModelPath, Quiet, Shard, Threads, announce_compiling, note, thread_count
from rnn_cli.config import check_range
from rnn_cli.errors import UsageError
from rnn_cli.text.shards import parts_of, shard_of

if TYPE_CHECKING:
    from rnn_cli.tasks.translate.symbols import Symbols
    from rnn_cli.tasks.translate.translator import Answer

MOST_BEAMS = 256
USUAL_BEAM = 5  # if several answers are wanted, at least


def translate(
    file: Annotated[str, typer.Argument(help="A text file, or - for stdin.")] = "-",
    model: ModelPath = DEFAULT_MODEL,
    count: Annotated[
        int, typer.Option("-n", "--count", help="Print the N best answers, each after its line number and its bits.")
    ] = 1,
    beam: Annotated[
        int | None,
        typer.Option(
            "--beam",
            help="Beginnings that the search keeps: 1, or at least 5 with -n, if it is not given.",
            show_default=False,
        ),
    ] = None,
    align: Annotated[
        bool, typer.Option("--align", help="Print how much each symbol attends to each of the source, in percent.")
    ] = False,
    jsonl: Annotated[bool, typer.Option("--jsonl", help="Print a JSON object for each line.")] = False,
    shard: Shard = None,
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Translate each line; prints one line for each, as soon as it is complete.

    Example: rnn translate words.txt -m pairs.safetensors
    """
    check_range("count", count, 1, MOST_BEAMS)
    width = beam if beam is not None else max(count, USUAL_BEAM) if count > 1 else 1
    check_range("beam", width, 1, MOST_BEAMS)
    if align and (jsonl or count > 1):
        raise UsageError(f"--align is a table of one answer; leave out {'--jsonl' if jsonl else '-n'}")
    wanted = shard_of(shard)
    cores = thread_count(threads, quiet)

    from rnn_cli.checkpoint.checkpoint import load_checkpoint
    from rnn_cli.display.stdout import TextWriter, visible
    from rnn_cli.language.unknown import UnknownCharacters
    from rnn_cli.tasks.translate.translator import Translator, object_of
    from rnn_cli.text.documents import numbered_lines

    parts = parts_of([file], wanted)
    checkpoint = load_checkpoint(model)
    announce_compiling(quiet)
    translator = Translator.of_checkpoint(checkpoint, cores)
    translator.check_width(width)
    symbols = translator.symbols
    writer, unknown = TextWriter(), UnknownCharacters(symbols.alphabet.codec)
    numbered = (lines for path, part in parts for lines in numbered_lines(path, part, counted=count > 1))
    for first, lines in numbered:
        texts = [line.removesuffix(b"\r").decode("utf-8", "surrogateescape") for line in lines]
        for number, (text, answers) in enumerate(zip(texts, translator.translate(texts, count, width, align)), first):
            unknown.add(symbols.normal(text))
            if jsonl:
                writer.write_line(json.dumps(object_of(symbols, text, answers)))
            elif align:
                writer.write_line(table(symbols, text, answers[0]))
            elif count == 1:
                writer.write_line(symbols.decode(answers[0].symbols))
            else:
                for answer in answers:
                    writer.write_line(f"{number}\t{answer.bits:.4f}\t{symbols.decode(answer.symbols)}")
        writer.flush()
    writer.close()
    if unknown:
        note(visible(f"unknown characters: {unknown.describe()}"), quiet)


def table(symbols: Symbols, text: str, answer: Answer) -> str:
    """Return the attention of an answer as a table: a row for each of its symbols, a column for each of the source."""
    assert answer.attention is not None
    source = [*symbols.normal(text), "end"]
    names = [*(symbols.outputs[symbol - 1] for symbol in answer.symbols), "end"]
    rows = [["", *source]]
    for name, weights in zip(names, answer.attention.tolist()):
        rows.append([name, *(f"{100 * weight:.0f}" for weight in weights)])
    return "\n".join("\t".join(row) for row in rows) + "\n"
