"""The time of each phase of a training step, in a call of its own."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from common import alternate
from torch_step import CLIP_NORM, LEARNING_RATE

from rnn_cli.kernels.compiler.jit import kernel
from rnn_cli.kernels.network.dropconnect import DropConnect
from rnn_cli.kernels.network.memory import addresses, backward_addresses
from rnn_cli.kernels.network.optimizer import Step, update_step
from rnn_cli.kernels.network.step import PHASES, Objective, gradient_step, network_addresses
from rnn_cli.kernels.threads import Share
from rnn_cli.network.workspace import TrainingWindow


def phase_calls(window: TrainingWindow, parts: int = 0) -> dict[str, Callable[[], Any]]:
    """Return each phase of a training step as a call of its own; in this order they make a whole step.

    If `parts` is given, the phases compute only the share of the first of so many threads. The update and the whole
    step, which wait for other threads, are left out then.
    """
    objective = Objective(1 / window.targets.size, DropConnect())
    arguments = (window.network, window.arrays, window.back, objective)
    shares = parts

    def call(phase: Callable[..., None] | None) -> Callable[[], None]:
        @kernel
        def run(part, parts, network, memory, backward, objective):  # type: ignore[no-untyped-def]
            arrays, back = addresses(memory), backward_addresses(backward, part)
            phase(network_addresses(network), arrays, back, objective, Share(part, shares or parts))

        @kernel
        def nothing(part, parts, network, memory, backward, objective):  # type: ignore[no-untyped-def]
            pass

        return partial(window.team.run, run if phase else nothing, *arguments)

    calls: dict[str, Callable[[], Any]] = {name: call(phase) for name, phase in PHASES.items()}
    if parts:
        return calls
    step = Step(1, LEARNING_RATE, CLIP_NORM)
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
memory and back, in bfloat16, and that of states and outputs, which stay float32."""


def measure_phases(window: TrainingWindow, operations: dict[str, int], peak: float, seconds: float) -> list[list[str]]:
    """Return a row for each phase: time, share of the step, useful operations a second, share of the peak.

    `operations` are those of a symbol, by phase.
    """
    calls = phase_calls(window)
    times = alternate(calls, seconds / len(calls), single=True)
    useful = dict(operations)
    useful["(the two calls of a step)"] = sum(useful.values())
    rows = []
    for name, time in times.items():
        speed = window.targets.size * useful.get(name, 0) / time
        rates = [f"{speed / 1e9:.1f}", f"{speed / peak:.0%}"] if speed else ["", ""]
        share = f"{time / times['(the two calls of a step)']:.0%}"
        rows.append([name, f"{time * 1e3:.3f}", share, *rates])
    return rows
