"""Data augmentation for short texts: further text, drawn from the 5-grams of the one that there is.

A large network learns a short text by heart. Here it is given, beside that text, others that follow the smoothed n-gram
model of ngram.py: they say which symbols follow each other, and not what was written
(Xie et al. 2017, "Data Noising as Smoothing in Neural Network Language Models").

To draw a symbol from that model, with the last k symbols as its context, k from 4 down to 0:

    pick one of the n(c) places behind this context; x stands there
    x it is with probability (n(c, x) - D) / n(c, x); else, or where n(c) is 0, one symbol less is looked at

and at the end any symbol. The places are those that Kneser and Ney count.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rnn_cli.errors import UsageError
from rnn_cli.ngram import contexts_reach, final_counts, is_first, number_grams
from rnn_cli.order import generator
from rnn_cli.vocabulary import BOUNDARY

ORDER = 5
LONGEST = 1_000_000  # symbols of a text; larger ones are not known by heart so soon
PASSAGE = 1023  # symbols that are drawn one after the other, many passages side by side
PURPOSE = 6  # of the random numbers, beside those of other places


class Level(NamedTuple):
    """What follows k symbols. Contexts, and grams of k symbols and one more, are known by their numbers.

    following   the symbols that stand behind each context, one for each place that counts, context by context
    stays       for each of these the probability that it is taken
    starts      where those of each context begin, and where the last one's end
    grams       the grams in the order of their numbers, each as its context's number times V and its last symbol
    """

    following: np.ndarray
    stays: np.ndarray
    starts: np.ndarray
    grams: np.ndarray


class Augmenter:
    """Draws text that is like a text: for each epoch another one, which follows from the seed and the epoch."""

    def __init__(self, ids: np.ndarray, vocab_size: int, lines: bool, size: int, random_seed: int) -> None:
        """Take a text as Vocabulary.frame returns it, and how many symbols to draw for an epoch.

        Raises UsageError for a text of more than LONGEST symbols.
        """
        if len(ids) > LONGEST:
            raise UsageError(f"--augment is for texts of up to {LONGEST:,} characters; leave it out")
        self.ids, self.vocab_size, self.lines = ids, vocab_size, lines
        self.size, self.random_seed = size, random_seed
        self.levels = make_levels(ids, vocab_size, lines)

    def text(self, epoch: int) -> np.ndarray:
        """Return the text with what is drawn for an epoch behind it: at most `size` symbols; in line mode, lines."""
        parts = [self.ids]
        for passage in self._passages(-(-self.size // (PASSAGE + 1)), generator([self.random_seed, PURPOSE, epoch])):
            if self.lines:
                ends = np.flatnonzero(passage == BOUNDARY)
                parts.append(passage[: ends[-1] + 1 if len(ends) else 0])
            else:
                parts += [self.ids[:1], passage]
        text = np.concatenate(parts)[: len(self.ids) + self.size]
        return text[: np.flatnonzero(text == BOUNDARY)[-1] + 1] if self.lines else text

    def _passages(self, count: int, draws: np.random.Generator) -> np.ndarray:
        """Return so many passages (count, PASSAGE), in line mode from the start of a line."""
        contexts = [np.zeros(count, np.int64) for _ in self.levels]  # the numbers of the last k symbols, -1: never seen
        for known in contexts[1 + self.lines :]:
            known[:] = -1
        passages = np.zeros((count, PASSAGE), self.ids.dtype)
        for step in range(PASSAGE):
            symbols = draws.integers(0 if self.lines else 1, self.vocab_size, count)
            waiting = np.ones(count, bool)
            for level, context in zip(reversed(self.levels), reversed(contexts)):
                at = np.flatnonzero(waiting & (context >= 0))
                first = level.starts[context[at]]
                places = level.starts[context[at] + 1] - first
                at, first, places = at[places > 0], first[places > 0], places[places > 0]
                picked = first + (draws.random(len(at)) * places).astype(np.int64)
                stays = draws.random(len(at)) < level.stays[picked]
                symbols[at[stays]] = level.following[picked[stays]]
                waiting[at[stays]] = False
            contexts[1:] = [self._gram(*pair, symbols) for pair in zip(self.levels, contexts[:-1])]
            passages[:, step] = symbols
        return passages

    def _gram(self, level: Level, context: np.ndarray, symbols: np.ndarray) -> np.ndarray:
        """Return the numbers of contexts with one symbol more, -1 for those that are not in the text."""
        grams = context * self.vocab_size + symbols
        numbers = np.searchsorted(level.grams, grams).clip(max=len(level.grams) - 1)
        return np.where((context >= 0) & (level.grams[numbers] == grams), numbers, -1)


def make_levels(ids: np.ndarray, vocab_size: int, lines: bool) -> list[Level]:
    """Return the levels of a text for k = 0 .. ORDER - 1."""
    x = ids.astype(np.int64)
    reach = contexts_reach(x)
    predicted = (x != BOUNDARY) | lines
    predicted[0] = False
    numbers = number_grams(x, reach, vocab_size, ORDER)
    levels: list[Level] = []
    for k in range(ORDER):
        there = np.flatnonzero(reach >= k)
        contexts = numbers[k - 1][there - 1] if k else np.zeros(len(there), np.int32)
        grams = np.unique(contexts.astype(np.int64) * vocab_size + x[there])
        here = predicted[there]
        at, context, gram = there[here], contexts[here], numbers[k][there[here]]
        counts = np.ones(len(at), bool)
        if k + 1 < ORDER:
            longer = reach[at] > k
            counts[longer] = is_first(numbers[k + 1][at[longer]])
        n, _, _, discount = final_counts(gram, context, counts)
        order = np.flatnonzero(counts)[np.argsort(context[counts], kind="stable")]
        stays = (np.maximum(n - discount, 0) / n)[order].astype(np.float32)
        starts = np.searchsorted(context[order], np.arange(len(levels[-1].grams) + 1 if k else 2))
        levels.append(Level(ids[at[order]], stays, starts, grams))
    return levels
