"""How the commands are listed, print their help, and word their errors."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from typer.core import TyperCommand, TyperGroup

from rnn_cli.cli.options import COMPUTATION, GENERAL, MODEL_FILE, OUTPUT, in_options
from rnn_cli.errors import RnnError

MOST_UNGROUPED = 10  # options that are listed without groups
FIRST = ["How long", "The network", "Learning", "Against overfitting"]
LAST = [MODEL_FILE, OUTPUT, COMPUTATION, GENERAL]
OPTION_WIDTH = 30  # columns for the names of options; longer ones take a line of their own

Rows = list[tuple[str, str]]


class Command(TyperCommand):
    """A command whose help lists many options by purpose, and whose errors name options, not parameters."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments, then the options by their groups."""
        arguments: Rows = []
        groups: dict[str, Rows] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record and parameter.param_type_name == "argument":
                arguments.append(record)
            elif record:
                group = getattr(parameter, "rich_help_panel", None) or GENERAL
                groups.setdefault(group, []).append((record[0].lstrip(" /"), record[1]))
        if sum(map(len, groups.values())) <= MOST_UNGROUPED:
            groups = {"Options": [row for rows in groups.values() for row in rows]}
        order = [*FIRST, *(group for group in groups if group not in FIRST + LAST), *LAST]
        sections = sorted(groups.items(), key=lambda section: order.index(section[0]))
        write_sections(formatter, [("Arguments", arguments), *sections])

    def invoke(self, ctx: Any) -> Any:
        """Run the command. The library's errors name parameters; write them as the options of this command."""
        try:
            return super().invoke(ctx)
        except RnnError as error:
            error.args = (in_options(str(error), self.params),)
            raise


class CommandGroup(TyperGroup):
    """The program: its help lists the commands by purpose."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands by their groups, each with the first sentence of its help."""
        groups: dict[str, Rows] = {}
        width = formatter.width - max(map(len, self.commands)) - 6  # the indent and the space between the columns
        for name in self.list_commands(ctx):
            command: Any = self.get_command(ctx, name)
            groups.setdefault(command.rich_help_panel, []).append((name, command.get_short_help_str(width)))
        write_sections(formatter, groups.items())


def write_sections(formatter: Any, sections: Iterable[tuple[str, Rows]]) -> None:
    """Write tables of two columns under their titles, the second column of all at the same place."""
    filled = [(title, rows) for title, rows in sections if rows]
    width = min(OPTION_WIDTH, max(len(name) for _, rows in filled for name, _ in rows))
    for title, rows in filled:
        with formatter.section(title):
            formatter.write_dl([(name.ljust(width), text) for name, text in rows], col_max=width)
