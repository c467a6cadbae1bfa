"""Symbols drawn from an n-gram model with Kneser-Ney smoothing, one after the other."""

from __future__ import annotations

from typing import Any, NamedTuple

from rnn_cli.kernels.compiler.jit import entry_kernel, kernel


class Grams(NamedTuple):
    """What follows each context. The contexts of k symbols have the numbers first[k] to first[k + 1] - 1; 0 has none.

    first (order + 1), int64      see above
    contexts, int64               each as the number of the context without its last symbol, times V, plus that symbol;
                                  sorted, for each k
    starts (contexts + 1), int64  where in the next two what follows a context begins, and where the last one's ends
    following, int32              the symbol behind each place where the context stands and that counts
    stays, float32                the probability that this symbol is taken: (n - D) / n
    """

    first: Any
    contexts: Any
    starts: Any
    following: Any
    keep_mask: Any


@kernel
def longer_context(grams, k, context, symbol, vocab_size):
    """Return the number of a context of k symbols: one of k - 1 and a last one; -1 where it is not in the text."""
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
    """Replace symbols, which are uniformly drawn, by others that the last ones before them decide about.

    symbols (n), int32              those at the lowest level, of which each is as probable
    chances (n, order, 2), float32  uniform in [0, 1): to pick a place at each level, and to take what stands there
    recent (order), int64           the numbers of the contexts of the last k symbols, -1 for one that was never seen;
                                    those after the last symbol take their place
    """
    order = recent.size
    for i in range(symbols.size):
        for k in range(order - 1, -1, -1):
            if recent[k] < 0:
                continue
            start, end = grams.starts[recent[k]], grams.starts[recent[k] + 1]
            place = start + int(chances[i, k, 0] * (end - start))
            if place < end and chances[i, k, 1] < grams.keep_mask[place]:
                symbols[i] = grams.following[place]
                break
        for k in range(order - 1, 0, -1):
            recent[k] = longer_context(grams, k, recent[k - 1], symbols[i], vocab_size) if recent[k - 1] >= 0 else -1
