"""The fingerprint of a corpus: a Bloom filter of its lines and of its runs of characters.

A checkpoint holds it instead of the corpus. It finds every line and run that was trained on (no false negatives), and
a few others (false positives). Making and querying it loads the compiler; describing it does not.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from rnn_cli.errors import CheckpointError
from rnn_cli.text.spool import release

GRAMS = (5, 12)  # lengths of the runs in the filter; a copy is measured with the longest that fits
HASHES = 6
RATE = 0.03  # highest rate of false positives, if the sizes allow it
USELESS = 0.5  # rate of false positives above which no fingerprint is kept
SMALLEST, LARGEST = 1 << 7, 1 << 24  # bytes, powers of two
CHUNK = 1 << 20  # symbols processed at a time


@dataclass(frozen=True)
class Fingerprint:
    """A Bloom filter of a text's runs of 5 and 12 symbols and, in line mode, of its lines.

    `bits` is a uint8 array whose size is a power of two, with `hashes` bits for each entry.
    """

    bits: np.ndarray
    hashes: int

    @classmethod
    def of(cls, *texts: np.ndarray, line_mode: bool, chunk: int = CHUNK, largest: int = LARGEST) -> Fingerprint | None:
        """Return the fingerprint of texts (symbols with boundaries), or None if they are too long for a useful one.

        It has at most `largest` bytes, a power of two. The texts are read `chunk` symbols at a time.
        """
        from rnn_cli.kernels.text.bloom import START, insert_grams, insert_lines

        symbols = sum(map(len, texts))
        entries, size = most_entries(symbols, line_mode), first_size(symbols, line_mode, largest)
        hashes = min(HASHES, max(1, round(8 * size / entries * math.log(2))))
        bits = np.zeros(size, np.uint8)
        digest = START  # each text ends with a line, so the next one begins with another
        for part in chain.from_iterable(parts(ids, chunk) for ids in texts):
            for length in GRAMS:
                insert_grams(bits, hashes, part, length)
            if line_mode:
                digest = np.uint64(insert_lines(bits, hashes, part[max(GRAMS) - 1 :], digest))
            if cls(bits, hashes).rate > USELESS:
                return None
        while len(bits) > SMALLEST:
            half = bits[: len(bits) // 2] | bits[len(bits) // 2 :]
            if cls(half, hashes).rate > RATE:
                break
            bits = half
        return cls(bits, hashes)

    @property
    def rate(self) -> float:
        """The probability of a false positive."""
        return float((np.bitwise_count(self.bits).sum(dtype=np.int64) / (8 * self.bits.size)) ** self.hashes)

    def has_line(self, ids: np.ndarray) -> bool:
        """Say whether a line (symbols, without boundaries) is in the text."""
        from rnn_cli.kernels.text.bloom import contains_line

        return bool(contains_line(self.bits, self.hashes, np.asarray(ids, np.int32)))

    def copied(self, ids: np.ndarray, max_copy: int) -> tuple[int, int]:
        """Return the length of the longest run of symbols copied from the text, and of the run at the end.

        Runs are measured with grams of `gram_for(max_copy)` symbols; shorter ones count as 0.
        """
        from rnn_cli.kernels.text.bloom import copied_runs

        longest, last = copied_runs(self.bits, self.hashes, np.asarray(ids, np.int32), gram_for(max_copy))
        return int(longest), int(last)

    def describe(self) -> dict[str, Any]:
        """Return its size and its rate of false positives, for people."""
        return {"bytes": self.bits.size, "false_positive_rate": self.rate}

    def to_dict(self) -> dict[str, Any]:
        """Return the values as a JSON-ready dictionary."""
        return {"hashes": self.hashes, "bits": base64.b64encode(self.bits.tobytes()).decode("ascii")}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Fingerprint:
        """Build a fingerprint from the result of `to_dict`. Raises CheckpointError for anything else."""
        match values:
            case {"hashes": int(hashes), "bits": str(text)} if (
                len(values) == 2 and len(text) <= 4 * (LARGEST // 3 + 1) and not isinstance(hashes, bool)
            ):
                pass
            case _:
                raise CheckpointError("the fingerprint of the corpus has missing, unknown or damaged parts")
        try:
            bits = np.frombuffer(bytearray(base64.b64decode(text, validate=True)), np.uint8)
        except (binascii.Error, ValueError) as problem:
            raise CheckpointError(f"the fingerprint of the corpus is damaged ({problem})") from problem
        size = len(bits)
        if not SMALLEST <= size <= LARGEST or size & (size - 1) or hashes not in range(1, HASHES + 1):
            raise CheckpointError(f"the fingerprint of the corpus cannot have {size:,} bytes and {hashes} hashes")
        return cls(bits, hashes)


def most_entries(symbols: int, line_mode: bool) -> int:
    """Return the greatest number of entries of this number of symbols."""
    return symbols * (len(GRAMS) + line_mode)


def first_size(symbols: int, line_mode: bool, largest: int = LARGEST) -> int:
    """Return the size in bytes of the filter of this number of symbols, before it is folded to fit."""
    bits = most_entries(symbols, line_mode) * HASHES / math.log(2)
    return min(max(SMALLEST, 1 << math.ceil(math.log2(bits / 8))), largest)


def gram_for(max_copy: int) -> int:
    """Return the length of the grams that measure copies of up to `max_copy` symbols, at least GRAMS[0]."""
    return max(length for length in GRAMS if length <= max_copy)


def parts(ids: np.ndarray, chunk: int) -> Iterator[np.ndarray]:
    """Yield the symbols after the first boundary in parts (int32), each after the last few of the part before."""
    overlap = max(GRAMS) - 1
    before = np.zeros(overlap, np.int32)
    for start in range(1, len(ids), chunk):
        part = np.concatenate([before, ids[start : start + chunk].astype(np.int32)])
        yield part
        before = part[-overlap:]
        release(ids)
