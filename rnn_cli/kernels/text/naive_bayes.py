"""Sums of what the features of a text say about its label, from a table of features.

A feature is a key of 32 bits: the number of its group, up to 16, and the hash of a gram of symbols, or of a token and
its neighbours. What the sums mean is in tasks/naive_bayes.py.
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


@kernel
def key_of(group, digest):
    """Return the key of a hash: its group in the upper 4 bits, so that groups do not share keys, and 28 of the hash."""
    return max(np.uint32(group << 28 | np.int64(mix(digest) >> np.uint64(36))), np.uint32(NO_KEY + 1))


@kernel
def key_of_run(group, symbols, first, end):
    """Return the key, in its group, of a run of symbols."""
    digest = empty_gram(0)
    for j in range(first, end):
        digest = extended(digest, symbols[j])
    return key_of(group, digest)


@kernel
def key_of_pair(group, first, second):
    """Return the key, in its group, of two keys."""
    return key_of(group, extended(extended(empty_gram(0), first), second))


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
                keys[k, first + text] = key_of(k, digest)


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


@kernel
def end_of(keys, token):
    """Return the key of the last two symbols of a token, of the whole one if it has one symbol."""
    return keys[2, token] if keys[2, token] != NO_KEY else keys[0, token]


@entry_kernel
def hash_tokens(symbols, targets, starts, keys):
    """Set keys (groups, tokens) to the features of the tokens of texts; each ends at a symbol with a target.

    Before a token is a boundary or a blank. The groups are: the token; its last symbol, its last two, and so on; its
    first two and three; the tokens before and after it, and each of them with it; the last two symbols of the token
    before with the last three of its own, and the same with the token after; the ends of both neighbours.
    """
    suffixes = keys.shape[0] - 10
    token = 0
    for text in range(starts.size - 1):
        first_token, begin = token, starts[text] + 1
        for j in range(starts[text], starts[text + 1]):
            if targets[j] >= 0:
                length = j + 1 - begin
                keys[0, token] = key_of_run(0, symbols, begin, j + 1)
                for size in range(1, suffixes + 1):
                    keys[size, token] = key_of_run(size, symbols, j + 1 - size, j + 1) if size <= length else NO_KEY
                for size in range(2, 4):
                    group = suffixes + size - 1
                    keys[group, token] = key_of_run(group, symbols, begin, begin + size) if size <= length else NO_KEY
                begin = j + 2
                token += 1
        for number in range(first_token, token):
            before = keys[0, number - 1] if number > first_token else NO_KEY
            after = keys[0, number + 1] if number + 1 < token else NO_KEY
            end_before = end_of(keys, number - 1) if number > first_token else NO_KEY
            end_after = end_of(keys, number + 1) if number + 1 < token else NO_KEY
            group = suffixes + 3
            keys[group, number] = key_of_pair(group, before, 0)
            keys[group + 1, number] = key_of_pair(group + 1, after, 0)
            keys[group + 2, number] = key_of_pair(group + 2, before, keys[0, number])
            keys[group + 3, number] = key_of_pair(group + 3, keys[0, number], after)
            keys[group + 4, number] = key_of_pair(group + 4, end_before, keys[3, number])
            keys[group + 5, number] = key_of_pair(group + 5, keys[3, number], end_after)
            keys[group + 6, number] = key_of_pair(group + 6, end_before, end_after)
