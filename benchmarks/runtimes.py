"""Runtimes that run the graph of `rnn export --to onnx`: ONNX Runtime and OpenVINO, as rivals in inference.

They get and return NumPy arrays. What the graph leaves to its caller, choosing a symbol from the logits or summing up
losses, is vectorised NumPy. ONNX Runtime has no bfloat16 on processors, so it runs in float32.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

import numpy as np

from rnn_cli.checkpoint.checkpoint import Checkpoint
from rnn_cli.export.onnx import onnx_models
from rnn_cli.export.portable import Portable
from rnn_cli.language.scorer import Scorer
from rnn_cli.text.codecs import BOUNDARY

RIVALS = ["onnxruntime", "openvino"]  # packages
CHECKED = 64  # symbols that are scored one by one before the timer starts
DIFFERENCE = {"float32": 1e-4, "bfloat16": 1e-2}  # relative, of their loss
Outputs = tuple[np.ndarray, ...]
"""Logits (T, B, V), and the states h and c after the last step."""


class Runtime:
    """A graph in a runtime: call it with ids (T, B) and the states (L, B, H)."""

    def __init__(self, run: Callable[[dict[str, np.ndarray]], Outputs], checkpoint: Checkpoint) -> None:
        self._run, self._config = run, checkpoint.config

    def zeros(self, streams: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the zero states."""
        shape = (self._config.num_layers, streams, self._config.hidden_size)
        return np.zeros(shape, np.float32), np.zeros(shape, np.float32)

    def __call__(self, ids: np.ndarray, h: np.ndarray, c: np.ndarray) -> Outputs:
        return self._run({"ids": ids, "h0": h, "c0": c})


def graph_of(checkpoint: Checkpoint) -> bytes:
    """Return the ONNX file of a model."""
    return onnx_models(Portable.of_checkpoint(checkpoint))[""].SerializeToString()


def onnx_runtime(checkpoint: Checkpoint, threads: int, precision: str, steps: int, streams: int) -> Runtime:
    """Return ONNX Runtime, which takes any number of steps and streams."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(graph_of(checkpoint), options, providers=["CPUExecutionProvider"])
    return Runtime(lambda inputs: session.run(["logits", "hn", "cn"], inputs), checkpoint)


def openvino(checkpoint: Checkpoint, threads: int, precision: str, steps: int, streams: int) -> Runtime:
    """Return OpenVINO, compiled for so many steps and streams; -1: any."""
    import openvino as ov

    core, config = ov.Core(), checkpoint.config
    model = core.read_model(graph_of(checkpoint))
    state = [config.num_layers, streams, config.hidden_size]
    model.reshape({"ids": [steps, streams], "h0": state, "c0": state})
    settings = {
        "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[precision],
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
    }
    compiled = core.compile_model(model, "CPU", settings)
    request, outputs = compiled.create_infer_request(), [compiled.output(name) for name in ("logits", "hn", "cn")]

    def run(inputs: dict[str, np.ndarray]) -> Outputs:
        results = request.infer(inputs, share_inputs=True)
        return tuple(results[output] for output in outputs)

    return Runtime(run, checkpoint)


def runtimes() -> dict[str, Callable[..., Runtime]]:
    """Return what makes each runtime that is installed, by its name."""
    made = dict(zip(RIVALS, (onnx_runtime, openvino)))
    present = importlib.util.find_spec("onnx") is not None
    return {name: make for name, make in made.items() if present and importlib.util.find_spec(name) is not None}


def precisions_of(name: str, precisions: list[str]) -> list[str]:
    """Return in which precisions a runtime runs."""
    return ["float32"] if name == "onnxruntime" else precisions


def choose(logits: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return a symbol for each row of logits (B, V), as probable as its softmax says."""
    sums = np.cumsum(np.exp(logits - logits.max(axis=1, keepdims=True)), axis=1)
    return (sums < generator.random((len(logits), 1), np.float32) * sums[:, -1:]).sum(axis=1)


def losses(logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return the cross-entropy in nats of logits (N, V), which are overwritten, and targets (N)."""
    logits -= logits.max(axis=1, keepdims=True)
    chosen = logits[np.arange(len(targets)), targets]
    np.exp(logits, out=logits)
    return np.log(logits @ np.ones(logits.shape[1], logits.dtype)) - chosen


def writer(runtime: Runtime, streams: int, length: int) -> Callable[[], None]:
    """Return a function that samples `length` characters in each stream, and goes on from there."""
    generator = np.random.default_rng(0)
    symbols, state = np.full((1, streams), BOUNDARY, np.int64), runtime.zeros(streams)

    def write() -> None:
        nonlocal symbols, state
        for _ in range(length):
            logits, *state = runtime(symbols, *state)
            symbols = choose(logits[0], generator)[None]

    return write


def check_steps(runtime: Runtime, checkpoint: Checkpoint, streams: int, precision: str) -> None:
    """Score random symbols one by one. Raises RuntimeError if their loss is not that of this package."""
    symbols = np.random.default_rng(2).integers(1, checkpoint.config.output_size, CHECKED)
    own = Scorer(checkpoint, 1).read(symbols.astype(np.int32))[0].sum()
    state, total = runtime.zeros(streams), np.zeros(streams)
    for before, target in zip([BOUNDARY, *symbols], symbols):
        logits, *state = runtime(np.full((1, streams), before, np.int64), *state)
        total += losses(logits[0], np.full(streams, target))
    if not np.allclose(total, own, rtol=DIFFERENCE[precision], atol=0):
        raise RuntimeError(f"the losses of a runtime in {precision} and of this package differ: {total} and {own}")


def line_scorer(runtime: Runtime, lines: list[np.ndarray], streams: int) -> Callable[[], float]:
    """Return a function that returns the total bits of encoded lines and their ends.

    `streams` lines of about the same length are scored at once. They are sorted and padded here, before.
    """
    batches = []
    ordered = sorted(lines, key=len)
    for first in range(0, len(ordered), streams):
        group = ordered[first : first + streams]
        inputs = np.full((len(group[-1]) + 1, len(group)), BOUNDARY, np.int64)
        targets, scored = np.full_like(inputs, BOUNDARY), np.zeros(inputs.shape, bool)
        for column, line in enumerate(group):
            inputs[1 : len(line) + 1, column] = targets[: len(line), column] = line
            scored[: len(line) + 1, column] = True
        batches.append((inputs, targets.ravel(), scored.ravel()))

    def score() -> float:
        total = 0.0
        for inputs, targets, scored in batches:
            logits = runtime(inputs, *runtime.zeros(inputs.shape[1]))[0]
            found = losses(logits.reshape(-1, logits.shape[2]), targets)
            total += float(found.sum(where=scored, dtype=np.float64))
        return total / np.log(2)

    return score
