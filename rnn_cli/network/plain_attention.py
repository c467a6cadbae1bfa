"""An encoder and a decoder with attention, forward and backward in NumPy, to read: one pair of texts at a time.

With E (S, D) the outputs of the encoder and Q (T, H) those of the decoder (Luong, Pham and Manning 2015, "general"):

    K = E W_k                         keys (S, H)
    A = softmax(Q K^T)                how much each step of the target attends to each symbol of the source (T, S)
    C = A E                           contexts (T, D)
    Z = tanh(Q W_q + C W_c + b)       what the readout of the decoder reads (T, H)
    states = tanh(e W_b + b_b)        from which the decoder starts: the bridge

e joins the forward output at the last symbol and the backward output at the first. kernels/network/attention.py
computes the same for batches, fast, and tests compare the two. Both networks are those of plain.py: `grad_q` is as
there.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rnn_cli.cells import Cell
from rnn_cli.network.encoder_decoder import BIAS, BRIDGE, BRIDGE_BIAS, CONTEXT, QUERY, EncoderDecoderLayout
from rnn_cli.network.plain import Array, NetworkWeights, Trace, network_backward, network_forward, weights_of


class PairWeights(NamedTuple):
    """The weights of both networks and between them, or their gradient. The readout of the encoder is W_k."""

    encoder: NetworkWeights
    decoder: NetworkWeights
    query: Array  # W_q (H, H)
    context: Array  # W_c (D, H)
    bias: Array  # b (H)
    bridge: Array  # W_b (D, L S H)
    bridge_bias: Array  # b_b (L S H)


class Masks(NamedTuple):
    """Dropout: factors of the outputs of each layer (L, 1, width), and of Z (H)."""

    encoder: Array
    decoder: Array
    z: Array


class PairTrace(NamedTuple):
    """What `pair_backward` needs of `pair_forward`."""

    encoder: Trace
    decoder: Trace
    keys: Array
    attention: Array
    contexts: Array
    z: Array
    z_mask: Array
    end: Array
    initial: Array


def attend(sources: Array, keys: Array, queries: Array) -> tuple[Array, Array]:
    """Return A (T, S) and C (T, D) for E (S, D), K (S, H) and Q (T, H)."""
    scores = queries @ keys.T
    attention = np.exp(scores - scores.max(axis=1, keepdims=True))
    attention /= attention.sum(axis=1, keepdims=True)
    return attention, attention @ sources


def attend_backward(
    sources: Array, keys: Array, queries: Array, attention: Array, grad_contexts: Array
) -> tuple[Array, Array, Array]:
    """Return the gradients in E, K and Q. Pair of `attend`."""
    grad_attention = grad_contexts @ sources.T
    total = (grad_attention * attention).sum(axis=1, keepdims=True)
    grad_scores = attention * (grad_attention - total)  # through the softmax
    return attention.T @ grad_contexts, grad_scores.T @ queries, grad_scores @ keys


def pair_forward(
    cell: Cell, weights: PairWeights, source: Array, inputs: Array, masks: Masks
) -> tuple[Array, PairTrace]:
    """Return the logits (T, V) of a target whose steps read `inputs` (T, V), for a source (S, I); and a trace."""
    layers, directions = len(weights.encoder.layers), len(weights.encoder.layers[0])
    units, states = len(weights.bias), len(cell.states)
    zero = np.zeros((layers, directions, states, 1, units))
    keys, _, encoder = network_forward(cell, weights.encoder, source[:, None], starts_of(source), zero, masks.encoder)
    read = encoder.output[:, 0]
    end = np.concatenate([read[-1, :units], read[0, units:]])
    initial = np.tanh(end @ weights.bridge + weights.bridge_bias)
    first = initial.reshape(layers, 1, states, 1, units)
    _, _, decoder = network_forward(cell, weights.decoder, inputs[:, None], starts_of(inputs), first, masks.decoder)
    written = decoder.output[:, 0]
    attention, contexts = attend(read, keys[:, 0], written)
    z = np.tanh(written @ weights.query + contexts @ weights.context + weights.bias)
    logits = z * masks.z @ weights.decoder.decoder_weight + weights.decoder.decoder_bias
    return logits, PairTrace(encoder, decoder, keys[:, 0], attention, contexts, z, masks.z, end, initial)


def pair_backward(cell: Cell, weights: PairWeights, trace: PairTrace, grad_logits: Array) -> PairWeights:
    """Return the gradient in all weights from that in the logits (T, V). Pair of `pair_forward`."""
    read, written = trace.encoder.output[:, 0], trace.decoder.output[:, 0]
    units, states = len(weights.bias), len(cell.states)
    grad_readout = (trace.z * trace.z_mask).T @ grad_logits
    grad_preact = grad_logits @ weights.decoder.decoder_weight.T * trace.z_mask * (1 - trace.z**2)
    grad_query, grad_context = written.T @ grad_preact, trace.contexts.T @ grad_preact
    grad_read, grad_keys, grad_written = attend_backward(
        read, trace.keys, written, trace.attention, grad_preact @ weights.context.T
    )
    grad_written = grad_written + grad_preact @ weights.query.T

    final = np.zeros((len(weights.decoder.layers), 1, states, 1, units))
    decoder, _, grad_initial = outputs_backward(cell, weights.decoder, trace.decoder, grad_written, final)
    grad_initial = grad_initial.ravel() * (1 - trace.initial**2)
    grad_end = weights.bridge @ grad_initial
    grad_read[-1, :units] += grad_end[:units]
    grad_read[0, units:] += grad_end[units:]

    grad_read += grad_keys @ weights.encoder.decoder_weight.T
    final = np.zeros((len(weights.encoder.layers), len(weights.encoder.layers[0]), states, 1, units))
    encoder, _, _ = outputs_backward(cell, weights.encoder, trace.encoder, grad_read, final)
    return PairWeights(
        # A bias of the keys would add the same to all scores of a step, so there is none.
        encoder._replace(decoder_weight=read.T @ grad_keys, decoder_bias=np.zeros(units)),
        decoder._replace(decoder_weight=grad_readout, decoder_bias=grad_logits.sum(axis=0)),
        grad_query,
        grad_context,
        grad_preact.sum(axis=0),
        np.outer(trace.end, grad_initial),
        grad_initial,
    )


def outputs_backward(
    cell: Cell, network: NetworkWeights, trace: Trace, grad_output: Array, grad_states: Array
) -> tuple[NetworkWeights, Array, Array]:
    """Backpropagate through a network from the gradient in its last outputs (T, width): its readout is the identity."""
    width = grad_output.shape[1]
    plain = network._replace(decoder_weight=np.eye(width), decoder_bias=np.zeros(width))
    return network_backward(cell, plain, trace, grad_output[:, None], grad_states)


def starts_of(steps: Array) -> Array:
    """Return that no text starts within these steps (T, 1): the first state is given."""
    return np.zeros((len(steps), 1), bool)


def pair_weights_of(layout: EncoderDecoderLayout, flat: Array) -> PairWeights:
    """Return the weights, or their gradient, of a model's flat vector: copies in float64."""
    encoder, decoder, _ = layout.parts(flat)
    views = [view.astype(np.float64) for view in layout.between_views(flat)]
    return PairWeights(
        weights_of(layout.encoder, encoder),
        weights_of(layout.decoder_layout, decoder),
        views[QUERY],
        views[CONTEXT],
        views[BIAS],
        views[BRIDGE].reshape(len(views[BRIDGE]), -1),
        views[BRIDGE_BIAS].ravel(),
    )
