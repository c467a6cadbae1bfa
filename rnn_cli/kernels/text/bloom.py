"""A Bloom filter over hashes of symbols: what was put in is found, and of the rest a small share is found too.

The filter is a uint8 array whose size is a power of two, so that its halves can be laid over each other to make it
smaller; each entry sets `hashes` bits (Bloom 1970, with the double hashing of Kirsch and Mitzenmacher 2006).
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
    """Return the hash of some symbols and one more, a step of FNV-1a."""
    return (digest ^ np.uint64(symbol)) * PRIME


@kernel
def empty_gram(length):
    """Return what the hash of `length` symbols begins with; lines begin with START."""
    return extended(START, length)


@kernel
def insert(bits, hashes, digest):
    """Put a hash into the filter."""
    mixed, last = mix(digest), np.uint64(8 * bits.size - 1)
    for number in range(hashes):
        place = (mixed + np.uint64(number) * (mixed >> np.uint64(32) | np.uint64(1))) & last
        bits[np.int64(place >> np.uint64(3))] |= np.uint8(1) << np.uint8(place & np.uint64(7))


@kernel
def contains(bits, hashes, digest):
    """Say whether a hash may have been put into the filter."""
    mixed, last = mix(digest), np.uint64(8 * bits.size - 1)
    for number in range(hashes):
        place = (mixed + np.uint64(number) * (mixed >> np.uint64(32) | np.uint64(1))) & last
        if not bits[np.int64(place >> np.uint64(3))] >> np.uint8(place & np.uint64(7)) & np.uint8(1):
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
    """Put in all runs of `length` symbols that have no boundary in them."""
    since = 0
    for j in range(symbols.size):
        since = since + 1 if symbols[j] else 0
        if since >= length:
            insert(bits, hashes, gram(symbols, j + 1 - length, length))


@entry_kernel
def insert_lines(bits, hashes, symbols, digest):
    """Put in every line that a boundary ends; return the hash of the one that is not ended. `digest` is that before."""
    for j in range(symbols.size):
        if symbols[j]:
            digest = extended(digest, symbols[j])
        else:
            insert(bits, hashes, digest)
            digest = START
    return digest


@entry_kernel
def contains_line(bits, hashes, symbols):
    """Say whether a line may have been put in."""
    digest = START
    for j in range(symbols.size):
        digest = extended(digest, symbols[j])
    return contains(bits, hashes, digest)


@kernel
def next_run(run, length, found):
    """Return how many symbols are copied up to here, where so many were up to the one before.

    A copy of n symbols makes n - length + 1 finds in a row; what is shorter than `length` counts as nothing.
    """
    if not found:
        return 0
    return run + 1 if run else length


@entry_kernel
def copied_runs(bits, hashes, symbols, length):
    """Return the longest run of copied symbols, and the one that the symbols end with."""
    longest = run = 0
    for j in range(length - 1, symbols.size):
        run = next_run(run, length, contains(bits, hashes, gram(symbols, j + 1 - length, length)))
        longest = max(longest, run)
    return longest, run
