"""Symbols sampled from an n-gram model with Kneser-Ney smoothing, one after the other."""

from __future__ import annotations

from typing import Any, NamedTuple

from rnn_cli.kernels.compiler.jit import entry_kernel, kernel


class Grams(NamedTuple):
    """What follows each context. Those of k symbols have the ids first[k] to first[k + 1] - 1; id 0 is the empty one.

    first (order + 1), int64      see above
    contexts, int64               each as the id of the context without its last symbol, times V, plus that symbol;
                                  sorted, for each k
    starts (contexts + 1), int64  where the followers of each context begin in the next two, and the end of the last
    following, int32              the symbol after each counted occurrence of the context
    taken, float32                the probability that this symbol is taken: (n - D) / n
    """

    first: Any
    contexts: Any
    starts: Any
    following: Any
    taken: Any


@kernel
def longer_context(grams, k, context, symbol, vocab_size):
    """Return the id of a context of k symbols, from that of its first k - 1 and its last; -1 if it does not occur."""
    wanted = context * vocab_size + symbol
    low, high = grams.first[k], grams.first[k + 1]
    while low < high:
        middle = (low + high) // 2
        if grams.contexts[middle] < wanted:
            low = middle + 1
        else:
            high = middle
    return low if low < grams.first[k + 1] and grams.contexts[low] == wanted else -1


@entry_kernel
def draw_symbols(symbols, chances, recent, grams, vocab_size):
    """Replace uniformly sampled symbols by symbols that follow the contexts before them.

    symbols (n), int32              the symbols of the lowest level, all equally probable
    chances (n, order, 2), float32  uniform in [0, 1): to pick an occurrence at each level, and to take its follower
    recent (order), int64           the ids of the contexts of the last k symbols, -1 for one that was never seen;
                                    replaced by those after the last symbol
    """
    order = recent.size
    for i in range(symbols.size):
        for k in range(order - 1, -1, -1):
            if recent[k] < 0:
                continue
            start, end = grams.starts[recent[k]], grams.starts[recent[k] + 1]
            index = start + int(chances[i, k, 0] * (end - start))
            if index < end and chances[i, k, 1] < grams.taken[index]:
                symbols[i] = grams.following[index]
                break
        for k in range(order - 1, 0, -1):
            recent[k] = longer_context(grams, k, recent[k - 1], symbols[i], vocab_size) if recent[k - 1] >= 0 else -1
