"""How many megabytes of short lines a minute does `rnn evaluate --per-line` score, and PyTorch the same way?

Each contender reads a file of random lines, scores each line from the zero state, and writes bits, bits per character
and the line to a file: all of the command but its start. PyTorch gets lines side by side, padded to the longest. The
weights are random: the time does not depend on them.
"""

from __future__ import annotations

import functools
import math
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from common import alternate, options, report, table

from rnn_cli.checkpoint import Checkpoint
from rnn_cli.cli.options import usable_cores
from rnn_cli.config import ModelConfig
from rnn_cli.display.scores import line_rows
from rnn_cli.model import Model
from rnn_cli.ranking import scored_lines
from rnn_cli.scoring import Scorer
from rnn_cli.vocabulary import Vocabulary

LETTERS = "".join(map(chr, range(ord("!"), ord("!") + 63)))
SIDE_BY_SIDE = 512  # lines in PyTorch


def random_lines(size: int, longest: int) -> str:
    """Return lines of 1 to `longest` random letters, about `size` characters in all."""
    generator = np.random.default_rng(1)
    letters = generator.choice(list(LETTERS), size)
    letters[np.cumsum(generator.integers(2, longest + 2, 2 * size // longest)).clip(max=size - 1)] = "\n"
    letters[0] = "!"
    return "".join(letters)


def score_here(scorer: Scorer, source: Path, target: Path) -> None:
    """Score the file as the command does."""
    with open(target, "wb") as file:
        for lines in scored_lines(scorer, str(source)):
            file.write(b"".join(line_rows(lines, np.arange(len(lines.lines)))))


def torch_contender(checkpoint: Checkpoint, threads: int, source: Path, target: Path) -> Callable[[], None]:
    """Return a function that scores the file with PyTorch."""
    import torch

    torch.set_num_threads(threads)
    size, hidden = len(checkpoint.vocabulary), checkpoint.config.hidden_size
    network = torch.nn.Module()
    network.rnn, network.decoder = torch.nn.LSTM(size, hidden), torch.nn.Linear(hidden, size)
    network.load_state_dict({name: torch.from_numpy(tensor) for name, tensor in checkpoint.parameters.items()})

    def run() -> None:
        text = source.read_text("utf-8").split("\n")
        with torch.inference_mode(), open(target, "wb") as file:
            for start in range(0, len(text), SIDE_BY_SIDE):
                lines = text[start : start + SIDE_BY_SIDE]
                symbols = [torch.from_numpy(checkpoint.vocabulary.encode(f"\n{line}\n")).long() for line in lines]
                ids = torch.nn.utils.rnn.pad_sequence(symbols, padding_value=-1)
                targets = ids[1:]
                inputs = torch.nn.functional.one_hot(ids[:-1].clamp(min=0), size).float()
                logits = network.decoder(network.rnn(inputs)[0])
                losses = torch.nn.functional.cross_entropy(
                    logits.flatten(0, 1), targets.flatten(), ignore_index=-1, reduction="none"
                )
                bits = (losses.view(targets.shape).sum(0) / math.log(2)).tolist()
                rows = zip(bits, [own / (len(line) + 1) for own, line in zip(bits, lines)], map(str.encode, lines))
                file.write(b"".join(b"%.4f\t%.4f\t%s\n" % row for row in rows))

    return run


def main() -> None:
    """Measure what was asked for."""
    parser = options(__doc__)
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--hidden-size", type=int, nargs="+", default=[128])
    parser.add_argument("--longest", type=int, nargs="+", default=[20, 80], help="letters of a line, at most")
    parser.add_argument("--without-torch", action="store_true")
    chosen = parser.parse_args()
    size, seconds = (20_000, 0.01) if chosen.quick else (2_000_000, chosen.seconds)
    rows = []
    with tempfile.TemporaryDirectory() as directory:
        source, target = Path(directory) / "lines.txt", Path(directory) / "scores.txt"
        for hidden in chosen.hidden_size:
            for longest in chosen.longest:
                source.write_text(random_lines(size, longest), "utf-8")
                vocabulary = Vocabulary(LETTERS, True)
                config = ModelConfig(vocab_size=len(vocabulary), hidden_size=hidden)
                model = Model.initialised(config, np.random.default_rng(1))
                checkpoint = Checkpoint(config, vocabulary, model.to_torch())
                scorer = Scorer(checkpoint, chosen.threads)
                contenders: dict[str, Callable[[], object]] = {
                    "rnn": functools.partial(score_here, scorer, source, target)
                }
                if not chosen.without_torch:
                    contenders["PyTorch"] = torch_contender(checkpoint, chosen.threads, source, target)
                times = alternate(contenders, seconds, single=True)
                speeds = {name: size / time * 60 / 1e6 for name, time in times.items()}
                torch_speed = f"{speeds['PyTorch']:.1f}" if "PyTorch" in speeds else ""
                ratio = f"{speeds['rnn'] / speeds['PyTorch']:.2f}" if "PyTorch" in speeds else ""
                rows.append([f"lstm 1 x {hidden}", f"1 to {longest}", f"{speeds['rnn']:.1f}", torch_speed, ratio])
    headers = ["model", "letters in a line", "rnn, MB/min", "PyTorch, MB/min", "rnn / PyTorch"]
    report("scoring-speed", [table(headers, rows)], chosen.save)


if __name__ == "__main__":
    main()
