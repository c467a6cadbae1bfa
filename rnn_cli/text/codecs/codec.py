"""What every codec does. Symbol 0 is the boundary: the start and the end of a text."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar

import numpy as np

from rnn_cli.errors import UsageError

BOUNDARY = 0
UNKNOWN = -1
FORBIDDEN = 255  # in a follow table: a symbol that may not come next. The sampling kernel uses the same value
ESCAPES = {"\t": r"\t", "\n": r"\n", "\r": r"\r", " ": "space"}


def advice_for(what: str) -> str:
    """Return what else can be done about an unknown part of a prompt, if that is a seed or a prompt of a request."""
    return ', or leave it out with `unknown="skip"`' if what.startswith(("the seed", "`prompt")) else ""


class Codec(ABC):
    """Encodes a text as symbols, numbers from 0 to len(codec) - 1, and decodes symbols to a text.

    In line mode each line is a text of its own, and the boundary is its newline. Otherwise a text is one stream.
    """

    kind: ClassVar[str]
    """What a symbol is: "characters", "tokens", "bytes" or "words"."""

    unit: ClassVar[str] = "character"
    """What messages and scores call a symbol."""

    reads_bytes: ClassVar[bool] = False
    """Whether texts are encoded as bytes, without being decoded as UTF-8 first."""

    line_mode: bool

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of symbols, including the boundary."""

    @abstractmethod
    def encode(self, text: str | bytes) -> np.ndarray:
        """Return the symbols (int32) of a text, without a boundary before it; UNKNOWN for what the codec lacks."""

    @abstractmethod
    def decode(self, ids: Sequence[int] | np.ndarray) -> bytes:
        """Return the text (UTF-8) of symbols. The boundary is a newline in line mode, otherwise nothing."""

    def decode_after(self, previous: int, ids: Sequence[int] | np.ndarray) -> bytes:
        """Return the text (UTF-8) of symbols that follow the symbol `previous`, or BOUNDARY at the start."""
        return self.decode(ids)

    @abstractmethod
    def name(self, symbol: int) -> str:
        """Return a printable name of a symbol, for messages and tables."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Return the codec as a JSON-ready dictionary, for `codec_from_dict`."""

    def nearest(self, text: str) -> list[str]:
        """Return up to 5 known symbols that resemble an unknown one, most similar first."""
        return []

    @property
    def alphabet(self) -> str:
        """The distinct characters, in the order of their symbols; empty if symbols are not characters."""
        return ""

    def extended_with(self, other: Codec) -> Codec:
        """Return this codec, extended by the symbols that only `other` has."""
        return self

    @abstractmethod
    def ids_in(self, other: Codec) -> np.ndarray:
        """Return the symbol in `other` of each symbol of this codec (int32), or UNKNOWN if `other` lacks it.

        Raises ValueError if the two do not read a text alike.
        """

    def as_read(self, data: bytes) -> str | bytes:
        """Return bytes as `encode` takes them. A byte that is not UTF-8 becomes a lone surrogate, which is unknown."""
        return data if self.reads_bytes else data.decode("utf-8", "surrogateescape")

    @property
    def dtype(self) -> np.dtype:
        """The smallest unsigned type that holds every symbol."""
        return np.min_scalar_type(len(self) - 1)

    @property
    def text_end(self) -> bytes:
        """What is printed after a text."""
        return b"\n"

    @property
    def ends_at_newline(self) -> bool:
        """Whether the end of a line is the end of a text."""
        return self.line_mode and self.newline == BOUNDARY

    @property
    def newline(self) -> int:
        """The symbol of a newline: BOUNDARY in line mode, UNKNOWN if the codec lacks it."""
        return int(self.encode("\n")[0])

    @property
    def never_sampled(self) -> tuple[int, ...]:
        """The symbols that no generated text has: in a stream the boundary."""
        return () if self.line_mode else (BOUNDARY,)

    def is_unknown(self, symbols: np.ndarray) -> np.ndarray:
        """Return for each symbol whether it stands for what the codec lacks."""
        return symbols < 0

    def line_sizes(self, lines: Sequence[str] | Sequence[bytes]) -> np.ndarray:
        """Return the number of symbols of each line (int64), its newline included."""
        return np.fromiter(map(len, lines), np.int64, len(lines)) + 1

    def known(self, ids: np.ndarray) -> np.ndarray:
        """Return symbols without the UNKNOWN ones, in the smallest type that holds them."""
        if len(ids) and ids.min() < 0:
            ids = ids[ids >= 0]
        return ids.astype(self.dtype)

    def encode_pieces(self, pieces: Iterable[str | bytes]) -> Iterator[np.ndarray]:
        """Yield the symbols of a text that comes in pieces."""
        return map(self.encode, pieces)

    def encode_prompt(self, prompt: str | bytes, unknown: str = "error", what: str = "the seed") -> np.ndarray:
        """Return the symbols of a prompt.

        An unknown character raises UsageError, or is left out if `unknown` is "skip". `what` names the prompt in the
        message.
        """
        ids = self.encode(prompt)
        missing = np.flatnonzero(ids < 0)
        if len(missing) and unknown == "error":
            raise self._unknown_error(prompt, int(missing[0]), what)
        return ids[ids >= 0]

    def _unknown_error(self, prompt: str | bytes, index: int, what: str) -> UsageError:
        """Return the error for an unknown character of a prompt."""
        advice = advice_for(what)
        assert isinstance(prompt, str)  # a codec of bytes knows every byte
        character = prompt[index]
        known = ", ".join(f"'{near}'" for near in self.nearest(character))
        known = f"the nearest known ones are {known}; " if known else ""
        if character == "\\" and prompt[index + 1 : index + 2] in ("n", "t", "r"):
            known = f"the shell makes a control character of $'\\{prompt[index + 1]}'; "
        elif self._knows_other_case(prompt):
            known += f"it knows {'lower' if character.isupper() else 'upper'} case: '{prompt.swapcase()}'; "
        return UsageError(
            f"the model has never seen '{character}' (U+{ord(character):04X}), character {index + 1} of {what}; "
            f"{known}change it{advice}"
        )

    def _knows_other_case(self, prompt: str) -> bool:
        """Say whether all of a prompt is known if upper and lower case are exchanged."""
        return bool((self.encode(prompt.swapcase()) >= 0).all()) and len(prompt) < 40

    def frame(self, *documents: np.ndarray) -> np.ndarray:
        """Return the symbols of documents with their boundaries, as `frame_pieces` does."""
        dtype = documents[0].dtype if documents else np.dtype(np.int32)
        return np.concatenate([*self.frame_pieces(([document] for document in documents), dtype), np.zeros(0, dtype)])

    def frame_pieces(
        self, documents: Iterable[Iterable[np.ndarray]], dtype: np.dtype | type[np.int32] = np.int32
    ) -> Iterator[np.ndarray]:
        """Yield the symbols of documents, each of which comes in pieces of this type, with their boundaries.

        Then symbol k predicts symbol k + 1. In line mode a boundary stands before the first line and after every line,
        even if a document does not end with a newline. In a stream one stands before each document. The first piece of
        all is a boundary alone. One piece is read ahead.
        """
        begun = False
        for pieces in documents:
            ahead = np.zeros(0 if begun and self.line_mode else 1, dtype)  # BOUNDARY or nothing
            begun = True
            for ids in pieces:
                if len(ids):
                    if len(ahead):
                        yield ahead
                    ahead = ids
            if len(ahead):
                yield self.closed(ahead)

    def closed(self, ids: np.ndarray) -> np.ndarray:
        """Return the last symbols of a document with a boundary after its last line, if it lacks one in line mode."""
        if not self.line_mode or len(ids) == 0 or ids[-1] == BOUNDARY:
            return ids
        return np.append(ids, ids.dtype.type(BOUNDARY))

    def follow_table(self, forbidden: str = "", valid_utf8: bool = True) -> np.ndarray:
        """Return the automaton that limits sampling: (states, V) uint8, the next state of each symbol or FORBIDDEN.

        State 0 is between characters. No symbol of `forbidden` may come, nor one that is never sampled: a text may end
        only in line mode. If `valid_utf8`, a codec of bytes allows only well-formed UTF-8. Raises UsageError if no
        symbol is left.
        """
        table = self._automaton(valid_utf8)
        table[:, list(self.never_sampled)] = FORBIDDEN
        symbols = self.encode(forbidden)
        table[:, symbols[symbols > BOUNDARY]] = FORBIDDEN
        if (table[0, BOUNDARY + 1 :] == FORBIDDEN).all():
            raise UsageError(f"`forbid` leaves no {self.unit} that could be sampled; forbid fewer")
        return table

    def _automaton(self, valid_utf8: bool) -> np.ndarray:
        """Return the follow table without forbidden characters, in which a text may end."""
        return np.zeros((1, len(self)), np.uint8)
