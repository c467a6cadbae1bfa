"""Whole passes of an encoder with a decoder on one team of threads: gradient, score, and one step of an answer.

Row b of a batch is a pair: a source in the encoder and its target in the decoder. Rows are split over the threads until
the gradients in all pre-activations are known; then columns of the weights are, as in step.py.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from rnn_cli.kernels.compiler.jit import entry_kernel, kernel
from rnn_cli.kernels.matmul.matrix import ONE
from rnn_cli.kernels.matmul.packing import ZERO, panel_range, panel_span
from rnn_cli.kernels.network.arrays import clear
from rnn_cli.kernels.network.attention import (
    AttentionGradient,
    Half,
    Pair,
    add_context_gradient,
    attention_addresses,
    attention_backward,
    attention_forward,
    between_gradients,
    bridge_backward,
    bridge_forward,
    pack_between,
    pack_between_transposed,
)
from rnn_cli.kernels.network.dropconnect import drop_recurrent
from rnn_cli.kernels.network.linear import readout_backward, readout_forward
from rnn_cli.kernels.network.memory import addresses, backward_addresses, decoder_offset, layer_of
from rnn_cli.kernels.network.step import (
    carry_states,
    clear_carry,
    layers_backward,
    layers_forward,
    network_addresses,
    pack_phase,
    pack_weights,
    parameters_backward,
    readout,
    score_rows,
)
from rnn_cli.kernels.simd.pointer import address
from rnn_cli.kernels.simd.vector import lanes
from rnn_cli.kernels.threads import Share, rows_of_share, wait_for_all


class PairBackward(NamedTuple):
    """What a gradient needs beside the pair: a `Backward` of each network, and an `AttentionGradient`."""

    encoder: Any
    decoder: Any
    attention: Any


@kernel
def pair_addresses(pair):
    """Return a pair with the addresses of its arrays."""
    encoder, decoder = pair.encoder, pair.decoder
    return Pair(
        Half(network_addresses(encoder.network), addresses(encoder.arrays)),
        Half(network_addresses(decoder.network), addresses(decoder.arrays)),
        attention_addresses(pair.attention),
    )


@kernel
def pair_backward_addresses(backward, part):
    """Return the arrays of a thread by their addresses."""
    own = backward.attention
    return PairBackward(
        backward_addresses(backward.encoder, part),
        backward_addresses(backward.decoder, part),
        AttentionGradient(backward_addresses(own.back, part), address(own.grad_contexts), address(own.grad_weights)),
    )


@kernel
def encode(pair, rows):
    """Run some rows of the encoder, and compute their keys."""
    network, arrays = pair.encoder
    layers_forward(network, arrays, rows)
    for t in range(network.sizes.length):
        readout_forward(network.sizes, arrays, t, rows)


@kernel
def pair_forward(pair, rows):
    """Run some rows of both networks up to what the readout of the decoder reads."""
    encode(pair, rows)
    bridge_forward(pair, rows)
    network, arrays = pair.decoder
    layers_forward(network, arrays, rows)
    attention_forward(pair, rows)


@kernel
def pair_backward(pair, backward, rows):
    """Run some rows back through both networks, from the gradient in z."""
    encoder, decoder, gradient = backward.encoder, backward.decoder, backward.attention
    network, arrays = pair.decoder
    attention_backward(pair, decoder, gradient, rows)
    clear_carry(network.sizes, decoder, rows)
    layers_backward(network, arrays, decoder, rows)
    network, arrays = pair.encoder
    top = layer_of(network.sizes, arrays, network.sizes.layers - 1, ZERO)
    for t in range(network.sizes.length):
        readout_backward(top, encoder, t, rows)  # from the keys
    add_context_gradient(pair, encoder, gradient, rows)
    bridge_backward(pair, (encoder, decoder), gradient, rows)
    clear_carry(network.sizes, encoder, rows)
    layers_backward(network, arrays, encoder, rows)


@kernel
def no_key_bias(pair, back, share):
    """Set the gradient in the bias of the keys to 0, this share's columns: softmax would not notice it."""
    network, arrays = pair.encoder
    columns, bias = network.sizes.columns, decoder_offset(network.sizes, arrays, ONE)
    first_panel, last_panel = panel_range(columns, lanes(back.grad), share)
    for index in range(first_panel, last_panel):
        first, width = panel_span(index, columns, lanes(back.grad))
        clear(back.grad, bias + first, width)


@entry_kernel
def pair_gradient(part, parts, memory, backward_memory, objective):
    """Run a batch of pairs forward and backward: losses, and the gradient in all parameters; each thread calls it."""
    pair, share = pair_addresses(memory), Share(part, parts)
    backward = pair_backward_addresses(backward_memory, part)
    dropconnect, barrier = objective.dropconnect, memory.decoder.arrays.barrier
    encoder, decoder = memory.encoder.arrays, memory.decoder.arrays
    encoder_back, decoder_back = backward_memory.encoder, backward_memory.decoder
    if dropconnect.probability > 0:
        drop_recurrent(encoder_back.dropped_weights, encoder.parameters, encoder.offsets, dropconnect, share)
        drop_recurrent(decoder_back.dropped_weights, decoder.parameters, decoder.offsets, dropconnect, share)
        wait_for_all(barrier, parts)
    pack_phase(pair.encoder.network, pair.encoder.arrays, backward.encoder, objective, share)
    pack_phase(pair.decoder.network, pair.decoder.arrays, backward.decoder, objective, share)
    pack_between(pair, share)
    pack_between_transposed(pair, backward.attention.back, share)
    wait_for_all(barrier, parts)

    rows = rows_of_share(share, pair.decoder.network.sizes.batch)
    pair_forward(pair, rows)
    readout(pair.decoder.network, pair.decoder.arrays, backward.decoder, objective.weight, rows)
    pair_backward(pair, backward, rows)
    wait_for_all(barrier, parts)

    parameters_backward(pair.encoder.network, pair.encoder.arrays, backward.encoder, objective, share)
    no_key_bias(pair, backward.encoder, share)
    parameters_backward(pair.decoder.network, pair.decoder.arrays, backward.decoder, objective, share)
    between_gradients(pair, backward.attention, share)
    if dropconnect.probability > 0:
        wait_for_all(barrier, parts)
        drop_recurrent(encoder_back.grad, encoder_back.grad, encoder.offsets, dropconnect, share)
        drop_recurrent(decoder_back.grad, decoder_back.grad, decoder.offsets, dropconnect, share)


@entry_kernel
def pack_pair(part, parts, memory):
    """Pack all weights. Call before scoring or answering, and after the parameters change."""
    pair, share = pair_addresses(memory), Share(part, parts)
    encoder, decoder = pair.encoder, pair.decoder
    pack_weights(encoder.network, encoder.arrays, encoder.arrays.parameters, share)
    pack_weights(decoder.network, decoder.arrays, decoder.arrays.parameters, share)
    pack_between(pair, share)


@entry_kernel
def score_pairs(part, parts, memory):
    """Run a batch of pairs forward: losses (T, B)."""
    pair = pair_addresses(memory)
    rows = rows_of_share(Share(part, parts), pair.decoder.network.sizes.batch)
    pair_forward(pair, rows)
    network, arrays = pair.decoder
    for t in range(network.sizes.length):
        readout_forward(network.sizes, arrays, t, rows)
        score_rows(network, arrays, t, 1.0, rows)


@entry_kernel
def read_sources(part, parts, memory):
    """Run a batch of sources through the encoder."""
    pair = pair_addresses(memory)
    encode(pair, rows_of_share(Share(part, parts), pair.encoder.network.sizes.batch))


@entry_kernel
def start_answers(part, parts, memory):
    """Start the rows of the decoder from the ends of their sources."""
    pair = pair_addresses(memory)
    bridge_forward(pair, rows_of_share(Share(part, parts), pair.decoder.network.sizes.batch))


@entry_kernel
def answer_step(part, parts, memory):
    """Run one step of the decoder: its logits (B, V). The states after it become the initial ones."""
    pair = pair_addresses(memory)
    network, arrays = pair.decoder
    rows = rows_of_share(Share(part, parts), network.sizes.batch)
    layers_forward(network, arrays, rows)
    attention_forward(pair, rows)
    readout_forward(network.sizes, arrays, ZERO, rows)
    carry_states(network.sizes, arrays.states, rows)
