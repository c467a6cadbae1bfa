"""How many characters a second does a training step process, here and in PyTorch?

A step is everything that training repeats: forward, backward in time through the window, clipping by the global norm,
Adam, and carrying the state to the next window. Both sides start from the same weights and read the same symbols. If
their first losses differ, the benchmark stops. PyTorch runs torch.nn.LSTM, GRU or RNN on one-hot input, a Linear
readout, and Adam with fused=True, its fastest variant. Each step writes the one-hot input into one buffer with
`scatter_`. In bfloat16, PyTorch runs under autocast.

Useful operations are those of the matrix products: 6 for each weight and symbol (2 forward, 4 backward). The one-hot
input of layer 0 takes no product. The peak is the speed of the tile kernel on a product that fits the caches, in the
same precision and the same turns.
"""

from __future__ import annotations

import importlib.util
import itertools
import math
import os
import sys
from argparse import Namespace
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from common import alternate, options, report, table
from pair_speed import PAIR_SIZES, QUICK_PAIR_SIZES, WORDS, measure_pairs, words_per_second

from rnn_cli.cells import find_cell
from rnn_cli.cpu_count import usable_cores
from rnn_cli.kernels.compiler.jit import kernel
from rnn_cli.kernels.matmul.matrix import Matrix, Packed, Scratch
from rnn_cli.kernels.matmul.product import multiply_panels
from rnn_cli.kernels.matmul.tile import install_tile
from rnn_cli.kernels.network.dropconnect import DropConnect
from rnn_cli.kernels.network.memory import addresses, backward_addresses
from rnn_cli.kernels.network.optimizer import Step, update_step
from rnn_cli.kernels.network.step import PHASES, Objective, gradient_step, network_addresses
from rnn_cli.kernels.simd.aligned import aligned_zeros
from rnn_cli.kernels.simd.cpu import HAS_AMX, HAS_BFLOAT16, TILE_ROWS, TILE_VECTORS, VECTOR_BYTES
from rnn_cli.kernels.threads import Share, Team
from rnn_cli.network.config import NetworkConfig
from rnn_cli.network.model import Model
from rnn_cli.network.workspace import TrainingWindow, operand_type

VOCAB_SIZE = 65
LEARNING_RATE = 1e-6  # so low that nothing is learned and the size of the gradients stays
CLIP_NORM = 5.0


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


def product_step(window: TrainingWindow) -> Callable[[], float]:
    """Return the training step of this package, which returns the loss."""
    steps = itertools.count(1)
    return lambda: window.train(Step(next(steps), LEARNING_RATE, CLIP_NORM))[0]


def torch_step(window: TrainingWindow, bfloat16: bool) -> Callable[[], float]:
    """Return the same step in PyTorch, from the same weights, on the same number of threads; it returns the loss."""
    import torch

    torch.set_num_threads(window.team.threads)
    config = window.model.config
    layers = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}[config.cell]
    rnn = layers(config.output_size, config.hidden_size, config.num_layers)
    decoder = torch.nn.Linear(config.hidden_size, config.output_size)
    network = torch.nn.ModuleDict({"rnn": rnn, "decoder": decoder})
    network.load_state_dict({name: torch.from_numpy(array) for name, array in window.model.to_torch().items()})
    optimizer = torch.optim.Adam(network.parameters(), LEARNING_RATE, fused=True)
    inputs = torch.from_numpy(window.inputs).long().unsqueeze(2)
    targets = torch.from_numpy(window.targets).long().flatten()
    one_hot = torch.zeros(*window.inputs.shape, config.output_size)
    state = None

    def step() -> float:
        nonlocal state
        one_hot.zero_().scatter_(2, inputs, 1)
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            output, state = rnn(one_hot, state)
            logits = decoder(output)
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), targets)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), CLIP_NORM)
        optimizer.step()
        state = tuple(part.detach() for part in state) if isinstance(state, tuple) else state.detach()
        return loss.item()

    return step


def build_contenders(
    cell: str, size: Size, threads: int, precisions: list[str], torch: bool
) -> dict[str, Callable[[], float]]:
    """Return the steps to compare, by name. Raises RuntimeError if their first losses differ."""
    contenders = {}
    for precision in precisions:
        window = build_window(cell, size, threads, precision)
        if torch:
            contenders[f"torch {precision}"] = torch_step(window, precision == "bfloat16")
        contenders[f"rnn {precision}"] = product_step(window)
    losses = {name: step() for name, step in contenders.items()}
    for name, loss in losses.items():
        if not math.isclose(loss, losses[f"rnn {precisions[0]}"], rel_tol=1e-2 if "bfloat16" in name else 1e-5):
            raise RuntimeError(f"the first losses differ, so the contenders do different work: {losses}")
    return contenders


@kernel
def repeat_product(part, parts, sums, left, rows, right, repeats):  # type: ignore[no-untyped-def]
    """Add A (rows, depth) @ packed B (depth, columns) to this thread's sums, `repeats` times."""
    target = Matrix(sums, part * rows * right.columns, right.columns, left.step // left.step)
    for _ in range(repeats):
        multiply_panels(target, target, left, rows, right)


def peak_of(team: Team, precision: str) -> tuple[float, Callable[[], None]]:
    """Return a call of the tile kernel on all threads of a team, and its number of operations before it.

    A has the layout that the tile reads fastest: by columns; for matrix registers by rows, padded so that no two rows
    start in the same cache set.
    """
    panel, repeats = TILE_VECTORS * VECTOR_BYTES // 4, 1000
    rows, depth, columns = 16 * TILE_ROWS, 256, panel
    strides = (1, rows)
    if precision == "bfloat16" and HAS_AMX:
        rows, depth, columns = 32, 512, 2 * panel
        strides = (depth // 2 + 16, 1)
    operand = operand_type(precision, np.float32)
    install_tile(operand)
    left = Matrix(aligned_zeros(rows * (depth + 16), operand), 0, *strides)
    panels = aligned_zeros(depth * columns, operand)
    right = Packed(panels, 0, depth, columns, Scratch(panels, 0))
    sums = aligned_zeros(team.threads * rows * columns, np.float32)
    call = partial(team.run, repeat_product, sums, left, rows, right, repeats)
    return 2 * rows * depth * columns * repeats * team.threads, call


def phase_calls(window: TrainingWindow) -> dict[str, Callable[[], Any]]:
    """Return each phase of a training step as a call of its own; in this order they make a whole step."""
    objective = Objective(1 / window.targets.size, DropConnect())
    arguments = (window.network, window.arrays, window.back, objective)

    def call(phase: Callable[..., None] | None) -> Callable[[], None]:
        @kernel
        def run(part, parts, network, memory, backward, objective):  # type: ignore[no-untyped-def]
            arrays, back = addresses(memory), backward_addresses(backward, part)
            phase(network_addresses(network), arrays, back, objective, Share(part, parts))

        @kernel
        def nothing(part, parts, network, memory, backward, objective):  # type: ignore[no-untyped-def]
            pass

        return partial(window.team.run, run if phase else nothing, *arguments)

    step = Step(1, LEARNING_RATE, CLIP_NORM)
    calls: dict[str, Callable[[], Any]] = {name: call(phase) for name, phase in PHASES.items()}
    calls["update"] = partial(window.team.run, update_step, window.vectors, step)
    calls["(an empty call)"] = call(None)
    gradient = partial(window.team.run, gradient_step, *arguments)
    calls["(the two calls of a step)"] = lambda: (gradient(), calls["update"]())
    return calls


WHY = """What keeps each phase below the peak:
- forward: the gates. An LSTM computes exp and tanh of 4 H numbers for each symbol, between products of 8 H^2
  operations, so their share is proportional to 1/H. In bfloat16 the products take half the time, and the states are
  converted for them.
- readout: 65 symbols fill 80 columns, a tile of four vectors and a tile of one. The softmax between its two products
  computes an exp for each symbol.
- backward in time: the derivatives of the gates, and the carried gradients of two states, which go through memory
  between steps.
- weight gradient: reads all gates, states and outputs of the window from the shared cache, and packs the gradient of
  the gates for the tile. The gradients of the biases and of the one-hot input are sums without a product.
- update: no product; parameters, gradient and two moments are read and written once.
On matrix registers a product takes a tenth of the time or less. Then most of a step is the gates and their transfer to
memory and back, which stay float32."""


def measure_phases(cell: str, size: Size, threads: int, precision: str, peak: float, seconds: float) -> list[list[str]]:
    """Return a row for each phase: time, share of the step, useful operations a second, share of the peak."""
    window = build_window(cell, size, threads, precision)
    symbols = size.batch * size.window
    calls = phase_calls(window)
    times = alternate(calls, seconds / len(calls), single=True)
    useful = operations(window.model.config)
    useful["(the two calls of a step)"] = sum(useful.values())
    rows = []
    for name, time in times.items():
        speed = symbols * useful.get(name, 0) / time
        rates = [f"{speed / 1e9:.1f}", f"{speed / peak:.0%}"] if speed else ["", ""]
        share = f"{time / times['(the two calls of a step)']:.0%}"
        rows.append([f"{cell} {size}", precision, str(threads), name, f"{time * 1e3:.3f}", share, *rates])
    return rows


def measure_speed(
    cell: str, size: Size, threads: int, precisions: list[str], seconds: float, torch: bool
) -> tuple[dict[str, list[str]], dict[str, float]]:
    """Return by precision the rows of the speed table and the peaks, in operations a second in the same turns."""
    team = Team(threads)
    peaks = {precision: peak_of(team, precision) for precision in precisions}
    contenders: dict[str, Callable[[], Any]] = {f"peak {precision}": call for precision, (_, call) in peaks.items()}
    times = alternate(contenders | build_contenders(cell, size, threads, precisions, torch), seconds)
    symbols = size.batch * size.window
    work = sum(
        operations(
            NetworkConfig.for_symbols(
                VOCAB_SIZE, cell=cell, activation="tanh", hidden_size=size.hidden, num_layers=size.layers
            )
        ).values()
    )
    rows, measured = {}, {}
    for precision, (peak_operations, _) in peaks.items():
        own, peak = times[f"rnn {precision}"], peak_operations / times[f"peak {precision}"]
        useful = symbols / own * work
        row = [f"{cell} {size}", precision, str(threads), f"{symbols / own:,.0f}", f"{useful / 1e9:.1f}"]
        row += [f"{peak / 1e9:.0f}", f"{useful / peak:.0%}"]
        if torch:
            peer = times[f"torch {precision}"]
            row += [f"{symbols / peer:,.0f}", f"{peer / own:.2f}", f"{times['torch float32'] / own:.2f}"]
        else:
            row += [""] * 3
        rows[precision], measured[precision] = row, peak
    return rows, measured


def networks(chosen: Namespace, seconds: float, torch: bool) -> list[str]:
    """Return the tables of networks that read and predict symbols."""
    sizes = chosen.sizes or (QUICK_SIZES if chosen.quick else SIZES)
    speed_rows, phase_rows = [], []
    for cell, size, threads in itertools.product(chosen.cells, sizes, chosen.threads):
        print(f"{cell} {size}, {threads} threads ...", file=sys.stderr, flush=True)
        rows, peaks = measure_speed(cell, size, threads, chosen.precisions, seconds, torch)
        speed_rows += rows.values()
        if chosen.phases:
            for precision, peak in peaks.items():
                phase_rows += measure_phases(cell, size, threads, precision, peak, seconds)
    sizes_header = "cell hidden,layers,batch,window"
    headers = [sizes_header, "precision", "threads", "rnn chars/s", "useful GFLOP/s", "peak GFLOP/s", "of peak"]
    parts = [table([*headers, "torch chars/s", "rnn / torch", "rnn / torch float32"], speed_rows)]
    if chosen.phases:
        parts += [
            "Each phase is timed in its own call; subtract the time of an empty call.",
            table([*headers[:3], "phase", "ms", "of the step", "useful GFLOP/s", "of peak"], phase_rows),
            WHY,
        ]
    return parts


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


PARTS: dict[str, Callable[[Namespace, float, bool], list[str]]] = {
    "networks": networks,
    "pairs": pairs,
    "answers": answers,
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
