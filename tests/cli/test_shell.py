"""A shell completes commands, options and model files."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from commands import ENVIRONMENT, PROGRAM

SHELLS = ["bash", "zsh", "fish"]
BASH = shutil.which("bash")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return a directory with model files, others, and the program by its name."""
    for name in ("one.safetensors", "other.safetensors", "one.txt", "deep/one.safetensors", "bin/rnn"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "bin" / "rnn").write_text("#!/bin/sh\nexec " + " ".join(map(repr, PROGRAM)) + ' "$@"\n')
    (tmp_path / "bin" / "rnn").chmod(0o755)
    return tmp_path


def rnn(place: Path, *arguments: str, **environment: str) -> str:
    """Return what the program prints; nothing may go to stderr."""
    variables = {**ENVIRONMENT, "HOME": str(place), **environment}
    done = subprocess.run([*PROGRAM, *arguments], cwd=place, env=variables, capture_output=True, text=True)
    assert done.stderr == ""
    return done.stdout


def completed(place: Path, shell: str, line: str) -> list[str]:
    """Return what is offered for the last word of a line."""
    words = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}
    words |= {"_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    printed = rnn(place, _RNN_COMPLETE=f"complete_{shell}", **words)
    if shell == "zsh":  # "word" or "word":"help"
        return re.findall(r'(?m)(?:^|\(\()"([^"]+)"', printed)
    return [line.split("\t")[0] for line in printed.splitlines() if line]


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("command", ["train x", "sample", "complete x", "evaluate", "predict x", "info"])
def test_model_files_complete(place: Path, shell: str, command: str) -> None:
    assert completed(place, shell, f"rnn {command} -m o") == ["one.safetensors", "other.safetensors"]
    assert completed(place, shell, f"rnn {command} --model deep/") == ["deep/one.safetensors"]


def test_missing_directory_completes_nothing(place: Path) -> None:
    assert completed(place, "bash", "rnn info -m nowhere/") == []


@pytest.mark.parametrize("shell", SHELLS)
def test_commands_and_options_complete(place: Path, shell: str) -> None:
    assert completed(place, shell, "rnn comp") == ["complete", "compress"]
    assert completed(place, shell, "rnn sample --max") == ["--max-length", "--max-copy"]


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_of_each_shell(place: Path, shell: str) -> None:
    # This variable of Typer's lets a shell be named; else it is the one that the command is run from.
    script = rnn(place, "--show-completion", shell, _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert f"_RNN_COMPLETE=complete_{shell}" in script


@pytest.mark.skipif(not BASH, reason="no bash")
def test_a_real_bash_completes_once_it_is_installed(place: Path) -> None:
    rnn(place, "--install-completion", "bash", _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    script = "source ~/.bashrc; COMP_WORDS=(rnn sample -m o); COMP_CWORD=3; _rnn_completion rnn; echo ${COMPREPLY[@]}"
    environment = {**ENVIRONMENT, "HOME": str(place), "PATH": f"{place / 'bin'}:{ENVIRONMENT['PATH']}"}
    done = subprocess.run([str(BASH), "-c", script], cwd=place, env=environment, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("one.safetensors other.safetensors\n", "")
