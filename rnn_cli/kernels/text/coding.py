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
from rnn_cli.kernels.text.counts import FITTED, advance, distribution, follow_worth, mix_row, read_symbol
from rnn_cli.kernels.text.probabilities import log_sum_exp
from rnn_cli.kernels.threads import Share, rows_of_share

LOW, RANGE, CODE, PLACE, ESCAPES = 0, 1, 2, 3, 4  # in the state of a coder
TOP, BOTTOM = np.uint64(1 << 56), np.uint64(1 << 48)
SCALE = np.float64(1 << 32)  # frequencies add up to about this
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


@entry_kernel
def code_by_counts(coder, tree, contexts, values, boundary_counted):
    """Code all symbols by n-gram counts that begin empty and go on; `values` has a column for each, padded."""
    start(coder)
    for i in range(coder.symbols.size):
        distribution(tree, contexts, 0, values, 0, values.size)
        for j in range(tree.size):
            coder.frequencies[j] = np.uint64(values[j] * SCALE) + ONE
        coder.frequencies[tree.size] = ONE
        symbol = code_symbol(coder, i, tree.size)
        if symbol >= 0:
            advance(tree, contexts, 0, symbol, symbol > 0 or boundary_counted)
    finish(coder)


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
            follow_worth(mixture, 0, sizes, arrays.logits[symbol], symbol)
            inputs[0] = symbol
    finish(coder)
