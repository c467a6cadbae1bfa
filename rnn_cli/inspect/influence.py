"""How strongly the prediction of each symbol depends on each earlier symbol: BPTT for all of them side by side."""

from __future__ import annotations

import numpy as np

from rnn_cli.inspect.reading import Reading
from rnn_cli.network.plain import columns_of, one_hot


def influence(reading: Reading, lags: int) -> np.ndarray:
    """Return the norms (T, lags) of d loss_t / d x_(t-k): of the loss of target t (nats), in what step t - k read.

    Before the start of its text a step has no influence: 0. Row t runs back through time alone, one lag at a time, so
    that all rows do it in the same products; layers of one lag are passed from the last to the first.
    """
    cell, weights, count = reading.cell, reading.weights, len(reading.targets)
    grad_logits = np.exp(reading.log_probs) - one_hot(reading.targets, reading.log_probs.shape[1])
    grad_logits = grad_logits.astype(reading.log_probs.dtype)
    grad_output = grad_logits @ weights.decoder_weight.T
    states = np.array([[step.previous[:, 0] for step in steps] for steps in reading.steps])  # (L, T, S, H)
    gates = [[np.array([step.gates[g][0] for step in steps]) for g in range(cell.blocks)] for steps in reading.steps]
    grad_state = np.zeros((len(reading.steps), len(cell.states), count, grad_output.shape[1]), grad_output.dtype)
    norms = np.zeros((count, lags))
    rows = np.arange(count)
    for lag in range(min(lags, count)):
        rows = rows[rows >= lag]
        at = rows - lag
        from_above = grad_output[rows] if lag == 0 else np.zeros_like(grad_output[rows])
        for layer in reversed(range(len(reading.steps))):
            (own,) = weights.layers[layer]
            input_columns, recurrent_columns = columns_of(own)
            grad = grad_state[layer][:, rows]
            grad_preact, grad_previous = cell.backward(
                tuple(gate[at] for gate in gates[layer]),
                tuple(states[layer, at, s] for s in range(len(cell.states))),
                (grad[0] + from_above, *grad[1:]),
            )
            flat = np.concatenate(grad_preact, axis=1)
            before = np.array(grad_previous)
            before[0] += flat[:, recurrent_columns] @ own.weight_hh.T
            grad_state[layer][:, rows] = np.where(reading.starts[at][:, None], 0, before)
            from_above = flat[:, input_columns] @ own.weight_ih.T
        norms[rows, lag] = np.sqrt((from_above**2).sum(axis=1))
        rows = rows[~reading.starts[at]]  # what is before the start of a text is not read
    return norms
