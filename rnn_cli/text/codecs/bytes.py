"""The codec of bytes: a symbol is one of the 256 bytes, whatever the encoding of the text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from rnn_cli.errors import UsageError
from rnn_cli.text.codecs.codec import BOUNDARY, ESCAPES, FORBIDDEN, Codec

NEWLINE = ord("\n")
# UTF-8 as an automaton (RFC 3629, section 4): (state, first byte, last byte, next state). State 0 is between
# characters. In states 1 to 3, 1 to 3 more bytes follow. In states 4 to 7 the range of the next byte is narrower, which
# excludes overlong forms, surrogates and code points above U+10FFFF.
UTF8 = (
    (0, 0x00, 0x7F, 0),
    (0, 0xC2, 0xDF, 1),
    (0, 0xE0, 0xE0, 4),
    (0, 0xE1, 0xEF, 2),
    (0, 0xED, 0xED, 5),
    (0, 0xF0, 0xF0, 6),
    (0, 0xF1, 0xF3, 3),
    (0, 0xF4, 0xF4, 7),
    (1, 0x80, 0xBF, 0),
    (2, 0x80, 0xBF, 1),
    (3, 0x80, 0xBF, 2),
    (4, 0xA0, 0xBF, 1),
    (5, 0x80, 0x9F, 1),
    (6, 0x90, 0xBF, 2),
    (7, 0x80, 0x8F, 2),
)
STATES = 8


@dataclass(frozen=True)
class ByteCodec(Codec):
    """All 256 bytes; symbol k is byte k - 1."""

    line_mode: bool

    kind: ClassVar[str] = "bytes"
    reads_bytes: ClassVar[bool] = True

    def __len__(self) -> int:
        return 257

    def encode(self, text: str | bytes) -> np.ndarray:
        """Return the symbols (int32) of bytes, or of a string as UTF-8."""
        data = text.encode("utf-8") if isinstance(text, str) else text
        ids = np.arange(1, 257, dtype=np.int32)
        if self.line_mode:
            ids[NEWLINE] = BOUNDARY
        return ids.take(np.frombuffer(data, np.uint8))

    def decode(self, ids: Sequence[int] | np.ndarray) -> bytes:
        """Return the bytes of symbols. The boundary is a newline in line mode, otherwise nothing."""
        ids = np.asarray(ids, np.int64)
        codes = np.array([NEWLINE, *range(256)], np.uint8)
        return codes[ids if self.line_mode else ids[ids != BOUNDARY]].tobytes()

    def name(self, symbol: int) -> str:
        """Return a printable name of a symbol, for messages and tables."""
        if symbol == BOUNDARY:
            return "end"
        code = int(symbol) - 1
        if chr(code) in ESCAPES:
            return ESCAPES[chr(code)]
        return chr(code) if 0x20 < code < 0x7F else f"0x{code:02X}"

    def ids_in(self, other: Codec) -> np.ndarray:
        """Return the symbol in `other` of each symbol of this codec. Raises ValueError unless the two are equal."""
        if self != other:
            raise ValueError("the codecs do not read a text alike")
        return np.arange(len(self), dtype=np.int32)

    def to_dict(self) -> dict[str, Any]:
        """Return the codec as a JSON-ready dictionary, for `codec_from_dict`."""
        return {"symbols": None, "lines": self.line_mode}

    def follow_table(self, forbidden: str = "", valid_utf8: bool = True) -> np.ndarray:
        """Return the automaton that limits sampling, as Codec does.

        Also raises UsageError if a forbidden character is not ASCII, as its bytes are part of other characters too.
        """
        if not forbidden.isascii():
            raise UsageError("`forbid` takes only ASCII characters for a model of bytes; leave the others out")
        return super().follow_table(forbidden, valid_utf8)

    def _automaton(self, valid_utf8: bool) -> np.ndarray:
        table = super()._automaton(valid_utf8)
        if valid_utf8:
            table = np.full((STATES, len(self)), FORBIDDEN, np.uint8)
            for state, first, last, following in UTF8:
                table[state, 1 + first : 2 + last] = following
            table[0, BOUNDARY] = 0
        if self.line_mode:
            table[:, 1 + NEWLINE] = FORBIDDEN  # the boundary is the newline
        return table
