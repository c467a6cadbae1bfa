"""Generated texts: how each of them ends, and which of them are kept for each prompt."""

from __future__ import annotations

import math
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from rnn_cli.language.constraints import LONGEST, unfinished
from rnn_cli.language.stepper import Prompt
from rnn_cli.rng import CANDIDATES, generator
from rnn_cli.text.codecs import BOUNDARY
from rnn_cli.text.graphemes import clusters

MAX_PENDING = 1024  # texts of a prompt, or prompts, that are begun before the first of them is complete
MAX_REJECTED = 1000  # texts in a row; after that no further text of the prompt is tried
TAIL = 256  # symbols in which the last grapheme cluster is looked for


@dataclass
class GeneratedText:
    """A text that a model generates, without its prompt. Only the methods of this class change it.

    symbols, losses   what was sampled, and its cost in nats at temperature 1
    worth             of a text that has stopped and keeps to a guide: see `Stepper.worth`
    stopped           None while the text continues; then "end" (of the line), "stop" (text), "length", or "copy" if
                      every symbol that could follow would be copied from the corpus
    unread            the symbols of the prompt that the network has yet to read
    """

    prompt: Prompt = field(compare=False, repr=False)
    unread: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32), compare=False, repr=False)
    symbols: array[int] = field(default_factory=lambda: array("i"))  # compact, as a text may be very long
    losses: array[float] = field(default_factory=lambda: array("f"))
    worth: float = 0.0
    stopped: str | None = None

    def __post_init__(self) -> None:
        if self.prompt.longest == 0:
            self.stopped = "length"

    @property
    def bits_per_char(self) -> float | None:
        """The mean cost of the text under its own model, at temperature 1, or None for an empty text."""
        return sum(self.losses) / len(self.losses) / math.log(2) if self.losses else None

    @property
    def surprise(self) -> float:
        """The bits per character, by which the best of several texts is chosen; an empty text is the worst."""
        bits = self.bits_per_char
        return math.inf if bits is None else bits

    @property
    def remaining(self) -> int:
        """The number of steps after which the text ends at the latest.

        If characters may join others, one more is sampled: it says whether the last one is complete.
        """
        one_more = self.prompt.characters is not None
        return len(self.unread) + self.prompt.longest - len(self.symbols) + one_more

    def add(self, symbols: np.ndarray, losses: np.ndarray, stops: Sequence[array[int]], follow: np.ndarray) -> None:
        """Add the symbols of some steps, up to the end of the text.

        The first ones are those of the prompt, if it is not read yet. The end and the stop text are not part of the
        text. A character of several bytes that is cut off at the end is removed.
        """
        far = len(self.symbols) + len(symbols) < self.prompt.longest
        if far and len(self.unread) == 0 and not any(stops) and symbols.all():  # none of them is the boundary
            self.symbols.frombytes(symbols.astype(np.int32).tobytes())
            self.losses.frombytes(losses.astype(np.float32).tobytes())
            return
        read = min(len(self.unread), len(symbols))
        self.unread = self.unread[read:]
        self._append(symbols[read:].tolist(), losses[read:].tolist(), stops)
        if self.stopped:
            self._cut(len(self.symbols) - self.unfinished(follow))

    def _append(self, symbols: list[int], losses: list[float], stops: Sequence[array[int]]) -> None:
        prompt, before = self.prompt, len(self.symbols)
        end = symbols.index(BOUNDARY) if BOUNDARY in symbols else len(symbols)
        count = min(end, prompt.longest - before)
        self.symbols.extend(symbols[:count])
        self.losses.extend(losses[:count])
        starts = [start for stop in stops for start in self._starts(stop, before)]
        if starts:
            self._cut(min(starts))
            self.stopped = "stop"
            return
        if len(self.symbols) == prompt.longest:
            if prompt.characters is None:
                self.stopped = "length"
            elif count < len(symbols):
                self._cut(len(self.symbols) - self._last_cluster(prompt.characters, symbols[count]))
                self.stopped = "length"
        elif end < len(symbols):
            ended = prompt.ends and len(self.symbols) >= prompt.shortest
            self.stopped = "end" if ended else "copy"

    def _starts(self, stop: array[int], before: int) -> Iterator[int]:
        """Yield where a stop text begins that ends after the first `before` symbols, and ends the text."""
        if not stop:
            return
        for length in range(max(before + 1, self.prompt.shortest + len(stop)), len(self.symbols) + 1):
            if self.symbols[length - 1] == stop[-1] and self.symbols[length - len(stop) : length] == stop:
                yield length - len(stop)

    def _cut(self, length: int) -> None:
        del self.symbols[length:], self.losses[length:]

    def _last_cluster(self, characters: str, following: int | None = None) -> int:
        """Return the number of symbols at the end that belong to one grapheme cluster.

        With a `following` symbol: of one that continues with it, otherwise 0; and 0 if the text would be too short.
        """
        tail = [*self.prompt.ids[-TAIL:].tolist(), *self.symbols[-TAIL:]]
        text = "".join(characters[symbol] for symbol in tail)
        if following is None:
            return min(len(list(clusters(text))[-1]), len(self.symbols)) if text else 0
        if following == BOUNDARY or not text:
            return 0
        size = min(len(list(clusters(text + characters[following]))[-1]) - 1, len(self.symbols))
        return size if len(self.symbols) - size >= self.prompt.shortest else 0

    def unfinished(self, follow: np.ndarray) -> int:
        """Return the number of symbols at the end that begin a character of several bytes and do not complete it."""
        if len(follow) == 1:
            return 0
        ids = [*self.prompt.ids[-LONGEST:].tolist(), *self.symbols[-LONGEST:]]
        return min(unfinished(follow, ids), len(self.symbols))

    def uncertain(self, stops: Sequence[array[int]], follow: np.ndarray) -> int:
        """Return the number of symbols at the end that a later `add` may remove."""
        if self.stopped:
            return 0
        cluster = 0 if self.prompt.characters is None else self._last_cluster(self.prompt.characters)
        begun = max((overlap(self.symbols, stop) for stop in stops), default=0)
        return max(begun, self.unfinished(follow), cluster)


def overlap(symbols: array[int], stop: array[int]) -> int:
    """Return the length of the longest suffix of `symbols` that is a prefix of `stop`, but not all of it."""
    for length in range(min(len(symbols), len(stop) - 1), 0, -1):
        if symbols[-1] == stop[length - 1] and symbols[-length:] == stop[:length]:
            return length
    return 0


@dataclass
class PromptQueue:
    """The texts of one prompt: which are to be begun, and which of the complete ones are kept.

    They are judged in the order in which they are begun. So which are kept does not depend on how many are generated
    side by side. `wanted` texts are accepted, and of every `best_of` of them the best one is kept. `first` is the index
    of the first text, which determines its random numbers.

    With `candidates`, only one of so many texts is judged: each with a probability in proportion to exp(worth). So it
    is nearly as probable as the model says (importance resampling, Rubin 1988), for which the largest of worth + g is
    taken, with a Gumbel variable g of each text that follows from the `seed` and its index.
    """

    prompt: Prompt
    first: int
    wanted: int
    best_of: int = 1
    max_pending: int = MAX_PENDING
    max_rejected: int = MAX_REJECTED
    candidates: int = 1
    seed: int = 0
    _begun: int = 0
    _looked_at: int = 0
    _accepted: int = 0
    _rejected: int = 0  # since the last that was accepted
    _complete: dict[int, GeneratedText] = field(default_factory=dict)
    _candidate: tuple[float, GeneratedText] | None = None  # the best of those looked at since the last was judged
    _best: GeneratedText | None = None  # of those accepted since the last that was kept

    @property
    def done(self) -> bool:
        """Whether no further text is needed, or too many in a row were rejected."""
        return self._accepted == self.wanted or self._rejected == self.max_rejected

    @property
    def needs_text(self) -> bool:
        """Whether to begin another text: enough for the missing ones, and more after rejections."""
        ahead = self.candidates * (self.wanted - self._accepted + self._rejected) - self._looked_at % self.candidates
        return not self.done and self._begun - self._looked_at < min(ahead, self.max_pending)

    def begin(self) -> int:
        """Return the index of the next text, which is now begun."""
        self._begun += 1
        return self.first + self._begun - 1

    def complete(self, index: int, text: GeneratedText) -> None:
        """Take in a text that has stopped."""
        self._complete[index - self.first] = text

    def kept(self, accepts: Callable[[GeneratedText], bool]) -> Iterator[GeneratedText]:
        """Judge the complete texts whose predecessors are judged; yield those that are kept."""
        while not self.done and self._looked_at in self._complete:
            text = self._chosen(self._complete.pop(self._looked_at))
            if text is None:
                continue
            if not accepts(text):
                self._rejected += 1
                continue
            self._accepted, self._rejected = self._accepted + 1, 0
            if self._best is None or text.surprise < self._best.surprise:
                self._best = text
            if self._accepted % self.best_of == 0:
                yield self._best
                self._best = None
        if self.done and self._best:
            yield self._best

    def _chosen(self, text: GeneratedText) -> GeneratedText | None:
        """Look at the next text; return the one of its candidates that is judged, None before the last of them."""
        number = self._looked_at
        self._looked_at += 1
        if self.candidates == 1:
            return text
        worth = -math.inf if text.stopped == "copy" else text.worth  # it need not match
        chance = worth + generator([self.seed, CANDIDATES, self.first + number]).gumbel()
        if self._candidate is None or chance > self._candidate[0]:
            self._candidate = chance, text
        if self._looked_at % self.candidates:
            return None
        (_, text), self._candidate = self._candidate, None
        return text


class PromptQueues:
    """The queues of all prompts, in their order. Those of later prompts are made when there is room for their texts."""

    def __init__(self, coming: Iterable[PromptQueue], max_pending: int = MAX_PENDING) -> None:
        self._coming, self._max_pending = iter(coming), max_pending
        self._queues: deque[PromptQueue] = deque()

    def __bool__(self) -> bool:
        """Return whether a queue in use is not done."""
        return bool(self._queues)

    def next(self) -> PromptQueue | None:
        """Return the first queue that needs another text, or None."""
        for queue in self._queues:
            if queue.needs_text:
                return queue
        coming = next(self._coming, None) if len(self._queues) < self._max_pending else None
        if coming:
            self._queues.append(coming)
        return coming

    def kept(self, accepts: Callable[[GeneratedText], bool]) -> Iterator[GeneratedText]:
        """Judge the complete texts; yield those that are kept, prompt after prompt. Drop the queues that are done."""
        while self._queues:
            yield from self._queues[0].kept(accepts)
            if not self._queues[0].done:
                break
            self._queues.popleft()
