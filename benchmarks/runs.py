"""What the benchmarks of quality share: texts split into what is trained on and what is scored, and runs of `rnn`.

The quoted figures are about the last tenth of tinyshakespeare (karpathy/char-rnn, data/tinyshakespeare/input.txt) and a
tenth of the lines of names.txt (karpathy/makemore). What is tried out is tried on the rest of them alone: there the
last ninth of the play, and a ninth of the lines, are held out instead.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

TRAINED_CHARACTERS = 1_003_854  # of tinyshakespeare
PARTS = 10  # of which one is held out
PASSAGES, HELD_OUT = 3, 5_000  # of a text that is cut to short ones, and the characters that each is scored on
BASELINES = ("--baselines", "--corpus", "train.txt")  # scored beside the model: "baselines" of the scores, in bits


class Split(NamedTuple):
    """A text to train on and another to score."""

    name: str
    train: str
    held_out: str


class Outcome(NamedTuple):
    """What a run came to: `rnn info`, `rnn evaluate` on the held-out text, and the log, in their JSON forms.

    `more_scores` are those of further ways to score it, by their names.
    """

    facts: dict[str, Any]
    scores: dict[str, Any]
    reports: list[dict[str, Any]]
    more_scores: dict[str, dict[str, Any]]


def text_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that name the texts, which are no part of this project."""
    parser.add_argument("--shakespeare", type=Path, help="tinyshakespeare")
    parser.add_argument("--names", type=Path, help="names.txt")


def read_text(path: Path) -> str:
    """Return a text with its line ends as they are."""
    return path.read_bytes().decode("utf-8")


def split_at(name: str, text: str, place: int) -> Split:
    """Split a text in two at a character."""
    return Split(name, text[:place], text[place:])


def split_lines(name: str, lines: Sequence[str], parts: int) -> Split:
    """Hold out the first of every so many lines, which keep their ends."""
    held_out = "".join(lines[::parts])
    return Split(name, "".join(line for number, line in enumerate(lines) if number % parts), held_out)


def shakespeare(path: Path) -> Split:
    """Hold out what is quoted of tinyshakespeare: its last tenth."""
    return split_at("tinyshakespeare", read_text(path), TRAINED_CHARACTERS)


def names(path: Path) -> Split:
    """Hold out what is quoted of names.txt: every tenth line."""
    return split_lines("names", read_text(path).splitlines(keepends=True), PARTS)


def development(split: Split) -> Split:
    """Split the training part once more, in the same way, so that what is quoted stays unseen."""
    if split.name == "names":
        return split_lines(split.name, split.train.splitlines(keepends=True), PARTS - 1)
    return split_at(split.name, split.train, len(split.train) * (PARTS - 2) // (PARTS - 1))


def development_splits(chosen: argparse.Namespace) -> list[Split]:
    """Return the splits to try things out on, of the texts that were named."""
    readers = {shakespeare: chosen.shakespeare, names: chosen.names}
    return [development(read(path)) for read, path in readers.items() if path]


def passages(split: Split, characters: int) -> list[Split]:
    """Return passages of so many characters from the training part, each with those behind it held out, whole lines."""
    splits = []
    for number in range(1, PASSAGES + 1):
        start = len(split.train) * number // (PASSAGES + 1)
        lines = split.train[start : start + characters + HELD_OUT].splitlines(keepends=True)[1:-1]
        text = "".join(lines)
        cut = text.rfind("\n", 0, characters) + 1
        splits.append(split_at(f"{split.name}, from {start:,}", text, cut))
    return splits


def rnn(folder: Path, *arguments: str) -> str:
    """Run a command in a folder and return what it prints; its errors and messages go where ours go."""
    command = [sys.executable, "-m", "rnn_cli", *arguments]
    return subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, encoding="utf-8").stdout


def run(
    split: Split, training: Sequence[str], scoring: Sequence[str] = (), more: Mapping[str, Sequence[str]] | None = None
) -> Outcome:
    """Train with these options and score the held-out text; the options may name train.txt and held-out.txt.

    The text is scored once more with each of the options of `more`.
    """
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        (folder / "train.txt").write_bytes(split.train.encode())
        (folder / "held-out.txt").write_bytes(split.held_out.encode())
        rnn(folder, "train", "train.txt", "--log", "log.jsonl", "--quiet", *training)
        facts = json.loads(rnn(folder, "info", "--json"))
        ways = {"": scoring, **(more or {})}
        scores = {
            name: json.loads(rnn(folder, "evaluate", "held-out.txt", "--json", "--quiet", *given))
            for name, given in ways.items()
        }
        log = (folder / "log.jsonl").read_text("utf-8")
    return Outcome(facts, scores.pop(""), [json.loads(line) for line in log.splitlines()], scores)


def try_out(*training: str, scoring: Sequence[str] = ()) -> None:
    """Take one step with these options: so they are not refused, and nothing is compiled, in the runs that follow."""
    text = Split("trial", "to be, or not to be\n" * 100, "that is the question\n")
    run(text, ["--validation-file", "held-out.txt", *training, "--steps", "1"], scoring)
