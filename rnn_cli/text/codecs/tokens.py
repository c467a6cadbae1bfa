"""The codec of tokens: a symbol is one or several characters, such as `Br`, `[nH]` or a letter with its marks."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from rnn_cli.errors import CheckpointError, UsageError
from rnn_cli.text.codecs.codec import BOUNDARY, ESCAPES, UNKNOWN, Codec, advice_for
from rnn_cli.text.graphemes import clusters

LIST, SMILES, GRAPHEMES = "list", "smiles", "graphemes"
RULES = (LIST, SMILES, GRAPHEMES)
LONGEST = 64  # characters of a token; a longer grapheme cluster is cut
MOST = 100_000  # tokens of a vocabulary
SMILES_TOKENS = re.compile(rf"Br|Cl|\[[^\[\]\n]{{1,{LONGEST - 2}}}\]|%[0-9][0-9]|.", re.DOTALL)


@dataclass(frozen=True)
class TokenCodec(Codec):
    """The tokens of a text; symbol k is `tokens[k - 1]`. `rule` says how a text is cut into tokens:

    list        the longest of the tokens that matches, from left to right; elsewhere single characters
    smiles      Br, Cl, an atom in brackets, a ring closure of two digits (%12); elsewhere single characters
    graphemes   grapheme clusters (text/graphemes.py)
    """

    tokens: tuple[str, ...]
    line_mode: bool
    rule: str = LIST

    kind: ClassVar[str] = "tokens"

    @classmethod
    def of_texts(
        cls,
        texts: Iterable[Iterable[str]],
        line_mode: bool,
        rule: str,
        listed: Sequence[str] = (),
        min_count: int = 1,
    ) -> TokenCodec:
        """Return the codec of the tokens of texts, each in pieces, that occur `min_count` times.

        Raises UsageError if there are none, or too many.
        """
        counts = Counter[str]()
        cutter = cls(tuple(listed), line_mode, rule)
        for pieces in texts:
            for part in cutter.parts(pieces):
                counts.update(part)
        if line_mode:
            counts.pop("\n", None)
        tokens = tuple(sorted(token for token, count in counts.items() if count >= min_count))
        if counts and not tokens:
            raise UsageError(f"no token occurs {min_count:,} times; lower `min_count`")
        if len(tokens) > MOST:
            raise UsageError(f"the text has {len(tokens):,} different tokens, and {MOST:,} are possible")
        return cls(tokens, line_mode, rule)

    def __len__(self) -> int:
        return 1 + len(self.tokens)

    @cached_property
    def _ids(self) -> dict[str, int]:
        ids = {token: symbol for symbol, token in enumerate(self.tokens, 1)}
        return {**ids, "\n": BOUNDARY} if self.line_mode else ids

    @cached_property
    def split(self) -> Callable[[str], list[str]]:
        """Cut a text into tokens, known or not."""
        if self.rule == GRAPHEMES:
            return lambda text: [part for cluster in clusters(text) for part in cut(cluster)]
        if self.rule == SMILES:
            return SMILES_TOKENS.findall
        longest_first = sorted((token for token in self.tokens if len(token) > 1), key=len, reverse=True)
        return re.compile("|".join([*map(re.escape, longest_first), "."]), re.DOTALL).findall

    def parts(self, pieces: Iterable[str | bytes]) -> Iterator[list[str]]:
        """Yield the tokens of a text that comes in pieces, which may end within a token.

        What is within LONGEST characters of the end of a piece is cut with the next one.
        """
        rest = ""
        for piece in pieces:
            tokens = self.split(rest + checked(piece))
            held = size = 0
            while held < len(tokens) and size < LONGEST:
                held += 1
                size += len(tokens[-held])
            rest = "".join(tokens[len(tokens) - held :])
            yield tokens[: len(tokens) - held]
        yield self.split(rest)

    def _symbols(self, tokens: Sequence[str]) -> np.ndarray:
        get = self._ids.get
        return np.fromiter((get(token, UNKNOWN) for token in tokens), np.int32, len(tokens))

    def encode(self, text: str | bytes) -> np.ndarray:
        """Return the symbols (int32) of a text, UNKNOWN for unknown tokens. Raises TypeError for bytes."""
        return self._symbols(self.split(checked(text)))

    def encode_pieces(self, pieces: Iterable[str | bytes]) -> Iterator[np.ndarray]:
        """Yield the symbols of a text that comes in pieces, which may end within a token."""
        return map(self._symbols, self.parts(pieces))

    def decode(self, ids: Sequence[int] | np.ndarray) -> bytes:
        """Return the text (UTF-8) of symbols. The boundary is a newline in line mode, otherwise nothing."""
        names = ("\n" if self.line_mode else "", *self.tokens)
        return "".join(names[symbol] for symbol in np.asarray(ids, np.int64).tolist()).encode("utf-8")

    def name(self, symbol: int) -> str:
        """Return a printable name of a symbol, for messages and tables."""
        if symbol == BOUNDARY:
            return "end"
        token = self.tokens[int(symbol) - 1]
        if token in ESCAPES:
            return ESCAPES[token]
        return "".join(letter if letter.isprintable() else f"U+{ord(letter):04X}" for letter in token)

    def line_sizes(self, lines: Sequence[str] | Sequence[bytes]) -> np.ndarray:
        """Return the number of symbols of each line (int64), its newline included."""
        return np.fromiter((len(self.split(checked(line))) + 1 for line in lines), np.int64, len(lines))

    def unknown_tokens(self, text: str | bytes) -> list[str]:
        """Return the tokens of a text that the codec lacks, each as often as it occurs."""
        return [token for token in self.split(checked(text)) if token not in self._ids]

    def _unknown_error(self, prompt: str | bytes, index: int, what: str) -> UsageError:
        token = self.split(checked(prompt))[index]
        advice = advice_for(what)
        return UsageError(f"the model has never seen '{token}', token {index + 1} of {what}; change it{advice}")

    def extended_with(self, other: Codec) -> TokenCodec:
        """Return this codec, extended by the tokens that only `other` has; their symbols come last."""
        if not isinstance(other, TokenCodec):
            return self
        return replace(self, tokens=self.tokens + tuple(token for token in other.tokens if token not in self._ids))

    def ids_in(self, other: Codec) -> np.ndarray:
        """Return the symbol in `other` of each symbol of this codec (int32), or UNKNOWN if `other` lacks it.

        Raises ValueError if the two do not read a text alike.
        """
        if not isinstance(other, TokenCodec) or (other.line_mode, other.rule) != (self.line_mode, self.rule):
            raise ValueError("the codecs do not read a text alike")
        return np.append(np.int32(BOUNDARY), other._symbols(self.tokens))

    def to_dict(self) -> dict[str, Any]:
        """Return the codec as a JSON-ready dictionary, for `from_dict`."""
        return {"tokens": list(self.tokens), "lines": self.line_mode, "rule": self.rule}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TokenCodec:
        """Build a codec from the result of `to_dict`. Raises CheckpointError for tokens that no text can have."""
        if set(values) != {"tokens", "lines", "rule"}:
            raise CheckpointError("the vocabulary has missing or unknown fields; the file is damaged")
        tokens, line_mode, rule = values["tokens"], values["lines"], values["rule"]
        if not isinstance(line_mode, bool) or not isinstance(tokens, list) or rule not in RULES:
            raise CheckpointError("the vocabulary has fields of a wrong type; the file is damaged")
        if not 0 < len(tokens) <= MOST or not all(isinstance(token, str) for token in tokens):
            raise CheckpointError("the vocabulary is not a list of tokens; the file is damaged")
        if "" in tokens or len(set(tokens)) < len(tokens) or max(map(len, tokens)) > LONGEST:
            raise CheckpointError("the vocabulary is not a list of distinct tokens; the file is damaged")
        text = "".join(tokens)
        if (line_mode and "\n" in text) or any("\ud800" <= character <= "\udfff" for character in text):
            raise CheckpointError("the vocabulary has tokens that no text can have; the file is damaged")
        return cls(tuple(tokens), line_mode, rule)


def listed_tokens(name: str, lines: Sequence[str]) -> tuple[str, ...]:
    """Return the tokens of a file, one a line. Raises UsageError if there are none, or for one that is too long."""
    tokens = tuple(dict.fromkeys(line.removesuffix("\r") for line in lines if line.removesuffix("\r")))
    if not tokens:
        raise UsageError(f"{name} lists no tokens; write one on each line")
    if len(tokens) > MOST or max(map(len, tokens)) > LONGEST:
        raise UsageError(f"{name} may list {MOST:,} tokens of {LONGEST} characters at most")
    return tokens


def cut(cluster: str) -> list[str]:
    """Return a grapheme cluster in parts of at most LONGEST characters."""
    return [cluster[start : start + LONGEST] for start in range(0, len(cluster), LONGEST)]


def checked(text: str | bytes) -> str:
    """Return a text. Raises TypeError for bytes."""
    if not isinstance(text, str):
        raise TypeError("a codec of tokens encodes a string; decode the bytes first")
    return text
