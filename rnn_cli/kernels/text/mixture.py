"""The mixture of a network with an n-gram model and, if there is a history, with the longest match in it."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from rnn_cli.kernels.compiler.jit import entry_kernel, kernel
from rnn_cli.kernels.network.losses import largest
from rnn_cli.kernels.simd.vector import lanes, load, store
from rnn_cli.kernels.simd.vector_math import exp
from rnn_cli.kernels.text.counts import Tree, advance, distribution
from rnn_cli.kernels.text.matches import bucket_of, follow_match, move_share, prediction
from rnn_cli.kernels.text.probabilities import log_sum_exp

FITTED = -1.0  # a share that depends on how certain both models are
LEVELS = (0.3, 0.5, 0.8)  # of the probability of the likeliest symbol, which divide certainty into kinds
KINDS = (len(LEVELS) + 1) ** 2  # of the certainty of the n-gram model and of the network
LEAST = 1e-37  # of a probability
MEMORY = 3000.0  # symbols that a share is the mean of, at most


class Mixture(NamedTuple):
    """The n-gram model that a network is mixed with, and what each row has read of it. Without one, the order is 0.

    contexts (rows, order) int32   see `advance`; with matches, the columns after these are the state of `follow_match`
    scratch (rows columns)         float32: the probabilities of the n-gram model, times its share
    kinds (rows) int32             how certain both models are, see `kind_of`
    counting int                   whether the model goes on counting, and its shares follow the text
    matches                        the match model, see matches.py
    """

    tree: Tree
    contexts: Any
    scratch: Any
    kinds: Any
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

    p(x) = (1 - share) softmax(logits)_x + share p_n-gram(x)

    If the share is FITTED, it is that of the kind of certainty. With s the share of the match, if there is one, and
    m the symbol that it predicts, p(x) <- (1 - s) p(x) + s [x = m].
    """
    tree, values = mixture.tree, mixture.scratch
    if mixture.contexts.shape[1] == 0:
        return
    at = row * sizes.columns
    distribution(tree, mixture.contexts, row, values, at, sizes.columns)
    matched, own = find_match(mixture, row, at, share)
    top, normaliser = log_sum_exp(logits, start, sizes.output_size, sizes.columns)
    kind = kind_of(largest(values, at, sizes.output_size, sizes.columns), math.exp(-normaliser))
    mixture.kinds[row] = kind
    if share < 0:
        share = tree.weights[kind, 0]
    shift = top + normaliser
    for j in range(0, sizes.columns, lanes(values)):
        network = exp(load(logits, start + j) - shift)
        store(logits, start + j, (1 - share) * network)
        store(values, at + j, share * load(values, at + j))
    if matched >= 0:
        for j in range(0, sizes.columns, lanes(values)):
            store(logits, start + j, (1 - own) * load(logits, start + j))
            store(values, at + j, (1 - own) * load(values, at + j))
        logits[start + matched] += own
    for j in range(sizes.output_size):
        logits[start + j] = math.log(max(logits[start + j] + values[at + j], LEAST))


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
def follow_worth(mixture, row, sizes, log_probability, target):
    """If the model goes on counting, let the share follow what it was worth: share p_n-gram(target) / p(target).

    The share of a kind of certainty is the mean of that, over at most MEMORY symbols, of which one counts for less
    the more probable it is that the match has predicted it.
    """
    if mixture.counting != 0 and mixture.contexts.shape[1] > 0:
        weights, kind = mixture.tree.weights, mixture.kinds[row]
        probability, rest = math.exp(log_probability), 1.0
        matches = mixture.matches
        if matches.history.size > 0 and matches.predicted[row, 1] >= 0:
            worth = matches.shares[matches.predicted[row, 0], 0] / probability
            if matches.predicted[row, 1] == target:
                rest = 1 - min(worth, 1.0)
            move_share(matches, row, target, worth)
        worth = mixture.scratch[row * sizes.columns + target] / probability
        weights[kind, 0] += (min(worth, rest) - weights[kind, 0] * rest) / (weights[kind, 1] + 1)
        weights[kind, 1] = min(weights[kind, 1] + 1, MEMORY)


@entry_kernel
def score_matches(mixture, symbols, buckets, predicted):
    """Read symbols (n) on row 0; write what the match predicted in place of each, -1 without one, and its bucket."""
    for i in range(symbols.size):
        distribution(mixture.tree, mixture.contexts, 0, mixture.scratch, 0, mixture.scratch.size)
        predicted[i], _ = find_match(mixture, 0, 0, FITTED)
        buckets[i] = mixture.matches.predicted[0, 0]
        read_symbol(mixture, 0, symbols[i], False)
