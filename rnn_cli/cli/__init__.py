"""The commands. Each is one file or folder: options -> configuration -> one call of the library -> display.

Nothing heavy is imported before a command runs, so that --help, --version and completion are quick.
"""

from __future__ import annotations

from typing import Annotated

import typer

from rnn_cli.cli.commands import CommandGroup

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


def show_version(wanted: bool) -> None:
    """Print the version and stop."""
    if wanted:
        from rnn_cli.cli.version import version_line

        typer.echo(version_line())
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version and exit.", callback=show_version, is_eager=True),
    ] = False,
) -> None:
    """Train small recurrent networks on a text, and let them write, score and predict."""
