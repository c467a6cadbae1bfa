"""Data augmentation for short texts: further text, sampled from the 5-grams of the text.

A large network overfits a short text. The augmenter adds texts that follow the smoothed n-gram model of kneser_ney.py:
they have the text's statistics but not its wording
(Xie et al. 2017, "Data Noising as Smoothing in Neural Network Language Models").

To sample a symbol, with the last k symbols as its context c, for k from 4 down to 0:

    pick one of the n(c) counted occurrences of this context, uniformly; let x be the symbol after it
    return x with probability (n(c, x) - D) / n(c); otherwise, or if n(c) is 0, back off to k - 1

and if none is returned, a uniformly random symbol. Occurrences are counted as in kneser_ney.py.
"""

from __future__ import annotations

import numpy as np

from rnn_cli.errors import UsageError
from rnn_cli.kernels.text.ngrams import Grams, draw_symbols
from rnn_cli.rng import DRAWN_TEXT, generator
from rnn_cli.text.codecs import BOUNDARY
from rnn_cli.text.kneser_ney import contexts_reach, counted, final_counts, number_grams

ORDER = 5
LONGEST = 1_000_000  # symbols of a text; networks do not soon overfit a longer one
AT_ONCE = 1 << 16  # symbols for which random numbers are generated together


class Augmenter:
    """Samples text that resembles a text: another one for each epoch, which follows from the seed and the epoch."""

    def __init__(self, ids: np.ndarray, vocab_size: int, line_mode: bool, size: int, random_seed: int) -> None:
        """Take a text as Codec.frame returns it, and the number of symbols to sample for an epoch.

        Raises UsageError for a text of more than LONGEST symbols.
        """
        if len(ids) > LONGEST:
            raise UsageError(f"`augment` is for texts of up to {LONGEST:,} characters; leave it out")
        self.ids, self.vocab_size, self.line_mode = ids, vocab_size, line_mode
        self.size, self.random_seed = size, random_seed
        # The length of the longest line, including its end.
        self.longest = int(np.diff(np.flatnonzero(ids == BOUNDARY)).max()) if line_mode else 0
        self.grams = count_grams(ids, vocab_size, line_mode)

    def text(self, epoch: int) -> np.ndarray:
        """Return the text, followed by the sample of an epoch: `size` symbols or, in line mode, its complete lines.

        Drops empty lines, and lines longer than the text's longest.
        """
        symbols = self.sample(epoch)
        if self.line_mode:
            ends = np.flatnonzero(symbols == BOUNDARY)
            sizes = np.diff(ends, prepend=-1)
            symbols = symbols[: sizes.sum()][np.repeat((sizes > 1) & (sizes <= self.longest), sizes)]
        return np.append(self.ids, symbols.astype(self.ids.dtype))

    def sample(self, epoch: int) -> np.ndarray:
        """Return the `size` symbols (int32) that are sampled for an epoch."""
        random = generator([self.random_seed, DRAWN_TEXT, epoch])
        symbols = random.integers(0 if self.line_mode else 1, self.vocab_size, self.size, np.int32)
        recent = np.full(ORDER, -1)
        recent[0] = 0
        if self.line_mode:
            recent[1] = self.grams.first[1]  # the boundary, which is the first symbol
        else:
            symbols[0] = BOUNDARY
        for start in range(0 if self.line_mode else 1, self.size, AT_ONCE):
            part = symbols[start : start + AT_ONCE]
            uniforms = random.random((len(part), ORDER, 2), np.float32)
            draw_symbols(part, uniforms, recent, self.grams, self.vocab_size)
        return symbols


def count_grams(ids: np.ndarray, vocab_size: int, line_mode: bool) -> Grams:
    """Return the symbols that follow each context of up to ORDER - 1 symbols in a text."""
    x = ids.astype(np.int64)
    reach = contexts_reach(x)
    predicted = (x != BOUNDARY) | line_mode
    predicted[0] = False
    gram_ids = number_grams(x, reach, vocab_size, ORDER)
    first, found = [0, 1], 0
    contexts, starts, following, keep_mask = [np.zeros(1, np.int64)], [], [], []
    for k in range(ORDER):
        positions = np.flatnonzero(reach >= k)
        context = first[k] + (
            gram_ids[k - 1][positions - 1].astype(np.int64) if k else np.zeros(len(positions), np.int64)
        )
        if k + 1 < ORDER:
            contexts.append(np.unique(context * vocab_size + x[positions]))
            first.append(first[-1] + len(contexts[-1]))
        at, context = positions[predicted[positions]], context[predicted[positions]]
        counts = counted(at, k, reach, gram_ids)
        n, _, _, discount = final_counts(gram_ids[k][at], context - first[k], counts)
        order = np.flatnonzero(counts)[np.argsort(context[counts], kind="stable")]
        starts.append(found + np.searchsorted(context[order], np.arange(first[k], first[k + 1])))
        following.append(x[at[order]].astype(np.int32))
        keep_mask.append((np.maximum(n - discount, 0) / n)[order].astype(np.float32))
        found += len(order)
    ends = [*starts, np.array([found])]
    return Grams(np.array(first), *map(np.concatenate, (contexts, ends, following, keep_mask)))
