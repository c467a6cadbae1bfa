"""Options that change no output here, or not on every processor, reach what they are for."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from commands import ENVIRONMENT, LINES_TEXT, SMALL, run, run_process
from random_models import make_checkpoint

from rnn_cli.checkpoint.checkpoint import save_checkpoint
from rnn_cli.kernels.simd import cpu
from rnn_cli.kernels.threads import Team
from rnn_cli.network import workspace
from rnn_cli.training import saving

TRAIN = ["train", "text.txt", *SMALL, "--steps", "1", "-m", "new"]
COMMANDS = {
    "train": TRAIN,
    "dry run": [*TRAIN, "--dry-run"],
    "sample": ["sample", "-n", "9", "-m", "lines", "--seed", "a", "--random-seed", "1"],
    "evaluate": ["evaluate", "text.txt", "-m", "lines"],
    "evaluate lines": ["evaluate", "text.txt", "--per-line", "-m", "lines"],
    "evaluate adapting": ["evaluate", "text.txt", "--adapt", "-m", "lines"],
    "classify": ["classify", "text.txt", "-m", "lines", "-m", "others"],
    "sweep": [
        *["sweep", "text.txt", *SMALL, "--steps", "1", "--cell", "lstm", "--layers", "1"],
        *["--study", "study", "--trials", "1"],
    ],
    "complete": ["complete", "a", "-m", "lines"],
}
FORBIDDEN = [[], ["--forbid", "\u00e9"]]
WITH_PRECISION = [name for name, command in COMMANDS.items() if command[0] in ("train", "sample", "evaluate")]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return a directory with a text and two models of lines."""
    (tmp_path / "text.txt").write_text(LINES_TEXT)
    for name in ("lines", "others"):
        save_checkpoint(tmp_path / name, make_checkpoint(True))
    return tmp_path


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_threads_are_passed_on(place: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]) -> None:
    made, start = [], Team.__init__

    def watched(team: Team, threads: int, *others: Any) -> None:
        made.append(threads)
        start(team, threads, *others)

    monkeypatch.setattr(Team, "__init__", watched)
    monkeypatch.setattr(import_module("rnn_cli.cli.options"), "available_processors", lambda: 8)
    done = run(*command, "--threads", 3, cwd=place)
    assert done.code == 0, done.stderr
    assert 3 in made
    assert set(made) <= {1, 3}  # one reads a prompt


@pytest.mark.parametrize("command", [COMMANDS[name] for name in WITH_PRECISION], ids=WITH_PRECISION)
def test_precision_is_passed_on(place: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]) -> None:
    for module in (cpu, workspace, saving):
        monkeypatch.setattr(module, "HAS_BFLOAT16", False, raising=module is not cpu)
    done = run(*command, "--precision", "bfloat16", cwd=place)
    assert (done.code, "no products in bfloat16" in done.stderr) == (2, True), done.stderr
    assert run(*command, "--precision", "float32", cwd=place).code == 0


def test_forbidden_characters_are_utf8_whatever_the_locale(place: Path) -> None:
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = ["sample", "-m", "lines", "-n", 40, "-t", 3, "--random-seed", 1]
    free, bound = (run_process(*command, *forbid, cwd=place, env={**ENVIRONMENT, **locale}) for forbid in FORBIDDEN)
    assert (free.code, bound.code) == (0, 0), bound.stderr
    assert "\u00e9".encode() in free.stdout
    assert "\u00e9".encode() not in bound.stdout
