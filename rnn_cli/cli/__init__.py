"""The commands. Each is one file or folder: options -> configuration -> one call of the library -> display.

Nothing heavy is imported before a command runs, so that --help, --version and completion are quick.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from rnn_cli.cli.classify import classify
from rnn_cli.cli.commands import Command, CommandGroup
from rnn_cli.cli.complete import complete
from rnn_cli.cli.evaluate import evaluate
from rnn_cli.cli.info import info
from rnn_cli.cli.predict import predict
from rnn_cli.cli.sample import sample
from rnn_cli.cli.tag import tag
from rnn_cli.cli.train.command import train as train_command  # `cli.train` stays the name of the folder

app = typer.Typer(
    name="rnn",
    cls=CommandGroup,
    help="Train small recurrent networks on a text, and let them write, score and predict.",
    epilog="The options of a command: rnn COMMAND --help",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

COMMANDS: dict[str, list[Callable[..., None]]] = {  # by the headings of the help
    "Train": [train_command],
    "Generate": [sample, complete, predict],
    "Score": [evaluate],
    "Label": [classify, tag],
    "Look inside": [info],
}

for purpose, commands in COMMANDS.items():
    for command in commands:
        app.command(cls=Command, rich_help_panel=purpose)(command)


def show_version(wanted: bool) -> None:
    """Print the version and stop."""
    if wanted:
        from rnn_cli import __version__

        typer.echo(f"rnn {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version and exit.", callback=show_version, is_eager=True),
    ] = False,
) -> None:
    """Train small recurrent networks on a text, and let them write, score and predict."""
