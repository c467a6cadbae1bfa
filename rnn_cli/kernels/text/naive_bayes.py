"""Sums of what the features of a text say about its label, from a table of features.

A feature is a key of 32 bits, the hash of a gram of symbols. What the sums mean is in tasks/naive_bayes.py.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from rnn_cli.kernels.compiler.jit import entry_kernel, kernel
from rnn_cli.kernels.text.bloom import empty_gram, extended, mix

NO_KEY = 0  # at a position at which a gram would be longer than the rest of its text


class FeatureTable(NamedTuple):
    """Features, and how much each of them says for the labels that it was seen with.

    slots   (a power of 2,)  int32, the number of a feature, or -1: in the slot of its key or, if taken, in a later one
    keys    (features,)      uint32
    firsts  (features + 1,)  int64, the first entry of each feature
    labels  (entries,)       uint16
    values  (entries,)       float32
    """

    slots: Any
    keys: Any
    firsts: Any
    labels: Any
    values: Any


@entry_kernel
def hash_grams(symbols, starts, keys):
    """Set keys (orders, symbols + texts) to those of the grams that begin at each symbol of each text.

    A boundary (0) follows the last symbol of a text: text number i begins at starts[i] + i.
    """
    for text in range(starts.size - 1):
        begin, end = starts[text], starts[text + 1]
        for first in range(begin, end + 1):
            digest = empty_gram(0)
            for k in range(keys.shape[0]):
                j = first + k
                if j > end:
                    keys[k, first + text] = NO_KEY
                    continue
                digest = extended(digest, symbols[j] if j < end else 0)
                keys[k, first + text] = max(np.uint32(mix(digest) >> np.uint64(32)), np.uint32(1))


@kernel
def slot_of(slots, keys, key):
    """Return the slot of a key, or the empty one where it would be."""
    last = slots.size - 1
    slot = np.int64(key) & last
    while slots[slot] >= 0 and keys[slots[slot]] != key:
        slot = (slot + 1) & last
    return slot


@entry_kernel
def fill_slots(slots, keys):
    """Put all features, which have different keys, into the slots, which are empty."""
    for feature in range(keys.size):
        slots[slot_of(slots, keys, keys[feature])] = feature


@entry_kernel
def add_values(part, parts, table, keys, starts, sums):
    """Add the values of the features of this thread's share of the texts to sums (texts, groups, labels + 1).

    keys (groups, N) has those of text number i from starts[i] on. The last column of the sums has the number of known
    features.
    """
    known = sums.shape[2] - 1
    for text in range(part, starts.size - 1, parts):
        for group in range(keys.shape[0]):
            for j in range(starts[text], starts[text + 1]):
                key = keys[group, j]
                feature = table.slots[slot_of(table.slots, table.keys, key)] if key != NO_KEY else -1
                if feature >= 0:
                    sums[text, group, known] += 1
                    for entry in range(table.firsts[feature], table.firsts[feature + 1]):
                        sums[text, group, table.labels[entry]] += table.values[entry]
