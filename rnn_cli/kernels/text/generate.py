"""Sampling symbols from the network's predictions, step after step, for many texts at once."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from rnn_cli.kernels.compiler.jit import entry_kernel, kernel
from rnn_cli.kernels.network.losses import NEVER as NEVER_LOGIT
from rnn_cli.kernels.network.losses import largest
from rnn_cli.kernels.network.memory import addresses
from rnn_cli.kernels.network.step import carry_states, forward, input_symbols, network_addresses
from rnn_cli.kernels.shared_row import SharedRow, meet
from rnn_cli.kernels.simd.vector import broadcast, first_lanes, is_positive, lanes, load, store, sum_lanes
from rnn_cli.kernels.simd.vector_math import exp
from rnn_cli.kernels.text.bloom import contains, empty_gram, extended, gram, mix, next_run
from rnn_cli.kernels.text.guides import AT_BOUNDARY, AT_ONCE, ends_at, keep_to_guide, next_state, weigh_by_outlook
from rnn_cli.kernels.text.mixture import mix_row, read_symbol
from rnn_cli.kernels.text.probabilities import log_sum_exp
from rnn_cli.kernels.threads import Share, rows_of_share

NEVER = np.float32(NEVER_LOGIT)  # the logit of a symbol that may not follow
NEGLIGIBLE = 1e-34  # smaller weights are never sampled: exp does not reach lower
FORBIDDEN = 255


RULES = np.dtype(
    [
        ("seed", np.int64),  # of the random numbers
        ("temperature", np.float64),
        ("top_k", np.int64),
        ("top_p", np.float64),
        ("min_p", np.float64),
        ("max_copy", np.int64),
        ("gram", np.int64),  # symbols of the runs that measure a copy
        ("table", np.int64),  # the follow table of the row
        ("guide", np.int64),  # the guide that it keeps to instead; negative: none
        ("share", np.float64),  # of the n-gram model; negative: the one that was fitted
    ],
    align=True,
)
"""How a row samples: the values of a SamplingConfig, as the kernel reads them."""


class SamplingState(NamedTuple):
    """How symbols are sampled, and where they go.

    symbols (T, R) int32   on entry the symbols of the first R rows that are given, or -1 for one to sample;
                           afterwards all of them
    losses (T, R)          -log of the probability that the model gave to each of them, in nats
    scratch (B padded V)   float32
    texts (B) int64        the index of each text, which with the seed and the position determines what is sampled
    positions (B) int64    the number of symbols sampled before row 0; negative if some are given first
    shortest (B) int64     the boundary is not sampled before this number of others
    longest (B) int64      the most symbols that are sampled, which matters to guides only; fewer once the text ends
    worths (B) float64     of a row with a guide, how much more probable its text is than it was to be sampled, as a
                           logarithm: see `log_ratio`
    automaton (B) int64    the state of each row in its table; it advances with sampled symbols, not with given ones
    follow (tables, states, V) uint8  the state that each symbol leads to, or FORBIDDEN
    guides                 the automata of rows whose texts must match an expression
    filter uint8           the fingerprint of the corpus, with `hashes` bits for each run of symbols
    recent (B, G) int32    the last symbols of each row
    runs (B) int64         the number of symbols up to here copied from the corpus: never more than `max_copy`
    rules (B) RULES        how each row samples
    mixture                the n-gram model beside the network

    Without `max_copy`, 0, `filter`, `hashes`, `gram`, `recent` and `runs` do not matter.
    """

    symbols: Any
    losses: Any
    scratch: Any
    texts: Any
    positions: Any
    shortest: Any
    longest: Any
    worths: Any
    automaton: Any
    follow: Any
    guides: Any
    filter: Any
    recent: Any
    runs: Any
    rules: Any
    hashes: int
    mixture: Any


@kernel
def uniform(seed, text, position):
    """Return a number in [0, 1) that depends on nothing but the three whole numbers."""
    gamma = np.uint64(0x9E3779B97F4A7C15)
    bits = mix(np.uint64(seed) + gamma)
    bits = mix(bits + gamma * (np.uint64(text) + np.uint64(1)))
    bits = mix(bits + gamma * (np.uint64(position) + np.uint64(1)))
    return np.float64(bits >> np.uint64(11)) * 2.0**-53


@kernel
def sum_above(weights, start, padded, by_mass, threshold):
    """Sum (`by_mass` 1) or count (0) the weights >= `threshold`."""
    lowest, total = broadcast(weights, threshold), broadcast(weights, 0)
    for j in range(start, start + padded, lanes(weights)):
        weight = load(weights, j)
        total = total + (1 - is_positive(lowest - weight)) * (by_mass * weight + (1 - by_mass))
    return sum_lanes(total)


@kernel
def float_from_bits(bits):
    """Return the float32 with these bits (int32)."""
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
def forbid(logits, start, vocab_size, follow, table, state):
    """Set the logits of symbols that may not follow to NEVER."""
    for j in range(vocab_size):
        if follow[table, state, j] == FORBIDDEN:
            logits[start + j] = NEVER


@kernel
def forbid_copies(logits, start, vocab_size, sampling, row):
    """Set the logits of symbols that would make a copied run longer to NEVER."""
    recent, length = sampling.recent[row], sampling.rules[row].gram
    digest = empty_gram(length)
    for j in range(len(recent) + 1 - length, len(recent)):
        digest = extended(digest, recent[j])
    for j in range(1, vocab_size):
        if logits[start + j] > NEVER and contains(sampling.filter, sampling.hashes, extended(digest, j)):
            logits[start + j] = NEVER


@kernel
def run_with(symbol, sampling, row):
    """Return the length of a row's copied run with one more symbol, which is added to the recent ones."""
    recent, length = sampling.recent[row], sampling.rules[row].gram
    for j in range(1, len(recent)):
        recent[j - 1] = recent[j]
    recent[len(recent) - 1] = symbol
    copied = contains(sampling.filter, sampling.hashes, gram(recent, len(recent) - length, length))
    return next_run(sampling.runs[row], length, copied)


@kernel
def index_of(values, start, count, value):
    """Return the offset of the first element equal to `value`; 0 if `value` is NaN."""
    for offset in range(count):
        if values[start + offset] == value:
            return offset
    return 0


@kernel
def sample_index(weights, start, padded, target):
    """Return the index of the first weight at which the running sum exceeds `target`.

    If rounding leaves none, the last nonzero weight. Skips whole vectors first.
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
def scale_of(rules):
    """Return what logits are multiplied with: one over the temperature, if that is above 0."""
    return min(1 / rules.temperature, 1e30)


@kernel
def log_normaliser(logits, start, sizes, scale):
    """Return the log of the sum of exp(scale logit) over the symbols."""
    top, total = largest(logits, start, sizes.output_size, sizes.columns), broadcast(logits, 0)
    for j in range(0, sizes.columns, lanes(logits)):
        weight = exp((load(logits, start + j) - top) * scale)
        total = total + first_lanes(weight, sizes.output_size - j, 0)
    return top * scale + math.log(sum_lanes(total))


@kernel
def log_ratio(logits, sizes, sampling, row, symbol, normaliser):
    """Return log p(x) - log q(x) of a symbol x that `draw` has just sampled.

    p is the model at the temperature, over all symbols; q is what x was sampled from: those that the guide and the
    limits allow, with their outlooks. A text that ends as soon as it matches does so with p = 1.
    """
    rules, at = sampling.rules[row], row * sizes.columns
    if symbol == 0 and ends_at(sampling.guides, rules.guide, AT_ONCE):
        return 0.0
    total = sum_above(sampling.scratch, at, sizes.columns, 1.0, np.float32(NEGLIGIBLE))
    proposed = math.log(sampling.scratch[at + symbol] / total)
    return logits[at + symbol] * scale_of(rules) - normaliser - proposed


@kernel
def draw(logits, start, sizes, sampling, row, number):
    """Return a symbol sampled from softmax(logits / temperature), cut down to top_k, then top_p, then min_p.

    Temperature 0 takes the most probable symbol, of equal ones the first. `number` lies in [0, 1). Weights are
    relative to the largest, which is 1, so they neither overflow nor vanish at any temperature. Where every logit is
    NEVER the text cannot go on, and the boundary is returned.
    """
    top = largest(logits, start, sizes.output_size, sizes.columns)
    if top == NEVER:
        return 0
    rules = sampling.rules[row]
    if rules.temperature == 0:
        return index_of(logits, start, sizes.output_size, top)
    weights, at = sampling.scratch, row * sizes.columns
    scale = scale_of(rules)
    for j in range(0, sizes.columns, lanes(weights)):
        weight = exp((load(logits, start + j) - top) * scale)
        store(weights, at + j, first_lanes(weight * is_positive(weight - NEGLIGIBLE), sizes.output_size - j, 0))
    if 0 < rules.top_k < sizes.output_size:
        keep_likeliest(weights, at, sizes.columns, 0.0, float(rules.top_k))
    if rules.top_p < 1:
        mass = sum_above(weights, at, sizes.columns, 1.0, np.float32(NEGLIGIBLE))
        keep_likeliest(weights, at, sizes.columns, 1.0, max(rules.top_p, 1e-30) * mass)
    total, least = 0.0, broadcast(weights, rules.min_p)
    for j in range(at, at + sizes.columns, lanes(weights)):
        weight = load(weights, j)
        store(weights, j, weight * (1 - is_positive(least - weight)))
        total += sum_lanes(load(weights, j))
    return sample_index(weights, at, sizes.columns, number * total) - at


@kernel
def next_symbol(sizes, logits, start, sampling, row, position):
    """Return the sampled symbol at a position of a row's text, and keep account of what may follow it."""
    rules, state, normaliser = sampling.rules[row], sampling.automaton[row], 0.0
    weighed = rules.guide >= 0 and rules.temperature > 0 and position < sampling.longest[row]
    if weighed:
        if not ends_at(sampling.guides, rules.guide, AT_BOUNDARY):
            logits[start] = NEVER  # in a stream none is sampled
        normaliser = log_normaliser(logits, start, sizes, scale_of(rules))
    if rules.guide < 0:
        forbid(logits, start, sizes.output_size, sampling.follow, rules.table, state)
    else:
        keep_to_guide(logits, start, sizes.output_size, sampling, row, position)
    if position < sampling.shortest[row]:
        logits[start] = NEVER
    if rules.max_copy and sampling.runs[row] >= rules.max_copy:
        forbid_copies(logits, start, sizes.output_size, sampling, row)
    number = uniform(rules.seed, sampling.texts[row], position)
    if rules.guide >= 0:
        weigh_by_outlook(logits, start, sampling, row, position, 1)
    symbol = draw(logits, start, sizes, sampling, row, number)
    if rules.guide >= 0:
        weigh_by_outlook(logits, start, sampling, row, position, -1)
    if weighed and logits[start + symbol] > NEVER:
        sampling.worths[row] += log_ratio(logits, sizes, sampling, row, symbol, normaliser)
    if weighed and symbol == 0:
        sampling.longest[row] = position
    if rules.guide < 0:
        following = sampling.follow[rules.table, state, symbol]
        sampling.automaton[row] = 0 if following == FORBIDDEN else following  # what comes after the end does not matter
    else:
        sampling.automaton[row] = next_state(sampling.guides, rules.guide, state, symbol)
    if rules.max_copy:
        sampling.runs[row] = run_with(symbol, sampling, row)
    return symbol


@kernel
def take_symbol(sizes, logits, start, sampling, row, t):
    """Return the symbol of a row at a step, which is given or sampled, and note its loss."""
    top, normaliser = log_sum_exp(logits, start, sizes.output_size, sizes.columns)
    symbol = sampling.symbols[t, row]
    if symbol < 0:
        symbol = next_symbol(sizes, logits, start, sampling, row, sampling.positions[row] + t)
    sampling.losses[t, row] = normaliser + (top - logits[start + symbol])
    sampling.symbols[t, row] = symbol
    return symbol


@kernel
def following_symbol(sizes, logits, sampling, row, symbol, t):
    """Return the symbol of a row at a step, which follows the one that was read."""
    start = row * sizes.columns
    read_symbol(sampling.mixture, row, symbol, False)
    mix_row(sampling.mixture, row, sizes, logits, start, sampling.rules[row].share)
    return take_symbol(sizes, logits, start, sampling, row, t)


@entry_kernel
def generate(part, parts, network, arrays, sampling):
    """Continue from the states and the inputs (B) for as many steps as sampling.symbols has; the length is 1.

    Rows are independent of each other: each thread takes its own rows through all steps. Those beyond the symbols rest.
    """
    network, arrays = network_addresses(network), addresses(arrays)
    sizes, inputs = network.sizes, input_symbols(network)
    rows = rows_of_share(Share(part, parts), sampling.symbols.shape[1])
    if rows.first == rows.last:
        return
    for t in range(sampling.symbols.shape[0]):
        for row in range(rows.first, rows.last):
            arrays.starts[row] = inputs[row] == 0
        forward(network, arrays, rows)
        carry_states(sizes, arrays.states, rows)
        for row in range(rows.first, rows.last):
            inputs[row] = following_symbol(sizes, arrays.logits, sampling, row, inputs[row], t)


@entry_kernel
def generate_together(part, parts, network, arrays, sampling):
    """Continue row 0 as `generate` does, with all threads: each computes columns of all that a step multiplies."""
    network, arrays = network_addresses(network), addresses(arrays)
    inputs, row = input_symbols(network), SharedRow(0, 1, part, parts, arrays.barrier)
    for t in range(sampling.symbols.shape[0]):
        arrays.starts[0] = inputs[0] == 0
        forward(network, arrays, row)
        if part == 0:
            carry_states(network.sizes, arrays.states, row)
            inputs[0] = following_symbol(network.sizes, arrays.logits, sampling, 0, inputs[0], t)
        meet(row)


@entry_kernel
def sample_from_logits(part, parts, network, arrays, sampling):
    """Sample the next symbol of each row from logits that are there, as `generate` does after its forward step."""
    network, arrays = network_addresses(network), addresses(arrays)
    sizes, inputs = network.sizes, input_symbols(network)
    rows = rows_of_share(Share(part, parts), sizes.batch)
    for row in range(rows.first, rows.last):
        inputs[row] = take_symbol(sizes, arrays.logits, row * sizes.columns, sampling, row, 0)
