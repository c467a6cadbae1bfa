"""Data augmentation for short texts: further text, drawn from the 5-grams of the one that there is.

A large network learns a short text by heart. Here it is given, beside that text, others that follow the smoothed n-gram
model of kneser_ney.py: they say which symbols follow each other, and not what was written
(Xie et al. 2017, "Data Noising as Smoothing in Neural Network Language Models").

To draw a symbol from that model, with the last k symbols as its context, k from 4 down to 0:

    pick one of the n(c) places behind this context; x stands there
    x it is with probability (n(c, x) - D) / n(c, x); else, or where n(c) is 0, one symbol less is looked at

and at the end any symbol. The places are those that Kneser and Ney count.
"""

from __future__ import annotations

import numpy as np

from rnn_cli.errors import UsageError
from rnn_cli.kernels.text.ngrams import Grams, draw_symbols
from rnn_cli.rng import DRAWN_TEXT, generator
from rnn_cli.text.kneser_ney import contexts_reach, counted, final_counts, number_grams
from rnn_cli.text.vocabulary import BOUNDARY

ORDER = 5
LONGEST = 1_000_000  # symbols of a text; larger ones are not known by heart so soon
AT_ONCE = 1 << 16  # symbols for which random numbers are drawn


class Augmenter:
    """Draws text that is like a text: for each epoch another one, which follows from the seed and the epoch."""

    def __init__(self, ids: np.ndarray, vocab_size: int, lines: bool, size: int, random_seed: int) -> None:
        """Take a text as Vocabulary.frame returns it, and how many symbols to draw for an epoch.

        Raises UsageError for a text of more than LONGEST symbols.
        """
        if len(ids) > LONGEST:
            raise UsageError(f"`augment` is for texts of up to {LONGEST:,} characters; leave it out")
        self.ids, self.vocab_size, self.lines = ids, vocab_size, lines
        self.size, self.random_seed = size, random_seed
        self.longest = int(np.diff(np.flatnonzero(ids == BOUNDARY)).max()) if lines else 0  # line, with its end
        self.grams = count_grams(ids, vocab_size, lines)

    def text(self, epoch: int) -> np.ndarray:
        """Return the text with what is drawn for an epoch behind it: `size` symbols or, of lines, the whole ones.

        Of lines, those are left out that no text has, or not this one: empty ones, and longer ones than its longest.
        """
        symbols = self.draw(epoch)
        if self.lines:
            ends = np.flatnonzero(symbols == BOUNDARY)
            sizes = np.diff(ends, prepend=-1)
            symbols = symbols[: sizes.sum()][np.repeat((sizes > 1) & (sizes <= self.longest), sizes)]
        return np.append(self.ids, symbols.astype(self.ids.dtype))

    def draw(self, epoch: int) -> np.ndarray:
        """Return the `size` symbols (int32) that are drawn for an epoch."""
        draws = generator([self.random_seed, DRAWN_TEXT, epoch])
        symbols = draws.integers(0 if self.lines else 1, self.vocab_size, self.size, np.int32)
        recent = np.full(ORDER, -1)
        recent[0] = 0
        if self.lines:
            recent[1] = self.grams.first[1]  # the boundary, which is the first symbol
        else:
            symbols[0] = BOUNDARY
        for start in range(0 if self.lines else 1, self.size, AT_ONCE):
            part = symbols[start : start + AT_ONCE]
            chances = draws.random((len(part), ORDER, 2), np.float32)
            draw_symbols(part, chances, recent, self.grams, self.vocab_size)
        return symbols


def count_grams(ids: np.ndarray, vocab_size: int, lines: bool) -> Grams:
    """Return what follows each context of up to ORDER - 1 symbols in a text."""
    x = ids.astype(np.int64)
    reach = contexts_reach(x)
    predicted = (x != BOUNDARY) | lines
    predicted[0] = False
    numbers = number_grams(x, reach, vocab_size, ORDER)
    first, found = [0, 1], 0
    contexts, starts, following, taken = [np.zeros(1, np.int64)], [], [], []
    for k in range(ORDER):
        there = np.flatnonzero(reach >= k)
        context = first[k] + (numbers[k - 1][there - 1].astype(np.int64) if k else np.zeros(len(there), np.int64))
        if k + 1 < ORDER:
            contexts.append(np.unique(context * vocab_size + x[there]))
            first.append(first[-1] + len(contexts[-1]))
        at, context = there[predicted[there]], context[predicted[there]]
        counts = counted(at, k, reach, numbers)
        n, _, _, discount = final_counts(numbers[k][at], context - first[k], counts)
        order = np.flatnonzero(counts)[np.argsort(context[counts], kind="stable")]
        starts.append(found + np.searchsorted(context[order], np.arange(first[k], first[k + 1])))
        following.append(x[at[order]].astype(np.int32))
        taken.append((np.maximum(n - discount, 0) / n)[order].astype(np.float32))
        found += len(order)
    ends = [*starts, np.array([found])]
    return Grams(np.array(first), *map(np.concatenate, (contexts, ends, following, taken)))
