"""Does `rnn train` use an hour on a text of 100 MB, and what does it keep in memory meanwhile?

Trains networks of several sizes, and what is chosen, for the same time on the same text, and scores a part that neither
training nor the selection of a model has seen, with and without the counts, beside a 5-gram and xz. Blocks that are
spread over the text are held out: one half validates, the other is scored. The memory is that of the process, after a
tenth of the run, and at its end before anything is counted.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from charts import line_chart, save_chart
from common import PROC, options, report, table
from runs import BASELINES, read_text, rnn, try_out

from rnn_cli.bits import BITS_PER_NAT

SIZES = {
    "1 x 512": ("--hidden-size", "512"),
    "1 x 1024": ("--hidden-size", "1024"),
    "2 x 512": ("--hidden-size", "512", "--layers", "2"),
    "as chosen": (),
}
BLOCK, EACH = 20_000, 100  # characters of a block, and the blocks of which one is held out
SHOWN = 1.25  # of the best loss: the upper end of the chart


class Run(NamedTuple):
    """A run: its facts, epochs, curve (minutes, bits), scores (with counts, alone), and megabytes early and late."""

    facts: dict[str, Any]
    epochs: float
    curve: list[tuple[float, float]]
    bits: tuple[float, float]
    memory: tuple[float, float]


def write_parts(text: str, folder: Path) -> None:
    """Write train.txt, valid.txt and held-out.txt."""
    parts: dict[str, list[str]] = {"train": [], "valid": [], "held-out": []}
    for number, start in enumerate(range(0, len(text), BLOCK)):
        name = {EACH // 2: "valid", EACH - 1: "held-out"}.get(number % EACH, "train")
        parts[name].append(text[start : start + BLOCK])
    for name, blocks in parts.items():
        (folder / f"{name}.txt").write_bytes("".join(blocks).encode())


def resident(process: int) -> float:
    """Return the resident memory of a process in MB, 0 if it has ended or the system does not report it."""
    try:
        lines = (PROC / str(process) / "status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1e3 for line in lines if line.startswith("VmRSS:")), 0.0)


def train(parts: Path, folder: Path, given: list[str], seconds: float) -> Run:
    """Train in a new folder with some options, watching the memory, and score the held-out part."""
    folder.mkdir()
    command = [sys.executable, "-m", "rnn_cli", "train", str(parts / "train.txt")]
    command += ["--validation-file", str(parts / "valid.txt"), "--log", "log.jsonl", "--quiet", *given]
    process, samples = subprocess.Popen(command, cwd=folder), list[tuple[float, float]]()
    while process.poll() is None:
        lines = (folder / "log.jsonl").read_text("utf-8").splitlines() if (folder / "log.jsonl").exists() else []
        if lines and lines[-1].endswith("}") and (memory := resident(process.pid)):
            samples.append((json.loads(lines[-1])["seconds"], memory))
        time.sleep(1)
    if process.returncode:
        raise RuntimeError(f"training ended with code {process.returncode}")
    reports = [json.loads(line) for line in (folder / "log.jsonl").read_text("utf-8").splitlines()]
    curve = [
        (line["seconds"] / 60, line["validation_loss"] * BITS_PER_NAT) for line in reports if line["validation_loss"]
    ]
    early = next((memory for when, memory in samples if when > seconds / 10), 0.0)
    late = [memory for when, memory in samples if when < 0.97 * reports[-1]["seconds"]] or [0.0]
    facts = json.loads(rnn(folder, "info", "--json"))
    score = "evaluate", str(parts / "held-out.txt"), "--json", "-q"
    mixed, alone = (json.loads(rnn(folder, *score, *more))["bits_per_char"] for more in ([], ["--counts=0"]))
    return Run(facts, reports[-1]["epoch"], curve, (mixed, alone), (early, late[-1]))


def main() -> None:
    """Measure as the options say."""
    parser = options(__doc__, timed=False)
    parser.add_argument("--text", type=Path, required=True, help="a text of about 100 MB")
    parser.add_argument("--minutes", type=float, default=60, help="of each run (default: 60)")
    parser.add_argument("--runs", nargs="+", choices=SIZES, default=list(SIZES), help="which (default: all)")
    parser.add_argument("--together", action="store_true", help="train all at once, with one thread each")
    chosen = parser.parse_args()
    minutes, runs = chosen.minutes, chosen.runs
    text = read_text(chosen.text)
    if chosen.quick:
        minutes, runs, text = 0.05, runs[:1], text[: 3 * EACH * BLOCK]
    try_out()
    rows, curves = [], {}
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        write_parts(text, folder)
        usual = ["--minutes", f"{minutes:g}", *(["--threads", "1"] if chosen.together else [])]
        with ThreadPoolExecutor(len(runs) if chosen.together else 1) as pool:
            done = [pool.submit(train, folder, folder / name, [*usual, *SIZES[name]], 60 * minutes) for name in runs]
            for name, future in zip(runs, done):
                print(f"{name}: {future.result().bits[0]:.4f} bits", file=sys.stderr, flush=True)
        for name, run in zip(runs, [future.result() for future in done]):
            facts, curves[name] = run.facts, run.curve
            network = f"{facts['cell']} {facts['layers']} x {facts['hidden_size']}"
            rows.append(
                [
                    name,
                    network,
                    f"{facts['steps']:,}",
                    f"{run.epochs:.2f}",
                    *(f"{bits:.4f}" for bits in run.bits),
                    *(f"{memory:,.0f}" for memory in run.memory),
                ]
            )
        held_out, others = str(folder / "held-out.txt"), [*BASELINES[:-1], str(folder / "train.txt")]
        scores = json.loads(rnn(folder / runs[-1], "evaluate", held_out, "--json", "-q", *others))
    baselines = {name: scores["baselines"][name] for name in ("5-gram", "xz")}
    rows += [[name, "", "", "", f"{bits:.4f}", "", "", ""] for name, bits in baselines.items()]
    headers = ["run", "network", "steps", "epochs", "bits/char", "without counts", "MB early", "MB late"]
    how = "each, all at once with one thread each" if chosen.together else "each"
    parts = [f"{len(text):,} characters, {minutes:g} minutes {how}.", table(headers, rows)]
    if chosen.save:
        highest = SHOWN * min(bits for curve in curves.values() for _, bits in curve)
        labels = "minutes of training", "validation loss of the network, bits per character"
        parts.append(save_chart("long-runs", line_chart(curves, baselines, *labels, highest), labels[1]))
    report("long-runs", parts, chosen.save)


if __name__ == "__main__":
    main()
