"""What do ranks of MPI cost on one machine, where they exchange gradients through its memory?

Two ranks of one thread train on the same batches as one process with two threads. Both use both cores, so their clocks
and caches are equally busy; a single rank on an idle machine would not be a fair base. The runs alternate. The speed of
a run is the median of its reports, which leave out compiling. The ranks should reach 95 % of the process.

A third contender is one process with two groups: it shows what splitting a batch costs without any exchange.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from common import ROOT, options, report, table

SIZES = ["128,1,64,64", "256,2,128,64", "512,2,128,64"]  # hidden units, layers, rows of both ranks, window
CHARACTERS = 300_000
BAR = 0.95
CONTENDERS = {"2 ranks": (2, 1, 2), "2 threads": (1, 2, 1), "2 threads, 2 groups": (1, 2, 2)}  # ranks, threads, groups


def launcher() -> str:
    """Return the mpiexec of this environment, or of the system. Raises SystemExit if there is none."""
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    found = shutil.which("mpiexec", path=places)
    if found is None:
        raise SystemExit("there is no mpiexec; install one with: pip install mpi4py mpich")
    return found


def speed(folder: Path, size: str, contender: str, steps: int) -> float:
    """Train, and return the median of the characters per second of the reports."""
    ranks, threads, groups = CONTENDERS[contender]
    hidden, layers, rows, window = size.split(",")
    command = [*([launcher(), "-n", str(ranks)] if ranks > 1 else []), sys.executable, "-m", "rnn_cli", "train", "text"]
    command += ["--stream", "--hidden-size", hidden, "--layers", layers, "--batch-size", rows, "--dropout", "0"]
    command += ["--sequence-length", window, "--steps", str(steps), "--validation-fraction", "0", "--random-seed", "1"]
    command += ["--threads", str(threads), "--groups", str(groups), "--overwrite", "--quiet", "--log", "log"]
    command += ["--mpi"] * (ranks > 1)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run(command, cwd=folder, env=environment, check=True)
    reports = [json.loads(line) for line in (folder / "log").read_text("utf-8").splitlines()]
    return statistics.median(report["chars_per_second"] for report in reports)


def main() -> None:
    """Measure each size and print the table."""
    parser = options(__doc__, timed=False)
    parser.add_argument("--rounds", type=int, default=5, help="runs of each contender (default: 5)")
    parser.add_argument("--steps", type=int, default=200, help="steps of a run (default: 200)")
    parser.add_argument("--sizes", nargs="+", default=SIZES, metavar="H,L,B,T", help="networks and batches")
    arguments = parser.parse_args()
    sizes, rounds, steps = arguments.sizes, arguments.rounds, arguments.steps
    if arguments.quick:
        sizes, rounds, steps = ["16,1,8,16"], 1, 20
    rows, shares = [], []
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        text = (ROOT / "corpora" / "dinosaurs.txt").read_text("utf-8")
        (folder / "text").write_text((text * (CHARACTERS // len(text) + 1))[:CHARACTERS], "utf-8")
        for size in sizes:
            found: dict[str, list[float]] = {name: [] for name in CONTENDERS}
            for number in range(rounds):
                for name in CONTENDERS:
                    found[name].append(speed(folder, size, name, steps))
                    print(f"{size}, {name}, {number + 1}: {found[name][-1]:,.0f}", file=sys.stderr, flush=True)
            medians = {name: statistics.median(values) for name, values in found.items()}
            shares.append(medians["2 ranks"] / medians["2 threads"])
            rows.append([size, *(f"{medians[name]:,.0f}" for name in CONTENDERS), f"{shares[-1]:.1%}"])
    headers = ["sizes", *(f"{name}, chars/s" for name in CONTENDERS), "ranks / threads"]
    reached = sum(share >= BAR for share in shares)
    report("mpi-scaling", [table(headers, rows), f"{reached} of {len(shares)} sizes reach {BAR:.0%}."], arguments.save)


if __name__ == "__main__":
    main()
