"""The steps of classifiers and of models of words, beside PyTorch's, and how fast lines are labelled and tagged.

A part of training_speed.py. Both start from the same weights and read the same texts; if their first losses differ, the
benchmark stops.
"""

from __future__ import annotations

import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from common import ROOT, alternate
from runs import rnn
from torch_step import CLIP_NORM, LEARNING_RATE

from rnn_cli.kernels.network.optimizer import Step
from rnn_cli.kernels.threads import Team
from rnn_cli.network.config import NetworkConfig
from rnn_cli.network.model import Model
from rnn_cli.network.workspace import TrainingWindow
from rnn_cli.tasks.whole_texts import Texts, WholeTextBatches

SYMBOLS, LABELS, TEXTS, ROW = 60, 20, 400, 128  # of a classifier: its batch has TEXTS texts in rows of ROW steps
SHORTEST, LONGEST = 5, 60  # symbols of a text
ROWS, LENGTH = 32, 35  # of a batch of words
MEGABYTE = 1e6

Made = tuple[Callable[[str], Callable[[], float]], Callable[[bool], Callable[[], float]], int]


def bidirectional(hidden: int, threads: int) -> Made:
    """Return what makes a step of a classifier, here and in PyTorch, and the symbols of a batch."""
    draws = np.random.default_rng(1)
    lengths = np.sort(draws.integers(SHORTEST, LONGEST, TEXTS))[::-1]
    symbols = [np.append(0, draws.integers(1, SYMBOLS, length)).astype(np.int32) for length in lengths]
    labels = draws.integers(0, LABELS, TEXTS)
    config = NetworkConfig(input_size=SYMBOLS, output_size=LABELS, hidden_size=hidden, directions=2, readout="mean")
    first = Model.initialised(config, np.random.default_rng(2))
    batch = WholeTextBatches(Texts.labelled(symbols, labels), TEXTS, ROW).batch(0)

    def own(precision: str) -> Callable[[], float]:
        model = Model.from_torch(config, first.to_torch())
        return step_of(TrainingWindow(model, *batch.starts.shape, Team(threads), precision), batch)

    def torch_step(bfloat16: bool) -> Callable[[], float]:
        import torch
        from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

        rnn = torch.nn.LSTM(SYMBOLS, hidden, bidirectional=True)
        network = torch.nn.ModuleDict({"rnn": rnn, "decoder": torch.nn.Linear(2 * hidden, LABELS)})
        padded = pad_sequence([torch.from_numpy(text).long() for text in symbols])
        one_hot = torch.nn.functional.one_hot(padded, SYMBOLS).float()
        sizes, targets = torch.from_numpy(lengths + 1), torch.from_numpy(labels)

        def logits() -> Any:
            output, _ = rnn(pack_padded_sequence(one_hot, sizes))
            return network["decoder"](pad_packed_sequence(output)[0].sum(dim=0) / sizes[:, None])  # padding is 0

        return torch_training(network, first, threads, bfloat16, logits, targets)

    return own, torch_step, int(lengths.sum()) + TEXTS


def words(vocabulary: int, threads: int, hidden: int = 256) -> Made:
    """Return what makes a step of a model of words with a tied embedding, here and in PyTorch, and its words."""
    symbols = np.random.default_rng(1).integers(0, vocabulary, (LENGTH + 1, ROWS)).astype(np.int32)
    config = NetworkConfig(input_size=vocabulary, output_size=vocabulary, hidden_size=hidden, embedding="tied")
    first = Model.initialised(config, np.random.default_rng(2))

    def own(precision: str) -> Callable[[], float]:
        model = Model.from_torch(config, first.to_torch())
        window = TrainingWindow(model, LENGTH, ROWS, Team(threads), precision)
        window.inputs[:], window.targets[:] = symbols[:-1], symbols[1:]
        window.starts[0] = 1
        return step_of(window)

    def torch_step(bfloat16: bool) -> Callable[[], float]:
        import torch

        rnn = torch.nn.LSTM(hidden, hidden)
        encoder, decoder = torch.nn.Embedding(vocabulary, hidden), torch.nn.Linear(hidden, vocabulary)
        encoder.weight = decoder.weight
        network = torch.nn.ModuleDict({"rnn": rnn, "encoder": encoder, "decoder": decoder})
        inputs, targets = (torch.from_numpy(part).long() for part in (symbols[:-1], symbols[1:]))

        def logits() -> Any:
            return decoder(rnn(encoder(inputs))[0]).flatten(0, 1)

        return torch_training(network, first, threads, bfloat16, logits, targets.flatten())

    return own, torch_step, LENGTH * ROWS


def step_of(window: TrainingWindow, batch: Any = None) -> Callable[[], float]:
    """Return a training step from the zero state, which returns the loss."""
    numbers = count(1)
    if batch is not None:
        window.load(batch)

    def step() -> float:
        window.state.fill(0)
        return float(window.train(Step(next(numbers), LEARNING_RATE, CLIP_NORM))[0])

    return step


def torch_training(
    network: Any, first: Model, threads: int, bfloat16: bool, logits: Callable[[], Any], targets: Any
) -> Callable[[], float]:
    """Return a training step of PyTorch from the weights of a model, which returns the loss."""
    import torch

    torch.set_num_threads(threads)
    tensors = {name: torch.from_numpy(array) for name, array in first.to_torch().items()}
    if "encoder.weight" in tensors:  # which is tied
        tensors["decoder.weight"] = tensors["encoder.weight"]
    network.load_state_dict(tensors)
    optimizer = torch.optim.Adam(network.parameters(), LEARNING_RATE, fused=True)

    def step() -> float:
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            found = logits()
        loss = torch.nn.functional.cross_entropy(found.float(), targets)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), CLIP_NORM)
        optimizer.step()
        return float(loss.item())

    return step


def measure_tasks(name: str, made: Made, precisions: list[str], seconds: float, torch: bool) -> list[list[str]]:
    """Return a row for each precision. Raises RuntimeError if the first losses differ."""
    own, peer, units = made
    contenders = {f"rnn {precision}": own(precision) for precision in precisions}
    if torch:
        contenders |= {f"torch {precision}": peer(precision == "bfloat16") for precision in precisions}
    losses = {contender: step() for contender, step in contenders.items()}
    for contender, loss in losses.items():
        tolerance = 1e-2 if "bfloat16" in contender else 1e-4
        if not math.isclose(loss, losses[f"rnn {precisions[0]}"], rel_tol=tolerance):
            raise RuntimeError(f"the first losses differ, so the contenders do different work: {losses}")
    times = alternate(contenders, seconds)
    rows = []
    for precision in precisions:
        row = [name, precision, f"{units / times[f'rnn {precision}']:,.0f}"]
        if torch:
            row.append(f"{units / times[f'torch {precision}']:,.0f}")
            row += [
                f"{times[f'torch {other}'] / times[f'rnn {precision}']:.2f}" for other in (precision, precisions[0])
            ]
        rows.append(row if torch else [*row, "", "", ""])
    return rows


def megabytes_per_minute(task: str, hidden: int, threads: int, megabytes: float) -> str:
    """Return how many megabytes of short lines a minute `rnn classify` or `rnn tag` answers, from start to end."""
    name = {"classify": "words-by-language.tsv", "tag": "sentences.tsv"}[task]
    data = (ROOT / "corpora" / name).read_text("utf-8")
    if task == "classify":
        lines = [line.partition("\t")[2] for line in data.splitlines()]
    else:
        sentences = data.strip().split("\n\n")
        lines = [" ".join(line.partition("\t")[0] for line in sentence.splitlines()) for sentence in sentences]
    text = "".join(line + "\n" for line in lines)
    text *= max(1, round(megabytes * MEGABYTE / len(text.encode())))
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        (folder / "data.tsv").write_text(data, "utf-8")
        (folder / "text").write_text(text, "utf-8")
        rnn(folder, "train", "data.tsv", "--task", task, "--hidden-size", str(hidden), "--steps", "50", "--quiet")
        command = [sys.executable, "-m", "rnn_cli", task, "text", "--threads", str(threads), "--quiet"]
        times = []
        for _ in range(4):
            start = time.perf_counter()
            subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
            times.append(time.perf_counter() - start)
    return f"{60 * len(text.encode()) / MEGABYTE / sorted(times[1:])[1]:.0f}"
