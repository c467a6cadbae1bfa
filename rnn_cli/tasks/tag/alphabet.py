"""The symbols that a tagger reads: characters, and one symbol for all unknown ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from rnn_cli.network.workspace import IGNORED
from rnn_cli.tasks.whole_texts import Texts
from rnn_cli.text.codecs import BOUNDARY, CharacterCodec

RARE = 1  # a character that occurs no more often is unknown, so that training shows what unknown ones are like


class Alphabet:
    """0 is the boundary before a sentence; then come the characters of a codec, and last the unknown character."""

    def __init__(self, codec: CharacterCodec) -> None:
        self.codec, self.unknown = codec, len(codec)

    @classmethod
    def of_texts(cls, texts: Iterable[str]) -> Alphabet:
        """Return the alphabet of the characters that occur more than RARE times; of all, if none does."""
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(text)
        known = sorted(character for character, count in counts.items() if count > RARE) or sorted(counts)
        return cls(CharacterCodec("".join(known), line_mode=False))

    def __len__(self) -> int:
        return len(self.codec) + 1

    def encode(self, text: str) -> np.ndarray:
        """Return the symbols (int32) of a text."""
        symbols = self.codec.encode(text)
        symbols[symbols <= 0] = self.unknown
        return symbols


def answer_positions(tokens: Sequence[str]) -> np.ndarray:
    """Return the position of the last character of each token, in a sentence of a boundary and tokens with blanks."""
    lengths = np.fromiter(map(len, tokens), np.int64, len(tokens))
    return np.cumsum(lengths + 1) - 1


def pieces_of(tokens: Sequence[str], most: int) -> list[tuple[int, int]]:
    """Cut a sentence between tokens into pieces of up to `most` symbols: the first token of each, and its end.

    A token that alone is longer is a piece by itself.
    """
    pieces, first, length = [], 0, 0
    for index, token in enumerate(tokens):
        if index > first and length + 1 + len(token) > most:
            pieces.append((first, index))
            first, length = index, 0
        length += 1 + len(token)  # the boundary or a blank comes before each token
    return [*pieces, (first, len(tokens))] if tokens else []


def texts_of(
    alphabet: Alphabet,
    sentences: Sequence[Sequence[str]],
    longest: int,
    targets: Sequence[Sequence[int]] | None = None,
) -> Texts:
    """Return sentences as symbols, with the target of each token (by default 0) at its last character.

    A sentence begins with the boundary, and blanks stand between its tokens. A sentence of more than `longest` symbols
    is cut between tokens, and of a longer token the beginning is left out.
    """
    symbols, answers = [], []
    for number, tokens in enumerate(sentences):
        for first, last in pieces_of(tokens, longest):
            piece = tokens[first:last]
            text = np.append(np.int32(BOUNDARY), alphabet.encode(" ".join(piece)))
            answer = np.full(len(text), IGNORED, np.int32)
            answer[answer_positions(piece)] = targets[number][first:last] if targets else 0
            symbols.append(text[-longest:])
            answers.append(answer[-longest:])
    return Texts.join(symbols, answers)
