"""Arithmetic coding: a text becomes a number whose length is what the model's probabilities cost.

A carry-less range coder of 64 bits (after Subbotin 1999): an interval is cut in the proportion of the frequencies, and
its leading bytes are written as soon as they are certain. Encoder and decoder compute the same frequencies from the
symbols before, so the decoder finds the part that the number lies in.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from rnn_cli.kernels.compiler.jit import entry_kernel, kernel
from rnn_cli.kernels.network.memory import addresses
from rnn_cli.kernels.network.step import carry_states, forward, input_symbols, network_addresses
from rnn_cli.kernels.text.contexts import (
    begin_byte,
    bounded,
    end_byte,
    fill_inputs,
    find_rows,
    find_slots,
    learn_counters,
    learn_mean,
    learn_refined,
    learn_weights,
    mix,
    prepare,
    rate_at,
    refine,
)
from rnn_cli.kernels.text.matches import follow_match, prediction
from rnn_cli.kernels.text.mixture import FITTED, learn, mix_row, read_symbol
from rnn_cli.kernels.text.probabilities import log_sum_exp
from rnn_cli.kernels.threads import Share, rows_of_share

LOW, RANGE, CODE, PLACE, ESCAPES = 0, 1, 2, 3, 4  # in the state of a coder
TOP, BOTTOM = np.uint64(1 << 56), np.uint64(1 << 48)
SCALE = np.float64(1 << 32)  # frequencies add up to about this
WHOLE = np.uint64(1 << 32)
BYTE, BITS = np.uint64(255), np.uint64(56)
EIGHT, ONE, ZERO = np.uint64(8), np.uint64(1), np.uint64(0)


class Coder(NamedTuple):
    """A coder, and what it codes.

    state (5) uint64    low end, range, the decoder's number, the next place in `data`, and in `escaped`
    data uint8          the coded bytes; the encoder needs room for 24 bytes a symbol
    symbols (n) int32   those to encode, or those that were decoded; -1: one that the model lacks
    escaped uint8       the number of bytes of each such symbol, and then the bytes
    frequencies uint64  scratch for all symbols and the escape
    decodes int         whether to decode
    """

    state: Any
    data: Any
    symbols: Any
    escaped: Any
    frequencies: Any
    decodes: int


@kernel
def start(coder):
    """Begin: a decoder reads the first 8 bytes of its number."""
    coder.state[LOW], coder.state[RANGE] = ZERO, ~ZERO
    coder.state[PLACE], coder.state[ESCAPES], coder.state[CODE] = ZERO, ZERO, ZERO
    if coder.decodes:
        for _ in range(8):
            read_byte(coder)


@kernel
def read_byte(coder):
    """Shift the next byte into the decoder's number; after the end of the data these are zeros."""
    place = np.int64(coder.state[PLACE])
    byte = np.uint64(coder.data[place]) if place < coder.data.size else ZERO
    coder.state[CODE] = (coder.state[CODE] << EIGHT) | byte
    coder.state[PLACE] += ONE


@kernel
def write_byte(coder):
    """Write the leading byte of the low end."""
    coder.data[np.int64(coder.state[PLACE])] = np.uint8(coder.state[LOW] >> BITS)
    coder.state[PLACE] += ONE


@kernel
def narrow(coder, before, frequency, unit):
    """Go on with the part of the interval from `before` on, `frequency` wide, in a `unit` of the range."""
    state = coder.state
    state[LOW] += before * unit
    state[RANGE] = frequency * unit
    while True:
        if (state[LOW] ^ (state[LOW] + state[RANGE])) >= TOP:
            if state[RANGE] >= BOTTOM:
                return
            state[RANGE] = (~state[LOW] + ONE) & (BOTTOM - ONE)
        if coder.decodes:
            read_byte(coder)
        else:
            write_byte(coder)
        state[LOW] <<= EIGHT
        state[RANGE] <<= EIGHT


@kernel
def code_uniform(coder, value, count):
    """Code one of `count` equally probable values; return it."""
    unit = coder.state[RANGE] // np.uint64(count)
    if coder.decodes:
        value = min(np.int64((coder.state[CODE] - coder.state[LOW]) // unit), count - 1)
    narrow(coder, np.uint64(value), ONE, unit)
    return value


@kernel
def code_symbol(coder, i, size):
    """Code symbol `i` by the frequencies of `size` symbols and the escape, which is the last; return it, or -1."""
    frequencies, total = coder.frequencies, ZERO
    for j in range(size + 1):
        total += frequencies[j]
    unit = coder.state[RANGE] // total
    before, chosen = ZERO, np.int64(size)
    if coder.decodes:
        offset = (coder.state[CODE] - coder.state[LOW]) // unit
        chosen = np.int64(0)
        while chosen < size and before + frequencies[chosen] <= offset:
            before += frequencies[chosen]
            chosen += 1
    else:
        if coder.symbols[i] >= 0:
            chosen = np.int64(coder.symbols[i])
        for j in range(chosen):
            before += frequencies[j]
    narrow(coder, before, frequencies[chosen], unit)
    if chosen < size:
        coder.symbols[i] = chosen
        return chosen
    place = np.int64(coder.state[ESCAPES])
    given = np.int64(coder.escaped[place]) if not coder.decodes else 0
    count = code_uniform(coder, given - 1, 4) + 1
    coder.escaped[place] = count
    for k in range(place + 1, place + 1 + count):
        coder.escaped[k] = code_uniform(coder, np.int64(coder.escaped[k]), 256)
    coder.state[ESCAPES] = np.uint64(place + 1 + count)
    coder.symbols[i] = -1
    return np.int64(-1)


@kernel
def finish(coder):
    """Write enough of the low end to tell the interval from its neighbours."""
    if not coder.decodes:
        for _ in range(8):
            write_byte(coder)
            coder.state[LOW] <<= EIGHT


@kernel
def code_bit(coder, bit, p):
    """Code a bit that is 1 with probability `p`; return it."""
    unit, ones = coder.state[RANGE] >> np.uint64(32), np.uint64(p * SCALE)
    if coder.decodes:
        bit = np.int64((coder.state[CODE] - coder.state[LOW]) // unit < ones)
    narrow(coder, ZERO if bit else ones, ones if bit else WHOLE - ones, unit)
    return bit


@kernel
def code_byte(coder, model, matches, tracks, i):
    """Code byte `i` by the contexts before it, bit by bit, and learn from it; the history is that of the matches."""
    used = matches.used[0]
    begin_byte(model, matches.history, used)
    predicted, level = prediction(matches, tracks, 0, 0)
    predicted += 255 if predicted >= 0 else 0  # a byte b is the symbol b + 1; with a 1 before its bits
    given = np.int64(coder.symbols[i])
    node, rate, chosen, rows = np.int64(1), rate_at(i), model.chosen, model.rows
    for position in range(8):
        half = node if position < 4 else node & ((1 << (position - 4)) - 1) | (1 << (position - 4))
        if position == 0 or position == 4:
            find_slots(model, node if position == 4 else np.int64(0))
        match = (predicted >> (7 - position)) & 1 if predicted >> (8 - position) == node else np.int64(-1)
        longest = fill_inputs(model, node, half, match, level)
        chosen[0], chosen[1], chosen[2] = node, level + 1 if match >= 0 else 0, 8 * longest + position
        find_rows(model, matches.history, used, node)
        p, low, share = refine(model, bounded(mix(model, chosen, node)), rows)
        bit = code_bit(coder, (given >> (7 - position)) & 1, p)
        learn_refined(model, rows, low, share, bit)
        learn_weights(model, chosen, node, bit, rate)
        learn_counters(model, node, half, bit)
        if match >= 0:
            learn_mean(model.matched, level, np.int64(bit == match), 500.0)
        node = 2 * node + bit
    byte = node - 256
    coder.symbols[i] = byte
    end_byte(model, byte)
    follow_match(matches, tracks, 0, 0, byte + 1, True)
    return byte


@entry_kernel
def code_bytes(coder, model, matches, tracks):
    """Code all bytes by context mixing, from nothing."""
    start(coder)
    prepare(model)
    for i in range(coder.symbols.size):
        code_byte(coder, model, matches, tracks, i)
    finish(coder)


@entry_kernel
def begin_coding(coder, model):
    """Begin to code with a network that learns, before `code_window`."""
    start(coder)
    prepare(model)


@entry_kernel
def end_coding(coder):
    """End what `begin_coding` began."""
    finish(coder)


@entry_kernel
def code_window(part, parts, network, arrays, mixer, steps):
    """Code the bytes steps[0] .. steps[1] by context mixing with a network, whose weights stay; one step of one row.

    `mixer` is (coder, model, matches, tracks). The network reads on from its state and from the symbol in its input.
    """
    network, arrays = network_addresses(network), addresses(arrays)
    coder, model, matches, tracks = mixer
    sizes, inputs, rows = network.sizes, input_symbols(network), rows_of_share(Share(part, parts), 1)
    if rows.first == rows.last:
        return
    for i in range(steps[0], steps[1]):
        arrays.starts[0] = inputs[0] == 0
        forward(network, arrays, rows)
        carry_states(sizes, arrays.states, rows)
        top, normaliser = log_sum_exp(arrays.logits, 0, sizes.output_size, sizes.columns)
        for byte in range(256):
            model.network[256 + byte] = np.exp(np.float64(arrays.logits[byte + 1]) - top - normaliser) + 1e-9
        for node in range(255, 0, -1):
            model.network[node] = model.network[2 * node] + model.network[2 * node + 1]
        inputs[0] = code_byte(coder, model, matches, tracks, i) + 1


@entry_kernel
def code_by_network(part, parts, network, arrays, mixture, coder):
    """Code all symbols by a network and its n-gram counts, which go on; a window has one step of one row.

    The network reads on from its state and from the symbol in its input. What the model lacks is not read.
    """
    network, arrays = network_addresses(network), addresses(arrays)
    sizes, inputs, rows = network.sizes, input_symbols(network), rows_of_share(Share(part, parts), 1)
    start(coder)
    fresh = True
    for i in range(coder.symbols.size):
        if fresh:
            arrays.starts[0] = inputs[0] == 0
            forward(network, arrays, rows)
            carry_states(sizes, arrays.states, rows)
            read_symbol(mixture, 0, inputs[0], inputs[0] > 0 or mixture.tree.boundary != 0)
            mix_row(mixture, 0, sizes, arrays.logits, 0, FITTED)
            top, normaliser = log_sum_exp(arrays.logits, 0, sizes.output_size, sizes.columns)
            for j in range(sizes.output_size):
                probability = np.exp(np.float64(arrays.logits[j]) - top - normaliser)
                coder.frequencies[j] = np.uint64(probability * SCALE) + ONE
            coder.frequencies[sizes.output_size] = ONE
        symbol = code_symbol(coder, i, sizes.output_size)
        fresh = symbol >= 0
        if fresh:
            learn(mixture, 0, sizes, arrays.logits, 0, symbol)
            inputs[0] = symbol
    finish(coder)
