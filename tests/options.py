"""The options of all commands, as the program itself knows them, and values that each must refuse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from typer.main import get_command

from rnn_cli.cli import app

# What a command is given beside its options, so that these are what is wrong.
NEEDED = {
    "train": ["text.txt", "-m", "new"],
    "sweep": ["text.txt", "--study", "new.study", "--trials", "1"],
    "sample": ["-m", "good.model", "--seed", "the"],
    "evaluate": ["text.txt", "-m", "good.model"],
    "classify": ["text.txt", "-m", "good.model", "-m", "other.model"],
    "tag": ["text.txt", "-m", "good.model"],
    "translate": ["text.txt", "-m", "good.model"],
    "forecast": ["text.txt", "-m", "good.model"],
    "predict": ["the", "-m", "good.model"],
    "complete": ["the", "-m", "good.model"],
    "write": ["text.txt", "-m", "good.model"],
    "export": ["good.model", "--to", "c", "-o", "new.h"],
    "import": ["good.model", "--symbols", "list.json", "-m", "new"],
    "inspect": ["the", "-m", "good.model"],
    "gradients": ["the", "-m", "good.model", "--compare"],
    "gradcheck": ["the", "-m", "good.model"],
    "info": ["-m", "good.model"],
    "plot": ["-m", "good.model"],
    "report": ["text.txt", "-m", "good.model"],
    "compress": ["text.txt", "-o", "new.rnnz"],
    "decompress": ["text.rnnz", "-o", "new.txt"],
    "serve": ["-m", "good.model"],  # it must not get as far as to serve
}
KINDS = {"integer": "int", "text": "str"}  # which Typer has called both
REFUSED = {
    "int": ["-1", str(10**30), "-" + "9" * 5000, "0.5", "nan", "inf", "1e3", "0x10", "x", ""],
    "float": ["-1", "1e300", "-1e300", "nan", "-nan", "inf", "-inf", "1e999", "0x10", "1,5", "x", ""],
    "choice": ["nonsense", "", "lstm\x1b", "0"],
}


@dataclass(frozen=True)
class Option:
    """An option of a command: its names on the command line, and the kind and the choices of its value."""

    command: str
    names: tuple[str, ...]
    kind: str
    choices: tuple[str, ...]

    @property
    def name(self) -> str:
        """The first long name."""
        return next(name for name in self.names if name.startswith("--"))

    def __str__(self) -> str:
        """Return the command and the name."""
        return f"{self.command} {self.name}"


def options() -> list[Option]:
    """Return all options of all commands."""
    commands: dict[str, Any] = vars(get_command(app))["commands"]
    return [
        Option(
            name,
            (*parameter.opts, *parameter.secondary_opts),
            KINDS.get(parameter.type.name, parameter.type.name),
            tuple(getattr(parameter.type, "choices", ())),
        )
        for name, command in commands.items()
        for parameter in command.params
        if parameter.param_type_name == "option"
    ]


OPTIONS = options()
