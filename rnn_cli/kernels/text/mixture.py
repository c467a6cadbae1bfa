"""The mixture of a network with an n-gram model and, if there is a history, with the longest match in it.

Network and counts are mixed log-linearly: of n(x) = log p_network(x) and g(x) = log p_n-gram(x), with two weights,

    p(x) = exp(u n(x) + v g(x)) / Z

The log of this is concave in the weights. With E and Cov the mean and the covariance under p, its derivatives are

    d log p(y) / d(u, v) = (n(y), g(y)) - E (n, g)      d^2 log p(y) / d(u, v)^2 = -Cov (n, g)

from which the weights are fitted on held-out text (language/mixture_weights.py), and follow a text that is counted.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from rnn_cli.kernels.compiler.jit import entry_kernel, kernel
from rnn_cli.kernels.network.losses import largest
from rnn_cli.kernels.simd.vector import broadcast, first_lanes, fma, lanes, load, maximum, store, sum_lanes
from rnn_cli.kernels.simd.vector_math import exp, log
from rnn_cli.kernels.text.counts import Tree, advance, distribution
from rnn_cli.kernels.text.matches import bucket_of, follow_match, move_share, prediction
from rnn_cli.kernels.text.probabilities import log_sum_exp

FITTED = -1.0  # a share that depends on how certain both models are
LEVELS = (0.3, 0.5, 0.8)  # of the probability of the likeliest symbol, which divide certainty into kinds
KINDS = (len(LEVELS) + 1) ** 2  # of the certainty of the n-gram model and of the network
LEAST = 1e-37  # of a probability
MEMORY = 3000.0  # symbols whose curvature the weights that follow a text remember
USUAL_CURVATURE = 130.0, 100.0, 120.0  # of a hundred symbols (uu, uv, vv), beside which those of a text are added
MOST_WEIGHT = 2.0
SUMS = 8  # of a kind: symbols, losses of the mixture and the network, gradient (u, v), curvature (uu, uv, vv)


class Mixture(NamedTuple):
    """The n-gram model that a network is mixed with, and what each row has read of it. Without one, the order is 0.

    contexts (rows, order) int32   see `advance`; with matches, the columns after these are the state of `follow_match`
    scratch (rows, 2, columns)     float32: of each symbol, log p under the n-gram model and under the network
    kinds (rows) int32             how certain both models are, see `kind_of`
    sums (rows, KINDS, SUMS)       float64: what the weights are fitted from; empty: not wanted
    counting int                   whether the model goes on counting, and its weights follow the text
    matches                        the match model, see matches.py
    """

    tree: Tree
    contexts: Any
    scratch: Any
    kinds: Any
    sums: Any
    counting: int
    matches: Any


@kernel
def read_symbol(mixture, row, symbol, counted):
    """Read a symbol on a row, and count it if the model goes on counting and the symbol is one to be counted."""
    if mixture.contexts.shape[1] > 0:
        advance(mixture.tree, mixture.contexts, row, symbol, counted and mixture.counting != 0)
        if mixture.matches.history.size > 0:
            order = mixture.tree.spread.shape[0]
            follow_match(mixture.matches, mixture.contexts, row, order, symbol, mixture.counting != 0)


@kernel
def kind_of(counts_top, network_top):
    """Return the kind of certainty, by the probability of the likeliest symbol under each model."""
    kind = 0
    for level in LEVELS:
        kind += (len(LEVELS) + 1) * (counts_top >= level) + (network_top >= level)
    return kind


@kernel
def mix_row(mixture, row, sizes, logits, start, share):
    """Replace a row of logits by the log of the mixture of its probabilities with those of the n-gram model.

    The weights u, v are 1 - share and share, or those of the kind of certainty if the share is FITTED. With s the share
    of the match, if there is one, and m the symbol that it predicts, p(x) <- (1 - s) p(x) + s [x = m].
    """
    values, columns = mixture.scratch, sizes.columns
    if mixture.contexts.shape[1] == 0:
        return
    counts, network = 2 * row * columns, (2 * row + 1) * columns
    distribution(mixture.tree, mixture.contexts, row, values, counts, columns)
    matched, own = find_match(mixture, row, counts, share)
    likeliest = largest(values, counts, sizes.output_size, columns)
    top, normaliser = log_sum_exp(logits, start, sizes.output_size, columns)
    kind = kind_of(likeliest, math.exp(-normaliser))
    mixture.kinds[row] = kind
    weight, weight_of_counts = 1 - share, share
    if share < 0:
        weight, weight_of_counts = mixture.tree.weights[kind, 0], mixture.tree.weights[kind, 1]
    shift = top + normaliser
    for j in range(0, columns, lanes(values)):
        n = load(logits, start + j) - shift
        g = log(maximum(load(values, counts + j), LEAST))
        store(values, network + j, n)
        store(values, counts + j, g)
        store(logits, start + j, weight * n + weight_of_counts * g)
    top, normaliser = log_sum_exp(logits, start, sizes.output_size, columns)
    shift = top + normaliser - math.log(1 - own)
    for j in range(0, columns, lanes(values)):
        store(logits, start + j, load(logits, start + j) - shift)
    if matched >= 0:
        logits[start + matched] = math.log(math.exp(logits[start + matched]) + own)


@kernel
def find_match(mixture, row, at, limit):
    """Return the symbol that the match of a row predicts, -1 without one, and its share; a `limit` >= 0 bounds that."""
    matches = mixture.matches
    if matches.history.size == 0:
        return np.int64(-1), 0.0
    matched, level = prediction(matches, mixture.contexts, row, mixture.tree.spread.shape[0])
    if matched == 0 and mixture.tree.boundary == 0:
        matched = np.int64(-1)
    matches.predicted[row, 1] = matched
    if matched < 0:
        return matched, 0.0
    bucket = bucket_of(level, mixture.scratch[at + matched])
    matches.predicted[row, 0] = bucket
    share = matches.shares[bucket, 0]
    return matched, share if limit < 0 else min(share, limit)


@kernel
def moments(mixture, row, sizes, logits, start):
    """Return the sums of p, p n, p g, p n^2, p n g and p g^2 over the symbols of a row that `mix_row` has replaced."""
    values, columns, end = mixture.scratch, sizes.columns, sizes.output_size
    counts, network = 2 * row * columns, (2 * row + 1) * columns
    zero = broadcast(values, 0)
    sum_p = sum_n = sum_g = sum_nn = sum_ng = sum_gg = zero
    for j in range(0, columns, lanes(values)):
        n, g = first_lanes(load(values, network + j), end - j, 0), first_lanes(load(values, counts + j), end - j, 0)
        p = first_lanes(exp(load(logits, start + j)), end - j, 0)
        sum_p, sum_n, sum_g = sum_p + p, fma(p, n, sum_n), fma(p, g, sum_g)
        sum_nn, sum_ng, sum_gg = fma(p * n, n, sum_nn), fma(p * n, g, sum_ng), fma(p * g, g, sum_gg)
    first = sum_lanes(sum_p), sum_lanes(sum_n), sum_lanes(sum_g)
    return first, (sum_lanes(sum_nn), sum_lanes(sum_ng), sum_lanes(sum_gg))


@kernel
def moments_without_match(mixture, row, sizes, logits, start):
    """Return the means of n and g, and of n^2, n g and g^2, under the mixture without the match of a row.

    Its probability of the symbol m that the match predicts is 1 minus that of all others, which the match has
    multiplied by 1 - s: a difference from s would lose its digits if s is nearly 1.
    """
    matched = np.int64(-1)
    if mixture.matches.history.size > 0:
        matched = mixture.matches.predicted[row, 1]
    if matched < 0:
        (_, n, g), second = moments(mixture, row, sizes, logits, start)
        return (n, g), second
    counts, network = 2 * row * sizes.columns, (2 * row + 1) * sizes.columns
    x, y = mixture.scratch[network + matched], mixture.scratch[counts + matched]
    with_match, logits[start + matched] = logits[start + matched], -np.inf
    (p, n, g), (nn, ng, gg) = moments(mixture, row, sizes, logits, start)
    logits[start + matched] = with_match
    scale = 1 / (1 - mixture.matches.shares[mixture.matches.predicted[row, 0], 0])
    own = max(1 - scale * p, 0.0)
    first = scale * n + own * x, scale * g + own * y
    return first, (scale * nn + own * x * x, scale * ng + own * x * y, scale * gg + own * y * y)


@kernel
def learn(mixture, row, sizes, logits, start, target):
    """Learn from the symbol after a row that `mix_row` has replaced, if the mixture is to be fitted or counts."""
    if mixture.contexts.shape[1] == 0 or (mixture.sums.size == 0 and mixture.counting == 0):
        return
    values, kind = mixture.scratch, mixture.kinds[row]
    counts, network = 2 * row * sizes.columns, (2 * row + 1) * sizes.columns
    (n, g), (nn, ng, gg) = moments_without_match(mixture, row, sizes, logits, start)
    rest, matches = 1.0, mixture.matches
    if matches.history.size > 0 and matches.predicted[row, 1] >= 0:
        worth = matches.shares[matches.predicted[row, 0], 0] / math.exp(logits[start + target])
        if matches.predicted[row, 1] == target:
            rest = 1 - min(worth, 1.0)
        if mixture.counting != 0:
            move_share(matches, row, target, worth)
    slope = rest * (values[network + target] - n), rest * (values[counts + target] - g)
    curvature = rest * max(nn - n * n, 0.0), rest * (ng - n * g), rest * max(gg - g * g, 0.0)
    if mixture.sums.size > 0:
        add_sums(mixture.sums, row, kind, (logits[start + target], values[network + target]), slope, curvature)
    else:
        move_weights(mixture.tree.weights, kind, slope, curvature)


@kernel
def add_sums(sums, row, kind, logs, slope, curvature):
    """Add what a symbol says of the weights of its kind; `logs` are those of its probabilities."""
    sums[row, kind, 0] += 1
    for k in range(2):
        sums[row, kind, 1 + k] -= logs[k]
        sums[row, kind, 3 + k] += slope[k]
    for k in range(3):
        sums[row, kind, 5 + k] += curvature[k]


@kernel
def move_weights(weights, kind, slope, curvature):
    """Make a step of Newton's method with the curvature of about the last MEMORY symbols of a kind, and the usual one.

    The usual one stays: a text that was certain for long has hardly any, and one surprise would then decide.
    """
    for k in range(3):
        weights[kind, 2 + k] += curvature[k] + (USUAL_CURVATURE[k] - weights[kind, 2 + k]) / MEMORY
    uu, uv, vv = weights[kind, 2], weights[kind, 3], weights[kind, 4]
    determinant = uu * vv - uv * uv
    if determinant > 0:
        u = weights[kind, 0] + (vv * slope[0] - uv * slope[1]) / determinant
        v = weights[kind, 1] + (uu * slope[1] - uv * slope[0]) / determinant
        weights[kind, 0], weights[kind, 1] = min(max(u, 0.0), MOST_WEIGHT), min(max(v, 0.0), MOST_WEIGHT)


@entry_kernel
def score_matches(mixture, symbols, buckets, predicted):
    """Read symbols (n) on row 0; write what the match predicted in place of each, -1 without one, and its bucket."""
    for i in range(symbols.size):
        distribution(mixture.tree, mixture.contexts, 0, mixture.scratch, 0, mixture.scratch.size // 2)
        predicted[i], _ = find_match(mixture, 0, 0, FITTED)
        buckets[i] = mixture.matches.predicted[0, 0]
        read_symbol(mixture, 0, symbols[i], False)
