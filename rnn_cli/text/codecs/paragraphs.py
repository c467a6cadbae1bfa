"""The codec of texts of several lines: paragraphs, which blank lines separate, or whole files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from rnn_cli.text.codecs.characters import CharacterCodec, code_points
from rnn_cli.text.codecs.codec import BOUNDARY, Codec

NEWLINE = ord("\n")
SEPARATORS = ("blank line", "file")


@dataclass(frozen=True)
class ParagraphCodec(CharacterCodec):
    """Characters, of which the newline is one; the boundary is a blank line or, with the separator "file", an end.

    As in line mode, the end of each text is learned and each text starts from the zero state. Blank lines before, after
    and beside one another count as one; a line of blanks is a blank line.
    """

    separator: str = SEPARATORS[0]

    @classmethod
    def of_separated(cls, texts: str | Iterable[str], separator: str) -> ParagraphCodec:
        """Return the codec of all characters of one text or several."""
        return cls(CharacterCodec.of_texts(texts, line_mode=False).symbols, True, separator)

    @cached_property
    def _ids(self) -> np.ndarray:
        return CharacterCodec(self.symbols, line_mode=False)._ids

    @property
    def text_end(self) -> bytes:
        """What is printed after a text."""
        return b"\n\n" if self.separator == SEPARATORS[0] else b"\n"

    def encode(self, text: str | bytes) -> np.ndarray:
        """Return the symbols (int32) of a text, in which two or more newlines are one boundary."""
        ids = super().encode(text)
        if self.separator != SEPARATORS[0] or not isinstance(text, str):
            return ids
        is_newline = np.concatenate([[False], *(codes == NEWLINE for codes in code_points(text)), [False]])
        before, here, after = is_newline[:-2], is_newline[1:-1], is_newline[2:]
        ids[here & after] = BOUNDARY
        return ids[~(here & before)]

    def encode_pieces(self, pieces: Iterable[str | bytes]) -> Iterator[np.ndarray]:
        """Yield the symbols of a text that comes in pieces, without blank lines at its start and its end."""
        if self.separator != SEPARATORS[0]:
            yield from map(self.encode, pieces)
            return
        rest, gap = "", ""  # the line that is not at its end yet; what stands before the next line
        for piece in pieces:
            assert isinstance(piece, str)
            *lines, rest = (rest + piece).split("\n")
            text, gap = joined(lines, gap)
            yield self.encode(text)
        text, _ = joined([rest], gap)
        yield self.encode(text)

    def decode(self, ids: Sequence[int] | np.ndarray) -> bytes:
        """Return the text (UTF-8) of symbols. The boundary is a blank line or, between files, nothing."""
        ids = np.asarray(ids, np.int64)
        texts = np.split(ids, np.flatnonzero(ids == BOUNDARY))
        between = self.text_end if self.separator == SEPARATORS[0] else b""
        return between.join(super(ParagraphCodec, self).decode(text[text != BOUNDARY]) for text in texts)

    def ids_in(self, other: Codec) -> np.ndarray:
        """Return the symbol in `other` of each symbol of this codec; ValueError if they do not read a text alike."""
        if not isinstance(other, ParagraphCodec) or other.separator != self.separator:
            raise ValueError("the codecs do not read a text alike")
        return np.append(np.int32(BOUNDARY), CharacterCodec(other.symbols, line_mode=False).encode(self.symbols))

    def to_dict(self) -> dict[str, Any]:
        """Return the codec as a JSON-ready dictionary, for `codec_from_dict`."""
        return {**super().to_dict(), "separator": self.separator}


def joined(lines: Sequence[str], gap: str) -> tuple[str, str]:
    """Return lines joined by one newline, or by two if blank lines were between, and what stands before the next.

    `gap` is what stands before the first of them: nothing at the start of a text, a newline, or two of them.
    """
    parts = []
    for line in lines:
        if line.strip():
            parts.append(gap + line)
            gap = "\n"
        elif gap:
            gap = "\n\n"
    return "".join(parts), gap
