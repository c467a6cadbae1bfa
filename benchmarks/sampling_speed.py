"""How many characters a second does an LSTM of two layers write and score, here and in PyTorch?

One stream, on one thread: each character reads all weights once (but the input weights of layer 0, of which one-hot
input picks a row), so the limit is how fast one core reads them. That bandwidth is measured in the same run, by summing
an array of as many bytes, which lies in the same cache. Many texts at once (`rnn sample -n 1000`) and lines to score,
on all threads, share what is read, and are held against 64 streams side by side in PyTorch.

This package is timed by what its commands call, from the checkpoint's tensors in memory to finished texts and scores.
PyTorch runs torch.nn.LSTM with its state step by step, softmax and multinomial, under inference_mode; to score, it runs
64 lines of about the same length at once, encoded, sorted and padded beforehand.
"""

from __future__ import annotations

import importlib.util
import math
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from common import alternate, options, report, table
from training_speed import VOCAB_SIZE, operations

from rnn_cli.checkpoint import Checkpoint
from rnn_cli.cli.options import usable_cores
from rnn_cli.config import ModelConfig, SamplingConfig
from rnn_cli.evaluation import evaluate_texts
from rnn_cli.kernels.host import VECTOR_BYTES
from rnn_cli.kernels.jit import kernel
from rnn_cli.kernels.memory import aligned_zeros
from rnn_cli.kernels.vector import lanes, load, sum_lanes
from rnn_cli.model import Model
from rnn_cli.sampling import Sampler
from rnn_cli.vocabulary import Vocabulary

STREAMS = 64  # of PyTorch
TEXTS, TEXT_LENGTH = 1000, 64
STREAM_LENGTH, TORCH_LENGTH = 2000, 100  # characters that are written by a call
LINES, LINE_LENGTHS = 20_000, (3, 12)
CHAINS = 8  # sums that do not wait for each other
READ_AT_ONCE = CHAINS * VECTOR_BYTES
BYTES_READ = 20_000_000  # at least, by a call
Contender = tuple[float, Callable[[], Any]]  # how much a call does, and the call


def build_checkpoint(hidden: int, lines: bool) -> Checkpoint:
    """Return a random model of VOCAB_SIZE symbols."""
    config = ModelConfig(vocab_size=VOCAB_SIZE, hidden_size=hidden, num_layers=2)
    vocabulary = Vocabulary("".join(chr(ord("0") + number) for number in range(VOCAB_SIZE - 1)), lines)
    return Checkpoint(config, vocabulary, Model.initialised(config, np.random.default_rng(0)).to_torch())


def weight_bytes(config: ModelConfig) -> int:
    """Return how many bytes of float32 weights a character reads; a step of training computes 6 times with each."""
    return 4 * sum(operations(config).values()) // 6


@kernel
def sum_repeatedly(array, repeats):  # type: ignore[no-untyped-def]
    """Return a sum that reads an array again and again; its size is a multiple of CHAINS vectors."""
    count = lanes(array)
    a = b = c = d = e = f = g = h = load(array, 0)
    for _ in range(repeats):
        for j in range(0, array.size, CHAINS * count):
            a = a + load(array, j)
            b = b + load(array, j + count)
            c = c + load(array, j + 2 * count)
            d = d + load(array, j + 3 * count)
            e = e + load(array, j + 4 * count)
            f = f + load(array, j + 5 * count)
            g = g + load(array, j + 6 * count)
            h = h + load(array, j + 7 * count)
    return sum_lanes(a + b + c + d + e + f + g + h)


def write_texts(checkpoint: Checkpoint, count: int, length: int, threads: int) -> None:
    """Write so many texts here."""
    for _ in Sampler(checkpoint, config=SamplingConfig(length=length), threads=threads).texts(count):
        pass


def torch_network(checkpoint: Checkpoint) -> tuple[Callable, Callable]:
    """Return the layers and the readout in PyTorch, with the weights of a checkpoint."""
    import torch

    config = checkpoint.config
    layers = torch.nn.LSTM(config.vocab_size, config.hidden_size, config.num_layers)
    network = torch.nn.ModuleDict({"rnn": layers, "decoder": torch.nn.Linear(config.hidden_size, config.vocab_size)})
    network.load_state_dict({name: torch.from_numpy(array) for name, array in checkpoint.parameters.items()})
    return layers, network["decoder"]


def torch_writer(checkpoint: Checkpoint, streams: int, threads: int) -> Callable[[], None]:
    """Return a function that goes on by TORCH_LENGTH characters in each stream."""
    import torch

    layers, decoder = torch_network(checkpoint)
    one_hot = torch.zeros(1, streams, checkpoint.config.vocab_size)
    symbols, state = torch.zeros(streams, 1, dtype=torch.int64), None

    def write() -> None:
        nonlocal symbols, state
        torch.set_num_threads(threads)
        with torch.inference_mode():
            for _ in range(TORCH_LENGTH):
                one_hot.zero_()[0].scatter_(1, symbols, 1)
                output, state = layers(one_hot, state)
                symbols = torch.multinomial(decoder(output[0]).softmax(1), 1)

    return write


def random_lines(checkpoint: Checkpoint, count: int) -> list[str]:
    """Return lines of characters that the model knows."""
    generator = np.random.default_rng(0)
    symbols = np.array(list(checkpoint.vocabulary.symbols or ""))
    return ["".join(generator.choice(symbols, size)) for size in generator.integers(*LINE_LENGTHS, count)]


def torch_scorer(checkpoint: Checkpoint, lines: list[str], threads: int) -> Callable[[], float]:
    """Return a function that returns the mean loss of the lines and their ends in nats."""
    import torch

    layers, decoder = torch_network(checkpoint)
    ids = sorted((torch.from_numpy(checkpoint.vocabulary.encode(line)).long() for line in lines), key=len)
    batches = []
    for first in range(0, len(ids), STREAMS):
        some = ids[first : first + STREAMS]
        inputs = torch.nn.utils.rnn.pad_sequence([torch.nn.functional.pad(line, (1, 0)) for line in some])
        targets = [torch.nn.functional.pad(line, (0, 1)) for line in some]
        batches.append((inputs, torch.nn.utils.rnn.pad_sequence(targets, padding_value=-100)))
    count = sum(len(line) + 1 for line in ids)

    def score() -> float:
        torch.set_num_threads(threads)
        total = 0.0
        with torch.inference_mode():
            for inputs, targets in batches:
                one_hot = torch.nn.functional.one_hot(inputs, checkpoint.config.vocab_size).float()
                logits = decoder(layers(one_hot)[0])
                loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum")
                total += loss.item()
        return total / count

    return score


def speeds_of(name: str, contenders: dict[str, Contender], seconds: float) -> dict[str, float]:
    """Return what each contender does in a second."""
    print(f"{name} ...", file=sys.stderr, flush=True)
    times = alternate({contender: call for contender, (_, call) in contenders.items()}, seconds)
    return {contender: amount / times[contender] for contender, (amount, _) in contenders.items()}


def row_of(name: str, speeds: dict[str, float], *others: str) -> list[str]:
    """Return a row: this package, PyTorch where it is, their ratio, and other cells."""
    peer = [f"{speeds['torch']:,.0f}", f"{speeds['rnn'] / speeds['torch']:.2f}"] if "torch" in speeds else ["", ""]
    return [name, f"{speeds['rnn']:,.0f}", *peer, *others]


def measure_stream(hidden: int, seconds: float, with_torch: bool) -> list[str]:
    """Return the row of one stream on one thread."""
    checkpoint = build_checkpoint(hidden, lines=False)
    size = weight_bytes(checkpoint.config)
    array = aligned_zeros(size // READ_AT_ONCE * READ_AT_ONCE // 4, np.float32)
    array.fill(1)
    repeats = -(-BYTES_READ // array.nbytes)
    contenders: dict[str, Contender] = {
        "rnn": (STREAM_LENGTH, partial(write_texts, checkpoint, 1, STREAM_LENGTH, 1)),
        "read": (repeats * array.nbytes, partial(sum_repeatedly, array, repeats)),
    }
    if with_torch:
        contenders["torch"] = TORCH_LENGTH, torch_writer(checkpoint, 1, 1)
    speeds = speeds_of(f"one stream, {hidden}", contenders, seconds)
    read = speeds["rnn"] * size
    rates = [f"{read / 1e9:.1f}", f"{speeds['read'] / 1e9:.1f}", f"{read / speeds['read']:.0%}"]
    return row_of(str(hidden), speeds, f"{size / 1e6:.1f}", *rates)


def measure_texts(hidden: int, threads: int, seconds: float, with_torch: bool) -> list[str]:
    """Return the row of many texts on all threads."""
    checkpoint = build_checkpoint(hidden, lines=False)
    texts = partial(write_texts, checkpoint, TEXTS, TEXT_LENGTH, threads)
    contenders: dict[str, Contender] = {"rnn": (TEXTS * TEXT_LENGTH, texts)}
    if with_torch:
        contenders["torch"] = STREAMS * TORCH_LENGTH, torch_writer(checkpoint, STREAMS, threads)
    return row_of(f"{TEXTS} texts, {hidden}", speeds_of(f"texts, {hidden}", contenders, seconds))


def measure_lines(hidden: int, count: int, threads: int, seconds: float, with_torch: bool) -> list[str]:
    """Return the row of lines that are scored. Raises RuntimeError where the two sides disagree on their score."""
    checkpoint = build_checkpoint(hidden, lines=True)
    lines = random_lines(checkpoint, count)
    text = "".join(line + "\n" for line in lines)
    score = partial(evaluate_texts, checkpoint, [text], threads)
    contenders: dict[str, Contender] = {"rnn": (len(text), score)}
    if with_torch:
        torch_score = torch_scorer(checkpoint, lines, threads)
        if not math.isclose(score().nats_per_char, torch_score(), rel_tol=1e-5):
            raise RuntimeError("the scores differ, so they are not the same work")
        contenders["torch"] = len(text), torch_score
    return row_of(f"{count} lines, {hidden}", speeds_of(f"lines, {hidden}", contenders, seconds))


def main() -> None:
    """Measure what the command line asks for."""
    parser = options(__doc__)
    parser.add_argument("--hidden-sizes", nargs="+", type=int, default=[128, 256, 512])
    parser.add_argument("--threads", type=int, default=usable_cores(), help="for many texts, and for lines")
    chosen = parser.parse_args()
    seconds, lines = (0.05, 500) if chosen.quick else (chosen.seconds, LINES)
    sizes = [32] if chosen.quick else chosen.hidden_sizes
    with_torch = importlib.util.find_spec("torch") is not None
    streams = [measure_stream(hidden, seconds, with_torch) for hidden in sizes]
    many = [measure_texts(hidden, chosen.threads, seconds, with_torch) for hidden in sizes]
    many += [measure_lines(hidden, lines, chosen.threads, seconds, with_torch) for hidden in sizes]
    headers = ["rnn chars/s", "torch chars/s", "rnn / torch"]
    parts = [
        "LSTM of 2 layers in float32. One stream on one thread:",
        table(["hidden size", *headers, "MB of weights", "GB/s read", "GB/s of one core", "share"], streams),
        f"On {chosen.threads} threads, beside {STREAMS} streams in PyTorch:",
        table(["what, hidden size", *headers], many),
    ]
    report("sampling-speed", parts, chosen.save)


if __name__ == "__main__":
    main()
