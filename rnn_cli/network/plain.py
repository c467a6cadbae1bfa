"""Backpropagation through time (BPTT) to read: a network forward and backward, and one training step, in NumPy.

Unrolled over T steps, a recurrent layer is a feedforward network of T layers that share their weights. BPTT is
backpropagation through that network, last step first: see `layer_backward`. Every step adds to the gradient of the
same, shared weights.

The equations of one step are in cells/. kernels/network/ computes the same fast, and tests compare the two. `grad_q` is
the gradient of the loss with respect to q, and has the shape of q.

Shapes, for T steps, B rows, D directions, L layers, S states (h, or h and c), I inputs, H units and V outputs:

    inputs   (T, B, I)        what each step reads; `one_hot` turns symbols into it
    starts   (T, B)           true if a text starts at this step, from the zero state
    states   (L, D, S, B, H)  the states that a direction starts from; direction 1 reads the last step first
    mask     (L, B, D H)      dropout: factors of each layer's output, the same at every step
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from rnn_cli.cells import Cell
from rnn_cli.network.parameters import Layout

Array = np.ndarray


class Weights(NamedTuple):
    """The weights of one layer in one direction, or their gradient; cells/cell.py explains the columns."""

    weight_ih: Array  # (I, gates H)
    weight_hh: Array  # (H, gates H)
    bias: Array  # (blocks H)


class NetworkWeights(NamedTuple):
    """The weights of a network, or their gradient."""

    layers: list[list[Weights]]  # [layer][direction]
    decoder_weight: Array  # (D H, V)
    decoder_bias: Array  # (V)


class TimeStep(NamedTuple):
    """One step of a layer in one direction."""

    x: Array  # (B, I)
    starts: Array  # (B, 1)
    previous: Array  # (S, B, H), the state before the step, zero if a text starts
    gates: tuple[Array, ...]  # each (B, H)
    state: Array  # (S, B, H), the state after the step


class Trace(NamedTuple):
    """What `network_backward` needs of `network_forward`."""

    steps: list[list[list[TimeStep]]]  # [layer][direction][t]
    output: Array  # (T, B, D H), of the last layer
    mask: Array  # (L, B, D H)


def layer_forward(
    cell: Cell, weights: Weights, x: Array, starts: Array, state: Array, direction: int = 0
) -> tuple[list[TimeStep], Array]:
    """Run one layer over x (T, B, I), from state (S, B, H). Returns its steps and the state after the last one.

    preact_t = x_t W_ih + h_(t-1) W_hh + b        gates_t, state_t = cell.forward(preact_t, state_(t-1))
    """
    input_columns, recurrent_columns = columns_of(weights)
    starts = starts_for(direction, starts)[:, :, None]
    steps = []
    for t in time_order(len(x), direction):
        previous = np.where(starts[t], 0, state)
        preact = np.tile(weights.bias, (len(x[t]), 1))
        preact[:, input_columns] += x[t] @ weights.weight_ih
        preact[:, recurrent_columns] += previous[0] @ weights.weight_hh
        gates, after = cell.forward(tuple(np.split(preact, cell.blocks, axis=1)), tuple(previous))
        state = np.array(after)
        steps.append(TimeStep(x[t], starts[t], previous, gates, state))
    return [steps[t] for t in time_order(len(x), direction)], state


def layer_backward(
    cell: Cell, weights: Weights, steps: list[TimeStep], grad_outputs: Array, grad_state: Array, direction: int = 0
) -> tuple[Weights, Array, Array]:
    """Backpropagate through time: the steps of `layer_forward`, last step first.

    Takes the gradients of the outputs h_t (T, B, H) and of the state after the last step (S, B, H). Returns the
    gradients of the weights, of x (T, B, I), and of the state before the first step (S, B, H).
    """
    input_columns, recurrent_columns = columns_of(weights)
    grad, grad_x = Weights(*map(np.zeros_like, weights)), np.zeros((len(steps), *steps[0].x.shape))
    grad_state = grad_state.copy()
    for t in reversed(time_order(len(steps), direction)):
        # h_t reaches the loss in two ways: as the output of this step, and through the next step.
        grad_state[0] += grad_outputs[t]
        grad_preact, grad_state = step_backward(cell, weights, steps[t], grad_state)
        grad_input, grad_recurrent = grad_preact[:, input_columns], grad_preact[:, recurrent_columns]
        # The weights are the same at every step, so their gradient is the sum over the steps.
        grad.weight_ih[:] += steps[t].x.T @ grad_input
        grad.weight_hh[:] += steps[t].previous[0].T @ grad_recurrent
        grad.bias[:] += grad_preact.sum(axis=0)
        grad_x[t] = grad_input @ weights.weight_ih.T
    return grad, grad_x, grad_state


def step_backward(cell: Cell, weights: Weights, step: TimeStep, grad_state: Array) -> tuple[Array, Array]:
    """Backpropagate through one step: from the state after it (S, B, H) to its preactivation and the state before."""
    grad_gates, grad_previous = cell.backward(step.gates, tuple(step.previous), tuple(grad_state))
    grad_preact, grad_before = np.concatenate(grad_gates, axis=1), np.array(grad_previous)
    grad_before[0] += grad_preact[:, columns_of(weights)[1]] @ weights.weight_hh.T
    return grad_preact, np.where(step.starts, 0, grad_before)  # a text that starts here has no past


def columns_of(weights: Weights) -> tuple[slice, slice]:
    """Return the columns of a preactivation that x W_ih adds to, and those that h W_hh adds to."""
    return slice(weights.weight_ih.shape[1]), slice(len(weights.bias) - weights.weight_hh.shape[1], None)


def time_order(length: int, direction: int) -> range:
    """Return the steps as a direction reads them: 0 first step first, 1 last step first."""
    return range(length)[:: -1 if direction else 1]


def starts_for(direction: int, starts: Array) -> Array:
    """Return where a text starts as a direction reads it: in direction 1 at its last step, before the next start."""
    return np.concatenate([starts[1:], np.zeros_like(starts[:1])]) if direction else starts


def network_forward(
    cell: Cell, network: NetworkWeights, inputs: Array, starts: Array, states: Array, mask: Array
) -> tuple[Array, Array, Trace]:
    """Run a network over a window. Returns the logits (T, B, V), the states after the window, and a trace.

    A layer reads the outputs of both directions of the layer below, side by side.
    """
    x, final = inputs, np.empty_like(states)
    all_steps: list[list[list[TimeStep]]] = []
    for layer, directions in enumerate(network.layers):
        all_steps.append([])
        for direction, weights in enumerate(directions):
            steps, final[layer, direction] = layer_forward(
                cell, weights, x, starts, states[layer, direction], direction
            )
            all_steps[layer].append(steps)
        outputs = [np.array([step.state[0] for step in steps]) for steps in all_steps[layer]]
        x = np.concatenate(outputs, axis=2) * mask[layer]
    return x @ network.decoder_weight + network.decoder_bias, final, Trace(all_steps, x, mask)


def network_backward(
    cell: Cell, network: NetworkWeights, trace: Trace, grad_logits: Array, grad_states: Array
) -> tuple[NetworkWeights, Array, Array]:
    """Backpropagate from the logits to the inputs, last layer first. Pair of `network_forward`.

    Takes the gradients of the logits (T, B, V) and of the states after the window. Returns the gradients of the
    weights, of the inputs (T, B, I), and of the states before the window.
    """
    grad_decoder = np.einsum("tbh,tbv->hv", trace.output, grad_logits), grad_logits.sum(axis=(0, 1))
    grad_layers: list[list[Weights]] = []
    grad_initial = np.empty_like(grad_states)
    grad_x = grad_logits @ network.decoder_weight.T
    for layer in reversed(range(len(network.layers))):
        grad_outputs = np.split(grad_x * trace.mask[layer], len(network.layers[layer]), axis=2)
        grad_layers.insert(0, [])
        grad_x = np.zeros(())
        runs = zip(network.layers[layer], trace.steps[layer], grad_outputs)
        for direction, (weights, steps, grad_output) in enumerate(runs):
            grad, grad_input, grad_initial[layer, direction] = layer_backward(
                cell, weights, steps, grad_output, grad_states[layer, direction], direction
            )
            grad_layers[0].append(grad)
            grad_x = grad_x + grad_input  # both directions read the same x
    return NetworkWeights(grad_layers, *grad_decoder), grad_x, grad_initial


def cross_entropy(logits: Array, targets: Array) -> tuple[Array, Array]:
    """Return the losses -log softmax(logits)[target] (T, B) in nats, and grad_logits of their sum.

    A target of -1 is not scored: its loss and its gradient are 0.
    """
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    expected = one_hot(targets, logits.shape[-1])  # all 0 for a target of -1
    return -(log_probs * expected).sum(axis=-1), (np.exp(log_probs) - expected) * (targets >= 0)[..., None]


def one_hot(symbols: Array, size: int) -> Array:
    """Return vectors (..., size) that are 1 at the symbol and 0 elsewhere; all 0 for a symbol of -1."""
    return (symbols[..., None] == np.arange(size)).astype(np.float64)


def training_step(
    cell: Cell,
    network: NetworkWeights,
    batch: tuple[Array, Array, Array],
    states: Array,
    mask: Array,
    learning_rate: float = 0.0,
) -> tuple[float, NetworkWeights, Array]:
    """Run a window forward and backward, and change the weights in place by -learning_rate times the gradient (SGD).

    A batch holds inputs, starts and targets (T, B). Returns the mean loss (nats per scored target), its gradient, and
    the states that the next window starts from. No gradient flows back into the window before: this is truncated BPTT.
    """
    inputs, starts, targets = batch
    scored = max(np.count_nonzero(targets >= 0), 1)
    logits, final, trace = network_forward(cell, network, inputs, starts, states, mask)
    losses, grad_logits = cross_entropy(logits, targets)
    grad, _, _ = network_backward(cell, network, trace, grad_logits / scored, np.zeros_like(states))
    for array, grad_array in zip(arrays(network), arrays(grad)):
        array -= learning_rate * grad_array
    return losses.sum() / scored, grad, final


def arrays(network: NetworkWeights) -> list[Array]:
    """Return all arrays of a network, or of its gradient."""
    weights = [array for directions in network.layers for each in directions for array in each]
    return [*weights, network.decoder_weight, network.decoder_bias]


def layer_views(layout: Layout, flat: Array, layer: int, direction: int) -> list[Array]:
    """Return views of W_ih, W_hh and b in a model's flat vector, without padding, their columns as (gates, H)."""
    index = (layer, direction)[: layout.config.directions]
    return [view(flat, *index) for view in (layout.input_weights, layout.recurrent_weights, layout.bias)]


def weights_of(layout: Layout, flat: Array, dtype: Any = np.float64) -> NetworkWeights:
    """Return the weights, or their gradient, of a model's flat vector: copies."""

    def weights(layer: int, direction: int) -> Weights:
        views = layer_views(layout, flat, layer, direction)
        return Weights(*(view.reshape(*view.shape[:-2], -1).astype(dtype) for view in views))

    config = layout.config
    layers = [
        [weights(layer, direction) for direction in range(config.directions)] for layer in range(config.num_layers)
    ]
    return NetworkWeights(layers, *(array.astype(dtype) for array in layout.decoder(flat)))


def write_weights(layout: Layout, flat: Array, network: NetworkWeights) -> None:
    """Write weights, or their gradient, to a model's flat vector. Pair of `weights_of`."""
    indices = np.ndindex(layout.config.num_layers, layout.config.directions)
    views = [view for index in indices for view in layer_views(layout, flat, *index)]
    for view, array in zip([*views, *layout.decoder(flat)], arrays(network)):
        view[:] = array.reshape(view.shape)
