"""The bits of each line and each character of a text, as it comes, and the selection among them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from rnn_cli.errors import UsageError
from rnn_cli.language.scorer import Scorer
from rnn_cli.text.codecs import UNKNOWN, Codec, TokenCodec, WordCodec
from rnn_cli.text.codecs.words import split_words
from rnn_cli.text.documents import lines_of


@dataclass(frozen=True)
class ScoredLines:
    """Consecutive lines, or a part of a line that is longer than a piece.

    line_number    that of the first line in its text, from 1
    text           as read; bytes that are not UTF-8 are lone surrogates
    lines          the lines of the text, without their newlines
    characters     the number of scored symbols, characters or words, of each line, including its newline or end
    bits           of each line
    symbol_bits, symbol_unknown   of each symbol, line after line; the end of the text may be one more
    words          the words and newlines of the text if these are the symbols, otherwise None
    tokens         the tokens of the text if these are the symbols, which are counted as characters; otherwise None
    """

    line_number: int
    text: str | bytes
    lines: list[str] | list[bytes]
    characters: np.ndarray
    bits: np.ndarray
    symbol_bits: np.ndarray
    symbol_unknown: np.ndarray
    words: list[str] | None = None
    tokens: list[str] | None = None

    @property
    def starts(self) -> np.ndarray:
        """The index of each line's first symbol."""
        return np.cumsum(self.characters) - self.characters

    @property
    def bits_per_char(self) -> np.ndarray:
        """The mean bits per symbol of each line."""
        return self.bits / self.characters

    @property
    def unknown(self) -> np.ndarray:
        """The number of symbols of each line that the model does not know."""
        return np.add.reduceat(self.symbol_unknown.astype(np.int64), self.starts)

    @property
    def unit(self) -> str:
        """What a symbol is called."""
        return "character" if self.words is None else "word"


def score_lines(
    scorer: Scorer, pieces: Iterable[tuple[bytes, bool]], end_last_line: bool = False, line_number: int = 1
) -> Iterator[ScoredLines]:
    """Score a text that comes in pieces, as `read_pieces` yields them, each as soon as it is there.

    For a model of characters, a byte that is not UTF-8 is an unknown character. Only one piece is held in memory.
    With `end_last_line`, also in a stream, a last line without a newline is scored as if it had one. The first line is
    number `line_number`.
    """
    codec = scorer.codec
    check_lines(codec)
    scorer.start()
    by_words = isinstance(codec, WordCodec)
    for data, ended in cut_at_blanks(pieces) if by_words else pieces:
        text = codec.as_read(data)
        symbols = codec.encode(text)
        if ended:
            symbols = codec.closed(symbols)
            if end_last_line and len(symbols) and not codec.line_mode and codec.newline != UNKNOWN:
                symbols = np.append(symbols, np.int32(codec.newline))
        if len(symbols):  # blanks alone have none
            yield group_by_line(
                line_number,
                text,
                codec.is_unknown(symbols),
                scorer.read(symbols)[0] / math.log(2),
                codec.line_sizes,
                split_words(text) if by_words else None,
                codec.split(text) if isinstance(codec, TokenCodec) and isinstance(text, str) else None,
            )
        line_number += data.count(b"\n")


def cut_at_blanks(pieces: Iterable[tuple[bytes, bool]]) -> Iterator[tuple[bytes, bool]]:
    """Yield a text in pieces as `read_pieces` does, a line that comes in parts cut only at blanks."""
    rest = b""
    for data, ended in pieces:
        data = rest + data
        cut = len(data) if ended else 1 + max(data.rfind(blank) for blank in (b" ", b"\t", b"\n"))
        rest = data[cut:]
        if cut:
            yield data[:cut], ended
    if rest:
        yield rest, True


def check_lines(codec: Codec) -> None:
    """Raise UsageError for a codec of texts of several lines: one line of them says little."""
    if codec.line_mode and not codec.ends_at_newline:
        raise UsageError("this model reads texts of several lines, not single lines; score whole files with it")


def group_by_line(
    line_number: int,
    text: str | bytes,
    symbol_unknown: np.ndarray,
    symbol_bits: np.ndarray,
    line_sizes: Callable[[Sequence[str] | Sequence[bytes]], np.ndarray],
    words: list[str] | None = None,
    tokens: list[str] | None = None,
) -> ScoredLines:
    """Return a text by lines, given the bits of its symbols, and `Codec.line_sizes`."""
    lines = lines_of(text)
    characters = line_sizes(lines)
    characters[-1] += len(symbol_bits) - characters.sum()  # the last line may have neither a newline nor an end
    if characters[-1] == 0:  # blanks alone, which are not words
        characters, lines = characters[:-1], lines[:-1]
    bits = np.add.reduceat(symbol_bits, np.cumsum(characters) - characters)
    return ScoredLines(line_number, text, lines, characters, bits, symbol_bits, symbol_unknown, words, tokens)


class Selection:
    """Selects items by their values: all, or those at or above a threshold, or at or below it if `below`.

    Items are named by their position, counted over all that are taken. If `in_order`, they are ranked: the greatest
    first, or the least if `below`; equal ones in the order in which they come. `top` limits how many are ranked.
    """

    def __init__(self, threshold: float | None, below: bool, in_order: bool, top: int | None) -> None:
        self.in_order, self.top = in_order, top
        self._threshold, self._below = threshold, below
        self._count = 0
        self._values, self._positions = np.zeros(0), np.zeros(0, np.int64)  # of ranked items

    def take(self, values: np.ndarray) -> np.ndarray:
        """Take in the values of further items; return the positions of those that are selected.

        If `in_order`, these are the ones that `ranked` may return.
        """
        chosen = np.arange(len(values))
        if self._threshold is not None:
            chosen = np.flatnonzero(values <= self._threshold if self._below else values >= self._threshold)
        if self.in_order:
            chosen = chosen[self._order(values[chosen])]
            self._values = np.concatenate([self._values, values[chosen]])
            self._positions = np.concatenate([self._positions, chosen + self._count])
        positions = chosen + self._count
        self._count += len(values)
        return positions

    def ranked(self) -> np.ndarray:
        """Return the positions of the selected items, in order."""
        order = self._order(self._values)
        self._values, self._positions = self._values[order], self._positions[order]
        return self._positions

    def _order(self, values: np.ndarray) -> np.ndarray:
        """Return the indices of the first `top` values, in order."""
        return np.argsort(values if self._below else -values, kind="stable")[: self.top]
