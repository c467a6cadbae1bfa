"""How many characters a second does a training step process, here, in PyTorch and in oneDNN, and what limits it?

A step is everything that training repeats: forward, backward in time through the window, clipping by the global norm,
Adam, and carrying the state to the next window. All start from the same weights and read the same symbols. If their
first losses differ, the benchmark stops. The rivals:

- torch: PyTorch as it comes (torch_step.py).
- tuned: PyTorch in a process whose allocator keeps its memory, and in bfloat16 with an even number of input columns.
- oneDNN: the library through which PyTorch trains an LSTM, called from C++ (onednn_step.py, onednn_lstm.cpp).

Useful operations are those of the matrix products: 6 for each weight and symbol (2 forward, 4 backward). The one-hot
input of layer 0 takes no product. The peak is the speed of the tile kernel on a product that fits the caches, in the
same precision and the same turns. The other limits: roofline.py.
"""

from __future__ import annotations

import importlib.util
import itertools
import math
import os
import sys
import tempfile
from argparse import Namespace
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from common import alternate, options, report, table
from onednn_step import CHECKED_RATE, NotBuiltError, build, check, onednn, version
from pair_speed import PAIR_SIZES, QUICK_PAIR_SIZES, WORDS, measure_pairs, words_per_second
from roofline import HEADERS, Limits, limit_cells, memory_size, peak_call, traffic, triad_call, weights_call
from step_phases import WHY, measure_phases
from task_speed import bidirectional, measure_tasks, megabytes_per_minute, words
from torch_step import CLIP_NORM, LEARNING_RATE, Problem, torch_step, tuned_torch

from rnn_cli.cells import find_cell
from rnn_cli.cpu_count import usable_cores
from rnn_cli.kernels.network.optimizer import Step
from rnn_cli.kernels.simd.cpu import HAS_BFLOAT16
from rnn_cli.kernels.threads import Team
from rnn_cli.network.config import NetworkConfig
from rnn_cli.network.model import Model
from rnn_cli.network.workspace import TrainingWindow

VOCAB_SIZE = 65
Contender = Callable[[], tuple[float, float]]
"""A step, which returns the loss and the norm of its gradient."""


class Size(NamedTuple):
    """The sizes of one measurement; `window` is the sequence length."""

    hidden: int
    layers: int
    batch: int
    window: int

    def __str__(self) -> str:
        """Return the size in the form of the command line."""
        return ",".join(map(str, self))


SIZES = [Size(128, 1, 32, 64), Size(128, 2, 50, 50), Size(256, 2, 64, 64), Size(512, 2, 64, 64)]
QUICK_SIZES = [Size(32, 2, 8, 16)]
PRECISIONS = ["float32", "bfloat16"] if HAS_BFLOAT16 else ["float32"]


def parse_size(text: str) -> Size:
    """Read hidden,layers,batch,window. Raises ValueError if it is malformed."""
    hidden, layers, batch, window = map(int, text.split(","))
    return Size(hidden, layers, batch, window)


def build_window(cell: str, size: Size, threads: int, precision: str) -> TrainingWindow:
    """Return a window of a new model, filled with random symbols."""
    generator = np.random.default_rng(0)
    config = NetworkConfig.for_symbols(VOCAB_SIZE, cell=cell, hidden_size=size.hidden, num_layers=size.layers)
    window = TrainingWindow(Model.initialised(config, generator), size.window, size.batch, Team(threads), precision)
    window.inputs[:] = generator.integers(1, VOCAB_SIZE, window.inputs.shape)
    window.targets[:] = generator.integers(1, VOCAB_SIZE, window.targets.shape)
    return window


def operations(config: NetworkConfig) -> dict[str, int]:
    """Return the useful operations of each phase for one symbol, in total 6 for each weight."""
    cell = find_cell(config.cell)
    blocks = config.num_layers * len(cell.recurrent_gates) + (config.num_layers - 1) * len(cell.input_gates)
    layers = blocks * config.hidden_size**2
    decoder = config.hidden_size * config.output_size
    return {
        "pack": 0,
        "forward": 2 * layers,
        "readout": 4 * decoder,
        "backward in time": 2 * layers,
        "weight gradient": 2 * (layers + decoder),
        "update": 0,
    }


def product_step(window: TrainingWindow, rate: float = LEARNING_RATE) -> Contender:
    """Return the training step of this package."""
    steps = itertools.count(1)
    return lambda: window.train(Step(next(steps), rate, CLIP_NORM))


class Rivals(NamedTuple):
    """Which rivals there are: PyTorch, and the driver of oneDNN."""

    torch: bool
    driver: Path | None

    def names(self, cell: str) -> list[str]:
        """Return the names of those that have this cell."""
        return ["torch", "tuned"] * self.torch + ["oneDNN"] * (self.driver is not None and cell == "lstm")


def problem_of(window: TrainingWindow) -> Problem:
    """Return what a window starts from."""
    model = window.model
    return Problem(model.config.cell, model.to_torch(), window.inputs, window.targets)


def build_rivals(
    rivals: Rivals, window: TrainingWindow, precision: str, folder: Path, stack: ExitStack
) -> dict[str, Contender]:
    """Return the steps of the rivals of a window, by name; `stack` ends their processes."""
    problem, threads, bfloat16 = problem_of(window), window.team.threads, precision == "bfloat16"
    made: dict[str, Contender] = {}
    for name in rivals.names(problem.cell):
        path = folder / f"{name}-{precision}"
        if name == "torch":
            made[f"{name} {precision}"] = torch_step(problem, threads, bfloat16)
        else:
            child = (
                tuned_torch(problem, threads, bfloat16, path.with_suffix(".npz"))
                if name == "tuned"
                else onednn(rivals.driver, problem, threads, bfloat16, path)
            )
            made[f"{name} {precision}"] = stack.enter_context(child)
    return made


def compare_first(contenders: dict[str, Contender], base: str) -> None:
    """Make the first step of each. Raises RuntimeError if their losses differ.

    The norms do differ: PyTorch has two biases with the same gradient, of which this package keeps the sum.
    """
    losses = {name: step()[0] for name, step in contenders.items()}
    for name, loss in losses.items():
        if not math.isclose(loss, losses[base], rel_tol=1e-2 if "bfloat16" in name else 1e-5):
            raise RuntimeError(f"the first losses differ, so the contenders do different work: {losses}")


def check_onednn(driver: Path, size: Size, threads: int, precision: str, folder: Path) -> list[str]:
    """Return a row: by how much the losses of oneDNN differ from those of this package. Raises RuntimeError if much."""
    window = build_window("lstm", size, threads, precision)
    path = folder / f"check-{precision}"
    with onednn(driver, problem_of(window), threads, precision == "bfloat16", path, CHECKED_RATE) as child:
        found = check(child, product_step(window, CHECKED_RATE), precision)
    return [f"lstm {size}", precision, str(threads), *(f"{difference:.1e}" for difference in found)]


class Measured(NamedTuple):
    """Rows by precision, and the peaks in operations a second."""

    speed: dict[str, list[str]]
    limits: dict[str, list[str]]
    peaks: dict[str, float]


def measure_speed(
    cell: str, size: Size, threads: int, precisions: list[str], seconds: float, rivals: Rivals, folder: Path
) -> Measured:
    """Return the speed of a step, beside rivals and limits that are measured in the same turns."""
    team = Team(threads)
    windows = {precision: build_window(cell, size, threads, precision) for precision in precisions}
    work = sum(operations(windows[precisions[0]].model.config).values()) * size.batch * size.window
    moved = {precision: traffic(window) for precision, window in windows.items()}
    limits: dict[str, tuple[int, Callable[[], Any]]] = {"memory": triad_call(team, memory_size())}
    for precision in precisions:
        limits[f"peak {precision}"] = peak_call(team, precision)
        limits[f"window {precision}"] = triad_call(team, moved[precision].held)
        limits[f"weights {precision}"] = weights_call(team, moved[precision].layer)
    with ExitStack() as stack:
        steps: dict[str, Contender] = {}
        for precision, window in windows.items():
            steps |= build_rivals(rivals, window, precision, folder, stack)
            steps[f"rnn {precision}"] = product_step(window)
        compare_first(steps, f"rnn {precisions[0]}")
        times = alternate({name: call for name, (_, call) in limits.items()} | steps, seconds)
    rates = {name: amount / times[name] for name, (amount, _) in limits.items()}
    measured = Measured({}, {}, {})
    for precision in precisions:
        own, peak = times[f"rnn {precision}"], rates[f"peak {precision}"]
        name = [f"{cell} {size}", precision, str(threads)]
        row = [f"{size.batch * size.window / own:,.0f}", f"{work / own / 1e9:.1f}", f"{peak / 1e9:.0f}"]
        row += [f"{work / own / peak:.0%}", *rival_cells(times, precision, size)]
        measured.speed[precision], measured.peaks[precision] = name + row, peak
        bandwidths = rates["memory"], rates[f"window {precision}"], rates[f"weights {precision}"]
        found = Limits(own, work / own / peak, *bandwidths)
        measured.limits[precision] = name + limit_cells(moved[precision], found)
    return measured


RIVAL_HEADERS = ["torch chars/s", "rnn / torch", "rnn / torch float32", "tuned chars/s", "rnn / tuned"]
RIVAL_HEADERS += ["oneDNN chars/s", "rnn / oneDNN"]


def rival_cells(times: dict[str, float], precision: str, size: Size) -> list[str]:
    """Return the cells of a row under RIVAL_HEADERS, empty for rivals that are not there."""
    own = times[f"rnn {precision}"]

    def ratio(rival: str) -> str:
        return f"{times[rival] / own:.2f}" if rival in times else ""

    def both(rival: str) -> list[str]:
        speed = f"{size.batch * size.window / times[rival]:,.0f}" if rival in times else ""
        return [speed, ratio(rival)]

    names = [f"{rival} {precision}" for rival in ("torch", "tuned", "oneDNN")]
    return [*both(names[0]), ratio("torch float32"), *both(names[1]), *both(names[2])]


def networks(chosen: Namespace, seconds: float, torch: bool) -> list[str]:
    """Return the tables of networks that read and predict symbols."""
    sizes = chosen.sizes or (QUICK_SIZES if chosen.quick else SIZES)
    speed_rows, limit_rows, phase_rows, check_rows = [], [], [], []
    remark = ""
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        try:
            rivals = Rivals(torch, build(folder))
        except NotBuiltError as reason:
            rivals, remark = Rivals(torch, None), str(reason)
        for cell, size, threads in itertools.product(chosen.cells, sizes, chosen.threads):
            print(f"{cell} {size}, {threads} threads ...", file=sys.stderr, flush=True)
            if "oneDNN" in rivals.names(cell):
                for precision in chosen.precisions:
                    check_rows.append(check_onednn(rivals.driver, size, threads, precision, folder))
            rows = measure_speed(cell, size, threads, chosen.precisions, seconds, rivals, folder)
            speed_rows += rows.speed.values()
            limit_rows += rows.limits.values()
            if chosen.phases:
                for precision, peak in rows.peaks.items():
                    window = build_window(cell, size, threads, precision)
                    found = measure_phases(window, operations(window.model.config), peak, seconds)
                    phase_rows += [[f"{cell} {size}", precision, str(threads), *row] for row in found]
        if rivals.driver and check_rows:
            remark = f"oneDNN {version(rivals.driver)}. {CHECKED}"
    name = ["cell hidden,layers,batch,window", "precision", "threads"]
    headers = [*name, "rnn chars/s", "useful GFLOP/s", "peak GFLOP/s", "of peak", *RIVAL_HEADERS]
    parts = [table(headers, speed_rows), *filter(None, [remark])]
    if check_rows:
        parts.append(table([*name, "first loss", "later losses", "norm"], check_rows))
    parts += [LIMITS, table([*name, *HEADERS], limit_rows)]
    if chosen.phases:
        parts += [
            "Each phase is timed in its own call; subtract the time of an empty call.",
            table([*name, "phase", "ms", "of the step", "useful GFLOP/s", "of peak"], phase_rows),
            WHY,
        ]
    return parts


CHECKED = f"""Its losses differ from those of this package by at most so many nats, in the first step and in later ones
at a learning rate of {CHECKED_RATE}; the norms of the first gradients differ by at most so much of them:"""
LIMITS = """What each limit alone would take of the time of a step (benchmarks/roofline.py): the products at the peak;
the arrays of the window at the bandwidth of a triad over as many bytes (beside it stands that of the memory, which they
do not need if they stay in a cache); the weights, which each step of time reads, at the bandwidth of the caches."""


def pairs(chosen: Namespace, seconds: float, torch: bool) -> list[str]:
    """Return the table of an encoder with attention and a decoder."""
    rows = []
    for size, threads in itertools.product(QUICK_PAIR_SIZES if chosen.quick else PAIR_SIZES, chosen.threads):
        print(f"encoder and decoder {size}, {threads} threads ...", file=sys.stderr, flush=True)
        rows += measure_pairs(size, threads, chosen.precisions, seconds, torch)
    headers = ["encoder and decoder hidden,layers,pairs,source,target", "precision", "threads", "rnn pairs/s"]
    return [table([*headers, "torch pairs/s", "rnn / torch", "rnn / torch float32"], rows)]


def answers(chosen: Namespace, seconds: float, torch: bool) -> list[str]:
    """Return the table of the speed of `rnn translate`."""
    hidden, words = (16, 100) if chosen.quick else (256, WORDS)
    rows = [[f"lstm {hidden}", str(threads), words_per_second(hidden, threads, words)] for threads in chosen.threads]
    return [table(["rnn translate, the whole command, greedily", "threads", "words/s"], rows)]


def texts(chosen: Namespace, seconds: float, torch: bool) -> list[str]:
    """Return the table of classifiers that read in both directions, beside packed sequences, and of models of words."""
    sizes, vocabularies = ((8,), (300,)) if chosen.quick else ((128, 256), (10_000, 30_000))
    rows = []
    for threads in chosen.threads:
        made = [(f"classifier, 1 x {hidden} in both directions", bidirectional(hidden, threads)) for hidden in sizes]
        made += [(f"{size:,} words, 1 x 256, tied", words(size, threads)) for size in vocabularies]
        for name, contenders in made:
            print(f"{name}, {threads} threads ...", file=sys.stderr, flush=True)
            found = measure_tasks(name, contenders, chosen.precisions, seconds, torch)
            rows += [[name, str(threads), *others] for name, *others in found]
    return [table(["training", "threads", "precision", "rnn symbols/s", "torch", "rnn / torch", "float32"], rows)]


def labels(chosen: Namespace, seconds: float, torch: bool) -> list[str]:
    """Return the table of the speed of `rnn classify` and `rnn tag`."""
    hidden, megabytes = (8, 0.01) if chosen.quick else (128, 4)
    rows = [
        [f"rnn {task}, lstm 1 x {hidden}", str(threads), megabytes_per_minute(task, hidden, threads, megabytes)]
        for task, threads in itertools.product(("classify", "tag"), chosen.threads)
    ]
    return [table(["the whole command, short lines", "threads", "MB/minute"], rows)]


PARTS: dict[str, Callable[[Namespace, float, bool], list[str]]] = {
    "networks": networks,
    "pairs": pairs,
    "answers": answers,
    "texts": texts,
    "labels": labels,
}


def main() -> None:
    """Measure as the options say."""
    parser = options(__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--cells", nargs="+", choices=["lstm", "gru", "rnn"], default=["lstm", "gru", "rnn"])
    parser.add_argument("--sizes", nargs="+", type=parse_size, help="hidden,layers,batch,window of each row")
    parser.add_argument(
        "--threads", nargs="+", type=int, default=[usable_cores()], help="several numbers show the scaling"
    )
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=PRECISIONS)
    parser.add_argument("--phases", action="store_true", help="time each phase of a step of this package")
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS), help="what is measured")
    chosen = parser.parse_args()
    seconds = 0.05 if chosen.quick else chosen.seconds
    torch = importlib.util.find_spec("torch") is not None and "float32" in chosen.precisions
    parts = ["Times are medians of a step. The peak is that of the tile kernel on the same threads, in the same turns."]
    for part in chosen.parts:
        parts += PARTS[part](chosen, seconds, torch)
    processor = os.environ.get("NUMBA_CPU_NAME")  # compiled for another processor than this one
    report(f"training-speed-{processor}" if processor else "training-speed", parts, chosen.save)


if __name__ == "__main__":
    main()
