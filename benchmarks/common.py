"""Shared by the benchmarks: options, a timer that alternates contenders, tables, and dated results."""

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

from rnn_cli.cpu_count import usable_cores

PROC = Path("/proc")
ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"


def options(description: str | None, timed: bool = True) -> argparse.ArgumentParser:
    """Return a parser with the options of every benchmark; `--seconds` only if it is `timed`."""
    parser = argparse.ArgumentParser(description=description)
    if timed:
        parser.add_argument("--seconds", type=float, default=5, help="time for each contender of each row (default: 5)")
    parser.add_argument("--quick", action="store_true", help="only check that it works; the figures mean nothing")
    parser.add_argument("--save", action="store_true", help="also write benchmarks/results/DATE-NAME.md")
    return parser


class Child:
    """A contender in a process of its own: it measures its calls itself, so that pipes cost it nothing.

    The process reads lines, each with a number of seconds. For so long it makes calls, at least one, and writes a line:
    the loss and the norm of the gradient of the last call, then the seconds of each call. Between lines it waits.
    """

    def __init__(
        self, command: Sequence[str | Path], environment: Mapping[str, str], folder: Path | None = None
    ) -> None:
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=folder,
            env={**os.environ, **environment},
        )

    def ask(self, seconds: float) -> list[float]:
        """Return the numbers of an answer. Raises RuntimeError if the process ended."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(f"{seconds}\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass
        if not (line := self.process.stdout.readline()):
            raise RuntimeError(f"a contender ended with code {self.process.wait()}: {self.process.args}")
        return [float(number) for number in line.split()]

    def __call__(self) -> tuple[float, float]:
        """Make one call; return the loss and the norm."""
        loss, norm = self.ask(0)[:2]
        return loss, norm

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()


def call_times(call: Callable[[], object], seconds: float) -> list[float]:
    """Call repeatedly for `seconds`, at least once; return the seconds of each call."""
    if isinstance(call, Child):
        return call.ask(seconds)[2:]
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

    Each is called once first, in order, so that nothing is compiled in a turn. A turn takes a tenth of `seconds`,
    after a warm-up of a tenth of that: caches settle, and the threads of the previous contender stop waiting actively.
    With `single` a turn is one call without warm-up, for contenders that are parts of one whole. There are at least
    three rounds.
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
    """Return a Markdown table; the first column is aligned left, the others right."""
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


def machine(rivals: Sequence[str] = ()) -> str:
    """Return the machine and the versions of the packages, also of rivals, in one line."""
    versions = [f"{package} {version(package)}" for package in ("numpy", "numba", "torch", *rivals)]
    cores = f"{usable_cores()} of {os.cpu_count()} cores"
    compiled = [f"compiled for {name}" for name in filter(None, [os.environ.get("NUMBA_CPU_NAME")])]
    return ", ".join(
        [processor(), cores, platform.platform(), f"Python {platform.python_version()}", *versions, *compiled]
    )


def clocks() -> tuple[float, float, float]:
    """Return the time, the CPU time of this process, and that of all processes (0 if unknown), in seconds."""
    busy = 0.0
    if (PROC / "stat").exists():
        user, nice, system, _, _, *others = map(int, (PROC / "stat").read_text().split(maxsplit=9)[1:9])
        busy = (user + nice + system + sum(others)) / os.sysconf("SC_CLK_TCK")
    return time.perf_counter(), sum(os.times()[:4]), busy


def disturbance() -> str:
    """Return how many cores other processes kept busy. If it is not near 0, the figures mean little."""
    passed, own, busy = (now - then for now, then in zip(clocks(), START))
    return f"{max(busy - own, 0) / passed:.2f} cores on average" if busy else "unknown"


def git(*arguments: str) -> str:
    """Return the output of git in the project; empty if there is no git."""
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
    except FileNotFoundError:
        return ""
    return done.stdout.strip()


def commit() -> str:
    """Return the commit that is measured, and whether the sources have uncommitted changes."""
    changed = git("status", "--porcelain", "--", "rnn_cli", "benchmarks/*.py")
    return (git("rev-parse", "--short=12", "HEAD") or "unknown") + (", with changes" if changed else "")


START, COMMIT = clocks(), commit()  # at the time when the kernels are loaded


def command() -> str:
    """Return the command line, as typed in the project's directory."""
    return shlex.join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]])


def report(name: str, parts: Sequence[str], save: bool, rivals: Sequence[str] = ()) -> None:
    """Print command, commit, machine and the parts (tables, notes); with `save`, also write a dated file.

    `rivals` are further packages whose versions are said.
    """
    today = datetime.date.today().isoformat()
    facts = f"- command: `{command()}`\n- commit: {COMMIT}\n- machine: {machine(rivals)}\n"
    facts += f"- other processes: {disturbance()}"
    text = "\n\n".join([f"# {name}, {today}", facts, *parts]) + "\n"
    print(text, end="")
    if save:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{today}-{name}.md").write_text(text, encoding="utf-8")
