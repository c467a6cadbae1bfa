"""Whole steps of a network on one team of threads: a training step, and a forward pass that scores."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from rnn_cli.kernels.gradients import weight_gradients
from rnn_cli.kernels.jit import entry_kernel, kernel
from rnn_cli.kernels.layer import clear, layer_backward, layer_forward
from rnn_cli.kernels.matmul import even_start, pack, pack_transposed
from rnn_cli.kernels.softmax import readout_backward, readout_forward, softmax_cross_entropy
from rnn_cli.kernels.threads import wait_for_all
from rnn_cli.kernels.update import adam, clip_scale, norm_of_sums, square_sums


class Net(NamedTuple):
    """The sizes of a network and of the window that it runs on, in elements.

    `hidden` and `columns` are the hidden size `units` and `vocab_size`, padded to whole vectors.
    """

    layers: int
    length: int
    batch: int
    units: int
    hidden: int
    blocks: int
    states: int
    input_columns: int
    recurrent_columns: int
    vocab_size: int
    columns: int


class Memory(NamedTuple):
    """The arrays of a network, flat or with the shapes that kernels/layer.py gives; real numbers are of one type.

    `places` (layers + 1, 3) holds where in `parameters` each layer's W_ih, W_hh and bias begin; the last row, those of
    the decoder. `packed` and `packed_transposed` hold the packed weights at the same places.
    """

    parameters: Any
    places: Any
    packed: Any
    inputs: Any
    targets: Any
    mask: Any
    gates: Any
    states: Any
    output: Any
    logits: Any
    losses: Any
    barrier: Any


class Learning(NamedTuple):
    """The further arrays that training needs. `norm` (1) is the norm of the gradient before it was clipped."""

    packed_transposed: Any
    grad: Any
    grad_output: Any
    carry: Any
    scratch: Any
    moment1: Any
    moment2: Any
    sums: Any
    norm: Any


class Step(NamedTuple):
    """The numbers of one optimiser step: the first has `number` 1; with `number` 0 nothing is updated."""

    number: int
    learning_rate: float
    clip_norm: float
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8


@kernel
def pack_weights(part, parts, net, memory):
    """Pack the weights for the forward products, this part's panels."""
    source, target, places = memory.parameters, memory.packed, memory.places
    for layer in range(net.layers):
        at = places[layer, 1]
        pack(source, at, net.recurrent_columns, net.hidden, net.recurrent_columns, target, at, part, parts)
        at = places[layer, 0]
        if layer > 0:
            pack(source, at, net.input_columns, net.hidden, net.input_columns, target, at, part, parts)
    at = places[net.layers, 0]
    pack(source, at, net.columns, net.hidden, net.columns, target, at, part, parts)


@entry_kernel
def pack_all(part, parts, net, memory):
    """Take over the parameters for `score_step` and `score_symbols`, which do not change them."""
    pack_weights(part, parts, net, memory)


@kernel
def pack_weights_transposed(part, parts, net, memory, target):
    """Pack the transposed weights for the backward products, this part's panels."""
    source, places = memory.parameters, memory.places
    for layer in range(net.layers):
        at, columns = places[layer, 1], net.recurrent_columns
        pack_transposed(source, at, columns, columns, net.hidden, target, at, part, parts)
        at, columns = places[layer, 0], net.input_columns
        if layer > 0:
            pack_transposed(source, at, columns, columns, net.hidden, target, at, part, parts)
    at = places[net.layers, 0]
    pack_transposed(source, at, net.columns, net.columns, net.hidden, target, at, part, parts)


@kernel
def forward(cell, net, memory, first, last):
    """Compute the logits of rows first..last."""
    for layer in range(net.layers):
        layer_forward(cell, net, layer, memory.inputs, memory.gates, memory.states, memory.output, memory.mask,
                      memory.parameters, memory.packed, memory.places, first, last)  # fmt: skip
    readout_forward(net, memory.output, memory.logits, memory.parameters, memory.packed, memory.places, first, last)


@kernel
def score_rows(net, memory, weight, first, last):
    """Turn logits into losses (nats) and the gradient in the logits, for rows first..last."""
    for t in range(net.length):
        for row in range(first, last):
            k = t * net.batch + row
            memory.losses[k] = softmax_cross_entropy(
                memory.logits, k * net.columns, net.vocab_size, net.columns, memory.targets[k], weight
            )


@kernel
def carry_states(net, states, first, last):
    """Make the states after the last step the initial ones of the next window."""
    plane = (net.length + 1) * net.batch * net.hidden
    for number in range(net.layers * net.states):
        for k in range(first * net.hidden, last * net.hidden):
            states[number * plane + k] = states[number * plane + net.length * net.batch * net.hidden + k]


@entry_kernel
def train_step(part, parts, cell, net, memory, learning, step, weight):
    """Run a window forward and back, and update the parameters by Adam; each thread calls it with its part.

    The loss that is differentiated is `weight` times the sum of the losses. Rows of the batch are split over the
    threads until the gradient in the pre-activations is known; then columns of the weights are.
    """
    first = even_start(part, parts, net.batch)
    last = even_start(part + 1, parts, net.batch)
    pack_weights(part, parts, net, memory)
    pack_weights_transposed(part, parts, net, memory, learning.packed_transposed)
    wait_for_all(memory.barrier, parts)

    forward(cell, net, memory, first, last)
    score_rows(net, memory, weight, first, last)
    readout_backward(net, memory.logits, learning.grad_output, learning.packed_transposed, memory.places, first, last)
    for layer in range(net.layers - 1, -1, -1):
        for state in range(layer * net.states, (layer + 1) * net.states):
            clear(learning.carry, (state * net.batch + first) * net.hidden, (last - first) * net.hidden)
        layer_backward(cell, net, layer, memory.inputs, memory.gates, memory.states, learning.grad_output,
                       learning.carry, memory.mask, learning.packed_transposed, memory.places,
                       first, last)  # fmt: skip
    wait_for_all(memory.barrier, parts)

    weight_gradients(net, memory.inputs, memory.gates, memory.states, memory.output, memory.logits, learning.grad,
                     memory.places, learning.scratch, part, parts)  # fmt: skip
    wait_for_all(memory.barrier, parts)

    carry_states(net, memory.states, first, last)
    square_sums(learning.grad, learning.sums, part, parts)
    wait_for_all(memory.barrier, parts)

    norm = norm_of_sums(learning.sums)
    if part == 0:
        learning.norm[0] = norm
    # A gradient that is not finite never reaches the parameters.
    if step.number > 0 and np.isfinite(norm):
        adam(memory.parameters, learning.grad, learning.moment1, learning.moment2, clip_scale(norm, step.clip_norm),
             step.learning_rate, step.beta1, step.beta2, step.epsilon, step.number, part, parts)  # fmt: skip


@entry_kernel
def score_step(part, parts, cell, net, memory):
    """Run a window forward: losses (T, B) in nats."""
    first = even_start(part, parts, net.batch)
    last = even_start(part + 1, parts, net.batch)
    forward(cell, net, memory, first, last)
    score_rows(net, memory, 1.0, first, last)
    carry_states(net, memory.states, first, last)
