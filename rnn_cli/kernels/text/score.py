"""Scoring texts side by side: forward only, in windows that are short, so that their values stay in the cache."""

from __future__ import annotations

from typing import Any, NamedTuple

from rnn_cli.kernels.compiler.jit import entry_kernel, kernel
from rnn_cli.kernels.network.layer import copy
from rnn_cli.kernels.network.softmax import softmax_cross_entropy
from rnn_cli.kernels.network.step import forward
from rnn_cli.kernels.threads import share_start

OUTSIDE = 1  # what a row reads after its end: any symbol but the boundary


class Rows(NamedTuple):
    """Texts that are read side by side: row r reads symbols[starts[r]:ends[r]] and is scored on what follows each.

    symbols          int32; one more than is read, to be the last target
    losses           float32, in nats: losses[k] is the price of symbols[k + 1] after symbols[k]
    ranks            int32: how many symbols were more probable than that, or equal and before it; empty where this is
                     not wanted
    boundary_scored  whether a boundary is scored as a target
    """

    symbols: Any
    starts: Any
    ends: Any
    losses: Any
    ranks: Any
    boundary_scored: bool


@kernel
def read_rows(net, memory, rows, step, first, last):
    """Fill the inputs and targets of rows first..last for the window that begins at symbol `step` of each."""
    for row in range(first, last):
        for t in range(net.length):
            k, at = t * net.batch + row, rows.starts[row] + step + t
            memory.inputs[k], memory.targets[k] = OUTSIDE, -1
            if at < rows.ends[row]:
                memory.inputs[k] = rows.symbols[at]
                if rows.symbols[at + 1] > 0 or rows.boundary_scored:
                    memory.targets[k] = rows.symbols[at + 1]


@kernel
def rank_of(logits, start, vocab_size, target):
    """Return how many of a row of logits are greater than the target's, or equal and before it."""
    rank, own = 0, start + target
    for j in range(start, start + vocab_size):
        if logits[j] > logits[own] or (logits[j] == logits[own] and j < own):
            rank += 1
    return rank


@entry_kernel
def score_symbols(part, parts, cell, net, memory, rows, step, steps):
    """Read `steps` symbols of each row from its symbol `step` on: losses and ranks; `steps` is whole windows.

    A row starts from its state in `memory`, and its state after its last symbol stays there. Rows of the batch are
    split over the threads.
    """
    count = rows.starts.size
    first, last = share_start(part, parts, count), share_start(part + 1, parts, count)
    plane = (net.length + 1) * net.batch * net.hidden
    for window in range(step, step + steps, net.length):
        read_rows(net, memory, rows, window, first, last)
        forward(cell, net, memory, first, last)
        for row in range(first, last):
            at = rows.starts[row] + window
            length = min(net.length, rows.ends[row] - at)
            for t in range(length):
                logits, target = (t * net.batch + row) * net.columns, memory.targets[t * net.batch + row]
                if target >= 0:
                    if rows.ranks.size > 0:
                        rows.ranks[at + t] = rank_of(memory.logits, logits, net.vocab_size, target)
                    rows.losses[at + t] = softmax_cross_entropy(
                        memory.logits, logits, net.vocab_size, net.columns, target, 1.0
                    )
            if length > 0:
                for number in range(net.layers * net.states):
                    state = number * plane + row * net.hidden
                    copy(memory.states, state, memory.states, state + length * net.batch * net.hidden, net.hidden)
