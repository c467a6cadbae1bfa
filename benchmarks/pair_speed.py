"""Speed of an encoder with a decoder: training steps beside PyTorch's modules, and answers of `rnn translate`."""

from __future__ import annotations

import math
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from common import alternate
from runs import rnn

from rnn_cli.kernels.network.optimizer import Step
from rnn_cli.kernels.threads import Team
from rnn_cli.network.config import EncoderDecoderConfig
from rnn_cli.network.model import Model
from rnn_cli.network.pair_window import PairBatch, PairWindow

SYMBOLS = 40
LEARNING_RATE, CLIP_NORM = 1e-6, 5.0  # so low that nothing is learned
WORDS = 20_000  # that are answered


class PairSize(NamedTuple):
    """The sizes of one measurement: units, layers, pairs, symbols of each source and of each target."""

    hidden: int
    layers: int
    batch: int
    source: int
    target: int

    def __str__(self) -> str:
        """Return the size as the row names it."""
        return ",".join(map(str, self))


PAIR_SIZES = [PairSize(128, 1, 64, 12, 10), PairSize(256, 1, 64, 12, 10), PairSize(256, 2, 64, 24, 24)]
QUICK_PAIR_SIZES = [PairSize(16, 1, 4, 5, 3)]


def build_pairs(size: PairSize, threads: int, precision: str) -> tuple[PairWindow, PairBatch]:
    """Return a window of a new model, and a batch of random symbols that it has taken."""
    generator = np.random.default_rng(0)
    config = EncoderDecoderConfig(
        input_size=SYMBOLS, output_size=SYMBOLS, hidden_size=size.hidden, num_layers=size.layers, directions=2
    )
    model = Model.initialised(config, generator)
    window = PairWindow(model, max(size.source, size.target + 1), size.batch, Team(threads), precision)
    sources, targets = (
        [generator.integers(1, SYMBOLS, length).astype(np.int32) for _ in range(size.batch)]
        for length in (size.source, size.target)
    )
    batch = PairBatch.of(sources, targets)
    window.load(batch)
    return window, batch


def torch_pairs(window: PairWindow, batch: PairBatch, bfloat16: bool) -> Callable[[], float]:
    """Return the same step with PyTorch's modules, from the same weights, on as many threads; it returns the loss."""
    import torch

    torch.set_num_threads(window.team.threads)
    config = window.model.config
    units, layers = config.hidden_size, config.num_layers
    modules = torch.nn.ModuleDict(
        {
            "encoder": torch.nn.LSTM(SYMBOLS, units, layers, bidirectional=True),
            "decoder": torch.nn.LSTM(SYMBOLS, units, layers),
            "attention": torch.nn.Linear(2 * units, units, bias=False),
            "combine": torch.nn.Linear(3 * units, units),
            "bridge": torch.nn.Linear(2 * units, 2 * layers * units),
            "output": torch.nn.Linear(units, SYMBOLS),
        }
    )
    modules.load_state_dict({name: torch.from_numpy(array) for name, array in window.model.to_torch().items()})
    optimizer = torch.optim.Adam(modules.parameters(), LEARNING_RATE, fused=True)
    source, inputs, targets = (torch.from_numpy(array).long() for array in (batch.sources, batch.inputs, batch.targets))
    one_hot = torch.nn.functional.one_hot
    read, written = one_hot(source, SYMBOLS).float(), one_hot(inputs, SYMBOLS).float()

    def step() -> float:
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            encoded, _ = modules["encoder"](read)
            end = torch.cat([encoded[-1, :, :units], encoded[0, :, units:]], dim=1)
            start = torch.tanh(modules["bridge"](end)).reshape(-1, layers, 2, units)
            first = tuple(start[:, :, k].swapaxes(0, 1).contiguous() for k in range(2))
            output, _ = modules["decoder"](written, first)
            keys = modules["attention"](encoded)
            scores = torch.bmm(output.swapaxes(0, 1), keys.permute(1, 2, 0))
            context = torch.bmm(torch.softmax(scores, dim=-1), encoded.swapaxes(0, 1)).swapaxes(0, 1)
            z = torch.tanh(modules["combine"](torch.cat([output, context], dim=2)))
            logits = modules["output"](z)
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(modules.parameters(), CLIP_NORM)
        optimizer.step()
        return loss.item()

    return step


def measure_pairs(size: PairSize, threads: int, precisions: list[str], seconds: float, torch: bool) -> list[list[str]]:
    """Return a row for each precision. Raises RuntimeError if the first losses differ."""
    contenders: dict[str, Callable[[], Any]] = {}
    for precision in precisions:
        window, batch = build_pairs(size, threads, precision)
        if torch:
            contenders[f"torch {precision}"] = torch_pairs(window, batch, precision == "bfloat16")
        steps = count(1)
        contenders[f"rnn {precision}"] = lambda window=window, steps=steps: window.train(
            Step(next(steps), LEARNING_RATE, CLIP_NORM)
        )[0]
    losses = {name: step() for name, step in contenders.items()}
    for name, loss in losses.items():
        if not math.isclose(loss, losses[f"rnn {precisions[0]}"], rel_tol=1e-2 if "bfloat16" in name else 1e-5):
            raise RuntimeError(f"the first losses differ, so the contenders do different work: {losses}")
    times = alternate(contenders, seconds)
    rows = []
    for precision in precisions:
        own = times[f"rnn {precision}"]
        row = [f"lstm {size}", precision, str(threads), f"{size.batch / own:,.0f}"]
        if torch:
            peer = times[f"torch {precision}"]
            row += [f"{size.batch / peer:,.0f}", f"{peer / own:.2f}", f"{times['torch float32'] / own:.2f}"]
        rows.append(row if torch else [*row, "", "", ""])
    return rows


def words_per_second(hidden: int, threads: int, words: int = WORDS) -> str:
    """Return how many words a second the command `rnn translate` answers greedily, from its start to its end."""
    letters = random.Random(1)
    made = ["".join(letters.choices("abcdefghijklmnopqrstuvwxyz", k=letters.randint(4, 12))) for _ in range(words)]
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        (folder / "pairs.tsv").write_text("".join(f"{word}\t{word.upper()}\n" for word in made[:2000]))
        (folder / "words.txt").write_text("".join(f"{word}\n" for word in made))
        training = ["--task", "translate", "--hidden-size", str(hidden), "--layers", "1"]
        rnn(folder, "train", "pairs.tsv", *training, "--epochs", "15", "--quiet")
        command = [sys.executable, "-m", "rnn_cli", "translate", "words.txt", "--threads", str(threads), "--quiet"]
        times = []
        for _ in range(3):
            start = time.perf_counter()
            done = subprocess.run(command, cwd=folder, check=True, capture_output=True)
            times.append(time.perf_counter() - start)
            if done.stdout.count(b"\n") != words:
                raise RuntimeError("some words have no answer")
    return f"{words / sorted(times)[1]:,.0f}"
