"""A recurrent cell as a record: its gates and states, and its equations forward and backward."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Values = tuple[Any, ...]


@dataclass(frozen=True)
class Cell:
    """One kind of recurrent layer.

    A layer computes its preactivations from its input x_t and its own previous output h_(t-1),

        preact_t = x_t W_ih + h_(t-1) W_hh + b,

    in blocks of hidden_size columns, one block for each gate. `input_gates` names the blocks that x_t W_ih adds to (the
    first ones), `recurrent_gates` those that h_(t-1) W_hh adds to (the last ones). LSTM and RNN list the same gates
    twice, so each block is the sum of both products. The candidate n of the GRU needs the two apart: it is the first
    block for x_t W_ih and the last one for h_(t-1) W_hh.

    `forward` and `backward` work element by element on tuples, one value for each block or state:

        forward(preact, previous)           -> gates, state
        backward(gates, previous, grad)     -> grad_preact, grad_previous

    previous, state   h, and c if the cell has one, before and after the step
    gates             the values that `backward` needs of the forward pass; they take the memory of `preact`
    grad              gradient of the loss in `state`
    grad_previous     gradient in `previous`, without the part that reaches h_(t-1) through W_hh
    """

    name: str
    activation: str
    """Together with `name` the key of the cell in the registry and in model files; only RNN has a choice."""
    torch_gates: tuple[str, ...]
    """The gates in the order of PyTorch's weight_ih and weight_hh, which is the order in model files."""
    input_gates: tuple[str, ...]
    recurrent_gates: tuple[str, ...]
    states: tuple[str, ...]
    forward: Callable[[Values, Values], tuple[Values, Values]]
    backward: Callable[[Values, Values, Values], tuple[Values, Values]]
    initial_bias: tuple[tuple[str, float], ...] = ()
    """Gates whose bias does not start at 0, and the value that it starts at."""

    @property
    def recurrent_block(self) -> int:
        """The first block that h_(t-1) W_hh adds to: from there on the two lists name the same gates."""
        gates = self.input_gates
        return next(k for k in range(len(gates) + 1) if self.recurrent_gates[: len(gates) - k] == gates[k:])

    @property
    def blocks(self) -> int:
        """The number of blocks: those of x_t W_ih only, then those of h_(t-1) W_hh."""
        return self.recurrent_block + len(self.recurrent_gates)
