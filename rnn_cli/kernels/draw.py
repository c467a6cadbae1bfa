"""Drawing symbols from the network's predictions, one step after the other, for many texts at once."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from rnn_cli.kernels.jit import entry_kernel, kernel
from rnn_cli.kernels.matmul import even_start
from rnn_cli.kernels.step import carry_states, forward
from rnn_cli.kernels.vector import broadcast, lanes, load, maximum, maximum_lane, store, sum_lanes
from rnn_cli.kernels.vector_math import exp


class Draws(NamedTuple):
    """How symbols are drawn, and where they go.

    symbols (T, B) int32   on entry the symbols that are given, or -1 where one is to be drawn; then all of them
    losses (T, B)          -log of the probability that the model gave to each of them, in nats
    scratch (B, padded V)  float32
    texts (B) int64        the number of each text, which with the seed and the position determines what is drawn
    `lowest` is the first symbol that may be drawn: 0 where a text may end, else 1. `position` is that of row 0.
    """

    symbols: Any
    losses: Any
    scratch: Any
    texts: Any
    seed: int
    position: int
    lowest: int
    temperature: float
    top_k: int


@kernel
def mix(number):
    """Return 64 well-mixed bits: the output function of SplitMix64 (Steele, Lea and Flood 2014)."""
    number = (number ^ (number >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    number = (number ^ (number >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return number ^ (number >> np.uint64(31))


@kernel
def uniform(seed, text, position):
    """Return a number in [0, 1) that depends on nothing but the three whole numbers."""
    gamma = np.uint64(0x9E3779B97F4A7C15)
    bits = mix(np.uint64(seed) + gamma)
    bits = mix(bits + gamma * (np.uint64(text) + np.uint64(1)))
    bits = mix(bits + gamma * (np.uint64(position) + np.uint64(1)))
    return np.float64(bits >> np.uint64(11)) * 2.0**-53


@kernel
def log_sum_exp(values, start, count, padded):
    """Return the log of the sum of exp over `count` values; what fills the last vector is overwritten."""
    for j in range(start + count, start + padded):
        values[j] = -1e30
    largest = load(values, start)
    for j in range(start, start + padded, lanes(values)):
        largest = maximum(largest, load(values, j))
    top = maximum_lane(largest)
    total = broadcast(values, 0)
    for j in range(start, start + padded, lanes(values)):
        total = total + exp(load(values, j) - top)
    return top + math.log(sum_lanes(total))


@kernel
def keep_top(weights, start, count, top_k):
    """Set all but the `top_k` largest weights to 0; of equal ones the first are kept.

    Positive float32 numbers have the order of their bits, so the smallest that is kept is found bit by bit.
    """
    bits = weights.view(np.int32)
    threshold = np.int32(0)
    for bit in range(30, -1, -1):
        higher = threshold | np.int32(1 << bit)
        reached = 0
        for j in range(start, start + count):
            reached += bits[j] >= higher
        if reached >= top_k:
            threshold = higher
    above = 0
    for j in range(start, start + count):
        above += bits[j] > threshold
    ties = top_k - above
    for j in range(start, start + count):
        if bits[j] < threshold or (bits[j] == threshold and ties <= 0):
            weights[j] = 0
        elif bits[j] == threshold:
            ties -= 1


@kernel
def draw(logits, start, net, draws, row, number):
    """Return a symbol drawn from softmax(logits / temperature), cut down to the top_k most probable ones.

    Temperature 0 takes the most probable symbol, of equal ones the first. `number` lies in [0, 1).
    """
    best = draws.lowest
    for j in range(draws.lowest, net.vocab_size):
        if logits[start + j] > logits[start + best]:
            best = j
    if draws.temperature == 0:
        return best
    weights, at = draws.scratch, row * net.columns
    top, scale = logits[start + best], min(1 / draws.temperature, 1e30)
    for j in range(0, net.columns, lanes(weights)):
        store(weights, at + j, exp((load(logits, start + j) - top) * scale))
    for j in range(draws.lowest):
        weights[at + j] = 0
    if 0 < draws.top_k < net.vocab_size:
        keep_top(weights, at, net.vocab_size, draws.top_k)
    total = 0.0
    for j in range(at, at + net.vocab_size):
        total += weights[j]
    rest = number * total
    chosen = best
    for j in range(draws.lowest, net.vocab_size):
        if weights[at + j] > 0:
            chosen = j
            rest -= weights[at + j]
            if rest < 0:
                break
    return chosen


@entry_kernel
def generate(part, parts, cell, net, memory, draws):
    """Go on from the states and `memory.inputs` (B) for as many steps as draws.symbols has; net.length is 1.

    Rows do not see each other: each thread goes its own way through the steps.
    """
    first = even_start(part, parts, net.batch)
    last = even_start(part + 1, parts, net.batch)
    if first == last:
        return
    for t in range(draws.symbols.shape[0]):
        forward(cell, net, memory, first, last)
        carry_states(net, memory.states, first, last)
        for row in range(first, last):
            start = row * net.columns
            symbol = draws.symbols[t, row]
            if symbol < 0:
                number = uniform(draws.seed, draws.texts[row], draws.position + t)
                symbol = draw(memory.logits, start, net, draws, row, number)
            normaliser = log_sum_exp(memory.logits, start, net.vocab_size, net.columns)
            draws.losses[t, row] = normaliser - memory.logits[start + symbol]
            draws.symbols[t, row] = symbol
            memory.inputs[row] = symbol
