"""An n-gram model as a tree of counts, which may go on counting. What it is beside a network is in mixture.py.

A node is a gram: the path from the root to it spells its symbols. It holds how often the gram was counted, its first
child and its next sibling; the children of a context are what followed it. With c_k the last k symbols, n(g) the count
of a gram, and D the discounts of grams of k + 1 symbols that were counted once, twice and more often:

    p_k(x) = (n(c_k x) - D(n(c_k x)) + B(c_k) p_(k-1)(x)) / N(c_k),    p_(-1) uniform

N(c) is the sum of n(c x) over x, and B(c) that of D(n(c x)). A context that was never seen is left out.
(Chen and Goodman 1999, "modified Kneser-Ney"; of a gram only its first occurrence in each longer gram is counted.)
"""

from __future__ import annotations

from typing import Any, NamedTuple

from rnn_cli.kernels.compiler.jit import entry_kernel, kernel
from rnn_cli.kernels.simd.vector import broadcast, lanes, load, store

SPREAD = 5  # counts up to 4 determine the discounts
LEAST_DISCOUNT = 0.1
GREATEST_DISCOUNT = 0.95  # of grams counted once


class Tree(NamedTuple):
    """The tree. Node 0 is the root, and node 1 + x the single symbol x, whether it was counted or not.

    symbols (N) int32         the last symbol of each gram
    counts (N) int32          how often it was counted
    children (N) int32        its first child, 0 if it has none
    siblings (N) int32        the next child of the same node, 0 after the last
    used (1) int64            how many nodes there are
    spread (order, 5) int64   how many grams of k + 1 symbols were counted once, twice, ... four times, at [k, 1 .. 4]
    discounts (order, 3)      float64: those of grams of k + 1 symbols counted once, twice, and more often
    weights (kinds, 5)        float64: for each kind of certainty (mixture.py) the weights of the network and of these
                              counts, and the curvature that steps of them are divided by
    size int                  the number of symbols
    boundary int              whether the boundary may follow
    """

    symbols: Any
    counts: Any
    children: Any
    siblings: Any
    used: Any
    spread: Any
    discounts: Any
    weights: Any
    size: int
    boundary: int


@kernel
def child_of(tree, node, symbol):
    """Return the child of a node for a symbol, and the last sibling looked at; the child is 0 if there is none."""
    if node == 0:
        return 1 + symbol, 0
    last, child = 0, tree.children[node]
    while child != 0 and tree.symbols[child] != symbol:
        last, child = child, tree.siblings[child]
    return child, last


@kernel
def refresh(tree, k):
    """Compute the discounts of grams of k + 1 symbols from how many were counted how often."""
    once, twice, thrice, four = tree.spread[k, 1], tree.spread[k, 2], tree.spread[k, 3], tree.spread[k, 4]
    share = once / max(once + 2 * twice, 1)
    for times in range(3):
        tree.discounts[k, times] = min(max(share, LEAST_DISCOUNT), GREATEST_DISCOUNT)
    if once > 0 and twice > 0 and thrice > 0 and four > 0:
        tree.discounts[k, 0] = min(max(1 - 2 * share * twice / once, LEAST_DISCOUNT), GREATEST_DISCOUNT)
        tree.discounts[k, 1] = min(max(2 - 3 * share * thrice / twice, LEAST_DISCOUNT), 1 + GREATEST_DISCOUNT)
        tree.discounts[k, 2] = min(max(3 - 4 * share * four / thrice, LEAST_DISCOUNT), 2 + GREATEST_DISCOUNT)


@kernel
def count(tree, k, node):
    """Count a gram of k + 1 symbols once more."""
    times = tree.counts[node]
    tree.counts[node] = times + 1
    if times < SPREAD:
        if times > 0:
            tree.spread[k, times] -= 1
        if times + 1 < SPREAD:
            tree.spread[k, times + 1] += 1
        refresh(tree, k)


@kernel
def begin(contexts, row):
    """Let a row have read a boundary, and nothing before it."""
    for k in range(contexts.shape[1]):
        contexts[row, k] = k if k < 2 else -1


@kernel
def advance(tree, contexts, row, symbol, counted):
    """Read a symbol: contexts[row, k] becomes the node of the last k symbols, -1 for one that was never seen.

    If it is `counted`, the gram of each context is counted, down to the first that had been seen before.
    """
    if symbol == 0 and not counted:
        begin(contexts, row)
        return
    order = tree.spread.shape[0]
    for k in range(order - 1, -1, -1):
        context = contexts[row, k]
        if context < 0:
            continue
        node, last = child_of(tree, context, symbol)
        known = node != 0 and tree.counts[node] > 0
        if counted:
            if node == 0 and tree.used[0] < tree.symbols.size:
                node = tree.used[0]
                tree.used[0] += 1
                tree.symbols[node] = symbol
                if last != 0:
                    tree.siblings[last] = node
                else:
                    tree.children[context] = node
            if node != 0:
                count(tree, k, node)
            counted = not known
        if k + 1 < order:
            contexts[row, k + 1] = node if node != 0 else -1
    if symbol == 0:
        begin(contexts, row)


@kernel
def distribution(tree, contexts, row, values, start, padded):
    """Write the probabilities of all symbols after the contexts of a row."""
    for j in range(start, start + padded, lanes(values)):
        store(values, j, broadcast(values, 1 / (tree.size - 1 + tree.boundary)))
    if tree.boundary == 0:
        values[start] = 0
    for k in range(tree.spread.shape[0]):
        context = contexts[row, k]
        if context < 0:
            continue
        total, held_back = 0, 0.0
        node = 1 if k == 0 else tree.children[context]
        last = tree.size if k == 0 else tree.symbols.size
        while 0 < node <= last:
            times = tree.counts[node]
            if times > 0:
                total += times
                held_back += tree.discounts[k, min(times, 3) - 1]
            node = node + 1 if k == 0 else tree.siblings[node]
        if total == 0:
            continue
        scale = held_back / total
        for j in range(start, start + padded, lanes(values)):
            store(values, j, load(values, j) * scale)
        node = 1 if k == 0 else tree.children[context]
        while 0 < node <= last:
            times = tree.counts[node]
            if times > 0:
                values[start + tree.symbols[node]] += (times - tree.discounts[k, min(times, 3) - 1]) / total
            node = node + 1 if k == 0 else tree.siblings[node]


@entry_kernel
def link(tree, children):
    """Link the nodes, which lie level by level, by their numbers of children; return whether they are a tree.

    Those that are not listed in `children` have none. The symbols of siblings must increase, and those after the first
    level must have been counted.
    """
    nodes, order = tree.symbols.size, tree.spread.shape[0]
    for k in range(order):
        refresh(tree, k)
    after, depth, level_end = 1, 0, 1
    for node in range(children.size):
        if node == level_end:
            depth, level_end = depth + 1, after
        count = children[node]
        if after <= node or count > nodes - after or (node == 0 and count != tree.size) or (count and depth == order):
            return False
        tree.children[node] = after if count > 0 else 0
        for child in range(after, after + count):
            tree.siblings[child] = child + 1 if child + 1 < after + count else 0
            if tree.symbols[child] >= tree.size or (child > after and tree.symbols[child] <= tree.symbols[child - 1]):
                return False
            if node > 0 and tree.counts[child] == 0:
                return False
        after += count
    return after == nodes


@entry_kernel
def count_symbols(tree, contexts, symbols, boundary_counted):
    """Read and count symbols (n) on row 0; boundaries are counted only if `boundary_counted`."""
    for i in range(symbols.size):
        advance(tree, contexts, 0, symbols[i], symbols[i] > 0 or boundary_counted)


@entry_kernel
def score_counts(tree, contexts, symbols, scratch, probabilities):
    """Read symbols (n) on row 0; write the probability (float64) of each."""
    for i in range(symbols.size):
        distribution(tree, contexts, 0, scratch, 0, scratch.size)
        probabilities[i] = scratch[symbols[i]]
        advance(tree, contexts, 0, symbols[i], False)


@entry_kernel
def level_order(tree, order, fewest, nodes, children):
    """List the nodes level by level, the children of each in the order of their symbols.

    Return how many there are, and how many of them are above the last level. Grams of `order` symbols that were counted
    less than `fewest` times are left out. nodes (N) int32; children (N) int32: how many children each listed node has.
    """
    listed, level_end, depth, at = 1, 1, 0, 0
    nodes[0] = 0
    while at < listed:
        if at == level_end:
            depth, level_end = depth + 1, listed
        if depth == order:
            break
        first = listed
        if at == 0:
            for node in range(1, tree.size + 1):
                nodes[listed] = node
                listed += 1
        else:
            child = tree.children[nodes[at]]
            while child != 0:
                if depth + 1 < order or tree.counts[child] >= fewest:
                    place = listed
                    while place > first and tree.symbols[nodes[place - 1]] > tree.symbols[child]:
                        nodes[place] = nodes[place - 1]
                        place -= 1
                    nodes[place] = child
                    listed += 1
                child = tree.siblings[child]
        children[at] = listed - first
        at += 1
    return listed, at
