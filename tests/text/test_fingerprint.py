"""The fingerprint has no false negatives and few false positives, and is refused if it is damaged."""

import base64

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnn_cli.errors import CheckpointError
from rnn_cli.text.fingerprint import GRAMS, LARGEST, RATE, Fingerprint

GENERATOR = np.random.default_rng(5)
LINES = [GENERATOR.integers(1, 30, GENERATOR.integers(1, 30)) for _ in range(2000)]
TEXT = np.concatenate([[0], *([*line, 0] for line in LINES)]).astype(np.uint8)
FOUND = Fingerprint.of(TEXT, line_mode=True)


def longest_copy(ids, text, least):
    """Return the length of the longest run that a text contains without a boundary; 0 if it is shorter than a gram."""
    ids, text = bytes(ids), bytes(text)
    runs = (
        size for size in range(len(ids), least - 1, -1) for j in range(len(ids) - size + 1) if ids[j : j + size] in text
    )
    return next(runs, 0)


def test_every_line_is_found():
    assert all(FOUND.has_line(line) for line in LINES)


def test_few_other_lines_are_found():
    others = GENERATOR.integers(1, 30, (5000, 20))
    assert np.mean([FOUND.has_line(line) for line in others]) < 3 * RATE
    assert FOUND.rate <= RATE


def test_the_rate_is_the_measured_one():
    small = Fingerprint(FOUND.bits[: FOUND.bits.size // 8] | GENERATOR.integers(0, 256, 1, np.uint8), 2)
    others = GENERATOR.integers(1, 30, (20_000, 20))
    assert np.mean([small.has_line(line) for line in others]) == pytest.approx(small.rate, rel=0.1)


@settings(deadline=None)
@given(
    st.integers(0, len(TEXT) - 40), st.integers(0, 40), st.lists(st.integers(1, 29), max_size=8), st.sampled_from(GRAMS)
)
def test_no_copy_is_missed(start, size, others, gram):
    """The measured length may exceed the copied one, but is never less."""
    piece = [symbol for symbol in TEXT[start : start + size].tolist() if symbol]
    ids = np.array([*others, *piece, *others])
    longest, last = FOUND.copied(ids, gram)
    assert longest >= longest_copy(ids, TEXT, gram)
    assert last <= longest <= len(ids)


def test_copies_are_measured():
    line = next(line for line in LINES if len(line) == 25)
    for gram in GRAMS:
        for max_copy in range(gram, 30):
            assert FOUND.copied(line, max_copy) == (25, 25)
        other = np.array([*line[:20], 31, 32])
        assert FOUND.copied(other, gram) == (20, 0)
        assert FOUND.copied(line[: gram - 1], gram) == (0, 0)


def test_no_copy_crosses_a_boundary():
    first, second = LINES[0], LINES[1]
    ids = np.array([*first, *second])
    assert FOUND.copied(ids, 5)[0] < len(ids)


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_it_does_not_depend_on_the_chunks(chunk):
    text = TEXT[: 20 * chunk + 300]
    parts = Fingerprint.of(text, line_mode=True, chunk=chunk)
    end = int(np.flatnonzero(text == 0)[5])
    assert parts.to_dict() == Fingerprint.of(text[: end + 1], text[end:], line_mode=True).to_dict()
    assert parts.to_dict() == Fingerprint.of(text.astype(np.uint32), line_mode=True).to_dict()


def test_a_stream_has_no_lines():
    stream = Fingerprint.of(TEXT, line_mode=False)
    assert not any(stream.has_line(line) for line in LINES[:50] if len(line) not in GRAMS)
    assert stream.copied(LINES[0], 5) == FOUND.copied(LINES[0], 5)


def test_a_repetitive_text_takes_few_bytes():
    assert Fingerprint.of(np.tile(np.arange(1, 20, dtype=np.uint8), 50_000), line_mode=False).bits.size == 128


def test_a_longer_text_has_a_higher_rate_and_then_none():
    full = Fingerprint.of(TEXT, line_mode=True, largest=1 << 15)
    assert full.bits.size <= 1 << 15
    assert RATE < full.rate < 0.5
    assert all(full.has_line(line) for line in LINES)
    assert Fingerprint.of(TEXT, line_mode=True, largest=1 << 11) is None


def test_fingerprint_round_trips():
    again = Fingerprint.from_dict(FOUND.to_dict())
    assert again.bits.tobytes() == FOUND.bits.tobytes()
    assert again.hashes == FOUND.hashes
    assert again.bits.flags.writeable  # as in a new fingerprint: the kernels are compiled for writeable arrays
    assert again.describe() == {"bytes": FOUND.bits.size, "false_positive_rate": FOUND.rate}


GOOD = Fingerprint(np.zeros(128, np.uint8), 6).to_dict()


@pytest.mark.parametrize(
    "change",
    [
        {"hashes": 0},
        {"hashes": 7},
        {"hashes": 10**30},
        {"hashes": True},
        {"hashes": 7.0},
        {"hashes": "7"},
        {"bits": ""},
        {"bits": 128},
        {"bits": "!" * 172},
        {"bits": "\u0660" * 172},
        {"bits": base64.b64encode(bytes(64)).decode()},
        {"bits": base64.b64encode(bytes(127)).decode()},
        {"bits": base64.b64encode(bytes(192)).decode()},
        {"bits": "A" * (4 * LARGEST // 3 + 8)},
        {"more": 1},
    ],
    ids=lambda change: str(change)[:30],
)
def test_a_damaged_fingerprint_is_refused(change):
    with pytest.raises(CheckpointError, match="fingerprint"):
        Fingerprint.from_dict(GOOD | change)


def test_largest_fingerprint_round_trips():
    largest = Fingerprint(np.zeros(LARGEST, np.uint8), 1)
    assert Fingerprint.from_dict(largest.to_dict()).bits.size == LARGEST
