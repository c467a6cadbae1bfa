"""Drawing symbols from the network's predictions, one step after the other, for many texts at once."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from rnn_cli.kernels.compiler.jit import entry_kernel, kernel
from rnn_cli.kernels.network.softmax import NEVER as NEVER_LOGIT
from rnn_cli.kernels.network.softmax import largest
from rnn_cli.kernels.network.step import carry_states, forward
from rnn_cli.kernels.simd.vector import broadcast, first_lanes, is_positive, lanes, load, store, sum_lanes
from rnn_cli.kernels.simd.vector_math import exp
from rnn_cli.kernels.text.bloom import contains, empty_gram, extended, gram, mix, next_run
from rnn_cli.kernels.threads import share_start

NEVER = np.float32(NEVER_LOGIT)  # the logit of what may not come
NEGLIGIBLE = 1e-34  # a weight that is never drawn: what the exp of the lowest number that it takes does not reach
FORBIDDEN = 255


class SamplingState(NamedTuple):
    """How symbols are drawn, and where they go.

    symbols (T, B) int32   on entry the symbols that are given, or -1 where one is to be drawn; then all of them
    losses (T, B)          -log of the probability that the model gave to each of them, in nats
    scratch (B padded V)   float32
    texts (B) int64        the number of each text, which with the seed and the position determines what is drawn
    positions (B) int64    how many symbols were drawn before row 0; less than 0 where some are given first
    shortest (B) int64     the boundary is not drawn before so many others were
    modes (B) int64        the state of each row in `follow`; it goes on with what is drawn, not with what is given
    follow (modes, V) uint8  the state that each symbol leads to, or FORBIDDEN
    filter uint8           the fingerprint of the corpus, with `hashes` bits for each run of `gram` symbols
    recent (B, gram) int32   the last symbols of each row
    runs (B) int64         how many symbols up to here are copied from the corpus: never more than `max_copy`

    Without `max_copy`, 0, `filter`, `hashes`, `gram`, `recent` and `runs` do not matter.
    """

    symbols: Any
    losses: Any
    scratch: Any
    texts: Any
    positions: Any
    shortest: Any
    modes: Any
    follow: Any
    filter: Any
    recent: Any
    runs: Any
    seed: int
    hashes: int
    gram: int
    max_copy: int
    temperature: float
    top_k: int
    top_p: float
    min_p: float


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
    """Return the largest of `count` values, and the log of the sum of exp of how far they are from it.

    The values that fill the last vector do not matter.
    """
    end, top = start + count, largest(values, start, count, padded)
    total = broadcast(values, 0)
    for j in range(start, start + padded, lanes(values)):
        total = total + first_lanes(exp(load(values, j) - top), end - j, 0)
    return top, math.log(sum_lanes(total))


@kernel
def sum_above(weights, start, padded, by_mass, threshold):
    """Return the sum of the weights that are at least `threshold` where `by_mass` is 1, their number where it is 0."""
    lowest, total = broadcast(weights, threshold), broadcast(weights, 0)
    for j in range(start, start + padded, lanes(weights)):
        weight = load(weights, j)
        total = total + (1 - is_positive(lowest - weight)) * (by_mass * weight + (1 - by_mass))
    return sum_lanes(total)


@kernel
def float_from_bits(bits):
    """Return the float32 that has these bits (int32)."""
    return np.int32(bits).view(np.float32)


@kernel
def keep_likeliest(weights, start, padded, by_mass, target):
    """Set all but the largest weights to 0: as few as make an `amount` of `target`; of equal ones the first are kept.

    Positive float32 numbers have the order of their bits, so the smallest that is kept is found bit by bit, from
    bit 29 on, as they are less than 2. `padded` is a multiple of the lanes; what fills the last vector is 0.
    """
    threshold = 0
    for bit in range(29, -1, -1):
        higher = threshold | 1 << bit
        if sum_above(weights, start, padded, by_mass, float_from_bits(higher)) >= target:
            threshold = higher
    smallest = float_from_bits(threshold)
    reached = sum_above(weights, start, padded, by_mass, float_from_bits(threshold + 1))
    for j in range(start, start + padded):
        if weights[j] < smallest or (weights[j] == smallest and reached >= target):
            weights[j] = 0
        elif weights[j] == smallest:
            reached += by_mass * smallest + (1 - by_mass)


@kernel
def forbid(logits, start, vocab_size, follow, mode):
    """Set the logits of symbols that may not follow to NEVER."""
    for j in range(vocab_size):
        if follow[mode, j] == FORBIDDEN:
            logits[start + j] = NEVER


@kernel
def forbid_copies(logits, start, vocab_size, bits, hashes, recent, length):
    """Set the logits of symbols that would make a copied run longer to NEVER; `recent` are the last `length` ones."""
    digest = empty_gram(length)
    for j in range(1, length):
        digest = extended(digest, recent[j])
    for j in range(1, vocab_size):
        if logits[start + j] > NEVER and contains(bits, hashes, extended(digest, j)):
            logits[start + j] = NEVER


@kernel
def run_with(symbol, run, bits, hashes, recent, length):
    """Return the run of copied symbols with one more, which is added to the recent ones."""
    for j in range(1, length):
        recent[j - 1] = recent[j]
    recent[length - 1] = symbol
    return next_run(run, length, contains(bits, hashes, gram(recent, 0, length)))


@kernel
def index_of(values, start, count, value):
    """Return how far from `start` on the first of `count` elements is that equals `value`; 0 for what is no number."""
    for place in range(count):
        if values[start + place] == value:
            return place
    return 0


@kernel
def sample_index(weights, start, padded, target):
    """Return the place of the first weight with which the sum of all up to it is more than `target`.

    Where rounding leaves none it is the last one; a weight of 0 it never is. Whole vectors are passed over first.
    """
    passed, before, near = 0.0, 0.0, start
    for j in range(start, start + padded, lanes(weights)):
        total = sum_lanes(load(weights, j))
        if total > 0:
            near, before = j, passed
            if passed + total > target:
                break
        passed += total
    chosen = near
    for j in range(near, near + lanes(weights)):
        if weights[j] > 0:
            chosen = j
            before += weights[j]
            if before > target:
                break
    return chosen


@kernel
def draw(logits, start, net, draws, row, number):
    """Return a symbol drawn from softmax(logits / temperature), cut down to top_k, then top_p, then min_p.

    Temperature 0 takes the most probable symbol, of equal ones the first. `number` lies in [0, 1). Weights are
    relative to the largest, which is 1, so they neither overflow nor vanish at any temperature. Where every logit is
    NEVER the text cannot go on, and the boundary is returned.
    """
    top = largest(logits, start, net.vocab_size, net.columns)
    if top == NEVER:
        return 0
    if draws.temperature == 0:
        return index_of(logits, start, net.vocab_size, top)
    weights, at = draws.scratch, row * net.columns
    scale = min(1 / draws.temperature, 1e30)
    for j in range(0, net.columns, lanes(weights)):
        weight = exp((load(logits, start + j) - top) * scale)
        store(weights, at + j, first_lanes(weight * is_positive(weight - NEGLIGIBLE), net.vocab_size - j, 0))
    if 0 < draws.top_k < net.vocab_size:
        keep_likeliest(weights, at, net.columns, 0.0, float(draws.top_k))
    if draws.top_p < 1:
        mass = sum_above(weights, at, net.columns, 1.0, np.float32(NEGLIGIBLE))
        keep_likeliest(weights, at, net.columns, 1.0, max(draws.top_p, 1e-30) * mass)
    total, least = 0.0, broadcast(weights, draws.min_p)
    for j in range(at, at + net.columns, lanes(weights)):
        weight = load(weights, j)
        store(weights, j, weight * (1 - is_positive(least - weight)))
        total += sum_lanes(load(weights, j))
    return sample_index(weights, at, net.columns, number * total) - at


@entry_kernel
def generate(part, parts, cell, net, memory, draws):
    """Go on from the states and `memory.inputs` (B) for as many steps as draws.symbols has; net.length is 1.

    Rows do not see each other: each thread goes its own way through the steps.
    """
    first = share_start(part, parts, net.batch)
    last = share_start(part + 1, parts, net.batch)
    if first == last:
        return
    for t in range(draws.symbols.shape[0]):
        forward(cell, net, memory, first, last)
        carry_states(net, memory.states, first, last)
        for row in range(first, last):
            start = row * net.columns
            top, normaliser = log_sum_exp(memory.logits, start, net.vocab_size, net.columns)
            symbol = draws.symbols[t, row]
            if symbol < 0:
                position, mode = draws.positions[row] + t, draws.modes[row]
                forbid(memory.logits, start, net.vocab_size, draws.follow, mode)
                if position < draws.shortest[row]:
                    memory.logits[start] = NEVER
                if draws.max_copy and draws.runs[row] >= draws.max_copy:
                    forbid_copies(memory.logits, start, net.vocab_size,
                                  draws.filter, draws.hashes, draws.recent[row], draws.gram)  # fmt: skip
                number = uniform(draws.seed, draws.texts[row], position)
                symbol = draw(memory.logits, start, net, draws, row, number)
                mode = draws.follow[mode, symbol]
                draws.modes[row] = 0 if mode == FORBIDDEN else mode  # what comes after the end does not matter
                if draws.max_copy:
                    draws.runs[row] = run_with(symbol, draws.runs[row],
                                               draws.filter, draws.hashes, draws.recent[row], draws.gram)  # fmt: skip
            draws.losses[t, row] = normaliser + (top - memory.logits[start + symbol])
            draws.symbols[t, row] = symbol
            memory.inputs[row] = symbol
