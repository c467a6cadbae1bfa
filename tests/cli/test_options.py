"""Options: made from the fields of configurations, listed by purpose, and named in errors of the library."""

from __future__ import annotations

import ast
import re
import shlex
import shutil
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pytest
import typer
from commands import SMALL, run
from options import OPTIONS
from typer.main import get_command
from typer.testing import CliRunner

import rnn_cli
from rnn_cli.cli import app
from rnn_cli.cli.commands import Command
from rnn_cli.cli.options import in_options, with_options
from rnn_cli.cli.translate import USUAL_BEAM
from rnn_cli.cli.write import USUAL_CHARACTERS
from rnn_cli.config import Config, limited, one_of, setting
from rnn_cli.errors import UsageError
from rnn_cli.language.config import SamplingConfig
from rnn_cli.language.dynamic_evaluation import DEFAULT_RATE
from rnn_cli.network.config import NetworkConfig
from rnn_cli.text.fingerprint import GRAMS
from rnn_cli.text.holdout import DEFAULT_FRACTION
from rnn_cli.training.config import TrainingConfig

SCREEN_LINES = 24
CORPORA = Path(__file__).parents[2] / "corpora"
COMMANDS: dict[str, Any] = vars(get_command(app))["commands"]


@dataclass(frozen=True)
class Toy(Config):
    """A configuration with a field of each kind."""

    size: int = limited(1, 8, 4, help="Size.", short="s", group="Shape")
    rate: float = limited(0.0, 1.0, 0.5, option="speed", automatic=True, help="Rate.")
    kind: str = one_of("round", "square", help="Kind.")
    name: str = setting("", help="Name.")
    loud: bool = setting(False, help="Loud.")
    checked: bool = setting(True, help="Do not check.")
    most: int | None = limited(1, 9, help="Limit.")
    hidden: int = limited(1, 8, 4)


def toy(given_only: bool = False) -> tuple[Any, dict[str, Any]]:
    """Return a program of one command with the options of Toy, and what it was called with last."""
    called: dict[str, Any] = {}
    program = typer.Typer(rich_markup_mode=None)

    @program.command(cls=Command)
    @with_options(Toy, given_only=given_only)
    def command(text: str = "", **values: Any) -> None:
        """Do something."""
        called.update(values, text=text)
        Toy(**{name: value for name, value in values.items() if value is not None})

    return program, called


def test_fields_with_a_help_are_options() -> None:
    program, called = toy()
    arguments = "-s 3 --speed 0.25 --kind square --name x --loud --no-checked --most 5 --text t"
    assert CliRunner().invoke(program, arguments.split()).exit_code == 0
    values = {"size": 3, "rate": 0.25, "kind": "square", "name": "x", "loud": True, "checked": False, "most": 5}
    assert called == {**values, "text": "t"}
    assert CliRunner().invoke(program, ["--hidden", "3"]).exit_code == 2


def test_options_default_to_their_fields() -> None:
    program, called = toy()
    assert CliRunner().invoke(program, []).exit_code == 0
    assert Toy(**{name: value for name, value in called.items() if name != "text"}) == Toy()


def test_options_that_are_not_given_can_be_told() -> None:
    program, called = toy(given_only=True)
    assert CliRunner().invoke(program, ["--size", "4"]).exit_code == 0
    assert {name for name, value in called.items() if value is not None} == {"size", "text"}


def test_a_command_takes_some_options_with_its_defaults() -> None:
    program, called = typer.Typer(rich_markup_mode=None), {}

    @program.command(cls=Command)
    @with_options(Toy, only=("size", "rate"), rate=0.75)
    def command(**values: Any) -> None:
        """Do something."""
        called.update(values)

    assert CliRunner().invoke(program, ["-s", "2"]).exit_code == 0
    assert called == {"size": 2, "rate": 0.75}
    assert "Rate. [0 to 1; chosen]" in CliRunner().invoke(program, ["--help"]).output
    assert Toy().rate == 0.5


def test_help_states_ranges_and_defaults() -> None:
    text = CliRunner().invoke(toy()[0], ["--help"]).output
    for line in ("Size. [1 to 8; default: 4]", "Rate. [0 to 1; chosen]", "Kind. [default: round]", "Limit. [1 to 9]"):
        assert line in text
    assert "  --no-checked " in text


def test_errors_of_the_library_name_options() -> None:
    for arguments, words in (("--size 9", "--size must be a whole"), ("--speed 2", "--speed must be a number")):
        error = CliRunner().invoke(toy()[0], arguments.split()).exception
        assert isinstance(error, UsageError)
        assert str(error).startswith(words)


@pytest.mark.parametrize(
    "text, wanted",
    [
        ("lower `rate`", "lower --speed"),
        ("try `size=3` or `rate=0.5`", "try --size 3 or --speed 0.5"),
        ('use `kind="square"`', "use --kind square"),
        ("use `loud=True`", "use --loud"),
        ("use `checked=False`", "use --no-checked"),
        (
            "`hidden` and `nothing` stay, as `size` in 'size' does not",
            "`hidden` and `nothing` stay, as --size in 'size' does not",
        ),
    ],
)
def test_parameters_in_backticks_become_options(text: str, wanted: str) -> None:
    command: Any = typer.main.get_command(toy()[0])
    assert in_options(text, command.params) == wanted


@pytest.mark.parametrize("config", [NetworkConfig, TrainingConfig, SamplingConfig])
def test_options_of_a_command_are_those_of_the_fields(config: type[Config]) -> None:
    command = "sample" if config is SamplingConfig else "train"
    names = {option.name for option in OPTIONS if option.command == command}
    for item in fields(config):  # type: ignore[arg-type]
        if item.metadata.get("help"):
            name = item.metadata["option"] or item.name.replace("_", "-")
            assert f"--no-{name}" in names if item.default is True else f"--{name}" in names


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_each_group_of_the_help_fits_a_screen(name: str) -> None:
    text = run(*name.split(), "--help", env={"COLUMNS": "80"}).text
    assert all(len(line) <= 80 for line in text.splitlines())
    assert all(len(group.splitlines()) < SCREEN_LINES for group in re.split(r"\n\n(?=\S)", text))


QUIET_ONES = ("train", "export", "import", "report", "compress", "decompress")  # they write files


def test_examples_of_the_help_run(tmp_path: Path) -> None:
    (tmp_path / "corpora").symlink_to(CORPORA)
    shutil.copy(CORPORA / "stars.txt", tmp_path / "names.txt")
    for model in ("model", "stars", "dinosaurs"):
        path = f"{model}.safetensors"
        assert run("train", "corpora/stars.txt", *SMALL, "--steps", 1, "-m", path, cwd=tmp_path).code == 0
    tagger = ["--task", "tag", "--hidden-size", 8, "--steps", 1, "-m", "tagger.safetensors"]
    assert run("train", "corpora/sentences.tsv", *tagger, cwd=tmp_path).code == 0
    forecaster = ["--task", "forecast", "--hidden-size", 8, "--steps", 1, "-m", "forecaster.safetensors"]
    shutil.copy(CORPORA / "visitors.csv", tmp_path)
    assert run("train", "visitors.csv", *forecaster, cwd=tmp_path).code == 0
    translator = ["--task", "translate", "--hidden-size", 8, "--steps", 1, "-m", "pairs.safetensors"]
    assert run("train", "corpora/transliteration.tsv", *translator, cwd=tmp_path).code == 0
    (tmp_path / "words.txt").write_text("namaskar\n")
    (tmp_path / "sentences.txt").write_text("the dog sleeps\n")
    hub = ["export", "stars.safetensors", "--to", "hub", "-o", "hub", "--license", "mit"]
    assert run(*hub, cwd=tmp_path).code == 0
    shutil.copy(tmp_path / "hub" / "model.safetensors", tmp_path / "weights.safetensors")
    shutil.copy(tmp_path / "hub" / "config.json", tmp_path / "symbols.json")
    small = ["--hidden-size", "8", "--layers", "1", "--cell", "lstm"]
    quick = {"train": [*SMALL, "--steps", "1", "-m", "new.safetensors"], "sweep": small}
    for name, command in COMMANDS.items():
        if name == "write":
            continue  # which needs a terminal: test_write.py
        (example,) = re.findall(r"Example: rnn (.*)", command.help)
        if name == "serve":
            continue  # tests/serving/test_http.py runs it, as it does not end by itself
        done = run(*shlex.split(example), *quick.get(name, []), cwd=tmp_path)
        assert (done.code, bool(done.stdout)) == (0, name not in QUIET_ONES), done.stderr


def test_nothing_below_the_commands_names_an_option() -> None:
    package = Path(rnn_cli.__file__).parent
    for path in sorted(package.rglob("*.py")):
        if path.relative_to(package).parts[0] not in ("cli", "__main__.py"):
            texts = [node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)]
            whole = " ".join(text for text in texts if isinstance(text, str))
            options = {name for option in OPTIONS for name in option.names}  # other programs have options, too
            named = options & set(re.findall(r"(?<![\w-])--[a-z-]+", whole))
            assert not named, f"{path.name} names an option; put the name of the parameter in backticks"


# Defaults that the text of an option names, as Typer cannot know them.
NAMED_DEFAULTS = {
    "--adapt-rate": DEFAULT_RATE,
    "--validation-fraction": DEFAULT_FRACTION,
    "--max-copy": GRAMS[0],
    "--beam": USUAL_BEAM,
    "--length": USUAL_CHARACTERS,
}


def test_defaults_that_help_names_are_those_of_the_program() -> None:
    found = {}
    for command in COMMANDS.values():
        for parameter in command.params:
            text = re.sub(r" \[[^]]*\]$", "", getattr(parameter, "help", None) or "")  # what is made from a field
            for number in re.findall(r"(?:default:|at least) (\d+(?:\.\d+)?)", text):
                found[parameter.opts[0]] = float(number)
    assert found == NAMED_DEFAULTS
