"""How does training scale over more cores than this machine has?

One thread runs the share of a step that the first of 1, 2, 4, ... threads would have: its rows of the batch in the
passes over time, its columns in the weight gradient. The time of the whole step on one thread, divided by that of the
share, is how many times as fast so many threads are if nothing slows them: they share neither the memory nor the outer
cache here, their clocks do not fall, and no barrier is waited for. The update is counted as evenly split. So it is an
upper bound; where the machine has the cores, the measured gain stands beside it.

A share cannot have less than one row, and products of a few rows read each weight for few operations: more rows in a
batch scale further.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from common import options, report, table
from step_phases import phase_calls
from torch_step import CLIP_NORM, LEARNING_RATE
from training_speed import PRECISIONS, Size, build_window, parse_size

from rnn_cli.cpu_count import usable_cores
from rnn_cli.kernels.network.optimizer import Step

SIZES = [Size(512, 1, batch, 96) for batch in (64, 128, 256)] + [Size(256, 2, batch, 64) for batch in (64, 256)]
QUICK_SIZES = [Size(32, 1, 8, 8)]
THREADS = (1, 2, 4, 8, 16, 32)


def median_seconds(calls: Iterable[Callable[[], Any]], seconds: float) -> float:
    """Return the median time of all calls, one after the other."""
    calls = list(calls)
    times: list[float] = []
    end = time.perf_counter() + seconds
    for call in calls:  # compiles
        call()
    while len(times) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        for call in calls:
            call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def whole_step(size: Size, threads: int, precision: str, seconds: float) -> float:
    """Return the seconds of a step on real threads."""
    window = build_window("lstm", size, threads, precision)
    return median_seconds([partial(window.train, Step(2, LEARNING_RATE, CLIP_NORM))], seconds)


def measure(size: Size, precision: str, seconds: float) -> list[list[str]]:
    """Return a row for each number of threads."""
    window = build_window("lstm", size, 1, precision)
    update = median_seconds([phase_calls(window)["update"]], seconds)
    rows, alone, real_alone = [], 0.0, whole_step(size, 1, precision, seconds)
    for threads in THREADS:
        if threads > size.batch:
            break
        share = median_seconds(phase_calls(window, threads).values(), seconds) + update / threads
        alone = alone or share
        real = f"{real_alone / whole_step(size, threads, precision, seconds):.2f}" if threads <= usable_cores() else ""
        speed = size.batch * size.window / share
        rows.append([str(size), precision, f"{threads}", f"{share * 1e3:.2f}", f"{speed:,.0f}"])
        rows[-1] += [f"{alone / share:.2f}", f"{alone / share / threads:.0%}", real]
    return rows


def main() -> None:
    """Measure as the options say."""
    parser = options(__doc__)
    parser.add_argument("--sizes", nargs="+", type=parse_size, help="hidden,layers,batch,window of an LSTM")
    chosen = parser.parse_args()
    seconds = 0.02 if chosen.quick else chosen.seconds
    sizes = chosen.sizes or (QUICK_SIZES if chosen.quick else SIZES)
    rows = [row for size in sizes for precision in PRECISIONS for row in measure(size, precision, seconds)]
    headers = ["lstm hidden,layers,batch,window", "precision", "threads", "share, ms", "chars/s", "times one thread"]
    headers += ["of the threads", "measured"]
    report("core-scaling", [table(headers, rows)], chosen.save)


if __name__ == "__main__":
    main()
