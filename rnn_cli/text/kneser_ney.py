"""Interpolated n-gram models with Kneser-Ney smoothing, as a baseline; they sort grams instead of hashing them.

With c the last k symbols, n the counts, T(c) the number of different symbols seen after c, and D the discount:

    p_k(x | c) = (max(n(c, x) - D, 0) + D T(c) p_(k-1)(x | c')) / n(c)    if n(c) > 0, otherwise p_(k-1)(x | c')

c' is c without its first symbol, and p_(-1) is uniform. Except for the longest context at a position, n counts the
different longer contexts in which x was seen. D = n_1 / (n_1 + 2 n_2), with the numbers of grams seen once and twice.
A context ends at a boundary: no line, or text, depends on the one before.
(Kneser and Ney 1995, "Improved backing-off for m-gram language modeling"; interpolated as in Chen and Goodman 1999.)
"""

from __future__ import annotations

import numpy as np

from rnn_cli.text.codecs import BOUNDARY

# Limits of D, so that in an unusual text no gram becomes impossible or worthless.
LEAST_DISCOUNT, GREATEST_DISCOUNT = 0.1, 0.95


def ngram_bits(
    ids: np.ndarray, vocab_size: int, line_mode: bool, order: int = 5, corpus: np.ndarray | None = None
) -> np.ndarray:
    """Return the cost in bits of each symbol of a text under an n-gram model of this order.

    `ids` and `corpus` are symbols that begin with a boundary, as from Codec.frame. With a corpus, the counts are those
    of the corpus. Without one, they are those of the text before each symbol. In line mode the boundaries are scored,
    except the first.
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
        interpolated = (np.maximum(n - discount, 0) + discount * kinds * p[at]) / np.maximum(total, 1)
        p[at] = np.where(total > 0, interpolated, p[at])
    return -np.log2(p[learned:][scored[learned:]])


def contexts_reach(x: np.ndarray) -> np.ndarray:
    """Return the length of the longest context at each position: the symbols before it, from the last boundary on."""
    positions, reach = np.arange(len(x)), np.zeros(len(x), np.int64)
    reach[1:] = (positions - np.maximum.accumulate(np.where(x == BOUNDARY, positions, 0)))[:-1] + 1
    return reach


def number_grams(x: np.ndarray, reach: np.ndarray, vocab_size: int, order: int) -> list[np.ndarray]:
    """Return, for k = 0 .. order - 1, the id of the gram of k + 1 symbols that ends at each position.

    Equal grams have equal ids. A gram that would cross a boundary has the id -1.
    """
    grams: list[np.ndarray] = []
    for k in range(order):
        at = np.flatnonzero(reach >= k)
        pairs = x[at] + (vocab_size * grams[-1][at - 1].astype(np.int64) if k else 0)
        gram_ids = np.full(len(x), -1, np.int32)
        gram_ids[at] = np.unique(pairs, return_inverse=True)[1]
        grams.append(gram_ids)
    return grams


def counted(at: np.ndarray, k: int, reach: np.ndarray, grams: list[np.ndarray]) -> np.ndarray:
    """Return, for positions `at`, whether the gram of k + 1 symbols counts: only the first in each longer context."""
    counts = np.ones(len(at), bool)
    if k + 1 < len(grams):
        longer = reach[at] > k
        counts[longer] = is_first(grams[k + 1][at[longer]])
    return counts


def is_first(groups: np.ndarray) -> np.ndarray:
    """Return, for each element, whether it is the first of its group."""
    positions = np.arange(len(groups))
    first = np.zeros(int(groups.max(initial=0)) + 1, np.int64)
    first[groups[::-1]] = positions[::-1]  # of several assignments to an element, the last one holds
    return first[groups] == positions


def earlier(groups: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return, for each element, the number of earlier elements of its group that count."""
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
    """Return n(c, x), n(c), T(c) and D for each position, from the earlier positions that count."""
    n = earlier(gram, counts)
    once = np.cumsum(counts * ((n == 0) * 1 - (n == 1)))
    twice = np.cumsum(counts * ((n == 1) * 1 - (n == 2)))
    once, twice = (np.concatenate([[0], sums])[:-1] for sums in (once, twice))
    return n, earlier(context, counts), earlier(context, counts & (n == 0)), discounts(once, twice)


def final_counts(
    gram: np.ndarray, context: np.ndarray, counts: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return n(c, x), n(c), T(c) and D for each position, from all positions that count."""
    gram_counts = np.bincount(gram[counts], minlength=int(gram.max(initial=0)) + 1)
    once, twice = (np.array(np.count_nonzero(gram_counts == times)) for times in (1, 2))
    contexts = int(context.max(initial=0)) + 1
    total = np.bincount(context[counts], minlength=contexts)
    kinds = np.bincount(context[counts][is_first(gram[counts])], minlength=contexts)
    return gram_counts[gram], total[context], kinds[context], discounts(once, twice)


def discounts(once: np.ndarray, twice: np.ndarray) -> np.ndarray:
    """Return D for these numbers of grams seen once and twice."""
    return (once / np.maximum(once + 2 * twice, 1)).clip(LEAST_DISCOUNT, GREATEST_DISCOUNT)
