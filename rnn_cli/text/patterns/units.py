"""What automata read: the characters that a model knows, or the bytes of UTF-8."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

import numpy as np

from rnn_cli.text.patterns.syntax import LARGEST, CharacterSet

MEMBER = {"d": str.isdecimal, "s": str.isspace, "w": lambda character: character.isalnum() or character == "_"}
# The categories of bytes are those of ASCII, as with Python's re.ASCII: a byte says little of the character.
ASCII = {"d": ((48, 57),), "s": ((9, 13), (32, 32)), "w": ((48, 57), (65, 90), (95, 95), (97, 122))}
SURROGATES = (0xD800, 0xDFFF)  # code points that are not characters
LAST = (0x7F, 0x7FF, 0xFFFF, LARGEST)  # code points of 1, 2, 3 and 4 bytes

Way = tuple[bytes, ...]  # the set of units (a bool for each) at each step


class Units(ABC):
    """The units of automata, numbered from 0 to `count` - 1."""

    count: int

    @abstractmethod
    def ways(self, characters: CharacterSet) -> list[Way]:
        """Return the ways to write a character of a set in units."""


class Characters(Units):
    """Each character of an alphabet is a unit; there are no others."""

    def __init__(self, alphabet: str) -> None:
        self.alphabet, self.count = alphabet, len(alphabet)
        self._codes = np.array([ord(character) for character in alphabet], np.int64)

    def ways(self, characters: CharacterSet) -> list[Way]:
        """Return one way of one step: the members that the alphabet has."""
        found = np.zeros(self.count, bool)
        for low, high in characters.ranges:
            found |= (self._codes >= low) & (self._codes <= high)
        for category in characters.categories:
            is_member = MEMBER[category.lower()]
            members = np.array([is_member(character) for character in self.alphabet], bool)
            found |= ~members if category.isupper() else members
        return [((found ^ characters.negated).tobytes(),)]


class Bytes(Units):
    """Each byte is a unit, and a character is one to four of them."""

    count = 256

    def ways(self, characters: CharacterSet) -> list[Way]:
        """Return a way for each range of code points whose UTF-8 has a range of bytes at each step."""
        ranges = list(characters.ranges)
        for category in characters.categories:
            own = ASCII[category.lower()]
            ranges += complement(own) if category.isupper() else own
        return [
            tuple(mask_of(first, last) for first, last in zip(low, high))
            for start, end in (complement(ranges) if characters.negated else merged(ranges))
            for low, high in byte_ranges(start, end)
        ]


def merged(ranges: list[tuple[int, int]] | tuple[tuple[int, int], ...]) -> list[tuple[int, int]]:
    """Return ranges in their order, without overlaps and without surrogates."""
    found: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if found and low <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], high))
        else:
            found.append((low, high))
    first, last = SURROGATES
    parts = [part for low, high in found for part in ((low, min(high, first - 1)), (max(low, last + 1), high))]
    return [(low, high) for low, high in parts if low <= high]


def complement(ranges: list[tuple[int, int]] | tuple[tuple[int, int], ...]) -> list[tuple[int, int]]:
    """Return the ranges of all other characters."""
    found, start = [], 0
    for low, high in sorted([*merged(ranges), SURROGATES]):
        if start < low:
            found.append((start, low - 1))
        start = max(start, high + 1)
    return [*found, (start, LARGEST)] if start <= LARGEST else found


def byte_ranges(start: int, end: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield the first and the last bytes, step by step, of parts of a range of code points.

    In each part every step may have any byte between the two, whatever the other bytes are.
    """
    for last in LAST:
        if start <= last < end:
            yield from byte_ranges(start, last)
            yield from byte_ranges(last + 1, end)
            return
    if end > LAST[0]:
        for bits in (6, 12, 18):  # of the steps after this one: they must be able to take all values
            mask = (1 << bits) - 1
            if start | mask >= end:
                break
            if start & mask:
                yield from byte_ranges(start, start | mask)
                yield from byte_ranges((start | mask) + 1, end)
                return
            if end & mask != mask:
                yield from byte_ranges(start, (end & ~mask) - 1)
                yield from byte_ranges(end & ~mask, end)
                return
    yield chr(start).encode("utf-8"), chr(end).encode("utf-8")


def mask_of(first: int, last: int) -> bytes:
    """Return the set of the bytes from `first` to `last`."""
    mask = np.zeros(256, bool)
    mask[first : last + 1] = True
    return mask.tobytes()
