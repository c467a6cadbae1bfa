"""What do ranks of MPI cost on one machine, where they exchange gradients through its memory?

Two ranks of one thread train on the same batches as one process with two threads. Both use both cores, so their clocks
and caches are equally busy; a single rank on an idle machine would not be a fair base. The runs alternate. The speed of
a run is the median of its reports, which leave out compiling. The ranks should reach 95 % of the process.

A third contender is one process with two groups: it shows what splitting a batch costs without any exchange.

`--phases` also prints where a step of the first rank, and of the process, spends its time (mpi_phases.py).
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
from mpi_phases import WHOLE

PHASES = "from mpi_phases import main; main()"
SIZES = ["128,1,64,64", "256,2,128,64", "512,2,128,64"]  # hidden units, layers, rows of both ranks, window
CHARACTERS = 300_000
WORK, FEWEST_STEPS = 6e10, 40  # H^2 L B T of all steps of a run, which takes about four seconds
BAR = 0.95
CONTENDERS = {"2 ranks": (2, 1, 2), "2 threads": (1, 2, 1), "2 threads, 2 groups": (1, 2, 2)}  # ranks, threads, groups


def launcher() -> str:
    """Return the mpiexec of this environment, or of the system. Raises SystemExit if there is none."""
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    found = shutil.which("mpiexec", path=places)
    if found is None:
        raise SystemExit("there is no mpiexec; install one with: pip install mpi4py mpich")
    return found


def run(contender: str, program: list[str], folder: Path) -> str:
    """Run a Python program as a contender does; return its stdout."""
    ranks, threads, groups = CONTENDERS[contender]
    launch = [launcher(), "-n", str(ranks)] if ranks > 1 else []
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "benchmarks")])}
    done = subprocess.run(
        [*launch, sys.executable, *program], cwd=folder, env=environment, check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout


def speed(folder: Path, size: str, contender: str, steps: int) -> float:
    """Train, and return the median of the characters per second of the reports."""
    ranks, threads, groups = CONTENDERS[contender]
    hidden, layers, rows, window = size.split(",")
    program = ["-m", "rnn_cli", "train", "text", "--stream", "--hidden-size", hidden, "--layers", layers]
    program += ["--batch-size", rows, "--sequence-length", window, "--dropout", "0", "--validation-fraction", "0"]
    program += ["--steps", str(steps), "--random-seed", "1", "--threads", str(threads)]
    program += ["--groups", str(groups), "--overwrite", "--quiet", "--log", "log", *["--mpi"] * (ranks > 1)]
    run(contender, program, folder)
    reports = [json.loads(line) for line in (folder / "log").read_text("utf-8").splitlines()]
    return statistics.median(report["chars_per_second"] for report in reports)


def phases(folder: Path, size: str, steps: int) -> str:
    """Return a table of the milliseconds of each phase of a step, and its share of the step."""
    rows = []
    for contender in ("2 ranks", "2 threads"):
        _, threads, groups = CONTENDERS[contender]
        found = json.loads(run(contender, ["-c", PHASES, size, str(threads), str(groups), str(steps)], folder))
        rows += [[f"{contender}: {name}", f"{time:.3f}", f"{time / found[WHOLE]:.1%}"] for name, time in found.items()]
    return table([f"{size}, median step", "ms", "share"], rows)


def main() -> None:
    """Measure each size and print the table."""
    parser = options(__doc__, timed=False)
    parser.add_argument("--rounds", type=int, default=5, help="runs of each contender (default: 5)")
    parser.add_argument("--steps", type=int, help="steps of a run (default: as many as take some seconds)")
    parser.add_argument("--sizes", nargs="+", default=SIZES, metavar="H,L,B,T", help="networks and batches")
    parser.add_argument("--phases", action="store_true", help="also print where a step spends its time")
    arguments = parser.parse_args()
    sizes, rounds = (["16,1,8,16"], 1) if arguments.quick else (arguments.sizes, arguments.rounds)
    rows, shares, parts = [], [], []
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        text = (ROOT / "corpora" / "dinosaurs.txt").read_text("utf-8")
        (folder / "text").write_text((text * (CHARACTERS // len(text) + 1))[:CHARACTERS], "utf-8")
        for size in sizes:
            hidden, layers, batch, window = map(int, size.split(","))
            steps = arguments.steps or (
                20 if arguments.quick else max(FEWEST_STEPS, int(WORK / (hidden**2 * layers * batch * window)))
            )
            found: dict[str, list[float]] = {name: [] for name in CONTENDERS}
            for number in range(rounds):
                for name in CONTENDERS:
                    found[name].append(speed(folder, size, name, steps))
                    print(f"{size}, {name}, {number + 1}: {found[name][-1]:,.0f}", file=sys.stderr, flush=True)
            medians = {name: statistics.median(values) for name, values in found.items()}
            shares.append(medians["2 ranks"] / medians["2 threads"])
            rows.append([size, *(f"{medians[name]:,.0f}" for name in CONTENDERS), f"{shares[-1]:.1%}"])
            if arguments.phases:
                parts.append(phases(folder, size, steps))
    headers = ["sizes", *(f"{name}, chars/s" for name in CONTENDERS), "ranks / threads"]
    reached = sum(share >= BAR for share in shares)
    parts[:0] = [table(headers, rows), f"{reached} of {len(shares)} sizes reach {BAR:.0%}."]
    report("mpi-scaling", parts, arguments.save)


if __name__ == "__main__":
    main()
