"""The codec of characters: a symbol is a Unicode code point."""

from __future__ import annotations

import heapq
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from rnn_cli.errors import CheckpointError
from rnn_cli.text.codecs.codec import BOUNDARY, ESCAPES, UNKNOWN, Codec

CHUNK = 1 << 17  # characters encoded at a time, so that intermediate arrays stay in the processor's cache


@dataclass(frozen=True)
class CharacterCodec(Codec):
    """The distinct characters of a text; symbol k is `symbols[k - 1]`.

    The characters are sorted, except for those that `extended_with` has appended.
    """

    symbols: str
    line_mode: bool

    kind: ClassVar[str] = "characters"

    @classmethod
    def of_texts(cls, texts: str | Iterable[str], line_mode: bool) -> CharacterCodec:
        """Return the codec of all characters of one text or several."""
        seen = np.zeros(0x110000, bool)
        for text in [texts] if isinstance(texts, str) else texts:
            for codes in code_points(text):
                if not seen.take(codes).all():  # faster than to set known characters again
                    seen[codes] = True
        if line_mode:
            seen[ord("\n")] = False
        return cls("".join(map(chr, np.flatnonzero(seen).tolist())), line_mode)

    def __len__(self) -> int:
        return len(self._codes)

    @property
    def alphabet(self) -> str:
        """The distinct characters, in the order of their symbols."""
        return self.symbols

    @cached_property
    def _codes(self) -> np.ndarray:
        """The code point of each symbol, with a newline for the boundary."""
        return np.frombuffer(("\n" + self.symbols).encode("utf-32-le", "surrogatepass"), "<u4")

    @cached_property
    def _ids(self) -> np.ndarray:
        """The symbol of each code point up to the largest known one, and UNKNOWN once more for all beyond."""
        ids = np.full(int(self._codes.max()) + 2, UNKNOWN, np.int32)
        ids[self._codes[1:]] = np.arange(1, len(self))
        if self.line_mode:
            ids[ord("\n")] = BOUNDARY
        return ids

    def encode(self, text: str | bytes) -> np.ndarray:
        """Return the symbols (int32) of a text, UNKNOWN for unknown characters. Raises TypeError for bytes."""
        if not isinstance(text, str):
            raise TypeError("a codec of characters encodes a string; decode the bytes first")
        ids = np.empty(len(text), np.int32)
        start = 0
        for codes in code_points(text):
            self._ids.take(codes, out=ids[start : start + len(codes)], mode="clip")
            start += len(codes)
        return ids

    def decode(self, ids: Sequence[int] | np.ndarray) -> bytes:
        """Return the text (UTF-8) of symbols. The boundary is a newline in line mode, otherwise nothing."""
        ids = np.asarray(ids, np.int64)
        codes = self._codes[ids if self.line_mode else ids[ids != BOUNDARY]]
        return codes.tobytes().decode("utf-32-le").encode("utf-8")

    def name(self, symbol: int) -> str:
        """Return a printable name of a symbol, for messages and tables."""
        if symbol == BOUNDARY:
            return "end"
        character = chr(int(self._codes[symbol]))
        if character in ESCAPES:
            return ESCAPES[character]
        return character if character.isprintable() else f"U+{ord(character):04X}"

    def nearest(self, text: str) -> list[str]:
        """Return up to 5 known characters: other case first, then other accents, then near code points."""

        def distance(known: str) -> tuple[bool, bool, int]:
            other_case = known.casefold() == text.casefold()
            same_letter = base_letter(known) == base_letter(text)
            return not other_case, not same_letter, abs(ord(known) - ord(text))

        printable = filter(str.isprintable, self.symbols)
        return heapq.nsmallest(5, (known for known in printable if known != text), key=distance)

    def extended_with(self, other: Codec) -> CharacterCodec:
        """Return this codec, extended by the characters that only `other` has; their symbols come last."""
        return replace(self, symbols=self.symbols + "".join(sorted(set(other.alphabet) - set(self.symbols))))

    def ids_in(self, other: Codec) -> np.ndarray:
        """Return the symbol in `other` of each symbol of this codec (int32), or UNKNOWN if `other` lacks it.

        Raises ValueError if the two do not read a text alike.
        """
        if type(other) is not CharacterCodec or other.line_mode != self.line_mode:
            raise ValueError("the codecs do not read a text alike")
        return np.append(np.int32(BOUNDARY), other.encode(self.symbols))

    def to_dict(self) -> dict[str, Any]:
        """Return the codec as a JSON-ready dictionary, for `codec_from_dict`."""
        return {"symbols": self.symbols, "lines": self.line_mode}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> CharacterCodec:
        """Build a codec from the result of `to_dict`. Raises CheckpointError for symbols that no text can have."""
        symbols, line_mode = values["symbols"], values["lines"]
        if not symbols or len(set(symbols)) < len(symbols):
            raise CheckpointError("the vocabulary is not a list of distinct characters; the file is damaged")
        separated = values.get("separator") is not None
        newline_ends = line_mode and not separated
        if any("\ud800" <= symbol <= "\udfff" for symbol in symbols) or (newline_ends and "\n" in symbols):
            raise CheckpointError("the vocabulary has characters that no text can have; the file is damaged")
        return cls(symbols, line_mode, *([values["separator"]] if separated else []))


def code_points(text: str) -> Iterator[np.ndarray]:
    """Yield the code points of a text, chunk by chunk."""
    for start in range(0, len(text), CHUNK):
        chunk = text[start : start + CHUNK]
        if chunk.isascii():
            yield np.frombuffer(chunk.encode("ascii"), np.uint8)
        else:
            yield np.frombuffer(chunk.encode("utf-32-le", "surrogatepass"), "<u4")


def base_letter(character: str) -> str:
    """Return a character without case and accents."""
    return unicodedata.normalize("NFD", character)[0].casefold()
