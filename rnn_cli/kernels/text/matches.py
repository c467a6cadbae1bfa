"""The longest match: what followed when the last symbols of a text stood in a history before.

A hash of the last symbols gives the position after their last occurrence. While the symbols that are read are those of
the history, the match goes on; after one that differs, it is tried once more behind that symbol. Of two lengths of the
hashed gram the longer is looked up first.

A hash is h <- (h + symbol + 1) MIX 2^SHIFT modulo 2^64, so that symbols of 64 / SHIFT steps ago have left it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from rnn_cli.kernels.compiler.jit import entry_kernel, kernel

MIX = np.uint64(0x9E3779B97F4A7C15)
SHIFTS = (np.uint64(8), np.uint64(3))
SHORT, LONG = 7, 21  # symbols in a hash: the last numbers n with n SHIFT < 64
POSITION, LENGTH, READ, HASHES, TRACKED = 0, 1, 2, 3, 7  # the columns of a row's state, and how many they are
LONGEST = 1 << 20  # symbols of a match that are counted
ONE = np.uint64(1)
HALF, LOW_HALF = np.uint64(32), np.uint64(0xFFFFFFFF)
LENGTHS, AGREEMENTS = 24, 4
BUCKETS = LENGTHS * AGREEMENTS
MEMORY = 1000.0  # symbols that a share is the mean of, at most
MOST_SHARE = 1 - 1e-9  # so that each symbol stays possible, however long a match was right


class Matches(NamedTuple):
    """A history, and where its grams stand. Without one, it has no room.

    history (N) int32        the symbols; the first used[0] of them are known
    used (1) int64
    table (2, power of 2)    int32: the position after the last gram of SHORT and of LONG symbols with a hash; 0: none
    shares (BUCKETS, 2)      float64: the share of what the match predicts, and how many symbols that is the mean of
    predicted (rows, 2)      int32: the bucket and the symbol that were predicted; -1: none
    """

    history: Any
    used: Any
    table: Any
    shares: Any
    predicted: Any


@kernel
def hashed(digest, symbol, kind):
    """Return the hash with one more symbol."""
    return (digest + np.uint64(symbol) + ONE) * (MIX << SHIFTS[kind])


@kernel
def slot(table, digest):
    """Return the place of a hash in the table."""
    return np.int64(((digest ^ (digest >> HALF)) * MIX) >> np.uint64(40)) & (table.shape[1] - 1)


@kernel
def get_hash(tracks, row, column):
    """Return a hash, whose complement is kept in two columns of int32, as -1 stands for nothing."""
    low, high = np.uint64(np.uint32(tracks[row, column])), np.uint64(np.uint32(tracks[row, column + 1]))
    return ~(low | (high << HALF))


@kernel
def set_hash(tracks, row, column, digest):
    """Keep the complement of a hash in two columns of int32."""
    tracks[row, column] = np.int32(np.uint32(~digest & LOW_HALF))
    tracks[row, column + 1] = np.int32(np.uint32(~digest >> HALF))


@kernel
def found(matches, digest, kind):
    """Return the position after the last gram of the history with this hash, -1 if there is none."""
    position = matches.table[kind, slot(matches.table, digest)]
    size = LONG if kind == 1 else SHORT
    if position < size or position >= matches.used[0]:
        return -1
    own = np.uint64(0)
    for at in range(position - size, position):
        own = hashed(own, matches.history[at], kind)
    return position if own == digest else -1


@kernel
def follow_match(matches, tracks, row, first, symbol, kept):
    """Read a symbol on a row, whose state begins at column `first`; add it to the history if it is to be `kept`.

    The state of a row that has read nothing is -1 in all columns. A boundary, symbol 0, begins a text.
    """
    used = matches.used[0]
    if kept and used < matches.history.size:
        matches.history[used] = symbol
        matches.used[0] = used + 1
    if symbol == 0:
        for column in range(first, first + TRACKED):
            tracks[row, column] = -1
        return
    position, length = np.int64(tracks[row, first + POSITION]), np.int64(tracks[row, first + LENGTH])
    if position >= 0:
        if matches.history[position] == symbol:
            length += length < LONGEST
        elif length < SHORT:
            position, length = np.int64(-1), np.int64(0)
        else:
            length = np.int64(0)
        if position >= 0:
            position += 1
    read = np.int64(tracks[row, first + READ]) + 1  # one less than the number of symbols read, up to LONG
    read = read if read < LONG else np.int64(LONG)
    tracks[row, first + READ] = read
    for kind in (1, 0):
        column = first + HASHES + 2 * kind
        digest = hashed(get_hash(tracks, row, column), symbol, kind)
        set_hash(tracks, row, column, digest)
        size = LONG if kind == 1 else SHORT
        if read + 1 >= size:
            if (position < 0 or length < SHORT) and matches.used[0] > 0:
                candidate = np.int64(found(matches, digest, kind))
                if candidate >= 0:
                    position, length = candidate, np.int64(size)
            if kept and used < matches.history.size:
                matches.table[kind, slot(matches.table, digest)] = used + 1
    if position >= matches.used[0]:
        position = np.int64(-1)
    tracks[row, first + POSITION], tracks[row, first + LENGTH] = position, length


@kernel
def prediction(matches, tracks, row, first):
    """Return the symbol that the match of a row predicts, -1 if there is none, and the level of its length."""
    position = np.int64(tracks[row, first + POSITION])
    if position < 0 or position >= matches.used[0]:
        return np.int64(-1), 0
    length = np.int64(tracks[row, first + LENGTH])
    level, limit = length if length < 15 else np.int64(15), 16
    while length >= limit and level < LENGTHS - 1:
        level, limit = level + 1, limit + (limit >> 1)
    return np.int64(matches.history[position]), level


@kernel
def bucket_of(level, agreement):
    """Return the bucket of a level of length and the probability of the predicted symbol without the match."""
    return AGREEMENTS * level + (agreement > 0.1) + (agreement > 0.4) + (agreement > 0.8)


@kernel
def move_share(matches, row, target, worth):
    """Let the share of the last prediction on a row follow `worth`, its posterior probability if it was right."""
    bucket, predicted = matches.predicted[row, 0], matches.predicted[row, 1]
    if predicted >= 0:
        right = min(worth, 1.0) if predicted == target else 0.0
        shares = matches.shares
        share = shares[bucket, 0] + (right - shares[bucket, 0]) / (shares[bucket, 1] + 1)
        shares[bucket, 0] = min(share, MOST_SHARE)
        shares[bucket, 1] = min(shares[bucket, 1] + 1, MEMORY)


@entry_kernel
def keep_history(matches, tracks, symbols):
    """Add symbols (n) to the history, and their grams to the table."""
    for i in range(symbols.size):
        follow_match(matches, tracks, 0, 0, symbols[i], True)
