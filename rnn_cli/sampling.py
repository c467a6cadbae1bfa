"""Generating text: a model reads a seed and goes on, symbol by symbol."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rnn_cli.checkpoint import Checkpoint
from rnn_cli.config import SamplingConfig
from rnn_cli.errors import UsageError
from rnn_cli.kernels.draw import Draws, generate
from rnn_cli.kernels.memory import aligned_zeros
from rnn_cli.kernels.threads import Team
from rnn_cli.model import Model, Window
from rnn_cli.vocabulary import BOUNDARY, Vocabulary

DRAWN = -1  # in place of a symbol that is given
ROWS = 64  # texts that are drawn side by side
CHUNK = 64  # symbols between two looks at what was drawn


@dataclass
class Text:
    """One generated text, without its seed. `stopped` is "end" (of the line), "stop" (text) or "length"."""

    symbols: list[int] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    stopped: str | None = None

    @property
    def bits_per_char(self) -> float | None:
        """The mean surprise of the model at its own text, at temperature 1, or None for an empty text."""
        return sum(self.losses) / len(self.losses) / math.log(2) if self.losses else None

    def take(self, symbols: np.ndarray, losses: np.ndarray, stop: list[int], length: int) -> None:
        """Add what was drawn, up to the end of the text, which is not part of it."""
        for symbol, loss in zip(symbols.tolist(), losses.tolist()):
            if self.stopped:
                return
            if symbol == BOUNDARY:
                self.stopped = "end"
                return
            self.symbols.append(symbol)
            self.losses.append(loss)
            if stop and self.symbols[-len(stop) :] == stop:
                del self.symbols[-len(stop) :], self.losses[-len(stop) :]
                self.stopped = "stop"
            elif len(self.symbols) == length:
                self.stopped = "length"


class Reader:
    """Reads symbols on some rows of a model, one step at a time, and draws what follows."""

    def __init__(self, model: Model, rows: int, team: Team) -> None:
        self.window = Window(model, 1, rows, team)
        self.window.pack()
        self.rows, self.team = rows, team
        self._scratch = aligned_zeros(rows * self.window.net.columns, np.float32)
        self.start()

    def start(self) -> None:
        """Begin new texts on all rows: the next thing that is read is the boundary, in the zero state."""
        self.window.state[:] = 0
        self.window.inputs[:] = BOUNDARY

    def take_state(self, other: Reader) -> None:
        """Go on, on all rows, from where row 0 of another reader stands."""
        self.window.state[:] = other.window.state[:, :, :1]
        self.window.inputs[:] = other.window.inputs[:, :1]

    def run(
        self,
        symbols: np.ndarray,
        config: SamplingConfig,
        texts: np.ndarray | None = None,
        position: int = 0,
        may_end: bool = True,
    ) -> np.ndarray:
        """Read the given symbols (T, rows), drawing those that are DRAWN in place; return their losses in nats."""
        losses = np.zeros(symbols.shape, np.float32)
        draws = Draws(
            symbols=symbols,
            losses=losses,
            scratch=self._scratch,
            texts=np.zeros(self.rows, np.int64) if texts is None else texts,
            seed=config.random_seed,
            position=position,
            lowest=BOUNDARY if may_end else BOUNDARY + 1,
            temperature=float(config.temperature),
            top_k=config.top_k,
        )
        self.team.run(generate, self.window.model.equations, self.window.net, self.window.memory, draws)
        return losses

    def read(self, ids: Sequence[int] | np.ndarray) -> np.ndarray:
        """Read given symbols on row 0; return their losses (T) in nats."""
        given = np.ascontiguousarray(np.repeat(np.asarray(ids, np.int32)[:, None], self.rows, axis=1))
        if len(given) == 0:
            return np.zeros(0, np.float32)
        return self.run(given, SamplingConfig())[:, 0]

    def probabilities(self) -> np.ndarray:
        """Return the probabilities (V) of what follows on row 0, without reading on."""
        state, inputs = self.window.state.copy(), self.window.inputs.copy()
        self.run(np.zeros((1, self.rows), np.int32), SamplingConfig())
        logits = self.window.logits[0, 0, : self.window.net.vocab_size].astype(np.float64)
        self.window.state[:], self.window.inputs[:] = state, inputs
        weights = np.exp(logits - logits.max())
        return weights / weights.sum()


def encode_seed(
    vocabulary: Vocabulary, seed: str | bytes, unknown: str = "error", what: str = "the seed"
) -> np.ndarray:
    """Return the ids of a seed. An unknown character raises UsageError, or is left out where `unknown` is "skip"."""
    ids = vocabulary.encode(seed)
    missing = np.flatnonzero(ids < 0)
    if len(missing) and unknown == "error":
        character = seed[int(missing[0])]
        assert isinstance(character, str)  # a byte model knows every byte
        known = ", ".join(f"'{near}'" for near in vocabulary.nearest(character))
        raise UsageError(
            f"the model has never seen '{character}' (U+{ord(character):04X}), character {missing[0] + 1} of {what}; "
            f"it knows {known}; change it{', or leave it out with --unknown skip' if what == 'the seed' else ''}"
        )
    return ids[ids >= 0]


class Sampler:
    """Continues texts from a seed. Text number k depends on the seed, the configuration and k alone."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        seed: str | bytes = "",
        config: SamplingConfig | None = None,
        stop: str | bytes = "",
        unknown: str = "error",
        threads: int = 1,
    ) -> None:
        self.config = config or SamplingConfig()
        self.vocabulary, self.threads = checkpoint.vocabulary, threads
        self.model = Model.from_torch(checkpoint.config, checkpoint.parameters)
        self.seed = encode_seed(self.vocabulary, seed, unknown)
        self.stop = encode_seed(self.vocabulary, stop, what="the stop text").tolist()
        self._first = Reader(self.model, 1, Team(1))
        self._first.read(self.seed)

    def _draw(self, reader: Reader, texts: list[Text], start: int, chunk: int) -> Iterator[None]:
        """Draw for texts number start, start + 1, ... side by side, up to `chunk` symbols at a time, until all stop."""
        if self.config.length == 0:
            for text in texts:
                text.stopped = "length"
        reader.take_state(self._first)
        numbers = np.arange(start, start + reader.rows, dtype=np.int64)
        for position in range(0, self.config.length, chunk):
            symbols = np.full((min(chunk, self.config.length - position), reader.rows), DRAWN, np.int32)
            losses = reader.run(symbols, self.config, numbers, position, self.vocabulary.lines)
            for row, text in enumerate(texts):
                text.take(symbols[:, row], losses[:, row], self.stop, self.config.length)
            yield
            if all(text.stopped for text in texts):
                return

    def texts(self, count: int) -> Iterator[Text]:
        """Yield so many texts, in their order."""
        rows = max(1, min(count, ROWS))
        reader = Reader(self.model, rows, Team(min(self.threads, rows)))
        for start in range(0, count, rows):
            texts = [Text() for _ in range(min(rows, count - start))]
            for _ in self._draw(reader, texts, start, CHUNK):
                pass
            yield from texts

    def pieces(self, text: Text, chunk: int) -> Iterator[bytes]:
        """Draw text number 0, and yield its bytes as soon as it is certain that they belong to it."""
        shown = 0
        for _ in self._draw(Reader(self.model, 1, Team(1)), [text], 0, chunk):
            certain = len(text.symbols) if text.stopped else max(shown, len(text.symbols) - len(self.stop) + 1)
            certain = min(certain, len(text.symbols))
            yield self.vocabulary.decode(text.symbols[shown:certain])
            shown = certain


def sample_texts(checkpoint: Checkpoint, seed: str | bytes = "", count: int = 1, **options: Any) -> Iterator[bytes]:
    """Yield `count` texts that go on from the seed, as bytes without it; the options are those of Sampler."""
    sampler = Sampler(checkpoint, seed, **options)
    return (sampler.vocabulary.decode(text.symbols) for text in sampler.texts(count))


@dataclass(frozen=True)
class Prediction:
    """What a model expects after it has read a symbol, None being the start: (symbol, probability), likeliest first.

    `came` is the symbol that followed in the text, with its probability; both are None at the end.
    """

    read: int | None
    expected: list[tuple[int, float]]
    came: int | None = None
    probability: float | None = None


def predictions(checkpoint: Checkpoint, text: str | bytes, top: int) -> list[Prediction]:
    """Return what a model expects at the start of a text and after each of its symbols."""
    vocabulary = checkpoint.vocabulary
    ids = encode_seed(vocabulary, text, what="the text").tolist()
    reader = Reader(Model.from_torch(checkpoint.config, checkpoint.parameters), 1, Team(1))
    steps = []
    for read, came in zip([None, *ids], [*ids, None]):
        if read is not None:
            reader.read([read])
        probabilities = reader.probabilities()
        order = np.argsort(-probabilities, kind="stable")
        if not vocabulary.lines:
            order = order[order != BOUNDARY]
        expected = [(int(symbol), float(probabilities[symbol])) for symbol in order[:top]]
        steps.append(Prediction(read, expected, came, None if came is None else float(probabilities[came])))
    return steps
