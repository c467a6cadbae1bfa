"""Whole steps of a network on one team of threads: a training step, and a forward pass that scores."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from rnn_cli.kernels.compiler.jit import entry_kernel, kernel
from rnn_cli.kernels.matmul.packing import Packed, pack, pack_transposed
from rnn_cli.kernels.network.dropconnect import drop_recurrent
from rnn_cli.kernels.network.gradients import weight_gradients
from rnn_cli.kernels.network.layer import clear, copy, layer_backward, layer_forward
from rnn_cli.kernels.network.optimizer import (
    ADAM,
    OptimizerRule,
    average_in,
    clip_scale,
    norm_of_sums,
    square_sums,
    update,
)
from rnn_cli.kernels.network.softmax import readout_backward, readout_forward, softmax_cross_entropy
from rnn_cli.kernels.threads import share_start, wait_for_all


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
    """The arrays of a network, flat or with the shapes that layer.py gives; real numbers are of one type.

    `places` (layers + 1, 3) holds where in `parameters` each layer's W_ih, W_hh and bias begin; the last row, those of
    the decoder. `packed` and `packed_transposed` hold the packed weights at the same places, as numbers of the type of
    all others or as pairs in bfloat16; `left`, in the same type, has room for what they are multiplied with.
    """

    parameters: Any
    places: Any
    packed: Any
    left: Any
    inputs: Any
    targets: Any
    mask: Any
    preact: Any
    gates: Any
    states: Any
    output: Any
    logits: Any
    losses: Any
    barrier: Any


class Learning(NamedTuple):
    """The further arrays that training needs. `norm` (1) is the norm of the gradient before it was clipped.

    `zeros` (H) and `ones` (as many as rows are multiplied at once) are rows of that number to start products from and
    to multiply with, `left` and `panel` scratch, a row for each thread; but for `zeros` of the type of `packed`.
    `thinned` holds the recurrent weights as DropConnect leaves them, `average` the running mean of the parameters.
    """

    packed_transposed: Any
    thinned: Any
    grad: Any
    grad_output: Any
    zeros: Any
    ones: Any
    carry: Any
    left: Any
    panel: Any
    moment1: Any
    moment2: Any
    average: Any
    sums: Any
    norm: Any


class Step(NamedTuple):
    """The numbers of one optimiser step: the first has `number` 1; with `number` 0 nothing is updated.

    `key` decides which recurrent weights are left out. The parameters after the step are number `averaged` of those
    whose mean is kept; 0: they do not count.
    """

    number: int
    learning_rate: float
    clip_norm: float
    rule: OptimizerRule = ADAM
    weight_decay: float = 0.0
    recurrent_dropout: float = 0.0
    key: int = 0
    averaged: int = 0


@kernel
def pack_weights(part, parts, net, memory, recurrent):
    """Pack the weights for the forward products, W_hh from the vector `recurrent`, this part's panels."""
    source, target, places = memory.parameters, memory.packed, memory.places
    for layer in range(net.layers):
        at = places[layer, 1]
        pack(recurrent, at, net.recurrent_columns, net.hidden, net.recurrent_columns, target, at, part, parts)
        at = places[layer, 0]
        if layer > 0:
            pack(source, at, net.input_columns, net.hidden, net.input_columns, target, at, part, parts)
    at = places[net.layers, 0]
    pack(source, at, net.columns, net.hidden, net.columns, target, at, part, parts)


@entry_kernel
def pack_all(part, parts, net, memory):
    """Take over the parameters for all that does not change them: scoring and drawing."""
    pack_weights(part, parts, net, memory, memory.parameters)


@kernel
def pack_weights_transposed(part, parts, net, memory, recurrent, learning):
    """Pack the transposed weights for the backward products, as `pack_weights` does."""
    source, places = memory.parameters, memory.places
    target = Packed(learning.packed_transposed, learning.left[part])
    for layer in range(net.layers):
        at, columns = places[layer, 1], net.recurrent_columns
        pack_transposed(recurrent, at, columns, columns, net.hidden, target, at, part, parts)
        at, columns = places[layer, 0], net.input_columns
        if layer > 0:
            pack_transposed(source, at, columns, columns, net.hidden, target, at, part, parts)
    at = places[net.layers, 0]
    pack_transposed(source, at, net.columns, net.columns, net.hidden, target, at, part, parts)


@kernel
def with_room(packed, net, memory, first):
    """Return packed weights with the room for left-hand sides that belongs to the rows from `first` on."""
    return Packed(packed, memory.left[first * (memory.left.size // net.batch) :])


@kernel
def layers_forward(cell, net, memory, first, last):
    """Run rows first..last through all layers."""
    packed = with_room(memory.packed, net, memory, first)
    for layer in range(net.layers):
        layer_forward(cell, net, layer, memory.inputs, memory.preact, memory.gates, memory.states, memory.output,
                      memory.mask, memory.parameters, packed, memory.places, first, last)  # fmt: skip


@kernel
def forward(cell, net, memory, first, last):
    """Compute the logits of rows first..last."""
    layers_forward(cell, net, memory, first, last)
    packed = with_room(memory.packed, net, memory, first)
    for t in range(net.length):
        readout_forward(net, t, memory.output, memory.logits, memory.parameters, packed, memory.places, first, last)


@kernel
def score_rows(net, memory, t, weight, first, last):
    """Turn the logits of step t into losses (nats) and the gradient in the logits, for rows first..last."""
    for k in range(t * net.batch + first, t * net.batch + last):
        memory.losses[k] = softmax_cross_entropy(
            memory.logits, k * net.columns, net.vocab_size, net.columns, memory.targets[k], weight
        )


@kernel
def readout(net, memory, learning, weight, first, last):
    """Compute the losses of rows first..last and the gradient in the output of the last layer, step by step."""
    packed = with_room(memory.packed, net, memory, first)
    transposed = with_room(learning.packed_transposed, net, memory, first)
    for t in range(net.length):
        readout_forward(net, t, memory.output, memory.logits, memory.parameters, packed, memory.places, first, last)
        score_rows(net, memory, t, weight, first, last)
        readout_backward(net, t, memory.logits, learning.grad_output, learning.zeros, transposed, memory.places,
                         first, last)  # fmt: skip


@kernel
def layers_backward(cell, net, memory, learning, first, last):
    """Run rows first..last back through all layers, which leaves the gradient in the pre-activations in the gates."""
    transposed = with_room(learning.packed_transposed, net, memory, first)
    for layer in range(net.layers - 1, -1, -1):
        for state in range(layer * net.states, (layer + 1) * net.states):
            clear(learning.carry, (state * net.batch + first) * net.hidden, (last - first) * net.hidden)
        layer_backward(cell, net, layer, memory.inputs, memory.gates, memory.states, learning.grad_output,
                       learning.carry, memory.mask, learning.zeros, transposed, memory.places, first,
                       last)  # fmt: skip


@kernel
def parameters_backward(net, memory, learning, part, parts):
    """Compute the gradient in all parameters, this part's columns."""
    weight_gradients(net, memory.inputs, memory.gates, memory.states, memory.output, memory.logits, learning.grad,
                     memory.places, learning.left[part], learning.panel[part], learning.ones, part, parts)  # fmt: skip


@kernel
def carry_states(net, states, first, last):
    """Make the states after the last step the initial ones of the next window."""
    window = net.length * net.batch * net.hidden
    for number in range(net.layers * net.states):
        at = number * (window + net.batch * net.hidden) + first * net.hidden
        copy(states, at, states, at + window, (last - first) * net.hidden)


@entry_kernel
def train_step(part, parts, cell, net, memory, learning, step, weight):
    """Run a window forward and back, and update the parameters; each thread calls it with its part.

    The loss that is differentiated is `weight` times the sum of the losses. Rows of the batch are split over the
    threads until the gradient in the pre-activations is known; then columns of the weights are.
    """
    first = share_start(part, parts, net.batch)
    last = share_start(part + 1, parts, net.batch)
    recurrent = memory.parameters
    if step.recurrent_dropout > 0:
        recurrent = learning.thinned
        drop_recurrent(recurrent, memory.parameters, net, memory.places, step.recurrent_dropout, step.key, part, parts)
        wait_for_all(memory.barrier, parts)
    pack_weights(part, parts, net, memory, recurrent)
    pack_weights_transposed(part, parts, net, memory, recurrent, learning)
    wait_for_all(memory.barrier, parts)

    layers_forward(cell, net, memory, first, last)
    readout(net, memory, learning, weight, first, last)
    layers_backward(cell, net, memory, learning, first, last)
    wait_for_all(memory.barrier, parts)

    parameters_backward(net, memory, learning, part, parts)
    wait_for_all(memory.barrier, parts)

    carry_states(net, memory.states, first, last)
    if step.recurrent_dropout > 0:
        drop_recurrent(learning.grad, learning.grad, net, memory.places, step.recurrent_dropout, step.key, part, parts)
    square_sums(learning.grad, learning.sums, part, parts)
    wait_for_all(memory.barrier, parts)

    norm = norm_of_sums(learning.sums)
    if part == 0:
        learning.norm[0] = norm
    # A gradient that is not finite never reaches the parameters.
    if step.number > 0 and np.isfinite(norm):
        update(memory.parameters, learning.grad, learning.moment1, learning.moment2, clip_scale(norm, step.clip_norm),
               step.learning_rate, step.weight_decay, step.rule, step.number, part, parts)  # fmt: skip
        if step.averaged > 0:
            average_in(learning.average, memory.parameters, 1 / step.averaged, part, parts)


@entry_kernel
def score_step(part, parts, cell, net, memory):
    """Run a window forward: losses (T, B) in nats."""
    first = share_start(part, parts, net.batch)
    last = share_start(part + 1, parts, net.batch)
    forward(cell, net, memory, first, last)
    for t in range(net.length):
        score_rows(net, memory, t, 1.0, first, last)
    carry_states(net, memory.states, first, last)
