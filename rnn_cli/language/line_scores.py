"""The lines and the characters of a text as it comes, with their bits, and the choice of those that are wanted."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from rnn_cli.language.scorer import Scorer
from rnn_cli.text.documents import lines_of, read_pieces

PIECE = 1 << 20  # bytes that are scored at a time; a longer line comes in parts


@dataclass(frozen=True)
class ScoredLines:
    """Some lines in a row, or a part of one that is longer than PIECE.

    number      of the first line in its text, from 1
    text        as it came; characters that are not UTF-8 are lone surrogates
    lines       the same without the newlines
    characters  of each line that were scored, its newline or end counted
    bits        of each line
    symbol_bits, symbol_unknown   of each character, line after line; the end of the text may be one more
    """

    number: int
    text: str | bytes
    lines: list[str] | list[bytes]
    characters: np.ndarray
    bits: np.ndarray
    symbol_bits: np.ndarray
    symbol_unknown: np.ndarray

    @property
    def starts(self) -> np.ndarray:
        """The number of each line's first character, from 0."""
        return np.cumsum(self.characters) - self.characters

    @property
    def bits_per_char(self) -> np.ndarray:
        """The mean of each line."""
        return self.bits / self.characters

    @property
    def unknown(self) -> np.ndarray:
        """How many characters of each line the model has never seen."""
        return np.add.reduceat(self.symbol_unknown.astype(np.int64), self.starts)


def scored_lines(scorer: Scorer, path: str, piece: int = PIECE) -> Iterator[ScoredLines]:
    """Score a file, or stdin for "-", as it comes: all lines that are there, together.

    A byte that is not UTF-8 is an unknown character to a model of characters. What is held is a piece at a time.
    """
    codec, number = scorer.codec, 1
    scorer.start()
    for data, ended in read_pieces(path, piece):
        text = codec.as_read(data)
        symbols = codec.encode(text)
        if ended:
            symbols = codec.closed(symbols)
        yield group_by_line(number, text, symbols < 0, scorer.read(symbols)[0] / math.log(2))
        number += data.count(b"\n")


def group_by_line(number: int, text: str | bytes, symbol_unknown: np.ndarray, symbol_bits: np.ndarray) -> ScoredLines:
    """Return a text by lines, given what its symbols cost."""
    lines = lines_of(text)
    characters = np.fromiter(map(len, lines), np.int64, len(lines)) + 1
    characters[-1] += len(symbol_bits) - characters.sum()  # the last line may have neither a newline nor an end
    bits = np.add.reduceat(symbol_bits, np.cumsum(characters) - characters)
    return ScoredLines(number, text, lines, characters, bits, symbol_bits, symbol_unknown)


class Selection:
    """Chooses among items by a number for each: all, or those at or above a threshold, or, with `below`, at or below.

    In order, the greatest come first, or the least with `below`; equal ones stay as they came. `top` says how many of
    these are wanted, and no more are kept; without it, all items in order are kept until the end.
    """

    def __init__(self, threshold: float | None, below: bool, in_order: bool, top: int | None) -> None:
        self._threshold, self._below, self._in_order, self._top = threshold, below, in_order, top
        self._numbers, self._rows = [np.zeros(0)], list[bytes]()

    def take(self, numbers: np.ndarray, render: Callable[[np.ndarray], list[bytes]]) -> list[bytes]:
        """Take in further items; return those to be shown now. `render` makes items, by their places, into rows."""
        places = np.arange(len(numbers))
        if self._threshold is not None:
            places = np.flatnonzero(numbers <= self._threshold if self._below else numbers >= self._threshold)
        if not self._in_order:
            return render(places)
        places = places[self._order(numbers[places])]
        self._numbers.append(numbers[places])
        self._rows += render(places)
        if self._top is not None:
            self._settle()
        return []

    def rest(self) -> list[bytes]:
        """Return what is to be shown at the end."""
        self._settle()
        return self._rows

    def _settle(self) -> None:
        numbers = np.concatenate(self._numbers)
        order = self._order(numbers)
        self._numbers = [numbers[order]]
        self._rows = [self._rows[place] for place in order.tolist()]

    def _order(self, numbers: np.ndarray) -> np.ndarray:
        """Return the places of the wanted numbers, in order."""
        return np.argsort(numbers if self._below else -numbers, kind="stable")[: self._top]
