"""The codec of words: a symbol is what stands between two blanks of a line."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from rnn_cli.config import check_range
from rnn_cli.errors import CheckpointError, UsageError
from rnn_cli.text.codecs.codec import BOUNDARY, UNKNOWN, Codec, advice_for

UNKNOWN_WORD = 1  # the symbol of every word that the vocabulary lacks
UNKNOWN_NAME, END_NAME = "<unk>", "</s>"
BLANKS = " \t\r"  # between words; a carriage return too, so that CR LF ends a line as LF does
LONGEST_WORD = 200  # characters; a longer word is unknown, so that text without blanks takes no memory
MOST_WORDS = 1_000_000  # in a vocabulary
USUAL_MOST = 50_000  # unless more are asked for: the readout takes time and memory for each word
USUAL_MIN_COUNT = 2  # a word seen once is learned as unknown, so that the model knows what unknown words are like
FEWEST_COMMON = 0.5  # share of the tokens that words seen so often must cover, or all words are taken
NEAREST = 5  # words that a message names


@dataclass(frozen=True)
class WordCodec(Codec):
    """The commonest words of a text; every other word is `<unk>`, symbol UNKNOWN_WORD, which is never sampled.

    In line mode a line is a sentence, and the boundary is its end. Otherwise the newline is a symbol, and the state is
    carried from sentence to sentence. Blanks are spaces, TABs and carriage returns; they are not symbols.
    """

    words: tuple[str, ...]
    line_mode: bool

    kind: ClassVar[str] = "words"
    unit: ClassVar[str] = "word"

    def __len__(self) -> int:
        return self._first + len(self.words)

    @property
    def _first(self) -> int:
        """The symbol of the first word."""
        return UNKNOWN_WORD + (1 if self.line_mode else 2)

    @cached_property
    def _names(self) -> list[str]:
        """The text of each symbol; the boundary is a newline in line mode, otherwise nothing."""
        return [*(("\n", UNKNOWN_NAME) if self.line_mode else ("", UNKNOWN_NAME, "\n")), *self.words]

    @cached_property
    def _ids(self) -> dict[str, int]:
        """The symbol of each word, of `<unk>` and of the newline."""
        return {name: symbol for symbol, name in enumerate(self._names) if name}

    def encode(self, text: str | bytes) -> np.ndarray:
        """Return the symbols (int32) of a text, UNKNOWN_WORD for unknown words. Raises TypeError for bytes."""
        words = split_words(text)
        get = self._ids.get
        return np.fromiter((get(word, UNKNOWN_WORD) for word in words), np.int32, len(words))

    def encode_pieces(self, pieces: Iterable[str | bytes]) -> Iterator[np.ndarray]:
        """Yield the symbols of a text that comes in pieces, which may end within a word."""
        return map(self.encode, whole_words(pieces))

    def decode(self, ids: Sequence[int] | np.ndarray) -> bytes:
        """Return the text (UTF-8) of symbols: a blank between words, and a newline at the end of a sentence."""
        return self.decode_after(BOUNDARY, ids)

    def decode_after(self, previous: int, ids: Sequence[int] | np.ndarray) -> bytes:
        """Return the text (UTF-8) of symbols after the symbol `previous`: a blank comes first within a sentence."""
        parts, within = [], not self._ends(previous)
        for symbol in np.asarray(ids, np.int64).tolist():
            end = self._ends(symbol)
            parts.append(self._names[symbol] if end or not within else f" {self._names[symbol]}")
            within = not end
        return "".join(parts).encode("utf-8")

    def _ends(self, symbol: int) -> bool:
        """Say whether a symbol ends a sentence."""
        return symbol == BOUNDARY or (symbol == UNKNOWN_WORD + 1 and not self.line_mode)

    def name(self, symbol: int) -> str:
        """Return a printable name of a symbol; the end of a sentence is `</s>`."""
        if self._ends(int(symbol)):
            return END_NAME
        word = self._names[int(symbol)]
        return "".join(letter if letter.isprintable() else f"U+{ord(letter):04X}" for letter in word)

    @property
    def never_sampled(self) -> tuple[int, ...]:
        """The symbols that no generated text has: `<unk>` and, in a stream, the boundary."""
        return (*super().never_sampled, UNKNOWN_WORD)

    def is_unknown(self, symbols: np.ndarray) -> np.ndarray:
        """Return for each symbol whether it stands for an unknown word."""
        return symbols == UNKNOWN_WORD

    def line_sizes(self, lines: Sequence[str] | Sequence[bytes]) -> np.ndarray:
        """Return the number of symbols of each line, its newline included."""
        return np.fromiter((len(split_words(line)) + 1 for line in lines), np.int64, len(lines))

    def unknown_words(self, text: str | bytes) -> list[str]:
        """Return the words of a text that the vocabulary lacks, each as often as it occurs."""
        return [word for word in split_words(text) if word not in self._ids]

    def encode_prompt(self, prompt: str | bytes, unknown: str = "error", what: str = "the seed") -> np.ndarray:
        """Return the symbols of a prompt, which may end within a sentence.

        An unknown word raises UsageError, or is left out if `unknown` is "skip". `<unk>` itself may be written.
        `what` names the prompt in the message.
        """
        words = split_words(prompt)
        for index, word in enumerate(words):
            if word not in self._ids and unknown == "error":
                raise self._unknown_word(word, index, what)
        return np.array([self._ids[word] for word in words if word in self._ids], np.int32)

    def _unknown_word(self, word: str, index: int, what: str) -> UsageError:
        """Return the error for an unknown word of a prompt."""
        advice = advice_for(what)
        near = ", ".join(f"'{known}'" for known in self.nearest(word))
        near = f"near words are {near}; " if near else ""
        shown = word if len(word) <= 40 else f"{word[:40]}..."
        return UsageError(
            f"the model does not know the word '{shown}', number {index + 1:,} of {what}; "
            f"{near}change it, write {UNKNOWN_NAME}{advice}"
        )

    def nearest(self, text: str) -> list[str]:
        """Return up to 5 known words that resemble an unknown one: first those that differ in case only."""
        if len(text) > LONGEST_WORD:
            return []
        same = [word for word in self.words if word.casefold() == text.casefold() and word != text]
        close = [word for word in self.words if abs(len(word) - len(text)) <= 2 and word != text]
        return list(dict.fromkeys([*same, *difflib.get_close_matches(text, close, NEAREST)]))[:NEAREST]

    def extended_with(self, other: Codec) -> WordCodec:
        """Return this codec, extended by the words that only `other` has; their symbols come last."""
        assert isinstance(other, WordCodec)
        return replace(self, words=self.words + tuple(word for word in other.words if word not in self._ids))

    def ids_in(self, other: Codec) -> np.ndarray:
        """Return the symbol in `other` of each symbol of this codec (int32), or UNKNOWN if `other` lacks it.

        Raises ValueError if the two do not read a text alike.
        """
        if not isinstance(other, WordCodec) or other.line_mode != self.line_mode:
            raise ValueError("the codecs do not read a text alike")
        words = [other._ids.get(word, UNKNOWN) for word in self.words]
        return np.array([*range(self._first), *words], np.int32)

    def to_dict(self) -> dict[str, Any]:
        """Return the codec as a JSON-ready dictionary, for `from_dict`: the words as one text with blanks between."""
        return {"words": " ".join(self.words), "lines": self.line_mode}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> WordCodec:
        """Build a codec from the result of `to_dict`. Raises CheckpointError for words that no text can have."""
        if set(values) != {"words", "lines"}:
            raise CheckpointError("the vocabulary has missing or unknown fields; the file is damaged")
        text, line_mode = values["words"], values["lines"]
        if not isinstance(line_mode, bool) or not isinstance(text, str):
            raise CheckpointError("the vocabulary has fields of a wrong type; the file is damaged")
        if text.count(" ") >= MOST_WORDS:
            raise CheckpointError(f"the vocabulary has more than {MOST_WORDS:,} words")
        words = tuple(text.split(" "))
        if "" in words or len(set(words)) < len(words) or UNKNOWN_NAME in words:
            raise CheckpointError("the vocabulary is not a list of distinct words; the file is damaged")
        if any(blank in text for blank in "\n\t\r") or max(map(len, words)) > LONGEST_WORD:
            raise CheckpointError("the vocabulary has words that no text can have; the file is damaged")
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as problem:
            raise CheckpointError("the vocabulary has words that are not text; the file is damaged") from problem
        return cls(words, line_mode)


def split_words(text: str | bytes) -> list[str]:
    """Return the words and the newlines of a text, in their order. Raises TypeError for bytes."""
    if not isinstance(text, str):
        raise TypeError("a codec of words encodes a string; decode the bytes first")
    spaced = text.replace("\r", " ").replace("\t", " ").replace("\n", " \n ")
    return [word for word in spaced.split(" ") if word]


def whole_words(pieces: Iterable[str | bytes]) -> Iterator[str]:
    """Yield a text that comes in pieces, cut only at blanks and newlines.

    Of a word that is too long to be known only as much is kept as shows that it is.
    """
    rest = ""
    for piece in pieces:
        if not isinstance(piece, str):
            raise TypeError("a codec of words encodes a string; decode the bytes first")
        text = rest + piece
        cut = 1 + max(text.rfind(blank) for blank in f"{BLANKS}\n")
        if cut:
            yield text[:cut]
        rest = text[cut : cut + LONGEST_WORD + 1] if len(text) - cut > LONGEST_WORD else text[cut:]
    if rest:
        yield rest


def count_words(texts: Iterable[Iterable[str]]) -> Counter[str]:
    """Return how often each word occurs in texts, each of which comes in pieces; `<unk>` and newlines are words too."""
    counts = Counter[str]()
    for pieces in texts:
        for part in whole_words(pieces):
            counts.update(split_words(part))
    return counts


def choose_words(
    counts: Mapping[str, int], most: int | None = None, min_count: int | None = None
) -> tuple[tuple[str, ...], str]:
    """Return the vocabulary, the commonest word first, equal ones in alphabetical order, and a sentence of why.

    It has the `most` commonest words of those that occur `min_count` times. By default these are USUAL_MOST words that
    occur USUAL_MIN_COUNT times, or once if `most` is given; and all words, if those would cover less than half of the
    text. Raises UsageError if no word is left.
    """
    if most is not None:
        check_range("vocabulary", most, 1, MOST_WORDS)
    own = {word: count for word, count in counts.items() if word not in ("\n", UNKNOWN_NAME)}
    tokens = sum(own.values()) + counts.get(UNKNOWN_NAME, 0)
    possible = {word: count for word, count in own.items() if len(word) <= LONGEST_WORD}
    if not possible:
        raise UsageError("the text has no words; train on characters by leaving out `words=True`")
    least = min_count or (1 if most is not None else USUAL_MIN_COUNT)
    common = {word: count for word, count in possible.items() if count >= least}
    if min_count is None and sum(common.values()) < FEWEST_COMMON * sum(possible.values()):
        least, common = 1, possible
    if not common:
        raise UsageError(f"no word occurs {least:,} times; lower `min_count`")
    limit = most or USUAL_MOST
    words = tuple(sorted(common, key=lambda word: (-common[word], word))[:limit])
    which = f"the {len(words):,} commonest" if len(common) > limit else "all" if least == 1 else "those"
    often = f" that occur at least {'twice' if least == 2 else f'{least:,} times'}" if least > 1 else ""
    covered = sum(common[word] for word in words) / tokens
    rest = "" if covered == 1 else f"; the rest are {UNKNOWN_NAME}"
    return words, f"{which}{often} of {len(own):,} different ones; they cover {covered:.1%} of the text{rest}"
