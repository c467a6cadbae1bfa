"""Texts that are being drawn: where each of them ends, and how many are wanted from each seed."""

from __future__ import annotations

import math
from array import array
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from rnn_cli.language.stepper import Start
from rnn_cli.text.codecs import BOUNDARY

AHEAD = 1024  # texts that are begun before the first of them is taken
TRIES = 1000  # texts in a row that are not taken, after which no further one is looked for


class StopText:
    """Symbols that end a text, looked for symbol by symbol in linear time (Knuth, Morris and Pratt, 1977)."""

    def __init__(self, symbols: list[int]) -> None:
        self.symbols = symbols
        self._borders = [0]  # of its first k + 1 symbols: the longest end, but not all, that is their beginning too
        for symbol in symbols[1:]:
            self._borders.append(self.follow(self._borders[-1], symbol))

    def __len__(self) -> int:
        """Return the number of symbols."""
        return len(self.symbols)

    def follow(self, found: int, symbol: int) -> int:
        """Return how many of its first symbols end a text, one symbol after it was `found`; there is at least one."""
        while found and (found == len(self.symbols) or self.symbols[found] != symbol):
            found = self._borders[found - 1]
        return found + (self.symbols[found] == symbol)


@dataclass
class GeneratedText:
    """One generated text, without its seed.

    `stopped` is "end" (of the line), "stop" (text), "length", or "copy" where all that could follow is copied from the
    corpus. `to_read` is what is left of the seed to be read before. `stopping` is how many of the last symbols may turn
    out to be the stop text.
    """

    symbols: array[int] = field(default_factory=lambda: array("i"))  # compact, as a text may be very long
    losses: array[float] = field(default_factory=lambda: array("f"))
    stopped: str | None = None
    start: Start = field(default_factory=lambda: Start(np.zeros(0, np.int32)), compare=False, repr=False)
    to_read: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32), compare=False, repr=False)
    stopping: int = field(default=0, compare=False, repr=False)

    @property
    def bits_per_char(self) -> float | None:
        """The mean surprise of the model at its own text, at temperature 1, or None for an empty text."""
        return sum(self.losses) / len(self.losses) / math.log(2) if self.losses else None

    @property
    def surprise(self) -> float:
        """The bits per character, by which the best of several texts is found; an empty one is the last."""
        bits = self.bits_per_char
        return math.inf if bits is None else bits

    def take(self, symbols: np.ndarray, losses: np.ndarray, stop: StopText) -> None:
        """Add what was drawn, up to the end of the text, which is not part of it."""
        start, before = self.start, len(self.symbols)
        drawn = symbols.tolist()
        end = drawn.index(BOUNDARY) if BOUNDARY in drawn else len(drawn)
        count = min(end, start.longest - before)
        self.symbols.extend(drawn[:count])
        self.losses.extend(losses[:count].tolist())
        for k in range(before, len(self.symbols) if stop else before):
            self.stopping = stop.follow(self.stopping, self.symbols[k])
            kept = k + 1 - len(stop)
            if self.stopping == len(stop) and kept >= start.shortest:
                del self.symbols[kept:], self.losses[kept:]
                self.stopped = "stop"
                return
        if len(self.symbols) == start.longest:
            self.stopped = "length"
        elif end < len(drawn):
            ended = start.ends and len(self.symbols) >= start.shortest
            self.stopped = "end" if ended else "copy"


@dataclass
class PromptQueue:
    """The texts that are wanted from one seed: how many were begun, looked at, and taken.

    Its texts have numbers from `first` on. A text is looked at when those before it have been, so that which ones are
    taken does not depend on how many are drawn side by side.
    """

    start: Start
    first: int
    wanted: int
    begun: int = 0
    judged: int = 0
    taken: int = 0
    refused: int = 0  # since the last that was taken
    waiting: dict[int, GeneratedText] = field(default_factory=dict)
    best: GeneratedText | None = None  # of those that were taken since one was yielded

    @property
    def over(self) -> bool:
        """Whether no further text is looked for."""
        return self.taken == self.wanted or self.refused == TRIES

    @property
    def wants(self) -> bool:
        """Whether another text is to be begun: at least as many as are missing, and more the rarer they are."""
        ahead = min(self.wanted - self.taken + self.refused, AHEAD)
        return not self.over and self.begun - self.judged < ahead


def next_prompt_queue(queues: deque[PromptQueue], coming: Iterator[PromptQueue]) -> PromptQueue | None:
    """Return the first seed that wants another text, begun just now if need be, or None."""
    for quota in queues:
        if quota.wants:
            return quota
    begun = next(coming, None) if len(queues) < AHEAD else None
    if begun:
        queues.append(begun)
    return begun
