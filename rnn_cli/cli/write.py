"""rnn write: a text and a model -> the text, continued by the user and the model."""

from __future__ import annotations

import os
import shlex
import sys
from dataclasses import replace
from importlib.util import find_spec
from typing import Annotated, Any

import typer

from rnn_cli.cli.options import (
    DEFAULT_MODEL,
    Label,
    ModelPath,
    Quiet,
    RandomSeed,
    announce_compiling,
    note,
    seed_or_random,
    with_options,
)
from rnn_cli.config import check_range
from rnn_cli.errors import UsageError
from rnn_cli.language.config import LENGTH, SamplingConfig
from rnn_cli.signals import Stopped

USUAL_CHARACTERS, USUAL_WORDS = 40, 10  # of a suggestion
LONGEST = 2000
OPTIONS = ("temperature", "top_k", "top_p", "min_p", "forbid", "max_copy", "novel", "pattern")


@with_options(SamplingConfig, only=OPTIONS, temperature=0.7)
def write(
    file: Annotated[
        str | None, typer.Argument(help="The text, in UTF-8; it need not exist.", show_default=False)
    ] = None,
    model: ModelPath = DEFAULT_MODEL,
    label: Label = None,
    length: Annotated[
        int | None,
        typer.Option(
            "--length",
            "-l",
            help="Longest suggestion, in characters (or words); default: 40, or 10 words.",
            show_default=False,
            rich_help_panel=LENGTH,
        ),
    ] = None,
    bits: Annotated[bool, typer.Option("--bits", help="Show the bits of what was typed.")] = False,
    random_seed: RandomSeed = None,
    quiet: Quiet = False,
    **values: Any,
) -> None:
    """Write a text with suggestions at each keystroke.

    Tab takes the suggestion, Ctrl-F a word of it, Ctrl-L the line. Ctrl-N and Ctrl-P show others, Ctrl-G longer ones,
    Esc none. Ctrl-Z undoes, Ctrl-Y redoes, Ctrl-O goes to the other branch. Ctrl-T changes temperature and top-p,
    Ctrl-V shows bits, Ctrl-S saves, Ctrl-Q quits, Ctrl-R draws the screen anew.

    Example: rnn write names.txt
    """
    if length is not None:
        check_range("length", length, 1, LONGEST)
    for name in ("forbid", "pattern"):
        values[name] = values[name] and os.fsencode(values[name]).decode()
    config = SamplingConfig(**values, random_seed=seed_or_random(random_seed))
    if file == "-":
        raise UsageError("rnn write changes a file, and - is none; rnn sample continues a text from stdin")

    from rnn_cli.atomic_files import check_writable, lock, sweep_stale
    from rnn_cli.checkpoint.checkpoint import load_checkpoint
    from rnn_cli.tasks.labelled.model import language_model
    from rnn_cli.writing.files import UNNAMED, TextFile
    from rnn_cli.writing.session import Session
    from rnn_cli.writing.suggestions import Request, Suggester

    checkpoint = language_model(load_checkpoint(model), label)
    usual = USUAL_WORDS if checkpoint.codec.unit == "word" else USUAL_CHARACTERS
    config = replace(config, length=length or usual)
    name = UNNAMED if file is None else file
    check_writable(name)
    with lock(name):
        text = None if file is None else TextFile(file)
        suggester = Suggester(checkpoint, config)
        check_terminal()

        from rnn_cli.display.editor import edit

        announce_compiling(quiet)
        suggester.answer(Request("", config))  # compiles, if need be, before the screen is drawn
        sweep_stale(name)
        session = Session(text, config, bits)
        try:
            edit(session, suggester)
        except Stopped:
            if session.draft.modified:
                again = "rnn write" if file is None else f"rnn write {shlex.quote(file)}"
                note(f"what is not saved is kept: {again} recovers it", quiet)
            raise


def check_terminal() -> None:
    """Raise UsageError if there is no terminal to write on, or the library for it is missing."""
    if os.name != "posix":
        raise UsageError("rnn write needs a terminal of Linux or macOS; rnn sample continues a text without one")
    if find_spec("prompt_toolkit") is None:
        raise UsageError("the library prompt_toolkit is missing; install it with: pip install 'rnn-cli[write]'")
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("rnn write needs a terminal as stdin and stdout; rnn sample continues a text without one")
    if os.environ.get("TERM") == "dumb":
        raise UsageError("rnn write needs a terminal that can move its cursor, and TERM is dumb")
