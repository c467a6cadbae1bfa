"""The characters or words of texts that a model does not know, counted so that the commonest can be named."""

from __future__ import annotations

from collections import Counter

from rnn_cli.text.codecs import Codec, TokenCodec, WordCodec
from rnn_cli.text.codecs.codec import ESCAPES

SHOWN = 3


class UnknownCharacters:
    """Counts the unknown characters of texts or, for a codec of words, their unknown words."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._known = set(codec.alphabet) | ({"\n"} if codec.line_mode else set())
        self._all_known = codec.reads_bytes
        self.counts = Counter[str]()

    def add(self, text: str | bytes) -> None:
        """Count what is unknown in a text."""
        if isinstance(self._codec, WordCodec):
            self.counts.update(self._codec.unknown_words(text))
        elif isinstance(self._codec, TokenCodec):
            self.counts.update(self._codec.unknown_tokens(text))
        elif isinstance(text, str) and not self._all_known:
            for character in set(text) - self._known:
                self.counts[character] += text.count(character)

    def __bool__(self) -> bool:
        return bool(self.counts)

    def describe(self) -> str:
        """Return the commonest unknown characters with their numbers, and what helps against carriage returns."""
        names = [f"{name_of(character)} {count:,}" for character, count in self.counts.most_common(SHOWN)]
        more = len(self.counts) - SHOWN
        names += [f"{more:,} more"] if more > 0 else []
        hint = "; the lines end in CR LF: tr -d '\\r' takes the CR out" if "\r" in self.counts else ""
        return f"{', '.join(names)}{hint}"


def name_of(character: str) -> str:
    """Return a printable name of a character, or of a word."""
    if len(character) > 1:
        letters = (letter if letter.isprintable() else f"U+{ord(letter):04X}" for letter in character)
        return f"'{''.join(letters)}'"
    if "\udc80" <= character <= "\udcff":
        return f"byte 0x{ord(character) - 0xDC00:02X} (not UTF-8)"
    if character in ESCAPES:
        return ESCAPES[character]
    return f"'{character}'" if character.isprintable() else f"U+{ord(character):04X}"
