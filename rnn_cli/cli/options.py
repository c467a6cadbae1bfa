"""Options: those of configurations, made from their fields, and those that several commands share."""

from __future__ import annotations

import copy
import inspect
import os
import re
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import MISSING, Field, fields
from inspect import Parameter
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_type_hints

import typer

from rnn_cli.config import Config, check_range
from rnn_cli.cpu_count import available_processors, usable_cores
from rnn_cli.display.screen import fitted
from rnn_cli.display.stdout import visible
from rnn_cli.errors import UsageError

DEFAULT_MODEL = Path("model.safetensors")
LARGEST_SHOWN = 10_000  # a range that ends above it says nothing to a reader of the help
NAMED_PARAMETER = re.compile(r"`(\w+)(?:=([^`]*))?`")
QUOTES = "\"'"
COMPUTATION, GENERAL, MODEL_FILE, OUTPUT = "Computation", "General", "The model file", "Output"

Command = TypeVar("Command", bound=Callable[..., None])


def with_options(
    *configs: type[Config], given_only: bool = False, only: Collection[str] | None = None, **defaults: Any
) -> Callable[[Command], Command]:
    """Replace `**values` of a command by an option for each field of the configurations that has a help.

    A field that the command has as a parameter of its own is left to it, and so is one that is not among `only`. With
    `given_only` the value of an option that is not given is None, not the default of the field. `defaults` are those
    of this command, by the names of the fields.
    """

    def decorate(command: Command) -> Command:
        own = {
            name: parameter.replace(kind=Parameter.KEYWORD_ONLY)
            for name, parameter in inspect.signature(command, eval_str=True).parameters.items()
            if parameter.kind is not Parameter.VAR_KEYWORD
        }
        made = {
            item.name: option_of_field(with_default(item, defaults), kinds[item.name], given_only)
            for config in configs
            for kinds in [get_type_hints(config)]
            for item in fields(config)  # type: ignore[arg-type]
            if item.metadata.get("help") and item.name not in own and (only is None or item.name in only)
        }
        parameters = own | made
        command.__signature__ = inspect.Signature(list(parameters.values()))  # type: ignore[attr-defined]
        command.__annotations__ = {name: parameter.annotation for name, parameter in parameters.items()}
        return command

    return decorate


def with_default(item: Field[Any], defaults: Mapping[str, Any]) -> Field[Any]:
    """Return a field with the default that a command has for it, if it has one of its own."""
    if item.name in defaults:
        item = copy.copy(item)
        item.default = defaults[item.name]
    return item


def option_of_field(item: Field[Any], kind: Any, given_only: bool) -> Parameter:
    """Return the parameter of a command that stands for a field."""
    about = item.metadata
    assert item.default is not MISSING
    name = f"--{about['option'] or item.name.replace('_', '-')}"
    if item.default is True:
        name = f" /--no-{name.removeprefix('--')}"  # Typer's way to write a switch that can only be turned off
    option = typer.Option(
        name,
        *([f"-{about['short']}"] if about["short"] else []),
        help=" ".join([about["help"], *remarks(item)]),
        show_default=False,
        rich_help_panel=about["group"],
    )
    if "names" in about:
        kind = Literal[about["names"]]
    if item.default == ():
        kind = list[str]  # Typer's way to write an option that may be repeated
    default = None if given_only else item.default
    return Parameter(item.name, Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind | None, option])


def remarks(item: Field[Any]) -> list[str]:
    """Return the range and the default of a field in brackets, for a reader of the help."""
    about, parts = item.metadata, []
    if about.get("low") is not None and about["high"] <= LARGEST_SHOWN and (about["low"] == 0 or about["low"] >= 1):
        parts.append(f"{about['low']:,g} to {about['high']:,g}")
    if about.get("automatic"):
        parts.append("chosen")
    elif item.default not in (None, "", ()) and not isinstance(item.default, bool):
        parts.append(f"default: {item.default}" if isinstance(item.default, str) else f"default: {item.default:g}")
    return [f"[{'; '.join(parts)}]"] if parts else []


def in_options(text: str, parameters: Sequence[Any]) -> str:
    """Write the parameters that a text names in backticks as options, if the command has them; others stay.

    `max_copy` becomes --max-copy, `unknown="skip"` --unknown skip, `as_bytes=True` --bytes. `parameters` are those of a
    Typer command.
    """
    options = {parameter.name: parameter for parameter in parameters if parameter.param_type_name == "option"}

    def replaced(match: re.Match[str]) -> str:
        name, value = match[1], match[2]
        if name not in options:
            return match[0]
        option = options[name]
        names = option.secondary_opts if value == "False" or not option.opts else option.opts
        long = next((each for each in names if each.startswith("--")), names[0])
        return long if value in (None, "True", "False") else f"{long} {value.strip(QUOTES)}"

    return NAMED_PARAMETER.sub(replaced, text)


def model_files(incomplete: str) -> list[str]:
    """Return the model files whose path begins so; if there are none, the shell itself offers directories."""
    folder, name = os.path.split(incomplete)
    try:
        found = os.listdir(folder or ".")
    except OSError:
        return []
    return sorted(
        os.path.join(folder, file) for file in found if file.startswith(name) and file.endswith(".safetensors")
    )


def one_model(context: typer.Context, file: Path | None, model: Path) -> Path:
    """Return the model of a command that takes it as an argument or as --model. Raises UsageError if both are given."""
    if file is None:
        return model
    if was_given(context, "model"):
        raise UsageError("the model is given twice, as an argument and as --model; give one of them")
    return file


def was_given(context: typer.Context, name: str) -> bool:
    """Say whether a parameter was given on the command line."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


ModelPath = Annotated[
    Path,
    typer.Option(
        "--model",
        "-m",
        envvar="RNN_MODEL",
        help="The model file.",
        show_default=True,
        autocompletion=model_files,
        rich_help_panel=MODEL_FILE,
    ),
]
Precision = Literal["auto", "float32", "bfloat16"]
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads", help="Number of threads; default: one for each usable core.", rich_help_panel=COMPUTATION
    ),
]
RandomSeed = Annotated[
    int | None, typer.Option("--random-seed", help="Makes the result repeatable.", rich_help_panel=COMPUTATION)
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only errors on stderr.", rich_help_panel=GENERAL)]
Label = Annotated[
    str | None,
    typer.Option("--label", help="For a model of rnn train --labelled: the label of the text.", show_default=False),
]
Shard = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="I/N",
        help="Only part I of N of the output, as 2/8; the parts in their order are all of it.",
        show_default=False,
        rich_help_panel=COMPUTATION,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.", rich_help_panel=OUTPUT)]


def thread_count(threads: int | None, quiet: bool = False) -> int:
    """Return the number of threads to use: no more than processors, as more only wait for one another.

    Raises UsageError if it is out of range.
    """
    if threads is None:
        return usable_cores()
    check_range("threads", threads, 1, 1024)
    processors = available_processors()
    if threads > processors:
        note(f"this process may use {processors} processor{'s' * (processors > 1)}: --threads {processors}", quiet)
    elif threads > usable_cores():
        note(f"--threads {threads} is more than the CPU quota allows; --threads {usable_cores()} is faster", quiet)
    return min(threads, processors)


def precision_for(chosen: Precision) -> str:
    """Return the precision; for "auto", the one that the processor is fastest in."""
    if chosen != "auto":
        return chosen
    from rnn_cli.kernels.simd.cpu import HAS_FAST_BFLOAT16

    return "bfloat16" if HAS_FAST_BFLOAT16 else "float32"


def seed_or_random(given: int | None) -> int:
    """Return the random seed that was given, or a new one. Raises UsageError if it is out of range."""
    if given is None:
        return int.from_bytes(os.urandom(4), "little") >> 1  # the module secrets would take milliseconds to import
    check_range("random_seed", given, 0, 2**63 - 1)
    return given


def note(sentence: str, quiet: bool) -> None:
    """Print a sentence on stderr unless `quiet`. Does nothing if stderr is closed or full."""
    if not quiet:
        with suppress(OSError):
            print(fitted(visible(sentence), sys.stderr), file=sys.stderr, flush=True)


def announce_compiling(quiet: bool) -> None:
    """Say once, on stderr, when kernels have to be compiled, because that takes seconds."""
    from rnn_cli.kernels.compiler.cache import announcement, on_compile, on_unkept

    def say() -> None:
        on_compile.clear()
        note(announcement(), quiet)

    on_compile.append(say)
    on_unkept.append(lambda sentence: note(sentence, quiet))
