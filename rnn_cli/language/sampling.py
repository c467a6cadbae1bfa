"""Generating text: a model reads a seed and goes on, symbol by symbol."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from rnn_cli.checkpoint.checkpoint import Checkpoint
from rnn_cli.errors import RnnError, UsageError
from rnn_cli.kernels.threads import Team
from rnn_cli.language.candidates import TRIES, GeneratedText, PromptQueue, StopText, next_prompt_queue
from rnn_cli.language.config import SamplingConfig
from rnn_cli.language.constraints import LONGEST, follow_table, state_after, unfinished
from rnn_cli.language.stepper import DRAWN, Start, Stepper
from rnn_cli.network.model import Model
from rnn_cli.text.fingerprint import Fingerprint
from rnn_cli.text.vocabulary import BOUNDARY, encode_seed

ROWS = 64  # texts that are drawn side by side
CHUNK, LINE_CHUNK = 256, 8  # symbols between two looks at what was drawn


class Sampler:
    """Continues texts from seeds. Text k of seed s depends on the seed, the configuration, s and k alone."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        seeds: str | bytes | Sequence[str | bytes] = "",
        config: SamplingConfig | None = None,
        stop: str | bytes = "",
        unknown: str = "error",
        threads: int = 1,
    ) -> None:
        self.config = config or SamplingConfig()
        self.vocabulary, self.threads = checkpoint.codec, threads
        self.follow = follow_table(self.vocabulary, self.config.forbid, self.config.valid_utf8)
        self.fingerprint = fingerprint_for(checkpoint, self.config)
        self.model = Model.from_torch(checkpoint.config, checkpoint.parameters)
        self.stop = StopText(encode_seed(self.vocabulary, stop, what="the stop text").tolist())
        if isinstance(seeds, str | bytes):
            self.starts = [self._start(seeds, unknown, "the seed")]
        else:
            self.starts = [
                self._start(seed, unknown, f"the seed in line {line:,}") for line, seed in enumerate(seeds, 1)
            ]

    def _start(self, seed: str | bytes, unknown: str, what: str) -> Start:
        """Return what texts go on from. Raises UsageError where the lengths leave no room.

        In a stream few texts begin, but many lines: without a seed, a text goes on from a newline, if there is one.
        """
        config, ids = self.config, encode_seed(self.vocabulary, seed, unknown, what)
        size = len(self._whole(ids))
        longest = config.length
        if config.max_length is not None:
            if size > config.max_length:
                raise UsageError(f"{what} has {size:,} characters, and `max_length` is {config.max_length:,}")
            longest = min(longest, config.max_length - size)
        shortest = max(0, config.min_length - size)
        if shortest > longest:
            raise UsageError(
                f"`min_length={config.min_length}` cannot be reached with {what} and `length={config.length}`"
            )
        run = 0
        if self.fingerprint and config.max_copy is not None:
            _, run = self.fingerprint.copied(ids, config.max_copy)
        lead = [] if self.vocabulary.lines or len(ids) else encode_seed(self.vocabulary, "\n", "skip").tolist()
        return Start(ids, shortest, longest, state_after(self.follow, ids), run, ends=self.vocabulary.lines, lead=lead)

    def _whole(self, ids: np.ndarray) -> np.ndarray:
        """Return the text that symbols are: in line mode, what stands after the last boundary."""
        return ids[np.flatnonzero(ids == BOUNDARY)[-1] + 1 :] if BOUNDARY in ids else ids

    def _reader(self, rows: int) -> Stepper:
        """Return so many rows that draw as the configuration says."""
        team = Team(min(self.threads, rows))
        return Stepper(self.model, rows, team, self.config, self.follow, self.fingerprint)

    def _read(self, start: Start) -> Start:
        """Return a start whose seed is read."""
        reader = self._reader(1)
        reader.read(reader.begin(0, start, 0))
        return replace(start, state=reader.state(0))

    def _begin(self, reader: Stepper, row: int, text: GeneratedText, start: Start, number: int) -> None:
        """Begin a text on a row."""
        text.start, text.to_read = start, reader.begin(row, start, number)
        text.stopped = None if start.longest else "length"

    def _advance(self, reader: Stepper, texts: list[GeneratedText | None], chunk: int) -> None:
        """Go on with the texts on the rows that have not stopped, by up to `chunk` symbols."""
        going = [(row, text) for row, text in enumerate(texts) if text and not text.stopped]
        left = max((len(text.to_read) + text.start.longest - len(text.symbols) for _, text in going), default=0)
        symbols = np.full((min(chunk, left), reader.rows), DRAWN, np.int32)
        for row, text in going:
            given = min(len(text.to_read), len(symbols))
            symbols[:given, row] = text.to_read[:given]
        losses = reader.run(symbols)
        for row, text in going:
            given = min(len(text.to_read), len(symbols))
            text.to_read = text.to_read[given:]
            text.take(symbols[given:, row], losses[given:, row], self.stop)
            if text.stopped:
                kept = len(text.symbols) - self._unfinished(text)
                del text.symbols[kept:], text.losses[kept:]

    def _unfinished(self, text: GeneratedText) -> int:
        """Return how many symbols at the end of a text are the beginning of a character of several bytes."""
        if len(self.follow) == 1:
            return 0
        ids = [*text.start.ids[-LONGEST:].tolist(), *text.symbols[-LONGEST:]]
        return min(unfinished(self.follow, ids), len(text.symbols))

    def texts(self, count: int) -> Iterator[GeneratedText]:
        """Yield so many texts for each seed, in their order.

        Raises RnnError at the end where fewer were found: a seed is given up after TRIES texts in a row were refused.
        """
        config = self.config
        each = count * config.best_of
        choosy = config.unique or config.novel
        rows = ROWS if choosy else max(1, min(each * len(self.starts), ROWS))
        reader, chunk = self._reader(rows), LINE_CHUNK if self.vocabulary.lines else CHUNK
        starts = [self._read(self.starts[0])] if len(self.starts) == 1 and rows > 1 else self.starts
        coming = (PromptQueue(start, index << 32, each) for index, start in enumerate(starts) if each)
        queues: deque[PromptQueue] = deque()
        drawn: list[tuple[PromptQueue, int, GeneratedText] | None] = [None] * rows
        seen: set[bytes] = set()
        found = 0
        while True:
            for row in range(rows):
                if drawn[row] is None and (quota := next_prompt_queue(queues, coming)):
                    text = GeneratedText()
                    self._begin(reader, row, text, quota.start, quota.first + quota.begun)
                    drawn[row] = quota, quota.begun, text
                    quota.begun += 1
            if not queues:
                break
            self._advance(reader, [entry and entry[2] for entry in drawn], chunk)
            for row, entry in enumerate(drawn):
                if entry and entry[2].stopped:
                    entry[0].waiting[entry[1]] = entry[2]
                    drawn[row] = None
            while queues:
                for text in self._taken(queues[0], seen):
                    found += 1
                    yield text
                if not queues[0].over:
                    break
                queues.popleft()
            drawn = [None if entry and entry[0].over else entry for entry in drawn]
        if found < count * len(starts):
            raise RnnError(
                f"{found:,} of {count * len(starts):,} texts were found, and then {TRIES:,} in a row that were there "
                "already or in the corpus; ask for fewer, or raise the temperature"
            )

    def _taken(self, quota: PromptQueue, seen: set[bytes]) -> Iterator[GeneratedText]:
        """Look at the texts of a seed that are drawn, in their order; yield those that are taken."""
        while not quota.over and quota.judged in quota.waiting:
            text = quota.waiting.pop(quota.judged)
            quota.judged += 1
            if self._refuses(text, seen):
                quota.refused += 1
                continue
            quota.taken, quota.refused = quota.taken + 1, 0
            if quota.best is None or text.surprise < quota.best.surprise:
                quota.best = text
            if quota.taken % self.config.best_of == 0:
                yield quota.best
                quota.best = None
        if quota.over and quota.best:
            yield quota.best

    def _refuses(self, text: GeneratedText, seen: set[bytes]) -> bool:
        """Say whether a text was there before, or stands in the corpus, where such ones are not wanted."""
        whole = self._whole(np.concatenate([text.start.ids, np.array(text.symbols, np.int32)]))
        if self.config.novel and self.fingerprint and self.fingerprint.has_line(whole):
            return True
        if self.config.unique:
            before = len(seen)
            seen.add(whole.tobytes())
            return len(seen) == before
        return False

    def pieces(self, text: GeneratedText, chunk: int) -> Iterator[bytes]:
        """Draw text number 0 of the first seed, and yield its bytes as soon as it is certain that they belong to it."""
        reader, shown = self._reader(1), 0
        self._begin(reader, 0, text, self._read(self.starts[0]), 0)
        while True:
            self._advance(reader, [text], chunk)
            uncertain = 0 if text.stopped else max(text.stopping, self._unfinished(text))
            certain = max(shown, len(text.symbols) - uncertain)
            yield self.vocabulary.decode(text.symbols[shown:certain])
            shown = certain
            if text.stopped:
                return


def fingerprint_for(checkpoint: Checkpoint, config: SamplingConfig) -> Fingerprint | None:
    """Return the fingerprint of the corpus where it is needed. Raises UsageError where it is missing."""
    if not config.novel and config.max_copy is None:
        return None
    parameter = "novel" if config.novel else "max_copy"
    if config.novel and not checkpoint.codec.lines:
        raise UsageError("`novel` is for a model of lines; keep this one from copying with `max_copy`")
    if "fingerprint" not in checkpoint.record:
        raise UsageError(
            f"`{parameter}` needs the fingerprint of the corpus, which this model was trained without; leave it out"
        )
    return Fingerprint.from_dict(checkpoint.record["fingerprint"])


def sample_texts(checkpoint: Checkpoint, seed: str | bytes = "", count: int = 1, **options: Any) -> Iterator[bytes]:
    """Yield `count` texts that go on from the seed, as bytes without it; the options are those of Sampler."""
    sampler = Sampler(checkpoint, seed, **options)
    return (sampler.vocabulary.decode(text.symbols) for text in sampler.texts(count))
