"""Is this version slower than an earlier one, and does it give the same bits?

Give the directory of a checkout of the earlier version. Both run the same commands in turns, each in a process of its
own with the same Python: training, sampling, scoring, start-up, and the first run ever. A ratio above 1 means that this
version is slower. Of training, the speed is the one that the run logs, which leaves out compiling. The digests of the
weights, samples and scores of both versions are compared, too. A version that counts n-grams trains the network alone.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from common import ROOT, options, report, table
from safetensors.numpy import load_file

CHARACTERS = 300_000  # of the text that is trained on and scored
SIZES = ["128,1,32,64", "256,2,64,64", "512,2,64,64"]
BITS_SIZE = ["--hidden-size", "40", "--layers", "2", "--batch-size", "7", "--sequence-length", "20"]
BITS_REST = [
    "--steps",
    "30",
    "--dropout",
    "0.2",
    "--recurrent-dropout",
    "0.2",
    "--average",
    "0.3",
    "--weight-decay",
    "0.1",
    "--reset-chance",
    "0.1",
]
CELLS = [["lstm"], ["gru"], ["rnn"], ["rnn", "--activation", "relu"], ["rnn", "--activation", "sigmoid"]]


@dataclass(frozen=True)
class Version:
    """A checkout, with a directory for its models and one for its kernels."""

    source: Path
    folder: Path

    def run(self, *arguments: str, cache: Path | None = None) -> bytes:
        """Run a command of this version in its folder; return its stdout. Raises CalledProcessError if it fails."""
        environment = {
            **os.environ,
            "PYTHONPATH": str(self.source),
            "PYTHONPYCACHEPREFIX": str(self.folder / "bytecode"),
            "RNN_CACHE_DIR": str(cache or self.folder / "cache"),
        }
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package has its bytecode
        command = [sys.executable, "-m", "rnn_cli", *arguments]
        done = subprocess.run(command, cwd=self.folder, env=environment, check=True, capture_output=True)
        return done.stdout

    @cached_property
    def alone(self) -> list[str]:
        """The option with which `rnn train` saves the network alone, as versions without it do."""
        return ["--no-counts"] if b"--no-counts" in self.run("train", "--help") else []

    def seconds(self, *arguments: str, cache: Path | None = None) -> float:
        """Return the seconds that a command takes."""
        start = time.perf_counter()
        self.run(*arguments, cache=cache)
        return time.perf_counter() - start


class Row(NamedTuple):
    """A measurement: its name, and a function that returns a version's seconds, of a run or for a character."""

    name: str
    measure: Callable[[Version], float]


def training(cell: str, size: str, precision: str, steps: int) -> Row:
    """Return the row of a training: seconds for each character, as the log has them."""
    hidden, layers, batch, window = size.split(",")

    def measure(version: Version) -> float:
        version.run(
            *["train", "text.txt", "--stream", "--overwrite", "-m", f"{cell}-{hidden}.safetensors", "--log", "log"],
            *["--cell", cell, "--hidden-size", hidden, "--layers", layers, "--batch-size", batch],
            *["--sequence-length", window, "--steps", str(steps), "--precision", precision, "--threads", "2"],
            *["--validation-fraction", "0", "--dropout", "0", "--augment", "0", "--no-fingerprint"],
            *["--random-seed", "1", "--quiet", *version.alone],
        )
        lines = (version.folder / "log").read_text().splitlines()
        return 1 / json.loads(lines[-1])["chars_per_second"]

    return Row(f"train {cell} {size} {precision}", measure)


def command(name: str, *arguments: str) -> Row:
    """Return the row of a whole command."""
    return Row(name, lambda version: version.seconds(*arguments))


def first_run(version: Version) -> float:
    """Return the seconds of a first training step with an empty cache of kernels."""
    with tempfile.TemporaryDirectory() as cache:
        return version.seconds(
            *["train", "text.txt", "-m", "first.safetensors", "--overwrite", "--steps", "1", "--hidden-size", "64"],
            *["--precision", "float32", "--random-seed", "1", "--quiet", *version.alone],
            cache=Path(cache),
        )


def rows(quick: bool) -> list[Row]:
    """Return all measurements; training comes first, because the others use its models."""
    sizes, cells = (SIZES[:1], ["lstm"]) if quick else (SIZES, ["lstm", "gru", "rnn"])
    trained = [
        training(cell, size, precision, 30 if quick else 1_000 // max(1, int(size.split(",")[0]) // 64) ** 2 + 20)
        for cell in cells
        for size in sizes
        for precision in ("float32", "bfloat16")
    ]
    model = ["-m", "lstm-128.safetensors", "--random-seed", "1"]
    length = "20" if quick else "400"
    return [
        *trained,
        command("sample one stream", "sample", *model, "-l", "100" if quick else "30000"),
        command("sample 1,000 texts", "sample", *model, "-n", "1000", "-l", length),
        command("evaluate", "evaluate", "text.txt", "-m", "lstm-128.safetensors", "--json"),
        command("evaluate lines", "evaluate", "lines.txt", "-m", "lstm-128.safetensors", "--per-line"),
        command("--help", "--help"),
        command("train --help", "train", "--help"),
        command("predict (warm start)", "predict", "a", "-m", "lstm-128.safetensors"),
        Row("first training step ever", first_run),
    ]


def speed_table(old: Version, new: Version, measured: Sequence[Row], rounds: int) -> str:
    """Return the table of medians over rounds in which the versions take turns."""
    found = []
    for row in measured:
        times: dict[Version, list[float]] = {old: [], new: []}
        for turn in range(rounds + 1):
            for version in (old, new) if turn % 2 else (new, old):
                seconds = row.measure(version)
                if turn:  # the first one compiles
                    times[version].append(seconds)
        ratios = sorted(after / before for before, after in zip(times[old], times[new]))
        medians = [f"{statistics.median(times[version]) * 1e3:.4g}" for version in (old, new)]
        found.append([row.name, *medians, f"{statistics.median(ratios):.3f}", f"{ratios[0]:.3f} - {ratios[-1]:.3f}"])
    return table(["milliseconds", "earlier", "this version", "ratio", "range"], found)


def digests(version: Version) -> dict[str, str]:
    """Return the digests of weights, samples and scores for each cell, mode, precision and number of threads."""
    found = {}
    for cell in CELLS:
        for mode in ("--lines", "--stream"):
            for precision in ("float32", "bfloat16"):
                for threads in ("1", "2"):
                    name = " ".join([*cell, mode, precision, threads])
                    model = [*["-m", "bits.safetensors", "--precision"], precision, "--threads", threads]
                    version.run(
                        *["train", "bits.txt", mode, "--overwrite", *model, "--cell", *cell, *BITS_SIZE, *BITS_REST],
                        *["--random-seed", "3", "--quiet", *version.alone],
                    )
                    tensors = load_file(version.folder / "bits.safetensors")
                    weights = b"".join(tensors[key].tobytes() for key in sorted(tensors) if "training." not in key)
                    outputs = {
                        "weights": weights,
                        "samples": version.run(
                            "sample", *model, *["-n", "5", "-l", "60", "-t", "0.9", "--random-seed", "5"]
                        ),
                        "scores": version.run("evaluate", "bits.txt", *model, "--per-line"),
                    }
                    found |= {f"{name} {kind}": hashlib.sha256(data).hexdigest() for kind, data in outputs.items()}
    return found


def main() -> None:
    """Compare, and print the tables."""
    parser = options(__doc__, timed=False)
    parser.add_argument("earlier", type=Path, help="a checkout of the earlier version")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each version (default: 5)")
    parser.add_argument("--only", default="", help="measure the rows whose name contains this")
    parser.add_argument("--no-bits", action="store_true", help="do not compare the bits")
    arguments: argparse.Namespace = parser.parse_args()
    text = "".join(sorted((ROOT / "corpora").glob("*.txt"), key=lambda path: path.name)[0].read_text("utf-8"))
    text = (text * (CHARACTERS // len(text) + 1))[: 20_000 if arguments.quick else CHARACTERS]
    with tempfile.TemporaryDirectory() as name:
        versions = [Version(arguments.earlier.resolve(), Path(name, "earlier")), Version(ROOT, Path(name, "this"))]
        for version in versions:
            version.folder.mkdir()
            (version.folder / "text.txt").write_text(text, "utf-8")
            (version.folder / "lines.txt").write_text(text, "utf-8")
            (version.folder / "bits.txt").write_bytes((ROOT / "corpora" / "stars.txt").read_bytes())
        measured = [row for row in rows(arguments.quick) if arguments.only in row.name]
        parts = [speed_table(*versions, measured, 1 if arguments.quick else arguments.rounds)]
        if not arguments.no_bits:
            before, after = map(digests, versions)
            different = [name for name in before if before[name] != after[name]]
            parts.append(
                f"{len(before) - len(different)} of {len(before)} digests are equal. {', '.join(different)}".strip()
            )
    report("two-versions", parts, arguments.save)


if __name__ == "__main__":
    main()
