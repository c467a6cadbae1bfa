"""Builds and runs a training step of an LSTM on oneDNN, which PyTorch trains through, called from C++.

The driver is onednn_lstm.cpp. It takes a C++ compiler and oneDNN built for OpenMP: Debian's libdnnl-dev, or the package
onednn-devel-cpu-gomp of PyPI in this environment.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from common import ROOT, Child
from torch_step import CLIP_NORM, LEARNING_RATE, Problem

SOURCE = ROOT / "benchmarks" / "onednn_lstm.cpp"
FLAGS = ["-O3", "-march=native", "-ffast-math", "-fopenmp", "-std=c++17"]
CHECKED_RATE = 0.01  # so high that an error in a gradient or in the update shows in the losses that follow
CHECKED_STEPS = 4
FIRST_LOSS, LATER_LOSSES = 1e-4, {"float32": 1e-4, "bfloat16": 1e-2}  # nats that the losses may differ by
NORM = {"float32": 1e-4, "bfloat16": 1e-2}  # how much of the norm of the first gradient may differ


class NotBuiltError(Exception):
    """The driver cannot be built here; the message says why."""


def build(folder: Path) -> Path:
    """Compile the driver into a folder; return its path. Raises NotBuiltError with a sentence."""
    compiler = os.environ.get("CXX") or next(filter(shutil.which, ["c++", "g++", "clang++"]), None)
    if compiler is None:
        raise NotBuiltError("There is no oneDNN column: no C++ compiler was found.")
    prefix, target = Path(sys.prefix), folder / "onednn_lstm"
    installed = [f"-I{prefix}/include", f"-L{prefix}/lib", f"-Wl,-rpath,{prefix}/lib"]
    problem = ""
    for places in ([installed] if (prefix / "include" / "dnnl.hpp").exists() else []) + [[]]:
        command = [compiler, *FLAGS, str(SOURCE), *places, "-ldnnl", "-o", str(target)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode == 0:
            return target
        problem = problem or next((line for line in done.stderr.splitlines() if "error" in line), "it failed")
    raise NotBuiltError(f"There is no oneDNN column, as its driver does not compile: {problem}.")


def version(driver: Path) -> str:
    """Return the version of the library that a driver uses."""
    return subprocess.run([driver], check=True, capture_output=True, text=True).stdout.strip()


def write_problem(problem: Problem, path: Path) -> None:
    """Write the weights and symbols of an LSTM as the driver reads them."""
    tensors, parts = problem.tensors, []
    for layer in range(problem.layers):
        parts += [tensors[f"rnn.weight_ih_l{layer}"].T, tensors[f"rnn.weight_hh_l{layer}"].T]
        parts.append(tensors[f"rnn.bias_ih_l{layer}"] + tensors[f"rnn.bias_hh_l{layer}"])
    parts += [tensors["decoder.weight"].T, tensors["decoder.bias"]]
    with open(path, "wb") as file:
        for part in parts:
            file.write(np.ascontiguousarray(part, np.float32).tobytes())
        for symbols in (problem.inputs, problem.targets):
            file.write(np.ascontiguousarray(symbols, np.int32).tobytes())


def onednn(
    driver: Path, problem: Problem, threads: int, bfloat16: bool, path: Path, rate: float = LEARNING_RATE
) -> Child:
    """Return the driver on a problem; `path` is for a file. The input has an even number of columns."""
    vocab_size, hidden = problem.tensors["decoder.weight"].shape
    width = vocab_size + vocab_size % 2
    write_problem(problem.widened(width), path)
    sizes = [*problem.inputs.shape, vocab_size, width, hidden, problem.layers, int(bfloat16), rate, CLIP_NORM]
    return Child([driver, path, *map(str, sizes)], {"OMP_NUM_THREADS": str(threads)})


def check(child: Child, own: Callable[[], tuple[float, float]], precision: str) -> tuple[float, float, float]:
    """Return by how much the first loss, at most a later one, and the norm of the gradient (relative) differ.

    Both make CHECKED_STEPS at CHECKED_RATE. Raises RuntimeError if a difference is more than rounding.
    """
    steps = [(child(), own()) for _ in range(CHECKED_STEPS)]
    first, *later = (abs(theirs[0] - ours[0]) for theirs, ours in steps)
    theirs, ours = (step[1] for step in steps[0])
    norm = abs(theirs / ours - 1)
    same_losses = first <= FIRST_LOSS and all(difference <= LATER_LOSSES[precision] for difference in later)
    if not (same_losses and norm <= NORM[precision]):  # NaN is not within either
        raise RuntimeError(f"oneDNN and this package do different work in {precision}: {steps}")
    return first, max(later), norm
