"""Scoring texts side by side: forward only, in windows that are short, so that their values stay in the cache."""

from __future__ import annotations

from typing import Any, NamedTuple

from rnn_cli.kernels.compiler.jit import entry_kernel, kernel
from rnn_cli.kernels.network.arrays import copy
from rnn_cli.kernels.network.losses import softmax_cross_entropy
from rnn_cli.kernels.network.memory import addresses
from rnn_cli.kernels.network.step import forward, input_symbols, network_addresses
from rnn_cli.kernels.shared_row import SharedRow, meet
from rnn_cli.kernels.text.mixture import FITTED, learn, mix_row, read_symbol
from rnn_cli.kernels.threads import Share, rows_of_share

PADDING = 1  # what a row reads after its end: any symbol will do


class ScoredRows(NamedTuple):
    """Texts that are read side by side: row r reads symbols[starts[r]:ends[r]] and is scored on what follows each.

    symbols          int32; one more than is read, to be the last target; 0 is the boundary, where a text starts
    losses           float32, in nats: losses[k] is that of symbols[k + 1] after symbols[k]
    ranks            int32: the number of symbols that were more probable, or equal and before it; empty: not wanted
    boundary_scored  whether a boundary is scored as a target
    mixture          the n-gram model beside the network; it counts only if there is one row
    """

    symbols: Any
    starts: Any
    ends: Any
    losses: Any
    ranks: Any
    boundary_scored: bool
    mixture: Any


@kernel
def read_rows(network, arrays, texts, step, rows):
    """Fill the inputs, starts and targets of some rows for the window that begins at symbol `step` of each."""
    sizes, inputs, targets = network.sizes, input_symbols(network), network.loss.targets
    for row in range(rows.first, rows.last):
        for t in range(sizes.length):
            k, at = t * sizes.batch + row, texts.starts[row] + step + t
            inputs[k], arrays.starts[k], targets[k] = PADDING, 0, -1
            if at < texts.ends[row]:
                inputs[k] = texts.symbols[at]
                arrays.starts[k] = texts.symbols[at] == 0
                if texts.symbols[at + 1] > 0 or texts.boundary_scored:
                    targets[k] = texts.symbols[at + 1]


@kernel
def rank_of(logits, start, vocab_size, target):
    """Return the number of logits in a row that are greater than the target's, or equal and before it."""
    rank, own = 0, start + target
    for j in range(start, start + vocab_size):
        if logits[j] > logits[own] or (logits[j] == logits[own] and j < own):
            rank += 1
    return rank


@kernel
def score_window(network, arrays, texts, step, rows):
    """Score the window that begins at symbol `step` of some rows: losses, ranks, and the states after each row."""
    sizes = network.sizes
    for row in range(rows.first, rows.last):
        at = texts.starts[row] + step
        length = min(sizes.length, texts.ends[row] - at)
        for t in range(length):
            k = t * sizes.batch + row
            target, symbol = network.loss.targets[k], texts.symbols[at + t]
            read_symbol(texts.mixture, row, symbol, symbol > 0 or texts.boundary_scored)
            if target >= 0:
                mix_row(texts.mixture, row, sizes, arrays.logits, k * sizes.columns, FITTED)
                learn(texts.mixture, row, sizes, arrays.logits, k * sizes.columns, target)
                if texts.ranks.size > 0:
                    texts.ranks[at + t] = rank_of(arrays.logits, k * sizes.columns, sizes.output_size, target)
                texts.losses[at + t] = softmax_cross_entropy(sizes, arrays.logits, k * sizes.columns, target, 1.0)
        if length > 0:
            for index in range(sizes.layers * sizes.runs * sizes.states):
                state = index * sizes.plane + row * sizes.hidden
                after = state + length * sizes.batch * sizes.hidden
                copy(arrays.states, state, arrays.states, after, sizes.hidden)


@entry_kernel
def score_symbols(part, parts, network, arrays, texts, steps):
    """Read the symbols steps[0] .. steps[1] of each row: losses and ranks; their number is that of whole windows.

    A row starts from its state in `arrays`, and its state after its last symbol stays there. Rows of the batch are
    split over the threads.
    """
    network, arrays = network_addresses(network), addresses(arrays)
    share, count = Share(part, parts), texts.starts.size
    rows = rows_of_share(share, count)
    for step in range(steps[0], steps[1], network.sizes.length):
        read_rows(network, arrays, texts, step, rows)
        forward(network, arrays, rows)
        score_window(network, arrays, texts, step, rows)


@entry_kernel
def score_together(part, parts, network, arrays, texts, steps):
    """Read symbols of row 0 as `score_symbols` does, with all threads: each computes columns of what is multiplied."""
    network, arrays = network_addresses(network), addresses(arrays)
    row = SharedRow(0, 1, part, parts, arrays.barrier)
    for step in range(steps[0], steps[1], network.sizes.length):
        if part == 0:
            read_rows(network, arrays, texts, step, row)
        meet(row)
        forward(network, arrays, row)
        if part == 0:
            score_window(network, arrays, texts, step, row)
