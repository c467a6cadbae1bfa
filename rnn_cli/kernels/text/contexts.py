"""Context mixing over bits: each bit of a byte is predicted in many contexts, and the predictions are mixed.

A context is the last 1 to 6 bytes, or the word so far. In each, counters say how probable a 1 is after the bits of the
byte so far. With p_i the probabilities in the contexts, stretch(p) = log(p / (1 - p)), and weights w that are learned
while coding:

    p = squash(sum_i w_i stretch(p_i)),    w_i <- w_i + rate (bit - p) stretch(p_i)

(Mahoney 2005, "Adaptive weighing of context models for lossless data compression".) Beside each counter stands what it
was worth: the probability of a 1 whenever a counter of this context said the same after as many bits ("secondary
estimation"). Weights are chosen by three sets of small contexts; a last mixer weighs their three results.

All numbers are integers or float64, computed with + - * / alone and in one order, so the bits are the same everywhere.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from rnn_cli.kernels.compiler.jit import kernel

ORDERS, CONTEXTS = 6, 8  # of the last bytes; and with those of words
SLOT = 16  # numbers of a slot: a check, and the counters of the 15 beginnings of half a byte
WORTHS, LEVELS = 16, 33  # numbers of bits, and levels of probability, that a worth is learned for
KNOWN = 4096  # levels of probability with a stretch in the table
MOST_SEEN = 127  # bits that a counter is the mean of, at most
RATE, LAST_RATE = 0.003, 0.002  # of learning, of the weights and of the last mixer
EAGER, CALM = 6.0, 2000.0  # the rate is this many times larger at the beginning, and half of that after some bytes
REFINED = 0.02  # rate of the refinements
GREATEST = 12.0  # of a stretch
SETS = 3  # of weights
INPUTS = 2 * CONTEXTS + 4  # and as many as NETWORK_INPUTS more with a network; multiples of 4
NETWORK_INPUTS = 4
HASH, MIXED = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9)
TABLE_BITS = 16  # of the contexts of a refinement


class ContextModel(NamedTuple):
    """What the model has learned.

    counters (contexts, slots 16) uint32   the probability of a 1 in the upper 22 bits, how many bits in the lower 10
    worth (contexts, 16, 33, 2) float64    the probability of a 1 after such counters, and the number of bits that it is
                                           the mean of
    first (256, 2) float64                 the same after the bits of a byte so far, whatever stood before
    matched (levels, 2) float64            the same of the next bit of a match being right, by the level of its length
    weights (3, 256, inputs) float64       of the inputs, in three sets
    last (256, 3) float64                  of the results of the three sets
    refined (2, 65536, 33) float64         the probability of a 1 after such results
    stretched (4096) float64               stretch of (k + 1/2) / 4096
    rates (1024) int64                     65536 / (n + 1.6)
    inputs, results float64                scratch
    bases, hashes                          scratch: where the slot of each context lies, and its hash
    chosen (3), rows (2) int64             scratch: the rows of the weights, and of the refinements
    word (1) uint64                        the hash of the word so far
    network (512) float64                  the probability of each byte by a network at 256 + byte, and at k the sum of
                                           those at 2 k and 2 k + 1; empty without a network
    """

    counters: Any
    worth: Any
    first: Any
    matched: Any
    weights: Any
    last: Any
    refined: Any
    stretched: Any
    rates: Any
    inputs: Any
    results: Any
    bases: Any
    hashes: Any
    chosen: Any
    rows: Any
    word: Any
    network: Any


@kernel
def logarithm(x):
    """Return log(x) of a positive normal number: with m 2^e = x, s = (m - 1) / (m + 1), e log 2 + 2 artanh(s)."""
    bits = np.float64(x).view(np.int64)
    exponent = ((bits >> 52) & 2047) - 1023
    m = np.int64((bits & ((1 << 52) - 1)) | (1023 << 52)).view(np.float64)
    if m > 1.4142135623730951:
        m, exponent = m * 0.5, exponent + 1
    s = (m - 1) / (m + 1)
    square, total = s * s, 0.0
    for k in range(19, 0, -2):
        total = total * square + 1.0 / k
    return exponent * 0.6931471805599453 + 2 * s * total


@kernel
def squash(x):
    """Return 1 / (1 + exp(-x)), with exp by its series at x / 64, squared six times."""
    x = min(max(x, -GREATEST), GREATEST) / -64
    value = 1 + x * (1 + x / 2 * (1 + x / 3 * (1 + x / 4 * (1 + x / 5 * (1 + x / 6)))))
    for _ in range(6):
        value = value * value
    return 1 / (1 + value)


@kernel
def stretch(p):
    """Return log(p / (1 - p)), within the bounds of the mixer."""
    return min(max(logarithm(p / (1 - p)), -GREATEST), GREATEST)


@kernel
def bounded(p):
    """Return a probability that is neither 0 nor 1."""
    return min(max(p, 0.00002), 0.99998)


@kernel
def of_table(model, p):
    """Return about the stretch of a probability."""
    return model.stretched[min(np.int64(p * KNOWN), KNOWN - 1)]


@kernel
def mix_hash(a, b):
    """Return a hash of two numbers of 64 bits."""
    h = a * HASH + b
    h = (h ^ (h >> np.uint64(29))) * MIXED
    return h ^ (h >> np.uint64(32))


@kernel
def prepare(model):
    """Fill the tables, and set every probability to what it is before anything was read."""
    for k in range(KNOWN):
        model.stretched[k] = stretch((k + 0.5) / KNOWN)
    for n in range(model.rates.size):
        model.rates[n] = np.int64(65536 / (n + 1.6))
    for q in range(LEVELS):
        model.worth[:, :, q, 0] = min(max(q / (LEVELS - 1), 0.02), 0.98)
        model.refined[:, :, q] = squash((q - LEVELS // 2) / 2)
    model.first[:, 0] = 0.5
    model.matched[:, 0] = 0.8
    model.weights[:] = 0.25
    model.last[:] = 1 / SETS


@kernel
def byte_before(history, used, back):
    """Return one of the last bytes, 0 before the first; the history holds symbols, which are one more."""
    return np.uint64(history[used - back] - 1) if used >= back else np.uint64(0)


@kernel
def begin_byte(model, history, used):
    """Compute the hashes of the contexts of the next byte, after history[:used]."""
    digest = np.uint64(0)
    for k in range(ORDERS):
        digest = mix_hash(digest + np.uint64(k + 1), byte_before(history, used, k + 1))
        model.hashes[k] = digest
    before = byte_before(history, used, 1)
    model.hashes[ORDERS] = mix_hash(model.word[0], np.uint64(77))
    model.hashes[ORDERS + 1] = mix_hash(model.word[0] * np.uint64(3) + before, np.uint64(78))


@kernel
def find_slots(model, half):
    """Find the slot of each context for half a byte, after the first `half` or 0; those of other hashes begin anew."""
    slots = np.uint64(model.counters.shape[1] // SLOT - 1)
    for k in range(CONTEXTS):
        digest = mix_hash(model.hashes[k], np.uint64(half + 1000 * k))
        check = np.uint32(digest >> np.uint64(32)) | np.uint32(1)
        base = np.int64(digest & slots) * SLOT
        model.bases[k] = base
        if model.counters[k, base] != check:
            model.counters[k, base] = check
            for j in range(base + 1, base + SLOT):
                model.counters[k, j] = np.uint32(1 << 31)


@kernel
def fill_inputs(model, node, place, match, level):
    """Fill the inputs of the mixer; return the longest of the contexts of bytes that has seen a bit here.

    `node` is the byte so far with a 1 before it, `place` the same of this half of it. `match` is the next bit of the
    match, -1 without one.
    """
    inputs, longest = model.inputs, 0
    for k in range(CONTEXTS):
        counter = model.counters[k, model.bases[k] + place]
        seen = np.int64(counter & np.uint32(1023))
        inputs[2 * k], inputs[2 * k + 1] = 0.0, 0.0
        if seen > 0:
            chance = np.int64(counter >> np.uint32(10))
            inputs[2 * k] = model.stretched[chance >> 10]
            inputs[2 * k + 1] = of_table(model, model.worth[k, min(seen, WORTHS - 1), (chance + (1 << 16)) >> 17, 0])
            if k < ORDERS:
                longest = k + 1
    at = 2 * CONTEXTS
    inputs[at], inputs[at + 1], inputs[at + 2], inputs[at + 3] = of_table(model, model.first[node, 0]), 0.0, 0.0, 0.4
    if match >= 0:
        right = model.matched[level, 0]
        sign = 2.0 * match - 1
        inputs[at + 1], inputs[at + 2] = sign * of_table(model, right), sign * 4 * (right - 0.5)
    if model.network.size > 0:
        p = bounded(model.network[2 * node + 1] / model.network[node])
        inputs[at + 4], inputs[at + 5] = stretch(p), 4 * (p - 0.5)
    return longest


@kernel
def dot(weights, inputs):
    """Return the product of two vectors, as four sums whose order is fixed; a multiple of four is padded."""
    a, b, c, d = 0.0, 0.0, 0.0, 0.0
    for k in range(0, inputs.size, 4):
        a += weights[k] * inputs[k]
        b += weights[k + 1] * inputs[k + 1]
        c += weights[k + 2] * inputs[k + 2]
        d += weights[k + 3] * inputs[k + 3]
    return (a + b) + (c + d)


@kernel
def mix(model, chosen, node):
    """Return the probability of a 1 by the last mixer; the results of the sets stay in `results`."""
    total = 0.0
    for s in range(SETS):
        model.results[s] = dot(model.weights[s, chosen[s]], model.inputs)
        total += model.last[node, s] * model.results[s]
    model.results[SETS] = squash(total)
    return model.results[SETS]


@kernel
def learn_weights(model, chosen, node, bit, rate):
    """Move the weights of the mixers towards the bit."""
    error = (bit - model.results[SETS]) * LAST_RATE
    for s in range(SETS):
        step = (bit - squash(model.results[s])) * rate
        weights = model.weights[s, chosen[s]]
        for k in range(model.inputs.size):
            weights[k] += step * model.inputs[k]
        model.last[node, s] += error * model.results[s]


@kernel
def learn_mean(means, index, bit, most):
    """Let a mean, which stands beside how many bits it is of, follow one more."""
    means[index, 1] = min(means[index, 1] + 1, most)
    means[index, 0] += (bit - means[index, 0]) / (means[index, 1] + 1.5)


@kernel
def learn_counters(model, node, place, bit):
    """Let the counters of all contexts, and what they are worth, follow the bit."""
    for k in range(CONTEXTS):
        at = model.bases[k] + place
        counter = model.counters[k, at]
        seen, chance = np.int64(counter & np.uint32(1023)), np.int64(counter >> np.uint32(10))
        if seen > 0:
            learn_mean(model.worth[k, min(seen, WORTHS - 1)], (chance + (1 << 16)) >> 17, bit, 400.0)
        chance += ((bit * ((1 << 22) - 1) - chance) * model.rates[seen]) >> 16
        model.counters[k, at] = np.uint32((chance << 10) | min(seen + 1, MOST_SEEN))
    learn_mean(model.first, node, bit, 500.0)


@kernel
def find_rows(model, history, used, node):
    """Choose the rows of the refinements: by the last byte, and by the last two, with the bits of this one so far."""
    last = np.int64(byte_before(history, used, 1))
    model.rows[0] = node + 256 * last
    digest = mix_hash(np.uint64(model.rows[0]), byte_before(history, used, 2))
    model.rows[1] = np.int64(digest >> np.uint64(64 - TABLE_BITS))


@kernel
def refine(model, p, rows):
    """Return the mean of a probability and what it was worth after the last byte, and after the last two."""
    place = min(max((stretch(p) + 8) * 2, 0.0), LEVELS - 1.001)
    low = np.int64(place)
    share, total = place - low, 2 * p
    for k in range(2):
        total += model.refined[k, rows[k], low] * (1 - share) + model.refined[k, rows[k], low + 1] * share
    return bounded(total / 4), low, share


@kernel
def learn_refined(model, rows, low, share, bit):
    """Let the refinements follow the bit."""
    for k in range(2):
        for j, part in ((low, 1 - share), (low + 1, share)):
            model.refined[k, rows[k], j] += (bit - model.refined[k, rows[k], j]) * (REFINED * part)


@kernel
def end_byte(model, byte):
    """Let the word so far follow a byte; a byte that is not a letter ends it."""
    lower = byte | 32
    if 97 <= lower <= 122 or byte >= 128:
        model.word[0] = mix_hash(model.word[0], np.uint64(lower))
    else:
        model.word[0] = np.uint64(0)


@kernel
def rate_at(position):
    """Return the learning rate of the weights at a byte of the content."""
    return RATE * (1 + EAGER / (1 + position / CALM))
