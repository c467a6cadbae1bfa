"""Whole passes of a network on one team of threads: the gradient of a window, and a forward pass that scores.

Rows of the batch are split over the threads until the gradient in the pre-activations is known; then columns of the
weights are. Threads meet at barriers between these phases. The update is an entry of its own (optimizer.py): what comes
between gradient and update, as an exchange with other machines, is the caller's.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from rnn_cli.kernels.compiler.jit import chosen_by_type, entry_kernel, kernel
from rnn_cli.kernels.matmul.matrix import ONE, Matrix, Packed, Scratch
from rnn_cli.kernels.matmul.packing import ZERO, pack, pack_transposed
from rnn_cli.kernels.network.arrays import clear, copy
from rnn_cli.kernels.network.dropconnect import DropConnect, drop_recurrent
from rnn_cli.kernels.network.gradients import decoder_gradients, layer_gradients
from rnn_cli.kernels.network.layer import layer_backward, layer_forward
from rnn_cli.kernels.network.linear import readout_backward, readout_forward
from rnn_cli.kernels.network.losses import has_targets, loss_and_gradient
from rnn_cli.kernels.network.memory import Sizes, addresses, backward_addresses, decoder_offset, layer_of
from rnn_cli.kernels.network.pooling import pool, unpool
from rnn_cli.kernels.network.sources import Dense, source_address
from rnn_cli.kernels.network.tied import (
    TiedCrossEntropy,
    embed,
    pack_tied,
    pack_tied_transposed,
    tied_gradients,
)
from rnn_cli.kernels.simd.pointer import address
from rnn_cli.kernels.threads import Share, rows_of_share, wait_for_all


class Network(NamedTuple):
    """What kernels are compiled for, by type: the cell's equations, what is read, what the outputs mean; and the sizes.

    cell    an `Equations` (compiler/cell_inlining.py)
    source  what layer 0 reads: `OneHot` or `Dense` (sources.py)
    loss    `CrossEntropy`, `SquaredError` or `Quantile` (losses.py), or `TiedCrossEntropy` (tied.py)
    """

    cell: Any
    source: Any
    loss: Any
    sizes: Sizes


@kernel
def network_addresses(network):
    """Return a network whose source is read by its address."""
    return Network(network.cell, source_address(network.source), network.loss, network.sizes)


class Objective(NamedTuple):
    """What is differentiated: `weight` times the sum of the losses, and which recurrent weights are left out."""

    weight: float
    dropconnect: DropConnect


@kernel
def layer_below(layer, grad, mode):
    """Return the output of the layer below as the source of a layer; its gradient goes to `grad`, see `Dense`."""
    sizes = layer.sizes
    below = layer_of(sizes, layer.arrays, layer.run // sizes.runs - 1, ZERO)
    return Dense(layer.arrays.output, below.output, sizes.width, grad, below.grad_output, mode)


@chosen_by_type
def read_inputs(network, arrays, rows):
    """Make what layer 0 reads of some rows: the embeddings of symbols, if they are tied to the decoder."""
    return embed if is_tied(network) else nothing_to_read


@kernel
def nothing_to_read(network, arrays, rows):
    """Do nothing: the source is read as it is."""


@chosen_by_type
def input_symbols(network):
    """Return the address of the symbols that are read (T * B), which the source or a tied embedding holds."""
    return symbols_of_loss if is_tied(network) else symbols_of_source


@kernel
def symbols_of_loss(network):
    """Return the address of the symbols whose embeddings are read."""
    return address(network.loss.symbols)


@kernel
def symbols_of_source(network):
    """Return the address of the symbols that the source gathers by."""
    return network.source.symbols


@chosen_by_type
def pack_decoder(network, arrays, scratch, share):
    """Pack the decoder for the logits, this share's panels."""
    return pack_tied if is_tied(network) else pack_untied


@kernel
def pack_untied(network, arrays, scratch, share):
    """Pack the decoder (W, V)."""
    sizes = network.sizes
    at = decoder_offset(sizes, arrays, ZERO)
    target = Packed(arrays.packed, at, sizes.width, sizes.columns, scratch)
    pack(Matrix(arrays.parameters, at, sizes.columns, ONE), target, share)


@chosen_by_type
def pack_decoder_transposed(network, arrays, back, share):
    """Pack the decoder for the gradient in the output of the last layer, this share's panels."""
    return pack_tied_transposed if is_tied(network) else pack_untied_transposed


@kernel
def pack_untied_transposed(network, arrays, back, share):
    """Pack the transpose of the decoder."""
    sizes = network.sizes
    at = decoder_offset(sizes, arrays, ZERO)
    target = Packed(back.packed_transposed, at, sizes.columns, sizes.width, Scratch(back.lhs_scratch, ZERO))
    pack_transposed(Matrix(arrays.parameters, at, sizes.columns, ONE), target, share)


@chosen_by_type
def readout_gradients(network, arrays, back, objective, share):
    """Compute the gradient in the decoder, and in the embedding that is tied to it, this share's part."""
    return tied_gradients if is_tied(network) else decoder_gradients


def is_tied(network):
    """Return whether the Numba type of a network has a tied embedding."""
    return network.types[network.fields.index("loss")].instance_class is TiedCrossEntropy


@kernel
def pack_weights(network, arrays, recurrent, share):
    """Pack all weights for the forward products, W_hh from the vector `recurrent`, this share's panels."""
    sizes = network.sizes
    scratch = Scratch(arrays.scratch, ZERO)
    for index in range(sizes.layers):
        for number in range(sizes.runs):
            layer = layer_of(sizes, arrays, index, number)
            columns = sizes.recurrent_columns
            weight = Packed(arrays.packed, layer.weight_hh, sizes.hidden, columns, scratch)
            pack(Matrix(recurrent, layer.weight_hh, columns, ONE), weight, share)
            columns, width = sizes.input_columns, sizes.width if index > 0 else network.source.width
            if width > 0:
                weight = Packed(arrays.packed, layer.weight_ih, width, columns, scratch)
                pack(Matrix(arrays.parameters, layer.weight_ih, columns, ONE), weight, share)
    pack_decoder(network, arrays, scratch, share)


@kernel
def pack_weights_transposed(network, arrays, back, recurrent, share):
    """Pack the transposed weights for the backward products, as `pack_weights` does."""
    sizes, target = network.sizes, back.packed_transposed
    scratch = Scratch(back.lhs_scratch, ZERO)
    for index in range(sizes.layers):
        for number in range(sizes.runs):
            layer = layer_of(sizes, arrays, index, number)
            columns = sizes.recurrent_columns
            weight = Packed(target, layer.weight_hh, columns, sizes.hidden, scratch)
            pack_transposed(Matrix(recurrent, layer.weight_hh, columns, ONE), weight, share)
            columns, width = sizes.input_columns, sizes.width if index > 0 else network.source.width
            if width > 0:
                weight = Packed(target, layer.weight_ih, columns, width, scratch)
                pack_transposed(Matrix(arrays.parameters, layer.weight_ih, columns, ONE), weight, share)
    pack_decoder_transposed(network, arrays, back, share)


@entry_kernel
def pack_all(part, parts, network, arrays):
    """Pack all weights. Call before scoring or sampling, and after the parameters change."""
    arrays = addresses(arrays)
    pack_weights(network, arrays, arrays.parameters, Share(part, parts))


@kernel
def layers_forward(network, arrays, rows):
    """Run some rows through all layers."""
    sizes = network.sizes
    read_inputs(network, arrays, rows)
    for index in range(sizes.layers):
        for number in range(sizes.runs):
            layer = layer_of(sizes, arrays, index, number)
            if index == 0:
                layer_forward(network.cell, network.source, layer, rows)
            else:
                layer_forward(network.cell, layer_below(layer, arrays.output, ZERO), layer, rows)
    pool(layer_of(sizes, arrays, sizes.layers - 1, ZERO), rows)


@kernel
def forward(network, arrays, rows):
    """Compute the outputs of some rows."""
    layers_forward(network, arrays, rows)
    for t in range(network.sizes.length):
        readout_forward(network.sizes, arrays, t, rows)


@kernel
def score_rows(network, arrays, t, weight, rows):
    """Replace the outputs of step t by their losses and the gradient in the outputs, for some rows."""
    sizes = network.sizes
    for k in range(t * sizes.batch + rows.first, t * sizes.batch + rows.last):
        arrays.losses[k] = loss_and_gradient(network.loss, sizes, arrays.logits, k, weight)


@kernel
def readout(network, arrays, back, weight, rows):
    """Compute the losses of some rows and the gradient in the output of the last layer, step by step."""
    top = layer_of(network.sizes, arrays, network.sizes.layers - 1, ZERO)
    for t in range(network.sizes.length):
        if has_targets(network.loss, network.sizes, t, rows):
            readout_forward(network.sizes, arrays, t, rows)
            score_rows(network, arrays, t, weight, rows)
            readout_backward(top, back, t, rows)
        else:
            skip_readout(top, back, t, rows)


@kernel
def skip_readout(top, back, t, rows):
    """Set the losses of a step that is not scored, and their gradients, to 0."""
    sizes, arrays = top.sizes, top.arrays
    for k in range(t * sizes.batch + rows.first, t * sizes.batch + rows.last):
        arrays.losses[k] = 0
        clear(arrays.logits, k % sizes.logit_rows * sizes.columns, sizes.columns)
        clear(back.grad_output, top.grad_output + k * sizes.width, sizes.width)


@kernel
def layers_backward(network, arrays, back, rows):
    """Run some rows back through all layers, which leaves the gradient in the pre-activations in the gates.

    `back.carry` holds the gradient in the final states, and afterwards that in the initial ones.
    """
    sizes = network.sizes
    unpool(layer_of(sizes, arrays, sizes.layers - 1, ZERO), back, rows)
    for index in range(sizes.layers - 1, -1, -1):
        for number in range(sizes.runs):
            layer = layer_of(sizes, arrays, index, number)
            if index == 0:
                layer_backward(network.cell, network.source, layer, back, rows)
            else:
                source = layer_below(layer, back.grad_output, 1 + min(number, 1))
                layer_backward(network.cell, source, layer, back, rows)


@kernel
def clear_carry(sizes, back, rows):
    """Set the gradient in the final states of some rows to zero."""
    for index in range(sizes.layers * sizes.runs * sizes.states):
        clear(back.carry, (index * sizes.batch + rows.first) * sizes.hidden, (rows.last - rows.first) * sizes.hidden)


@kernel
def parameters_backward(network, arrays, back, objective, share):
    """Compute the gradient in all parameters, this share's columns."""
    sizes = network.sizes
    for index in range(sizes.layers):
        for number in range(sizes.runs):
            layer = layer_of(sizes, arrays, index, number)
            if index == 0:
                layer_gradients(network.source, layer, back, share)
            else:
                layer_gradients(layer_below(layer, back.grad_output, ZERO), layer, back, share)
    readout_gradients(network, arrays, back, objective, share)


@kernel
def carry_states(sizes, states, rows):
    """Make the states after the last step the initial ones of the next window, if all runs read forwards."""
    window = sizes.length * sizes.batch * sizes.hidden
    for index in range(sizes.layers * sizes.runs * sizes.states):
        at = index * sizes.plane + rows.first * sizes.hidden
        copy(states, at, states, at + window, (rows.last - rows.first) * sizes.hidden)


# The phases of a gradient, in their order; a barrier stands between those that are split in different ways.


@kernel
def pack_phase(network, arrays, back, objective, share):
    """Pack the weights for both passes: W_hh from the dropped weights if DropConnect leaves some out."""
    recurrent = back.dropped_weights if objective.dropconnect.probability > 0 else arrays.parameters
    pack_weights(network, arrays, recurrent, share)
    pack_weights_transposed(network, arrays, back, recurrent, share)


@kernel
def forward_phase(network, arrays, back, objective, share):
    """Run the layers forward."""
    layers_forward(network, arrays, rows_of_share(share, network.sizes.batch))


@kernel
def readout_phase(network, arrays, back, objective, share):
    """Compute outputs, losses and the gradient in the output of the last layer."""
    readout(network, arrays, back, objective.weight, rows_of_share(share, network.sizes.batch))


@kernel
def backward_phase(network, arrays, back, objective, share):
    """Run the layers back through time, from no gradient in the final states."""
    rows = rows_of_share(share, network.sizes.batch)
    clear_carry(network.sizes, back, rows)
    layers_backward(network, arrays, back, rows)


@kernel
def gradient_phase(network, arrays, back, objective, share):
    """Compute the gradient in the weights."""
    parameters_backward(network, arrays, back, objective, share)


@kernel
def carry_phase(network, arrays, back, objective, share):
    """Make the final states the initial ones of the next window, if all runs read forwards."""
    if network.sizes.reverse == 0:
        carry_states(network.sizes, arrays.states, rows_of_share(share, network.sizes.batch))


PHASES = {
    "pack": pack_phase,
    "forward": forward_phase,
    "readout": readout_phase,
    "backward in time": backward_phase,
    "weight gradient": gradient_phase,
    "carry": carry_phase,
}


@entry_kernel
def gradient_step(part, parts, network, memory, backward, objective):
    """Run a window forward and backward: losses, and the gradient in all parameters; each thread calls it.

    If all runs read forwards, the states after the window become the initial ones of the next.
    """
    network, share = network_addresses(network), Share(part, parts)
    arrays, back = addresses(memory), backward_addresses(backward, part)
    dropconnect = objective.dropconnect
    if dropconnect.probability > 0:
        drop_recurrent(backward.dropped_weights, memory.parameters, memory.offsets, dropconnect, share)
        wait_for_all(memory.barrier, parts)
    pack_phase(network, arrays, back, objective, share)
    wait_for_all(memory.barrier, parts)

    forward_phase(network, arrays, back, objective, share)
    readout_phase(network, arrays, back, objective, share)
    backward_phase(network, arrays, back, objective, share)
    wait_for_all(memory.barrier, parts)

    gradient_phase(network, arrays, back, objective, share)
    wait_for_all(memory.barrier, parts)

    carry_phase(network, arrays, back, objective, share)
    if dropconnect.probability > 0:
        drop_recurrent(backward.grad, backward.grad, memory.offsets, dropconnect, share)


@entry_kernel
def score_step(part, parts, network, arrays):
    """Run a window forward: losses (T, B)."""
    network, arrays = network_addresses(network), addresses(arrays)
    rows = rows_of_share(Share(part, parts), network.sizes.batch)
    layers_forward(network, arrays, rows)
    for t in range(network.sizes.length):
        readout_forward(network.sizes, arrays, t, rows)
        score_rows(network, arrays, t, 1.0, rows)
    if network.sizes.reverse == 0:
        carry_states(network.sizes, arrays.states, rows)
