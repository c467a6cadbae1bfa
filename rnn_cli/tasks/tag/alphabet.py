"""The symbols that a tagger reads: characters, and one symbol for all unknown ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from rnn_cli.network.workspace import IGNORED
from rnn_cli.tasks.whole_texts import Texts
from rnn_cli.text.codecs import CharacterCodec

RARE = 1  # a character that occurs no more often is unknown, so that training shows what unknown ones are like


class Alphabet:
    """0 is padding; then come the characters of a codec, and last the unknown character."""

    def __init__(self, codec: CharacterCodec) -> None:
        self.codec, self.unknown = codec, len(codec)

    @classmethod
    def of_texts(cls, texts: Iterable[str]) -> Alphabet:
        """Return the alphabet of the characters that occur more than RARE times; of all, if none does."""
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(text)
        known = sorted(character for character, count in counts.items() if count > RARE) or sorted(counts)
        return cls(CharacterCodec("".join(known), line_mode=True))

    def __len__(self) -> int:
        return len(self.codec) + 1

    def encode(self, text: str) -> np.ndarray:
        """Return the symbols (int32) of a text."""
        symbols = self.codec.encode(text)
        symbols[symbols <= 0] = self.unknown
        return symbols


def answer_positions(tokens: Sequence[str]) -> np.ndarray:
    """Return the index of the last character of each token in the text of a sentence, its tokens joined by blanks."""
    lengths = np.fromiter(map(len, tokens), np.int64, len(tokens))
    return np.cumsum(lengths + 1) - 2


def pieces_of(tokens: Sequence[str], most: int) -> list[tuple[int, int]]:
    """Cut a sentence between tokens so that no piece has more than `most` characters: (first, last) token of each.

    A longer token is a piece by itself; of its characters the network reads the last ones.
    """
    pieces, first, length = [], 0, -1
    for index, token in enumerate(tokens):
        if length + 1 + len(token) > most and index > first:
            pieces.append((first, index))
            first, length = index, -1
        length += 1 + len(token)
    if first < len(tokens):
        pieces.append((first, len(tokens)))
    return pieces


def texts_of(
    alphabet: Alphabet,
    sentences: Sequence[Sequence[str]],
    longest: int,
    targets: Sequence[Sequence[int]] | None = None,
) -> Texts:
    """Return sentences as symbols, with the target of each token (by default 0) at its last character.

    A sentence of more than `longest` characters is cut between tokens.
    """
    symbols, answers = [], []
    for number, tokens in enumerate(sentences):
        for first, last in pieces_of(tokens, longest):
            piece = tokens[first:last]
            text = alphabet.encode(" ".join(piece))
            answer = np.full(len(text), IGNORED, np.int32)
            answer[answer_positions(piece)] = targets[number][first:last] if targets else 0
            symbols.append(text[-longest:])
            answers.append(answer[-longest:])
    return Texts.join(symbols, answers)
