"""What the benchmarks share: their options, a timer that takes turns, tables, and dated results."""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import os
import platform
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rnn_cli.cli.options import usable_cores

PROC = Path("/proc")
ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"


def options(description: str | None, timed: bool = True) -> argparse.ArgumentParser:
    """Return a parser with the options that every benchmark has, `--seconds` only where it takes times."""
    parser = argparse.ArgumentParser(description=description)
    if timed:
        parser.add_argument("--seconds", type=float, default=5, help="time for each contender of each row (default: 5)")
    parser.add_argument("--quick", action="store_true", help="only show that it works: the numbers mean nothing")
    parser.add_argument("--save", action="store_true", help="write benchmarks/results/DATE-NAME.md too")
    return parser


def call_times(call: Callable[[], object], seconds: float) -> list[float]:
    """Call again and again for so many seconds, at least once; return the seconds of each call."""
    times = []
    end = time.perf_counter() + seconds
    while True:
        start = time.perf_counter()
        call()
        now = time.perf_counter()
        times.append(now - start)
        if now >= end:
            return times


def alternate(contenders: Mapping[str, Callable[[], object]], seconds: float, single: bool = False) -> dict[str, float]:
    """Time the contenders in turns, A B A B ..., and return the median seconds of a call of each.

    All are called once beforehand, in their order, so that nothing is compiled in a turn. A turn is a tenth
    of `seconds`, after a tenth of that which is not counted: caches settle, and so do the threads of the
    contender before, which keep a core busy for a while. With `single` a turn is one call, and it counts: for
    contenders that are the parts of one whole. There are at least three rounds.
    """
    for call in contenders.values():
        call()
    turn = 0.0 if single else seconds / 10
    times: dict[str, list[float]] = {name: [] for name in contenders}
    end = time.perf_counter() + seconds * len(contenders)
    rounds = 0
    while rounds < 3 or time.perf_counter() < end:
        rounds += 1
        for name, call in contenders.items():
            if not single:
                call_times(call, turn / 10)
            times[name] += call_times(call, turn)
    return {name: statistics.median(values) for name, values in times.items()}


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; the first column is set to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(headers, *rows)]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join(
        "| " + " | ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) + " |"
        for row in (headers, rule, *rows)
    )


def version(package: str) -> str:
    """Return the version of an installed package, or 'not installed'."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def processor() -> str:
    """Return the name of the processor."""
    if (PROC / "cpuinfo").exists():
        for line in (PROC / "cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def machine() -> str:
    """Describe the machine and the versions in one line."""
    versions = [f"{package} {version(package)}" for package in ("numpy", "numba", "torch")]
    cores = f"{usable_cores()} of {os.cpu_count()} cores"
    compiled = [f"compiled for {name}" for name in filter(None, [os.environ.get("NUMBA_CPU_NAME")])]
    return ", ".join(
        [processor(), cores, platform.platform(), f"Python {platform.python_version()}", *versions, *compiled]
    )


def clocks() -> tuple[float, float, float]:
    """Return the time, the time this process has computed, and what all have (0: unknown), in seconds."""
    busy = 0.0
    if (PROC / "stat").exists():
        user, nice, system, _, _, *others = map(int, (PROC / "stat").read_text().split(maxsplit=9)[1:9])
        busy = (user + nice + system + sum(others)) / os.sysconf("SC_CLK_TCK")
    return time.perf_counter(), sum(os.times()[:4]), busy


def disturbance() -> str:
    """Say how many cores were busy with something else: if it is not near 0, the numbers mean little."""
    passed, own, busy = (now - then for now, then in zip(clocks(), START))
    return f"{max(busy - own, 0) / passed:.2f} cores on average" if busy else "unknown"


def git(*arguments: str) -> str:
    """Return what git says about the project; nothing where it cannot be asked."""
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
    except FileNotFoundError:
        return ""
    return done.stdout.strip()


def commit() -> str:
    """Return the commit that is measured, and whether the sources differ from it."""
    changed = git("status", "--porcelain", "--", "rnn_cli", "benchmarks/*.py")
    return (git("rev-parse", "--short=12", "HEAD") or "unknown") + (", with changes" if changed else "")


START, COMMIT = clocks(), commit()  # as they are when the kernels are loaded


def command() -> str:
    """Return the command that runs, as one would type it in the project's directory."""
    return shlex.join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]])


def report(name: str, parts: Sequence[str], save: bool) -> None:
    """Print the parts (tables, notes) below what ran and where; with `save`, write a dated file too."""
    today = datetime.date.today().isoformat()
    facts = f"- command: `{command()}`\n- commit: {COMMIT}\n- machine: {machine()}\n"
    facts += f"- other processes: {disturbance()}"
    text = "\n\n".join([f"# {name}, {today}", facts, *parts]) + "\n"
    print(text, end="")
    if save:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{today}-{name}.md").write_text(text, encoding="utf-8")
