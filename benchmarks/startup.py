"""How long do whole commands take, from the start of the process?

Each is its own process: the `rnn` installed beside this Python, or `python -m rnn_cli` if there is none. They take
turns with an empty Python. The kernel cache is warm, except for the first run ever: that has an empty cache, takes one
training step and saves the model. The first character is timed from the start of `rnn sample` until a terminal
receives it.
"""

from __future__ import annotations

import os
import pty
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from common import ROOT, options, report, table

INSTALLED = Path(sys.executable).parent / "rnn"
RNN = [str(INSTALLED)] if INSTALLED.exists() else [sys.executable, "-m", "rnn_cli"]
TRAIN = ["train", str(ROOT / "corpora" / "dinosaurs.txt"), "--quiet", "--random-seed", "1"]
SCORED_BYTES = 10_000
HIDDEN_SIZE = 128
FIRST_RUNS = 3
FIRST_CHARACTER, FIRST_RUN = "first character on a terminal", "first run ever, one step"
BARS = {  # milliseconds
    "rnn --version": 120,
    "rnn --help": 120,
    "rnn train --help": 120,
    "rnn sample -l 200": 500,
    FIRST_CHARACTER: 500,
    "rnn evaluate, 10 KB": 600,
    FIRST_RUN: 8000,
}


def environment(folder: Path) -> dict[str, str]:
    """Return an environment in which Python caches bytecode, as it does for an installed package."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONDONTWRITEBYTECODE", "RNN_MODEL")}
    return {**kept, "PYTHONPYCACHEPREFIX": str(folder / "bytecode")}


def seconds_of(command: list[str], folder: Path, **others: str) -> float:
    """Return the seconds from the start of a process to its end. Raises CalledProcessError if it fails."""
    start = time.perf_counter()
    subprocess.run(command, cwd=folder, env=environment(folder) | others, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def seconds_to_first_byte(command: list[str], folder: Path) -> float:
    """Return the seconds from the start of a process to the first byte that it writes to a terminal."""
    terminal, end = pty.openpty()
    start = time.perf_counter()
    with subprocess.Popen(
        command, cwd=folder, env=environment(folder), stdin=subprocess.DEVNULL, stdout=end
    ) as process:
        os.close(end)
        os.read(terminal, 1)
        passed = time.perf_counter() - start
        process.kill()
    os.close(terminal)
    return passed


def first_run(folder: Path) -> float:
    """Return the seconds of a run of one step with an empty cache."""
    with tempfile.TemporaryDirectory() as cache:
        command = [*RNN, *TRAIN, "-m", "first.safetensors", "--overwrite", "--steps", "1", "--validation-fraction", "0"]
        return seconds_of(command, folder, RNN_CACHE_DIR=cache)


def contenders(folder: Path) -> dict[str, Callable[[], float]]:
    """Make the model and the text, and return the calls to time."""
    text = (ROOT / "corpora" / "dinosaurs.txt").read_bytes()[:SCORED_BYTES]
    (folder / "text.txt").write_bytes(text)
    model = [*RNN, *TRAIN, "--steps", "20", "--stream", "--hidden-size", str(HIDDEN_SIZE)]
    seconds_of(model, folder)
    sample = [*RNN, "sample", "-l", "200", "--seed", "A", "--quiet"]
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "rnn --version": [*RNN, "--version"],
        "rnn --help": [*RNN, "--help"],
        "rnn train --help": [*RNN, "train", "--help"],
        "rnn sample -l 200": sample,
        "rnn evaluate, 10 KB": [*RNN, "evaluate", "text.txt", "--quiet"],
    }
    calls: dict[str, Callable[[], float]] = {
        name: partial(seconds_of, command, folder) for name, command in commands.items()
    }
    return calls | {FIRST_CHARACTER: partial(seconds_to_first_byte, sample, folder)}


def measure(calls: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Time all in turns, after a warm-up round."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for round_index in range(rounds + 1):
        for name, call in calls.items():
            passed = call()
            if round_index:
                times[name].append(passed)
    return times


def main() -> None:
    """Measure as the options say."""
    parser = options(__doc__, timed=False)
    parser.add_argument("--rounds", type=int, default=25, help="runs of each command (default: 25)")
    chosen = parser.parse_args()
    rounds, first_runs = (1, 1) if chosen.quick else (chosen.rounds, FIRST_RUNS)
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        times = measure(contenders(folder), rounds)
        times[FIRST_RUN] = [first_run(folder) for _ in range(first_runs)]
    rows = []
    for name, found in times.items():
        milliseconds = [f"{1e3 * value:.0f}" for value in (statistics.median(found), min(found), max(found))]
        rows.append([name, *milliseconds, str(BARS.get(name, ""))])
    how = f"`rnn` is {'the installed script' if INSTALLED.exists() else '`python -m rnn_cli`'}."
    report("startup", [how, table(["process", "median ms", "least", "most", "bar"], rows)], chosen.save)


if __name__ == "__main__":
    main()
