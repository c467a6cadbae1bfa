"""Shared by the benchmarks of quality: texts split into training and held-out parts, and runs of `rnn`.

Published figures are for the last tenth of tinyshakespeare (karpathy/char-rnn, data/tinyshakespeare/input.txt) and a
tenth of the lines of names.txt (karpathy/makemore). Experiments use only the rest: of that, the last ninth of the
plays, and a ninth of the lines, are held out.
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
PARTS = 10  # one of them is held out
MOST_HELD_OUT = 200_000  # characters of the end of a text
PASSAGES, HELD_OUT = 3, 5_000  # short passages that a text is cut to, and the characters that score each
BASELINES = ("--baselines", "--corpus", "train.txt")  # adds "baselines" to the scores, in bits per character


class Split(NamedTuple):
    """A text to train on and a held-out text to score."""

    name: str
    train: str
    held_out: str


class Outcome(NamedTuple):
    """The results of a run as JSON: `rnn info`, `rnn evaluate` on the held-out text, and the log.

    `more_scores` holds the scores under further options, by name.
    """

    facts: dict[str, Any]
    scores: dict[str, Any]
    reports: list[dict[str, Any]]
    more_scores: dict[str, dict[str, Any]]


def text_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that name the texts, which are not part of this project."""
    parser.add_argument("--shakespeare", type=Path, help="tinyshakespeare")
    parser.add_argument("--names", type=Path, help="names.txt")


def read_text(path: Path) -> str:
    """Return a text with its line ends unchanged."""
    return path.read_bytes().decode("utf-8")


def split_at(name: str, text: str, position: int) -> Split:
    """Split a text before the character at `position`."""
    return Split(name, text[:position], text[position:])


def split_end(name: str, text: str) -> Split:
    """Hold out the last tenth of a text, at most MOST_HELD_OUT characters."""
    return split_at(name, text, len(text) - min(len(text) // PARTS, MOST_HELD_OUT))


def split_lines(name: str, lines: Sequence[str], parts: int) -> Split:
    """Hold out the first of every `parts` lines, which keep their ends."""
    held_out = "".join(lines[::parts])
    return Split(name, "".join(line for index, line in enumerate(lines) if index % parts), held_out)


def shakespeare(path: Path) -> Split:
    """Split tinyshakespeare as for published figures: hold out its last tenth."""
    return split_at("tinyshakespeare", read_text(path), TRAINED_CHARACTERS)


def names(path: Path) -> Split:
    """Split names.txt as for published figures: hold out every tenth line."""
    return split_lines("names", read_text(path).splitlines(keepends=True), PARTS)


def development(split: Split) -> Split:
    """Split the training part again in the same way, so that the published text stays unseen."""
    if split.name == "names":
        return split_lines(split.name, split.train.splitlines(keepends=True), PARTS - 1)
    return split_at(split.name, split.train, len(split.train) * (PARTS - 2) // (PARTS - 1))


def development_splits(chosen: argparse.Namespace) -> list[Split]:
    """Return the splits for experiments, of the texts that were given."""
    readers = {shakespeare: chosen.shakespeare, names: chosen.names}
    return [development(read(path)) for read, path in readers.items() if path]


def passages(split: Split, characters: int) -> list[Split]:
    """Return passages of about `characters` from the training part; the lines after each are held out."""
    splits = []
    for index in range(1, PASSAGES + 1):
        start = len(split.train) * index // (PASSAGES + 1)
        lines = split.train[start : start + characters + HELD_OUT].splitlines(keepends=True)[1:-1]
        text = "".join(lines)
        cut = text.rfind("\n", 0, characters) + 1
        splits.append(split_at(f"{split.name}, from {start:,}", text, cut))
    return splits


def rnn(folder: Path, *arguments: str) -> str:
    """Run a command in a folder and return its stdout; its stderr is ours."""
    command = [sys.executable, "-m", "rnn_cli", *arguments]
    return subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, encoding="utf-8").stdout


def run(
    split: Split, training: Sequence[str], scoring: Sequence[str] = (), more: Mapping[str, Sequence[str]] | None = None
) -> Outcome:
    """Train with the options `training` and score the held-out text with the options `scoring`.

    The options may name train.txt and held-out.txt. The text is scored again with each entry of `more`.
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
    """Train one step with these options, so that later runs neither refuse them nor compile."""
    text = Split("trial", "to be, or not to be\n" * 100, "that is the question\n")
    run(text, ["--validation-file", "held-out.txt", *training, "--steps", "1"], scoring)
