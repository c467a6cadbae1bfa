"""How many megabytes of short lines a minute does `rnn evaluate --per-line` score, and other programs?

This package reads a file of random lines, scores each from the zero state, and writes bits, bits per character and the
line to another file: the whole command without its start-up. The others score the same lines, 64 at once; they are
encoded, sorted and padded before the timer starts. PyTorch does so in float32 under inference_mode, ONNX Runtime, in
float32, and OpenVINO with the graph of `rnn export --to onnx` (runtimes.py). If the sums differ, the benchmark stops.
The weights are random, because the time does not depend on them.
"""

from __future__ import annotations

import importlib.util
import math
import tempfile
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
from common import alternate, options, report, table
from runtimes import RIVALS, line_scorer, precisions_of, runtimes
from sampling_speed import STREAMS, torch_network

from rnn_cli.checkpoint.checkpoint import Checkpoint
from rnn_cli.cpu_count import usable_cores
from rnn_cli.display.scores import line_rows
from rnn_cli.kernels.simd.cpu import HAS_BFLOAT16
from rnn_cli.language.line_scores import score_lines
from rnn_cli.language.scorer import Scorer
from rnn_cli.network.config import NetworkConfig
from rnn_cli.network.model import Model
from rnn_cli.text.codecs import CharacterCodec
from rnn_cli.text.documents import read_pieces

PRECISIONS = ["float32", "bfloat16"] if HAS_BFLOAT16 else ["float32"]
LETTERS = "".join(map(chr, range(ord("!"), ord("!") + 63)))


def build_checkpoint(hidden: int, layers: int) -> Checkpoint:
    """Return a random model of lines."""
    codec = CharacterCodec(LETTERS, line_mode=True)
    config = NetworkConfig.for_symbols(len(codec), hidden_size=hidden, num_layers=layers)
    return Checkpoint.of_language(config, codec, Model.initialised(config, np.random.default_rng(1)).to_torch())


def random_lines(size: int, longest: int) -> list[str]:
    """Return lines of 1 to `longest` random letters, together at least `size` characters with their ends."""
    generator = np.random.default_rng(1)
    lengths = generator.integers(1, longest + 1, size)
    count = int(np.searchsorted(np.cumsum(lengths + 1), size)) + 1
    return ["".join(generator.choice(list(LETTERS), length)) for length in lengths[:count]]


def score_here(scorer: Scorer, source: Path, target: Path) -> float:
    """Score the file as the command does; return its total bits."""
    bits = 0.0
    with open(target, "wb") as file:
        for lines in score_lines(scorer, read_pieces(str(source))):
            file.write(b"".join(line_rows(lines, np.arange(len(lines.lines)))))
            bits += lines.bits.sum()
    return bits


def torch_scorer(checkpoint: Checkpoint, lines: list[str], threads: int) -> Callable[[], float]:
    """Return a function that returns the total bits of the lines and their ends."""
    import torch

    layers, decoder = torch_network(checkpoint, "float32")
    ids = sorted((torch.from_numpy(checkpoint.codec.encode(line)).long() for line in lines), key=len)
    batches = []
    for first in range(0, len(ids), STREAMS):
        group = ids[first : first + STREAMS]
        inputs = torch.nn.utils.rnn.pad_sequence([torch.nn.functional.pad(line, (1, 0)) for line in group])
        targets = [torch.nn.functional.pad(line, (0, 1)) for line in group]
        batches.append((inputs, torch.nn.utils.rnn.pad_sequence(targets, padding_value=-100)))

    def score() -> float:
        torch.set_num_threads(threads)
        total = 0.0
        with torch.inference_mode():
            for inputs, targets in batches:
                one_hot = torch.nn.functional.one_hot(inputs, checkpoint.config.output_size).float()
                logits = decoder(layers(one_hot)[0])
                loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum")
                total += loss.item()
        return total / math.log(2)

    return score


def measure(hidden: int, layers: int, longest: int, size: int, threads: int, seconds: float) -> list[list[str]]:
    """Return a row for each precision. Raises RuntimeError if two contenders disagree."""
    checkpoint, lines = build_checkpoint(hidden, layers), random_lines(size, longest)
    with tempfile.TemporaryDirectory() as directory:
        source, target = Path(directory) / "lines.txt", Path(directory) / "scores.txt"
        source.write_text("\n".join(lines) + "\n", "utf-8")
        contenders: dict[str, Callable[[], float]] = {}
        for precision in PRECISIONS:
            scorer = Scorer(checkpoint, threads, precision=precision)
            contenders[precision] = partial(score_here, scorer, source, target)
        if importlib.util.find_spec("torch"):
            contenders["torch"] = torch_scorer(checkpoint, lines, threads)
        encoded = [checkpoint.codec.encode(line) for line in lines]
        for name, make in runtimes().items():
            for precision in precisions_of(name, PRECISIONS):
                runtime = make(checkpoint, threads, precision, -1, -1)
                contenders[f"{name} {precision}"] = line_scorer(runtime, encoded, STREAMS)
        bits = {name: score() for name, score in contenders.items()}
        for name, found in bits.items():
            if not math.isclose(found, bits["float32"], rel_tol=1e-3 if "bfloat16" in name else 1e-5):
                raise RuntimeError(f"the scores differ, so the contenders do different work: {bits}")
        times = alternate(contenders, seconds, single=True)
        speeds = {name: source.stat().st_size / 1e6 * 60 / time for name, time in times.items()}
    rows = []
    for precision in PRECISIONS:
        own = speeds[precision]
        row = [f"lstm {layers} x {hidden}", f"1 to {longest}", precision, f"{own:.1f}"]
        for rival in ("torch", "onnxruntime float32", f"openvino {precision}"):
            row += [f"{speeds[rival]:.1f}", f"{own / speeds[rival]:.2f}"] if rival in speeds else ["", ""]
        rows.append(row)
    return rows


def main() -> None:
    """Measure as the options say."""
    parser = options(__doc__)
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--hidden-sizes", type=int, nargs="+", default=[128])
    parser.add_argument("--layers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--longest", type=int, nargs="+", default=[20, 80], help="most letters in a line")
    chosen = parser.parse_args()
    size, seconds = (20_000, 0.01) if chosen.quick else (2_000_000, chosen.seconds)
    rows = []
    for hidden, layers, longest in product(chosen.hidden_sizes, chosen.layers, chosen.longest):
        rows += measure(hidden, layers, longest, size, chosen.threads, seconds)
    headers = ["model", "letters in a line", "products", "rnn, MB/min", "PyTorch float32, MB/min", "rnn / PyTorch"]
    headers += ["ONNX Runtime float32", "rnn / ONNX Runtime", "OpenVINO, same", "rnn / OpenVINO"]
    report("scoring-speed", [table(headers, rows)], chosen.save, RIVALS)


if __name__ == "__main__":
    main()
