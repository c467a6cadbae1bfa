"""An interpolated n-gram model of symbols, to compare with: Kneser-Ney smoothing, by sorting instead of dictionaries.

With c the last k symbols, n the counts, T(c) the number of different symbols seen after c, and D the discount:

    p_k(x | c) = (max(n(c, x) - D, 0) + D T(c) p_(k-1)(x | c')) / n(c)    where n(c) > 0, and else p_(k-1)(x | c')

c' is c without its first symbol, and p_(-1) is the same for all symbols. Below the longest context that there is at a
place, n counts in how many different longer contexts x was seen. D = n_1 / (n_1 + 2 n_2), from the numbers of grams
seen once and twice. A context ends at a boundary: a line, or a text, knows nothing of the one before.
(Kneser and Ney 1995, "Improved backing-off for m-gram language modeling"; interpolated as in Chen and Goodman 1999.)
"""

from __future__ import annotations

import numpy as np

from rnn_cli.text.codecs import BOUNDARY

LEAST_DISCOUNT, GREATEST_DISCOUNT = 0.1, 0.95  # lest a gram of an odd text become impossible, or worthless


def ngram_bits(
    ids: np.ndarray, vocab_size: int, line_mode: bool, order: int = 5, corpus: np.ndarray | None = None
) -> np.ndarray:
    """Return the price in bits of each symbol of a text under an n-gram model of that order.

    `ids` and `corpus` are symbols that begin with a boundary, as from Codec.frame. With a corpus, the counts are
    those of the corpus, and stay. Without one, they are those of the text before each symbol. In line mode the
    boundaries are scored, except the first.
    """
    learned = 0 if corpus is None else len(corpus)
    x = np.concatenate([ids[:0] if corpus is None else corpus, ids]).astype(np.int64)
    reach = contexts_reach(x)
    scored = (x != BOUNDARY) | line_mode
    scored[[0, learned]] = False
    grams = number_grams(x, reach, vocab_size, order)

    p = np.full(len(x), 1 / (vocab_size if line_mode else vocab_size - 1))
    for k in range(order):
        at = np.flatnonzero(scored & (reach >= k))
        gram = grams[k][at]
        context = grams[k - 1][at - 1] if k else np.zeros(len(at), np.int32)
        counts = counted(at, k, reach, grams)
        if corpus is None:
            n, total, kinds, discount = running_counts(gram, context, counts)
        else:
            n, total, kinds, discount = final_counts(gram, context, counts & (at < learned))
        shorter = (np.maximum(n - discount, 0) + discount * kinds * p[at]) / np.maximum(total, 1)
        p[at] = np.where(total > 0, shorter, p[at])
    return -np.log2(p[learned:][scored[learned:]])


def contexts_reach(x: np.ndarray) -> np.ndarray:
    """Return the length of the longest context at each place: the symbols before it, from the last boundary on."""
    places, reach = np.arange(len(x)), np.zeros(len(x), np.int64)
    reach[1:] = (places - np.maximum.accumulate(np.where(x == BOUNDARY, places, 0)))[:-1] + 1
    return reach


def number_grams(x: np.ndarray, reach: np.ndarray, vocab_size: int, order: int) -> list[np.ndarray]:
    """Return, for k = 0 .. order - 1, a number for each gram of k symbols and one more: equal grams, equal numbers.

    A gram that would cross a boundary has the number -1.
    """
    grams: list[np.ndarray] = []
    for k in range(order):
        at = np.flatnonzero(reach >= k)
        pairs = x[at] + (vocab_size * grams[-1][at - 1].astype(np.int64) if k else 0)
        numbers = np.full(len(x), -1, np.int32)
        numbers[at] = np.unique(pairs, return_inverse=True)[1]
        grams.append(numbers)
    return grams


def counted(at: np.ndarray, k: int, reach: np.ndarray, grams: list[np.ndarray]) -> np.ndarray:
    """Say of each of some places whether its gram of k symbols and one more counts: the first in a longer context."""
    counts = np.ones(len(at), bool)
    if k + 1 < len(grams):
        longer = reach[at] > k
        counts[longer] = is_first(grams[k + 1][at[longer]])
    return counts


def is_first(groups: np.ndarray) -> np.ndarray:
    """Say of each place whether it is the first one of its group."""
    places = np.arange(len(groups))
    first = np.zeros(int(groups.max(initial=0)) + 1, np.int64)
    first[groups[::-1]] = places[::-1]  # of places of the same group, the last one that is written stays
    return first[groups] == places


def earlier(groups: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return how many earlier places that count have the same group."""
    order = np.argsort(groups, kind="stable")
    ones = counts[order].astype(np.int64)
    before = np.cumsum(ones) - ones
    starts = np.diff(groups[order], prepend=-1) != 0
    result = np.empty_like(before)
    result[order] = before - before[starts][np.cumsum(starts) - 1]
    return result


def running_counts(
    gram: np.ndarray, context: np.ndarray, counts: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return n(c, x), n(c), T(c) and D for each place, from the places before it that count."""
    n = earlier(gram, counts)
    once = np.cumsum(counts * ((n == 0) * 1 - (n == 1)))
    twice = np.cumsum(counts * ((n == 1) * 1 - (n == 2)))
    once, twice = (np.concatenate([[0], numbers])[:-1] for numbers in (once, twice))
    return n, earlier(context, counts), earlier(context, counts & (n == 0)), discounts(once, twice)


def final_counts(
    gram: np.ndarray, context: np.ndarray, counts: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return n(c, x), n(c), T(c) and D for each place, from all places that count."""
    gram_counts = np.bincount(gram[counts], minlength=int(gram.max(initial=0)) + 1)
    once, twice = (np.array(np.count_nonzero(gram_counts == number)) for number in (1, 2))
    contexts = int(context.max(initial=0)) + 1
    total = np.bincount(context[counts], minlength=contexts)
    kinds = np.bincount(context[counts][is_first(gram[counts])], minlength=contexts)
    return gram_counts[gram], total[context], kinds[context], discounts(once, twice)


def discounts(once: np.ndarray, twice: np.ndarray) -> np.ndarray:
    """Return D for these numbers of grams seen once and twice."""
    return (once / np.maximum(once + 2 * twice, 1)).clip(LEAST_DISCOUNT, GREATEST_DISCOUNT)
