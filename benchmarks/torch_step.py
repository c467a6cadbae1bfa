"""A training step of a language model in PyTorch, at its best: the rival of training_speed.py.

torch.nn.LSTM, GRU or RNN on one-hot input, a Linear readout, and Adam with fused=True, its fastest variant. Each step
writes the one-hot input into one buffer with `scatter_`. In bfloat16 it runs under autocast. `serve` makes such steps
in a process of its own, whose environment may set the memory allocator.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from common import ROOT, Child, call_times

LEARNING_RATE = 1e-6  # so low that nothing is learned and the size of the gradients stays
CLIP_NORM = 5.0

# glibc gives large blocks back to the system when they are freed, and takes them anew, page by page, in the next step.
# With these settings it keeps them.
KEEPS_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": "8589934592",
    "MALLOC_TRIM_THRESHOLD_": "8589934592",
    "MALLOC_TOP_PAD_": "268435456",
}


class Problem(NamedTuple):
    """What a step starts from: the cell, the tensors by PyTorch's names, and symbols (T, B) to read and to predict."""

    cell: str
    tensors: dict[str, np.ndarray]
    inputs: np.ndarray
    targets: np.ndarray

    @property
    def layers(self) -> int:
        """The number of layers."""
        return sum(name.startswith("rnn.weight_ih") for name in self.tensors)

    def widened(self, width: int) -> Problem:
        """Return the same problem with `width` columns of one-hot input, of which the further ones are always 0."""
        weight = self.tensors["rnn.weight_ih_l0"]
        wide = np.pad(weight, ((0, 0), (0, width - weight.shape[1])))
        return self._replace(tensors={**self.tensors, "rnn.weight_ih_l0": wide})

    def save(self, path: Path) -> None:
        """Write the problem to a file that `serve` reads."""
        np.savez(path, cell=self.cell, inputs=self.inputs, targets=self.targets, **self.tensors)

    @classmethod
    def load(cls, path: str) -> Problem:
        """Read a problem that `save` wrote."""
        arrays = dict(np.load(path))
        return cls(str(arrays.pop("cell")), tensors=arrays, inputs=arrays.pop("inputs"), targets=arrays.pop("targets"))


def torch_step(problem: Problem, threads: int, bfloat16: bool) -> Callable[[], tuple[float, float]]:
    """Return the step, which returns the loss and the norm of its gradient."""
    import torch

    torch.set_num_threads(threads)
    vocab_size, hidden = problem.tensors["decoder.weight"].shape
    width = problem.tensors["rnn.weight_ih_l0"].shape[1]
    layers = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}[problem.cell]
    rnn = layers(width, hidden, problem.layers)
    decoder = torch.nn.Linear(hidden, vocab_size)
    network = torch.nn.ModuleDict({"rnn": rnn, "decoder": decoder})
    network.load_state_dict({name: torch.from_numpy(array) for name, array in problem.tensors.items()})
    optimizer = torch.optim.Adam(network.parameters(), LEARNING_RATE, fused=True)
    inputs = torch.from_numpy(problem.inputs).long().unsqueeze(2)
    targets = torch.from_numpy(problem.targets).long().flatten()
    one_hot = torch.zeros(*problem.inputs.shape, width)
    state = None

    def step() -> tuple[float, float]:
        nonlocal state
        one_hot.zero_().scatter_(2, inputs, 1)
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            output, state = rnn(one_hot, state)
            logits = decoder(output)
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), targets)
        optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(network.parameters(), CLIP_NORM)
        optimizer.step()
        state = tuple(part.detach() for part in state) if isinstance(state, tuple) else state.detach()
        return loss.item(), norm.item()

    return step


def tuned_torch(problem: Problem, threads: int, bfloat16: bool, path: Path) -> Child:
    """Return PyTorch in a process that keeps its memory; `path` is for a file.

    In bfloat16 the input has an even number of columns: oneDNN has a slower kernel for odd ones.
    """
    width = problem.tensors["rnn.weight_ih_l0"].shape[1]
    (problem.widened(width + width % 2) if bfloat16 else problem).save(path)
    command = [sys.executable, "-c", "import torch_step; torch_step.serve()", path, str(threads), str(int(bfloat16))]
    return Child(command, KEEPS_MEMORY, ROOT / "benchmarks")


def serve() -> None:
    """Make steps as the lines of standard input say; see `Child`."""
    path, threads, bfloat16 = sys.argv[1:]
    last = (0.0, 0.0)
    make = torch_step(Problem.load(path), int(threads), bfloat16 == "1")

    def step() -> None:
        nonlocal last
        last = make()

    for line in sys.stdin:
        times = call_times(step, float(line))
        print(*last, *times, flush=True)
