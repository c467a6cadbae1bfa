"""Symbols and their numbers. Symbol 0 is the boundary, which is the start and the end of a text."""

from __future__ import annotations

import heapq
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from rnn_cli.errors import CheckpointError, UsageError

BOUNDARY = 0
UNKNOWN = -1
CHUNK = 1 << 17  # characters that are looked up at a time: the arrays in between stay in the processor's cache
ESCAPES = {"\t": r"\t", "\n": r"\n", "\r": r"\r", " ": "space"}


@dataclass(frozen=True)
class Vocabulary:
    """The symbols of a model: distinct characters, or all 256 bytes where `symbols` is None.

    Where `lines` is true, each line is a text of its own and its newline is the boundary. The characters are sorted,
    but for those that a later text has added.
    """

    symbols: str | None
    lines: bool

    @classmethod
    def of_characters(cls, texts: str | Iterable[str], lines: bool) -> Vocabulary:
        """Return the vocabulary of all characters of one text or several."""
        seen = np.zeros(0x110000, bool)
        for text in [texts] if isinstance(texts, str) else texts:
            for codes in code_points(text):
                if not seen.take(codes).all():  # faster than to write what is known already
                    seen[codes] = True
        if lines:
            seen[ord("\n")] = False
        return cls("".join(map(chr, np.flatnonzero(seen).tolist())), lines)

    def extended_with(self, other: Vocabulary) -> Vocabulary:
        """Return this vocabulary with the characters behind its own that only the other one has."""
        if self.symbols is None or other.symbols is None:
            return self
        return replace(self, symbols=self.symbols + "".join(sorted(set(other.symbols) - set(self.symbols))))

    @classmethod
    def of_bytes(cls, lines: bool) -> Vocabulary:
        """Return the vocabulary of all bytes."""
        return cls(None, lines)

    @property
    def kind(self) -> str:
        """What the symbols are: "characters" or "bytes"."""
        return "bytes" if self.symbols is None else "characters"

    def __len__(self) -> int:
        """Return the number of symbols, the boundary counted."""
        return len(self._codes)

    @cached_property
    def _codes(self) -> np.ndarray:
        """The code point or byte of each symbol, with a newline for the boundary."""
        if self.symbols is None:
            return np.array([ord("\n"), *range(256)], "<u4")
        return np.frombuffer(("\n" + self.symbols).encode("utf-32-le", "surrogatepass"), "<u4")

    @cached_property
    def _ids(self) -> np.ndarray:
        """The symbol of each code point or byte up to the largest, and UNKNOWN once more for all beyond."""
        ids = np.full(int(self._codes.max()) + 2, UNKNOWN, np.int32)
        ids[self._codes[1:]] = np.arange(1, len(self))
        if self.lines:
            ids[ord("\n")] = BOUNDARY
        return ids

    def encode(self, text: str | bytes) -> np.ndarray:
        """Return the symbols (int32) of a text, with UNKNOWN for characters that are not in the vocabulary.

        A vocabulary of bytes reads a string as UTF-8. Raises TypeError for bytes where it is of characters.
        """
        if self.symbols is None:
            data = text.encode("utf-8") if isinstance(text, str) else text
            return self._ids.take(np.frombuffer(data, np.uint8))
        if not isinstance(text, str):
            raise TypeError("a vocabulary of characters encodes a string; decode the bytes first")
        ids = np.empty(len(text), np.int32)
        start = 0
        for codes in code_points(text):
            self._ids.take(codes, out=ids[start : start + len(codes)], mode="clip")
            start += len(codes)
        return ids

    @property
    def dtype(self) -> np.dtype:
        """The smallest unsigned type that holds every symbol."""
        return np.min_scalar_type(len(self) - 1)

    def encode_known(self, text: str | bytes) -> np.ndarray:
        """Return the symbols of a text, of the smallest type, without the characters that `encode` does not know."""
        ids = self.encode(text)
        if len(ids) and ids.min() < 0:
            ids = ids[ids >= 0]
        return ids.astype(self.dtype)

    def frame(self, ids: np.ndarray) -> np.ndarray:
        """Return the symbols of a whole text with its boundaries, so that symbol k predicts symbol k + 1.

        A boundary stands before the text and, in line mode, after each line, the last one too.
        """
        closed = not self.lines or len(ids) == 0 or ids[-1] == BOUNDARY
        return np.pad(ids, (1, 0 if closed else 1), constant_values=BOUNDARY)

    def decode(self, ids: Sequence[int] | np.ndarray) -> bytes:
        """Return the text (UTF-8) of symbols; the boundary is a newline in line mode, else nothing."""
        ids = np.asarray(ids, np.int64)
        codes = self._codes[ids if self.lines else ids[ids != BOUNDARY]]
        if self.symbols is None:
            return codes.astype(np.uint8).tobytes()
        return codes.tobytes().decode("utf-32-le").encode("utf-8")

    def name(self, symbol: int) -> str:
        """Return a printable name of one symbol, for messages and tables."""
        if symbol == BOUNDARY:
            return "end"
        code = int(self._codes[symbol])
        character = chr(code)
        if character in ESCAPES:
            return ESCAPES[character]
        if self.symbols is None:
            return character if 0x20 < code < 0x7F else f"0x{code:02X}"
        return character if character.isprintable() else f"U+{code:04X}"

    def nearest(self, character: str) -> list[str]:
        """Return up to 5 known characters: its other case, other accents on it, near code points."""

        def distance(known: str) -> tuple[bool, bool, int]:
            other_case = known.casefold() == character.casefold()
            same_letter = letter_of(known) == letter_of(character)
            return not other_case, not same_letter, abs(ord(known) - ord(character))

        printable = filter(str.isprintable, self.symbols or "")
        return heapq.nsmallest(5, (known for known in printable if known != character), key=distance)

    def to_dict(self) -> dict[str, Any]:
        """Return the vocabulary as a JSON-ready dictionary."""
        return {"symbols": self.symbols, "lines": self.lines}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Vocabulary:
        """Build a vocabulary from what `to_dict` returned. Raises CheckpointError for anything else."""
        if not isinstance(values, Mapping) or set(values) != {"symbols", "lines"}:
            raise CheckpointError("the vocabulary has missing or unknown fields; the file is damaged")
        symbols, lines = values["symbols"], values["lines"]
        if not isinstance(lines, bool) or not isinstance(symbols, str | None):
            raise CheckpointError("the vocabulary has fields of a wrong type; the file is damaged")
        if symbols is not None:
            if not symbols or len(set(symbols)) < len(symbols):
                raise CheckpointError("the vocabulary is not a list of distinct characters; the file is damaged")
            if any("\ud800" <= symbol <= "\udfff" for symbol in symbols) or (lines and "\n" in symbols):
                raise CheckpointError("the vocabulary has characters that no text can have; the file is damaged")
        return cls(symbols, lines)


def encode_seed(
    vocabulary: Vocabulary, seed: str | bytes, unknown: str = "error", what: str = "the seed"
) -> np.ndarray:
    """Return the ids of a seed. An unknown character raises UsageError, or is left out where `unknown` is "skip"."""
    ids = vocabulary.encode(seed)
    missing = np.flatnonzero(ids < 0)
    if len(missing) and unknown == "error":
        advice = ', or leave it out with `unknown="skip"`' if what.startswith("the seed") else ""
        character = seed[int(missing[0])]
        assert isinstance(character, str)  # a byte model knows every byte
        known = ", ".join(f"'{near}'" for near in vocabulary.nearest(character))
        known = f"the nearest that it knows are {known}; " if known else ""
        raise UsageError(
            f"the model has never seen '{character}' (U+{ord(character):04X}), character {missing[0] + 1} of {what}; "
            f"{known}change it{advice}"
        )
    return ids[ids >= 0]


def code_points(text: str) -> Iterator[np.ndarray]:
    """Yield the code points of a text, chunk by chunk."""
    for start in range(0, len(text), CHUNK):
        chunk = text[start : start + CHUNK]
        if chunk.isascii():
            yield np.frombuffer(chunk.encode("ascii"), np.uint8)
        else:
            yield np.frombuffer(chunk.encode("utf-32-le", "surrogatepass"), "<u4")


def letter_of(character: str) -> str:
    """Return a character without case and accents."""
    return unicodedata.normalize("NFD", character)[0].casefold()
