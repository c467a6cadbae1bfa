"""The commands: their list, how they are loaded, print their help, and word their errors.

A command is imported if it is named, so that none pays for the others.
"""

from __future__ import annotations

import importlib
import keyword
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from typer.core import TyperCommand, TyperGroup
from typer.main import get_command_from_info
from typer.models import CommandInfo

from rnn_cli.cli.options import COMPUTATION, GENERAL, MODEL_FILE, OUTPUT, in_options
from rnn_cli.errors import RnnError

COMMANDS: dict[str, dict[str, tuple[str, str]]] = {  # by the headings of the help: the module, and what it does
    "Train": {
        "train": ("train.command", "Train a model on text."),
        "sweep": ("sweep", "Try sizes, rates and cells, on one machine or on many."),
    },
    "Generate": {
        "sample": ("sample", "Generate text, continuing a prompt if there is one."),
        "complete": ("complete", "Print the most probable completions of a prompt."),
        "predict": ("predict", "Print the most probable next symbols."),
        "write": ("write", "Write a text with suggestions at each keystroke."),
    },
    "Score": {
        "evaluate": ("evaluate", "Score text: the bits that a model needs, or the answers that are right."),
    },
    "Label, translate, forecast": {
        "classify": ("classify", "Label each line by a classifier or by several language models."),
        "tag": ("tag", "Tag each token of each line."),
        "translate": ("translate", "Translate each line, for example from one script to another."),
        "forecast": ("forecast", "Forecast the values that follow series of numbers."),
    },
    "Look inside": {
        "inspect": ("inspect", "Show units, gates and the next symbols at each step of a text."),
        "gradients": ("gradients", "Show how far back the gradient of the loss reaches in a text."),
        "gradcheck": ("gradcheck", "Check backpropagation against numeric gradients."),
        "info": ("info", "Describe a model file: sizes, vocabulary, training history."),
        "plot": ("plot", "Plot the curves of trainings in the terminal or as a picture."),
        "report": ("report", "Write a page that shows how a model reads a text."),
    },
    "Take away": {
        "export": ("export", "Write a model as a web page, ONNX, C, NumPy or a hub folder."),
        "import": ("import_weights", "Make a model of weights with PyTorch's names."),
        "compress": ("compress", "Compress a file with the probabilities of a model."),
        "decompress": ("compress", "Restore the content of a compressed file."),
        "serve": ("serve", "Answer requests over HTTP, or as JSON lines on stdin and stdout."),
    },
}

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


class LazyCommands(Mapping[str, Any]):
    """The commands by their names; each is imported when it is asked for."""

    def __init__(self) -> None:
        self._purposes = {name: purpose for purpose, commands in COMMANDS.items() for name in commands}

    def __getitem__(self, name: str) -> Any:
        """Import a command. Raises KeyError if there is none of that name."""
        purpose = self._purposes[name]
        module = importlib.import_module(f"rnn_cli.cli.{COMMANDS[purpose][name][0]}")
        callback = getattr(module, f"{name}_" if keyword.iskeyword(name) else name)
        settings = getattr(module, "CONTEXT_SETTINGS", None)
        info = CommandInfo(name, cls=Command, callback=callback, context_settings=settings, rich_help_panel=purpose)
        return get_command_from_info(info, pretty_exceptions_short=False, rich_markup_mode=None)

    def __iter__(self) -> Iterator[str]:
        return iter(self._purposes)

    def __len__(self) -> int:
        return len(self._purposes)


class CommandGroup(TyperGroup):
    """The program: its help lists the commands by purpose, without importing them."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = LazyCommands()  # type: ignore[assignment]

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands by their groups, each with the first line of its help."""
        groups = {
            purpose: [(name, summary) for name, (_, summary) in commands.items()]
            for purpose, commands in COMMANDS.items()
        }
        write_sections(formatter, groups.items())


def write_sections(formatter: Any, sections: Iterable[tuple[str, Rows]]) -> None:
    """Write tables of two columns under their titles, the second column of all at the same place."""
    filled = [(title, rows) for title, rows in sections if rows]
    width = min(OPTION_WIDTH, max(len(name) for _, rows in filled for name, _ in rows))
    for title, rows in filled:
        with formatter.section(title):
            formatter.write_dl([(name.ljust(width), text) for name, text in rows], col_max=width)
