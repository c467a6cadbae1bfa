"""Is anything lost, or does any file do harm, in an hour of injected faults?

Trains in processes that are killed and stopped at random moments and resumed, with other numbers of threads and from
other directories, and compares the result with a run without faults. Makes every system call of a save fail or kill.
Loads randomly mutated files. Any loss ends it with exit code 1.
"""

from __future__ import annotations

import errno
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from common import ROOT, options, report, table

sys.path.insert(0, str(ROOT / "tests"))
from commands import LINES_TEXT, STREAM_TEXT
from fault_injection import failing, faulty_files, in_child, kill

from rnn_cli.checkpoint.checkpoint import load_checkpoint, save_checkpoint, to_bytes
from rnn_cli.errors import CheckpointError

# The command, with a save after every evaluation, so that there are many saves to interrupt.
PROGRAM = "import rnn_cli.cli.train.run as run; run.SAVE_SECONDS = 0; from rnn_cli.__main__ import program; program()"
RUNS = {
    "stream": ["--cell", "lstm", "--hidden-size", "48", "--dropout", "0.2", "--steps", "4000"],
    "lines": ["--cell", "gru", "--hidden-size", "32", "--layers", "2", "--steps", "3000"],
}
SIZES = ["--batch-size", "4", "--sequence-length", "16", "--random-seed", "1"]
STOPS = [signal.SIGKILL, signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP]
# Done, stopped by a signal, or killed by a signal before the program could catch it.
ENDS = {0, *(128 + number for number in STOPS), *(-number for number in STOPS)}
LONGEST_WAIT = 4.0  # seconds until a process is stopped; most of the first second is start-up
FAULTS = [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT, errno.EACCES, errno.EMFILE]
LONGEST_LOAD = 2.0  # seconds


class LossError(Exception):
    """A guarantee that was broken."""


def process(folder: Path, *arguments: object) -> subprocess.Popen[bytes]:
    """Start a command in a directory."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", PROGRAM, *map(str, arguments)]
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def content(path: Path) -> Any:
    """Return everything in a model that must be the same in every run."""
    model = load_checkpoint(path)
    tensors = {name: tensor.tobytes() for name, tensor in model.tensors().items()}
    return model.config, model.codec, model.record["steps"], model.progress is None, tensors


def steps_in(log: Path) -> list[int]:
    """Return the steps in a log."""
    return [json.loads(line)["step"] for line in log.read_text("utf-8").splitlines()]


def finish(folder: Path, *arguments: object) -> None:
    """Run a command to its end."""
    started = process(folder, *arguments)
    _, error = started.communicate()
    if started.returncode:
        raise LossError(f"{arguments} ended with {started.returncode}: {error.decode()}")


def soak(folder: Path, name: str, kills: int, rng: random.Random) -> Counter[str]:
    """Train one of RUNS, stop it `kills` times, and compare it with a run that was never stopped."""
    counts: Counter[str] = Counter()
    whole, model, log = (folder / f"{name}{suffix}" for suffix in (".whole", ".model", ".log"))
    command = ["train", folder / f"{name}.txt", *RUNS[name], *SIZES]
    if not whole.exists():
        finish(folder, *command, "-m", whole, "--log", f"{whole}.log")
    for path in (model, log):
        path.unlink(missing_ok=True)
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    before = 0
    for kills_left in range(kills, -1, -1):
        begin = ["train", "--resume"] if model.exists() else command
        start = time.monotonic()
        started = process(
            rng.choice([folder, elsewhere]), *begin, "-m", model, "--log", log, "--threads", rng.randint(1, 3)
        )
        if kills_left:
            with suppress(subprocess.TimeoutExpired):
                started.wait(rng.uniform(0.1, LONGEST_WAIT))
            number = rng.choice(STOPS)
            if started.poll() is None:
                started.send_signal(number)
                counts["kills" if number == signal.SIGKILL else "stops"] += 1
        _, error = started.communicate()
        counts["seconds"] += round(time.monotonic() - start)
        if started.returncode not in ENDS:
            raise LossError(f"{name} ended with {started.returncode}: {error.decode()}")
        if not model.exists() and before:
            raise LossError(f"the model of {name} is missing")
        if model.exists():
            steps = load_checkpoint(model).record["steps"]
            if steps < before:
                raise LossError(f"{name} went back from step {before} to {steps}")
            before = steps
    if content(model) != content(whole):
        raise LossError(f"{name} ends with different bits than the run that was never stopped")
    if steps_in(log) != steps_in(Path(f"{whole}.log")):
        raise LossError(f"the log of {name} has gaps or duplicates")
    leftovers = [path.name for path in folder.iterdir() if path.name.startswith(".")]
    if leftovers:
        raise LossError(f"temporary files are left: {leftovers}")
    return counts


def fail_saves(folder: Path, old: Path, new: Path) -> int:
    """Make each call of a save fail with each fault; return the number of faults."""
    path, failed = folder / "saved", 0
    before, after = old.read_bytes(), new.read_bytes()

    def save(fault: Callable[[], None], number: int) -> int:
        with faulty_files(number, fault) as faulty, suppress(Exception):
            save_checkpoint(path, load_checkpoint(new))
        return int(faulty.count < number)

    for fault in (kill, *map(failing, FAULTS)):
        for number in itertools.count(1):
            path.write_bytes(before)
            done = in_child(partial(save, fault), number) == 1
            if path.read_bytes() not in (before, after):
                raise LossError(f"call {number} of a save left neither the old model nor the new one")
            if done:
                break
            failed += 1
    for stale in folder.glob(".saved.*.tmp"):
        stale.unlink()
    path.unlink()
    return failed


def mutants(content: bytes, rng: random.Random) -> Iterator[bytes]:
    """Yield mutations of a file: bytes replaced, inserted or deleted, mostly in its header."""
    header = 8 + int.from_bytes(content[:8], "little")
    pieces = [b"9" * 9, b"-1", b"1e999", b"null", b"NaN", b'"', b"[[[[", b"{", b"\\u0000", b"\xff", b"", b"../"]
    while True:
        changed = bytearray(content)
        for _ in range(rng.randint(1, 4)):
            offset = rng.randrange(header if rng.random() < 0.8 else len(content))
            piece = rng.choice([*pieces, rng.randbytes(rng.randint(1, 9))])
            changed[offset : offset + rng.randint(0, 9)] = piece
        yield bytes(changed)


def load_mutants(folder: Path, model: Path, seconds: float, most: int, rng: random.Random) -> tuple[int, int]:
    """Load up to `most` mutated files within `seconds`; return how many were tried, and how many were refused."""
    path, loaded, refused = folder / "mutant", 0, 0
    end = time.monotonic() + seconds
    for content in itertools.islice(mutants(model.read_bytes(), rng), most):
        path.write_bytes(content)
        start = time.process_time()
        try:
            to_bytes(load_checkpoint(path))
        except CheckpointError:
            refused += 1
        if time.process_time() - start > LONGEST_LOAD:
            raise LossError(f"a file of {len(content)} bytes took {time.process_time() - start:.1f} s")
        loaded += 1
        if time.monotonic() > end:
            break
    path.unlink()
    return loaded, refused


def main() -> None:
    """Run all parts for the given time."""
    parser = options(__doc__)
    parser.add_argument("--minutes", type=float, default=60, help="how long (default: 60); most of it trains")
    parser.add_argument("--random-seed", type=int, default=1)
    chosen = parser.parse_args()
    rng = random.Random(chosen.random_seed)
    seconds = 60 * chosen.minutes
    start = time.monotonic()
    counts: Counter[str] = Counter()
    losses = []
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        (folder / "stream.txt").write_text(STREAM_TEXT)
        (folder / "lines.txt").write_text(LINES_TEXT)
        try:
            for name in itertools.cycle(RUNS):
                counts += soak(folder, name, 3 if chosen.quick else rng.randint(3, 12), rng)
                counts["runs"] += 1
                if chosen.quick or time.monotonic() - start > 0.8 * seconds:
                    break
            first = folder / f"{next(iter(RUNS))}.whole"
            older = load_checkpoint(first)
            older.record["steps"] = 1
            save_checkpoint(folder / "older", older)
            counts["operations"] = fail_saves(folder, folder / "older", first)
            most = 300 if chosen.quick else sys.maxsize
            counts["mutated"], counts["refused"] = load_mutants(folder, first, 0.2 * seconds, most, rng)
        except LossError as loss:
            losses.append(str(loss))
    rows = [
        ["trainings compared with one that was never stopped", counts["runs"]],
        ["kills survived (SIGKILL)", counts["kills"]],
        ["stops survived (SIGTERM, SIGINT, SIGHUP)", counts["stops"]],
        ["seconds of training under kills", counts["seconds"]],
        ["calls of a save that failed or killed", counts["operations"]],
        ["mutated files loaded", counts["mutated"]],
        ["of these refused", counts["refused"]],
        ["losses", len(losses)],
    ]
    cells = [[name, f"{number:,}"] for name, number in rows]
    report("reliability", [table(["what", "number"], cells), *losses], chosen.save)
    sys.exit(bool(losses))


if __name__ == "__main__":
    main()
