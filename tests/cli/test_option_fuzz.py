"""Any options together: never a traceback, never an exit code that the contract does not have."""

from __future__ import annotations

import os
import shutil
from itertools import chain
from pathlib import Path

import pytest
from commands import LINES_TEXT, SMALL, STREAM_TEXT, run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from options import OPTIONS, REFUSED, Option

CODES = {0, 1, 2, 3, 4}  # and those of signals and closed pipes, of which there are none here
# Numbers that no option takes for a long job, so that the fuzzing stays quick.
NUMBERS = {"int": ["0", "1", "2", "3", "7"], "float": ["0", "0.001", "0.002"]}
NAMES = ["text", "lines", "empty", "latin", "missing", "folder", "folder/new", "nowhere/new", "model", "other", "-", ""]
TEXTS = [*NAMES, "the", "\x1b[2J", "\u202e", "e\u0301", "\U0001f600", "--", "x" * 300, "[/red]", "%s{0}"]
ARGUMENTS = {"train": NAMES, "evaluate": NAMES, "classify": NAMES, "tag": NAMES, "predict": TEXTS, "complete": TEXTS}
ARGUMENTS |= {"sample": [], "info": [], "plot": NAMES, "report": NAMES, "serve": []}
ARGUMENTS |= {"sweep": NAMES}
ARGUMENTS |= {"inspect": TEXTS, "gradients": TEXTS, "gradcheck": TEXTS}
ARGUMENTS |= {"forecast": NAMES, "translate": NAMES, "export": NAMES, "import": NAMES, "compress": NAMES}
ARGUMENTS |= {"decompress": NAMES}
ARGUMENTS |= {"write": NAMES}  # which needs a terminal, so here it can only refuse


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with texts and a model."""
    directory = tmp_path_factory.mktemp("shelf")
    (directory / "text").write_text(STREAM_TEXT)
    (directory / "lines").write_text(LINES_TEXT)
    (directory / "latin").write_bytes(STREAM_TEXT.encode() + b"\xff")
    (directory / "tagged").write_text("the\tDET\ncat\tNOUN\n\n" * 3)
    (directory / "empty").touch()
    (directory / "folder").mkdir()
    tagger = ["--task", "tag", "--hidden-size", 8, "--steps", 2, "-m", "tagger"]
    assert run("train", "tagged", *tagger, cwd=directory).code == 0
    for name in ("model", "other"):
        assert run("train", "text", *SMALL, "--steps", 2, "-m", name, cwd=directory).code == 0
    return directory


def values(option: Option) -> st.SearchStrategy[str]:
    """Return values for an option, some right and some wrong; of choices the first, as each may compile kernels."""
    wrong = st.sampled_from(REFUSED.get(option.kind, TEXTS))
    if option.kind in NUMBERS:
        return st.sampled_from(NUMBERS[option.kind]) | wrong
    return (st.just(option.choices[0]) | wrong) if option.choices else wrong


def given_option(option: Option) -> st.SearchStrategy[list[str]]:
    """Return the arguments of an option, under any of its names."""
    names = st.sampled_from(option.names)
    if option.kind == "boolean":
        return names.map(lambda name: [name])
    return st.tuples(names, values(option)).map(list)


@st.composite
def command_lines(draw: st.DrawFn) -> list[str]:
    """Return a command with some of its options and arguments, in any order."""
    command = draw(st.sampled_from(sorted(ARGUMENTS)))
    own = [given_option(option) for option in OPTIONS if option.command == command]
    parts = draw(st.lists(st.one_of(own), max_size=5))
    if ARGUMENTS[command]:
        parts += draw(st.lists(st.sampled_from(ARGUMENTS[command]).map(lambda name: [name]), max_size=2))
    # What comes later wins, so these sizes are only those of options that are not given.
    usual = {
        "train": [*SMALL, *draw(st.sampled_from([[], ["--steps", "2"]]))],
        "sample": ["-l", "20"],
        "sweep": [*SMALL, "--cell", "lstm", "--layers", "1", "--steps", "2", "--study", "study", "--trials", "1"],
        "classify": draw(st.sampled_from([[], ["-m", "model", "-m", "other"]])),
        "serve": ["--stdio"],
        "tag": draw(st.sampled_from([[], ["-m", "tagger"]])),
    }
    return [command, *usual.get(command, []), *chain.from_iterable(draw(st.permutations(parts)))]


def test_every_command_is_tested() -> None:
    assert {option.command for option in OPTIONS} == ARGUMENTS.keys()


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(line=command_lines(), stdin=st.sampled_from([b"", b"the cat", b"\xff\xfe"]))
def test_any_command_line(tmp_path_factory: pytest.TempPathFactory, shelf: Path, line: list[str], stdin: bytes) -> None:
    place = tmp_path_factory.getbasetemp() / "fuzzed"
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(shelf, place)
    done = run(*line, cwd=place, stdin=stdin, env={"RNN_MODEL": "model"} if line[0] != "train" else None)
    assert done.code in CODES, done
    assert "Traceback" not in done.stderr
    assert "unexpected " not in done.stderr.replace("unexpected extra argument", ""), done.stderr
    if done.code:
        assert done.stderr.splitlines()[-1].startswith("rnn: error: "), done.stderr
    assert not [name for name in os.listdir(place) if name.startswith(".")]
