"""How many characters a second does an LSTM of two layers sample, here, in PyTorch, ONNX Runtime and OpenVINO?

One stream runs on one thread, and again on all, which share the columns of a large network. Each character reads all
weights once, except the input weights of layer 0, of which a one-hot input selects a row. So the limit is the speed at
which one core reads them. That bandwidth is measured in the same run, by summing an array of the same size, which fits
the same cache. Many texts at once (`rnn sample -n 1000`) on all threads share the reading; they are compared with a
batch of 64 streams in the others.

This package is timed from the checkpoint's tensors in memory to finished texts. PyTorch runs torch.nn.LSTM step by step
with softmax and multinomial, under inference_mode. Its weights and states are in the precision of the row, as are the
operands of the products here. ONNX Runtime, in float32, and OpenVINO run the graph of `rnn export --to onnx` step by
step (runtimes.py).
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from common import alternate, options, report, table
from roofline import weights_call
from runtimes import RIVALS, check_steps, precisions_of, runtimes, writer
from training_speed import PRECISIONS, VOCAB_SIZE, operations

from rnn_cli.checkpoint.checkpoint import Checkpoint
from rnn_cli.cpu_count import usable_cores
from rnn_cli.kernels.threads import Team
from rnn_cli.language.config import SamplingConfig
from rnn_cli.language.sampling import Sampler
from rnn_cli.network.config import NetworkConfig
from rnn_cli.network.model import Model
from rnn_cli.text.codecs import CharacterCodec

STREAMS = 64  # of the others
TEXTS, TEXT_LENGTH = 1000, 64
STREAM_LENGTH, RIVAL_LENGTH = 2000, 100  # characters sampled by a call
Contender = tuple[float, Callable[[], Any]]  # characters or bytes of a call, and the call


def build_checkpoint(hidden: int) -> Checkpoint:
    """Return a random model of VOCAB_SIZE symbols."""
    config = NetworkConfig.for_symbols(VOCAB_SIZE, hidden_size=hidden, num_layers=2)
    codec = CharacterCodec("".join(chr(ord("0") + number) for number in range(VOCAB_SIZE - 1)), line_mode=False)
    return Checkpoint.of_language(config, codec, Model.initialised(config, np.random.default_rng(0)).to_torch())


def weight_bytes(config: NetworkConfig) -> int:
    """Return the bytes of float32 weights that a character reads. `operations` counts 6 for each weight."""
    return 4 * sum(operations(config).values()) // 6


def write_texts(checkpoint: Checkpoint, count: int, length: int, threads: int, precision: str) -> None:
    """Sample `count` texts with this package."""
    config = SamplingConfig(length=length, precision=precision)
    for _ in Sampler(checkpoint, config=config, threads=threads).texts(count):
        pass


def writers(checkpoint: Checkpoint, count: int, length: int, threads: int) -> dict[str, Contender]:
    """Return the contenders of this package, by precision."""
    return {
        f"rnn {precision}": (count * length, partial(write_texts, checkpoint, count, length, threads, precision))
        for precision in PRECISIONS
    }


def torch_network(checkpoint: Checkpoint, precision: str) -> tuple[Callable, Callable]:
    """Return the layers and the readout in PyTorch, with the weights of a checkpoint, in this precision."""
    import torch

    config = checkpoint.config
    layers = torch.nn.LSTM(config.output_size, config.hidden_size, config.num_layers)
    network = torch.nn.ModuleDict({"rnn": layers, "decoder": torch.nn.Linear(config.hidden_size, config.output_size)})
    network.load_state_dict({name: torch.from_numpy(array) for name, array in checkpoint.parameters.items()})
    network.to(getattr(torch, precision))
    return layers, network["decoder"]


def torch_writer(checkpoint: Checkpoint, streams: int, threads: int, precision: str) -> Callable[[], None]:
    """Return a function that samples RIVAL_LENGTH characters in each stream."""
    import torch

    layers, decoder = torch_network(checkpoint, precision)
    one_hot = torch.zeros(1, streams, checkpoint.config.output_size, dtype=getattr(torch, precision))
    symbols, state = torch.zeros(streams, 1, dtype=torch.int64), None

    def write() -> None:
        nonlocal symbols, state
        torch.set_num_threads(threads)
        with torch.inference_mode():
            for _ in range(RIVAL_LENGTH):
                one_hot.zero_()[0].scatter_(1, symbols, 1)
                output, state = layers(one_hot, state)
                symbols = torch.multinomial(decoder(output[0]).float().softmax(1), 1)

    return write


def torch_writers(checkpoint: Checkpoint, streams: int, threads: int) -> dict[str, Contender]:
    """Return the contenders in PyTorch, by precision; empty if it is not installed."""
    if importlib.util.find_spec("torch") is None:
        return {}
    return {
        f"torch {precision}": (streams * RIVAL_LENGTH, torch_writer(checkpoint, streams, threads, precision))
        for precision in PRECISIONS
    }


def runtime_writers(checkpoint: Checkpoint, streams: int, threads: int) -> dict[str, Contender]:
    """Return the contenders in other runtimes, by precision. Raises RuntimeError if they compute something else."""
    made: dict[str, Contender] = {}
    for name, make in runtimes().items():
        for precision in precisions_of(name, PRECISIONS):
            runtime = make(checkpoint, threads, precision, 1, streams)
            check_steps(runtime, checkpoint, streams, precision)
            made[f"{name} {precision}"] = streams * RIVAL_LENGTH, writer(runtime, streams, RIVAL_LENGTH)
    return made


def speeds_of(name: str, contenders: dict[str, Contender], seconds: float) -> dict[str, float]:
    """Return the characters or bytes a second of each contender."""
    print(f"{name} ...", file=sys.stderr, flush=True)
    times = alternate({contender: call for contender, (_, call) in contenders.items()}, seconds)
    return {contender: amount / times[contender] for contender, (amount, _) in contenders.items()}


HEADERS = ["products", "rnn chars/s", "torch chars/s, same", "rnn / torch", "rnn / torch float32"]
HEADERS += ["ONNX Runtime float32", "rnn / ONNX Runtime", "OpenVINO, same", "rnn / OpenVINO"]


def rows_of(name: str, speeds: dict[str, float]) -> list[list[str]]:
    """Return a row for each precision under HEADERS: speeds, and ratios to them."""
    rows = []
    for precision in PRECISIONS:
        own = speeds[f"rnn {precision}"]

        def both(rival: str, own: float = own) -> list[str]:
            return [f"{speeds[rival]:,.0f}", f"{own / speeds[rival]:.2f}"] if rival in speeds else ["", ""]

        row = [name, precision, f"{own:,.0f}", *both(f"torch {precision}"), both("torch float32")[1]]
        rows.append([*row, *both("onnxruntime float32"), *both(f"openvino {precision}")])
    return rows


def measure_stream(hidden: int, threads: int, seconds: float) -> list[list[str]]:
    """Return the rows of one stream on one thread, and on all."""
    checkpoint = build_checkpoint(hidden)
    size = weight_bytes(checkpoint.config)
    contenders = writers(checkpoint, 1, STREAM_LENGTH, 1)
    together = writers(checkpoint, 1, STREAM_LENGTH, threads)
    contenders |= {f"{name} together": contender for name, contender in together.items()}
    contenders["read"] = weights_call(Team(1), size)
    contenders |= torch_writers(checkpoint, 1, 1) | runtime_writers(checkpoint, 1, 1)
    speeds = speeds_of(f"one stream, {hidden}", contenders, seconds)
    rows = rows_of(str(hidden), speeds)
    for row, precision in zip(rows, PRECISIONS):
        bytes_read = size // 2 if precision == "bfloat16" else size
        read = speeds[f"rnn {precision}"] * bytes_read
        row += [f"{bytes_read / 1e6:.1f}", f"{read / 1e9:.1f}", f"{speeds['read'] / 1e9:.1f}"]
        row += [f"{read / speeds['read']:.0%}"]
        shared = speeds[f"rnn {precision} together"]
        row += [f"{shared:,.0f}", f"{shared / speeds[f'rnn {precision}']:.2f}"]
    return rows


def measure_texts(hidden: int, threads: int, seconds: float) -> list[list[str]]:
    """Return the rows of many texts on all threads."""
    checkpoint = build_checkpoint(hidden)
    contenders = writers(checkpoint, TEXTS, TEXT_LENGTH, threads)
    contenders |= torch_writers(checkpoint, STREAMS, threads) | runtime_writers(checkpoint, STREAMS, threads)
    return rows_of(f"{TEXTS} texts, {hidden}", speeds_of(f"texts, {hidden}", contenders, seconds))


def main() -> None:
    """Measure as the options say."""
    parser = options(__doc__)
    parser.add_argument("--hidden-sizes", nargs="+", type=int, default=[128, 256, 512])
    parser.add_argument(
        "--threads", type=int, default=usable_cores(), help="for many texts, and for one (default: all cores)"
    )
    chosen = parser.parse_args()
    seconds = 0.05 if chosen.quick else chosen.seconds
    sizes = [32] if chosen.quick else chosen.hidden_sizes
    streams = [row for hidden in sizes for row in measure_stream(hidden, chosen.threads, seconds)]
    many = [row for hidden in sizes for row in measure_texts(hidden, chosen.threads, seconds)]
    measures = ["MB of weights", "GB/s read", "GB/s of one core", "share"]
    parts = [
        "LSTM of 2 layers. One stream on one thread, and last on all:",
        table(["hidden size", *HEADERS, *measures, f"chars/s, {chosen.threads} threads", "ratio"], streams),
        f"On {chosen.threads} threads, beside {STREAMS} streams in the others:",
        table(["what, hidden size", *HEADERS], many),
    ]
    report("sampling-speed", parts, chosen.save, RIVALS)


if __name__ == "__main__":
    main()
