"""What a recurrent cell is: a record of its gates and states, and its equations forward and backward."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Values = tuple[Any, ...]


@dataclass(frozen=True)
class Cell:
    """One kind of recurrent layer.

    A layer computes its pre-activations from its input x and its own last output h,

        preact = x W_ih + h W_hh + b,

    in blocks of hidden_size columns. `input_gates` names the blocks that x W_ih adds to (the first ones) and
    `recurrent_gates` those that h W_hh adds to (the last ones). Where the two lists are the same, so are the blocks;
    a block that only one product reaches (the candidate of the GRU) stands at its end of the row.

    Then `forward` and `backward` work element by element, on tuples of values (a block of the row each):

        forward(preact, previous)           -> gates, state
        backward(gates, previous, grad)     -> grad_preact, grad_previous

    `previous` and `state` hold h and, where there is one, c. `gates` is what backward needs of the forward pass, and
    takes the memory of `preact`. `grad` is the gradient of the loss in `state`; `grad_previous` leaves out what
    reaches the last h by way of the recurrent product.
    """

    name: str
    activation: str
    torch_gates: tuple[str, ...]
    """The gates in the order of PyTorch's weight_ih and weight_hh, which is the order in the file."""
    input_gates: tuple[str, ...]
    recurrent_gates: tuple[str, ...]
    blocks: int
    states: tuple[str, ...]
    forward: Callable[[Values, Values], tuple[Values, Values]]
    backward: Callable[[Values, Values, Values], tuple[Values, Values]]
    initial_bias: tuple[tuple[str, float], ...] = ()
    """Gates whose bias starts at another value than 0."""

    @property
    def recurrent_block(self) -> int:
        """The first block that the recurrent product adds to."""
        return self.blocks - len(self.recurrent_gates)
