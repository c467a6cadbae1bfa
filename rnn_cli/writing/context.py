"""What a model reads of the text before the cursor."""

from __future__ import annotations

from bisect import bisect_left
from typing import NamedTuple

import numpy as np

from rnn_cli.text.codecs import BOUNDARY, FORBIDDEN, UNKNOWN, Codec, TokenCodec, WordCodec
from rnn_cli.text.codecs.words import BLANKS

NOTHING = np.zeros(0, np.int32)
MOST = 1 << 14  # characters that are read at least, and at most twice as many: the state forgets what is older


class Context(NamedTuple):
    """The symbols before the cursor.

    ids    of a model of lines those of the line, and of paragraphs those of the paragraph; of a stream the last ones
    line   the number of them before the line of the cursor
    begun  in a model of words, the beginning of a word at the cursor, which is not among the symbols
    texts  the number of lines or paragraphs that come before; 0 in a stream
    lead   the number of the first symbols that are not in the text
    """

    ids: np.ndarray
    line: int
    begun: str = ""
    texts: int = 0
    lead: int = 0


class Contexts:
    """Encodes texts up to the cursor. What comes before the line of the cursor is encoded once."""

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        self._before = ("", NOTHING)  # the lines that were encoded last, and their symbols
        # A token that goes on after a newline would be cut if lines were encoded one by one.
        tokens = codec.tokens if isinstance(codec, TokenCodec) else ()
        self._by_lines = not any("\n" in token[:-1] for token in tokens)
        self._words: list[tuple[str, int]] = []
        if isinstance(codec, WordCodec):
            self._words = sorted((word, int(codec.encode(word)[0])) for word in codec.words)

    def of(self, text: str) -> Context:
        """Return the context of the end of a text. Characters that the model does not know are left out."""
        texts = text.count("\n") if self.codec.ends_at_newline else 0
        text = recent(text[text.rfind("\n") + 1 :] if self.codec.ends_at_newline else text)
        start = text.rfind("\n") + 1 if self._by_lines else 0
        line, begun = text[start:], ""
        if isinstance(self.codec, WordCodec):
            blank = max(line.rfind(each) for each in BLANKS) + 1
            line, begun = line[:blank], line[blank:]
        if self.codec.ends_at_newline:
            return Context(self._known(line), 0, begun, texts)
        before = self._encoded(text[:start])
        ids = np.concatenate([before, self._known(line)])
        if self.codec.line_mode:
            ends = np.flatnonzero(ids == BOUNDARY)
            cut = int(ends[-1]) + 1 if len(ends) else 0
            return Context(ids[cut:], max(0, len(before) - cut), begun, len(ends))
        if len(ids) == 0 and self.codec.newline not in (BOUNDARY, UNKNOWN):
            # In a stream few texts begin, but many lines do.
            return Context(np.array([self.codec.newline], np.int32), 1, begun, lead=1)
        return Context(ids, len(before), begun)

    def _encoded(self, lines: str) -> np.ndarray:
        if self._before[0] != lines:
            self._before = (lines, self._known(lines))
        return self._before[1]

    def _known(self, text: str) -> np.ndarray:
        ids = self.codec.encode(text)
        return ids[ids >= 0]

    def words_with(self, begun: str, follow: np.ndarray) -> np.ndarray | None:
        """Return a follow table (2, V) whose first symbol is a word that begins so; None if there is none.

        From state 1 on, the table is `follow`, which has one state.
        """
        first = bisect_left(self._words, (begun, 0))
        table = np.repeat(follow, 2, axis=0)
        table[table != FORBIDDEN] = 1
        table[0] = FORBIDDEN
        for word, symbol in self._words[first:]:
            if not word.startswith(begun):
                break
            table[0, symbol] = table[1, symbol]
        return table if (table[0] != FORBIDDEN).any() else None

    def text_of(self, context: Context, symbols: list[int]) -> str:
        """Return the text of symbols that follow a context, as it comes after the text before the cursor."""
        previous = int(context.ids[-1]) if len(context.ids) else BOUNDARY
        text = self.codec.decode_after(previous, symbols).decode("utf-8", "replace")
        if isinstance(self.codec, WordCodec):  # the blank before the first word is there already
            text = text.removeprefix(" ").removeprefix(context.begun)
        return text


def recent(text: str) -> str:
    """Return the end of a text. Where it begins moves rarely as the text grows, so that what was read stays of use."""
    return text[max(0, len(text) // MOST - 1) * MOST :]
