"""The hold-out split: equal lines are never on both sides, and a text without repeats is split as it always was."""

from __future__ import annotations

import hashlib
from collections import Counter

import numpy as np
import pytest

from rnn_cli.text import holdout
from rnn_cli.text.holdout import (
    copied_samples,
    line_hashes,
    lines_in_both,
    repeated_lines,
    split_lines,
    split_stream,
)


def symbols(lines: list[str], dtype: type = np.uint8) -> np.ndarray:
    """Return lines as symbols with a boundary before, between and after them."""
    return np.frombuffer(("\n" + "\n".join(lines) + "\n").encode(), np.uint8).astype(dtype) - 10


def lines_of(ids: np.ndarray) -> list[bytes]:
    """Return the lines that `symbols` was given."""
    return (ids + 10).astype(np.uint8).tobytes().split(b"\n")[1:-1]


def random_lines(count: int, seed: int = 3, longest: int = 9) -> list[str]:
    """Return distinct lines of letters."""
    draws = np.random.default_rng(seed)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    lines: dict[str, None] = {}
    while len(lines) < count:
        lines["".join(draws.choice(letters, draws.integers(2, longest)))] = None
    return [*lines]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32])
@pytest.mark.parametrize("copies", [2, 3])
def test_equal_lines_are_never_on_both_sides(copies: int, dtype: type) -> None:
    lines = random_lines(300) * copies + random_lines(50, 4, 30)
    training, validation, reason = split_lines(symbols(lines, dtype), 0.1, 1)
    assert validation is not None
    kept, held = lines_of(training), lines_of(validation)
    assert not set(kept) & set(held)
    assert Counter(kept) + Counter(held) == Counter(line.encode() for line in lines)  # repeats count as they stand
    assert abs(len(set(held)) - 35) <= 1
    assert f"{300 * (copies - 1)} of {len(lines):,} lines are repeats" in reason
    assert reason.startswith(f"{len(held)} of {len(lines):,} lines, at random")


def test_lines_without_repeats_are_split_as_before() -> None:
    _, validation, reason = split_lines(symbols(random_lines(300)), 0.1, 1)
    assert validation is not None
    digest = hashlib.sha256(b"\n".join(lines_of(validation))).hexdigest()
    assert (digest[:16], reason) == ("dc2c8b828af16511", "30 of 300 lines, at random")


@pytest.mark.parametrize("lines", [["one"] * 500, ["one", "two", "three"] * 100])
def test_too_few_different_lines_are_not_split(lines: list[str]) -> None:
    ids = symbols(lines)
    assert split_lines(ids, 0.1, 1) == (ids, None, "none (fewer than 20 different lines)")


def test_hashes_do_not_depend_on_where_pieces_end(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = symbols([*random_lines(200), "x" * 1000, *random_lines(200)[::-1], "x" * 1000, "x" * 999])
    expected = np.concatenate([*line_hashes(ids)])
    assert len(expected) == 403
    assert len(set(expected)) == 202
    for piece in (1, 7, 64, 1000):
        monkeypatch.setattr(holdout, "PIECE", piece)
        monkeypatch.setattr("rnn_cli.text.spool.PIECE", piece)
        assert np.array_equal(np.concatenate([*line_hashes(ids)]), expected)


@pytest.mark.parametrize("at_a_time", [1, 16, 1 << 19])
def test_repeats_are_found_with_their_first_occurrence(monkeypatch: pytest.MonkeyPatch, at_a_time: int) -> None:
    monkeypatch.setattr(holdout, "HASHES_AT_A_TIME", at_a_time)
    lines = [str(number) for number in np.random.default_rng(5).integers(0, 60, 200)]
    repeats, firsts = repeated_lines(symbols(lines), len(lines))
    found = dict(zip(repeats.tolist(), firsts.tolist()))
    assert found == {index: lines.index(line) for index, line in enumerate(lines) if lines.index(line) < index}


def test_trained_lines_in_a_validation_text_are_counted() -> None:
    lines = random_lines(100)
    assert lines_in_both(symbols(lines), symbols(["new", *lines[:7], lines[3], "other"])) == 8
    assert lines_in_both(symbols(lines), symbols(["new"])) == 0


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_stream_that_repeats_itself_is_said(dtype: type) -> None:
    text = np.random.default_rng(1).integers(1, 60, 20_000).astype(dtype)
    for ids, copied in ((np.concatenate([text, text]), True), (text, False), (np.ones_like(text), False)):
        _, validation, reason = split_stream(ids, 0.1)
        assert validation is not None
        assert ("word for word" in reason) is copied
    assert copied_samples(text, text[:50]) == 0
