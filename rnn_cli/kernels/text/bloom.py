"""A Bloom filter over hashes of symbols: no false negatives, and few false positives.

The filter is a uint8 array whose size is a power of two, so that it can be folded in half to make it smaller. Each
entry sets `hashes` bits (Bloom 1970, with the double hashing of Kirsch and Mitzenmacher 2006).
"""

from __future__ import annotations

import numpy as np

from rnn_cli.kernels.compiler.jit import entry_kernel, kernel

START = np.uint64(0xCBF29CE484222325)  # offset and prime of FNV-1a with 64 bits
PRIME = np.uint64(0x100000001B3)


@kernel
def mix(number):
    """Return 64 well-mixed bits: the output function of SplitMix64 (Steele, Lea and Flood 2014)."""
    number = (number ^ (number >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    number = (number ^ (number >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return number ^ (number >> np.uint64(31))


@kernel
def extended(digest, symbol):
    """Return the hash of a sequence with one more symbol: a step of FNV-1a."""
    return (digest ^ np.uint64(symbol)) * PRIME


@kernel
def empty_gram(length):
    """Return the initial value of the hash of `length` symbols; that of lines is START."""
    return extended(START, length)


@kernel
def insert(bits, hashes, digest):
    """Insert a hash into the filter."""
    mixed, last = mix(digest), np.uint64(8 * bits.size - 1)
    for index in range(hashes):
        bit = (mixed + np.uint64(index) * (mixed >> np.uint64(32) | np.uint64(1))) & last
        bits[np.int64(bit >> np.uint64(3))] |= np.uint8(1) << np.uint8(bit & np.uint64(7))


@kernel
def contains(bits, hashes, digest):
    """Return whether a hash may be in the filter."""
    mixed, last = mix(digest), np.uint64(8 * bits.size - 1)
    for index in range(hashes):
        bit = (mixed + np.uint64(index) * (mixed >> np.uint64(32) | np.uint64(1))) & last
        if not bits[np.int64(bit >> np.uint64(3))] >> np.uint8(bit & np.uint64(7)) & np.uint8(1):
            return False
    return True


@kernel
def gram(symbols, start, length):
    """Return the hash of `length` symbols."""
    digest = empty_gram(length)
    for j in range(start, start + length):
        digest = extended(digest, symbols[j])
    return digest


@entry_kernel
def insert_grams(bits, hashes, symbols, length):
    """Insert all runs of `length` symbols that do not contain a boundary."""
    since = 0
    for j in range(symbols.size):
        since = since + 1 if symbols[j] else 0
        if since >= length:
            insert(bits, hashes, gram(symbols, j + 1 - length, length))


@entry_kernel
def insert_lines(bits, hashes, symbols, digest):
    """Insert every line that ends with a boundary; return the hash of the unfinished one; `digest` is that before."""
    for j in range(symbols.size):
        if symbols[j]:
            digest = extended(digest, symbols[j])
        else:
            insert(bits, hashes, digest)
            digest = START
    return digest


@entry_kernel
def contains_line(bits, hashes, symbols):
    """Return whether a line may be in the filter."""
    digest = START
    for j in range(symbols.size):
        digest = extended(digest, symbols[j])
    return contains(bits, hashes, digest)


@kernel
def next_run(run, length, found):
    """Return the length of the copied run up to here, given that up to the symbol before, `run`.

    A copy of n symbols makes n - length + 1 finds in a row; copies shorter than `length` count as 0.
    """
    if not found:
        return 0
    return run + 1 if run else length


@entry_kernel
def copied_runs(bits, hashes, symbols, length):
    """Return the lengths of the longest run of copied symbols, and of the run that ends with the last symbol."""
    longest = run = 0
    for j in range(length - 1, symbols.size):
        run = next_run(run, length, contains(bits, hashes, gram(symbols, j + 1 - length, length)))
        longest = max(longest, run)
    return longest, run
