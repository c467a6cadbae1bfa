"""Generating text: a model reads a prompt and continues it, symbol by symbol."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import numpy as np

from rnn_cli.checkpoint.checkpoint import Checkpoint
from rnn_cli.errors import RnnError, UsageError
from rnn_cli.kernels.shared_row import team_for
from rnn_cli.language.candidates import MAX_PENDING, MAX_REJECTED, GeneratedText, PromptQueue, PromptQueues
from rnn_cli.language.config import SamplingConfig
from rnn_cli.language.constraints import state_after
from rnn_cli.language.guide import guide_for
from rnn_cli.language.mixing import MixedStepper, Part
from rnn_cli.language.ngrams import NgramModel, ngrams_of
from rnn_cli.language.stepper import SAMPLED, Prompt, Stepper
from rnn_cli.network.model import Model
from rnn_cli.text.codecs import BOUNDARY, UNKNOWN, CharacterCodec, Codec
from rnn_cli.text.fingerprint import Fingerprint
from rnn_cli.text.graphemes import may_join
from rnn_cli.text.patterns.automata import DEAD

ROWS = 64  # texts generated side by side
CHUNK, LINE_CHUNK = 256, 8  # steps in one call of the kernel, for a stream and for lines
PROMPT_CHUNK = 4096  # symbols of a prompt in one call


class Piece(NamedTuple):
    """A part of a generated text, as UTF-8: the `first` and perhaps the `last` one."""

    text: GeneratedText
    data: bytes
    first: bool
    last: bool


class Slot(NamedTuple):
    """A text that a row is generating, its index, and the queue that it belongs to."""

    queue: PromptQueue
    text_index: int
    text: GeneratedText


class Sampler:
    """Continues prompts. Text k of a prompt depends on the prompt, its index, the configuration and k alone.

    `unknown` says what to do with a character of a prompt that the model does not know: "error" or "skip". While a
    single prompt is read, `progress` is called with the number of symbols just read. A text ends at the first stop
    text. `model` is that of the checkpoint, if it has been made already. `called` says what messages call each of
    several prompts, by its number from 0. `others` are further models to mix it with, and their shares; its own share
    is the rest.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        prompts: str | bytes | Sequence[str | bytes] = "",
        config: SamplingConfig | None = None,
        stop: str | bytes | Sequence[str | bytes] = "",
        unknown: str = "error",
        threads: int = 1,
        progress: Callable[[int], None] = lambda count: None,
        model: Model | None = None,
        called: Callable[[int], str] = lambda number: f"the seed in line {number + 1:,}",
        others: Sequence[tuple[Checkpoint, float]] = (),
    ) -> None:
        self.config, self._progress = config or SamplingConfig(), progress
        self.codec, self.threads = checkpoint.codec, threads
        self.follow = self.codec.follow_table(self.config.forbid, self.config.valid_utf8)
        self.guide = guide_for(self.codec, self.config)
        self.fingerprint = fingerprint_for(checkpoint, self.config)
        self._checkpoint = checkpoint
        self._parts = [Part.of(self.codec, other, share) for other, share in others]
        if self._parts and self.fingerprint:
            raise UsageError("`novel` and `max_copy` know the text of one model, and several are mixed; leave them out")
        self.model = model or Model.from_torch(checkpoint.config, checkpoint.parameters)
        self.characters = joined_characters(self.codec)
        self.stops = [
            array("i", self.codec.encode_prompt(each, what="the stop text").tolist())
            for each in ([stop] if isinstance(stop, str | bytes) else stop)
        ]
        if self.guide and any(self.stops):
            raise UsageError(f"`stop` would cut a text that must match {self.guide.described}; leave `stop` out")
        single = isinstance(prompts, str | bytes)
        texts = [prompts] if isinstance(prompts, str | bytes) else prompts
        names = ["the seed" if single else called(number) for number in range(len(texts))]
        self.prompts = [self._prompt(text, unknown, name) for text, name in zip(texts, names)]
        if self.guide:
            size, ngrams = len(self.codec), self.ngrams or ngrams_of(checkpoint)
            shares = np.full(size, 1 / size) if ngrams is None else ngrams.symbol_shares()
            self.guide = self.guide.for_prompts(self.prompts, shares)
            for name, prompt in zip(names, self.prompts):
                self.guide.check(prompt, len(self._whole(prompt.ids)), name)

    def _prompt(self, text: str | bytes, unknown: str, what: str) -> Prompt:
        """Return a prompt with its limits. Raises UsageError if the lengths contradict each other.

        In a stream few texts begin, but many lines do: an empty prompt is a newline, if the model knows one.
        """
        config, ids, newline = self.config, self.codec.encode_prompt(text, unknown, what), self.codec.newline
        size = len(self._whole(ids)) if config.min_length or config.max_length is not None else 0
        longest = config.length
        if config.max_length is not None:
            if size > config.max_length:
                raise UsageError(f"{what} has {size:,} {self.codec.unit}s, and `max_length` is {config.max_length:,}")
            longest = min(longest, config.max_length - size)
        shortest = max(0, config.min_length - size)
        if shortest > longest:
            raise UsageError(
                f"`min_length={config.min_length}` cannot be reached with {what} and `length={config.length}`"
            )
        copied = 0
        if self.fingerprint and config.max_copy is not None:
            _, copied = self.fingerprint.copied(ids, config.max_copy)
        return Prompt(
            ids,
            shortest,
            longest,
            automaton_state=self._state_after(ids, what),
            copied=copied,
            ends=self.codec.line_mode or self.guide is not None,
            lead=[] if len(ids) or newline in (BOUNDARY, UNKNOWN) else [newline],
            characters=self.characters,
        )

    def _state_after(self, ids: np.ndarray, what: str) -> int:
        """Return the state of the follow table or of the guide after a prompt. Raises UsageError if none is left."""
        if self.guide is None:
            return state_after(self.follow, ids)
        state = self.guide.state_after(self._whole(ids))
        if state == DEAD:
            raise UsageError(
                f"no text that begins with {what} matches {self.guide.described}; the prompt is part of it"
            )
        return state

    def _whole(self, ids: np.ndarray) -> np.ndarray:
        """Return the text that symbols belong to: in line mode, those after the last boundary."""
        return ids[np.flatnonzero(ids == BOUNDARY)[-1] + 1 :] if BOUNDARY in ids else ids

    @cached_property
    def ngrams(self) -> NgramModel | None:
        """The n-gram model; it is large, and a server, which has it already, does not ask."""
        return None if self.config.counts == 0 else ngrams_of(self._checkpoint)

    def _stepper(self, rows: int) -> Stepper | MixedStepper:
        team = team_for(rows, self.model.layout.size, self.threads)

        def of(model: Model, ngrams: NgramModel | None) -> Stepper:
            return Stepper(model, rows, team, self.config, self.follow, self.fingerprint, ngrams, guide=self.guide)

        first = of(self.model, self.ngrams)
        if not self._parts:
            return first
        others = [of(part.model, None if self.config.counts == 0 else part.ngrams) for part in self._parts]
        shares = [part.share for part in self._parts]
        symbols = [np.arange(len(self.codec), dtype=np.int32), *(part.symbols for part in self._parts)]
        return MixedStepper([first, *others], symbols, [1 - sum(shares), *shares])

    def _read(self, prompt: Prompt) -> Prompt:
        """Return a prompt with the state of the network after it, so that it is read once for many texts."""
        stepper = self._stepper(1)
        given = stepper.begin(0, prompt, 0)
        for start in range(0, len(given), PROMPT_CHUNK):
            stepper.read(given[start : start + PROMPT_CHUNK])
            self._progress(min(PROMPT_CHUNK, len(given) - start))
        return stepper.after(prompt, 0)

    def _advance(self, stepper: Stepper | MixedStepper, texts: Sequence[GeneratedText | None], chunk: int) -> None:
        """Advance the texts on the rows that have not stopped by up to `chunk` symbols."""
        active = [(row, text) for row, text in enumerate(texts) if text and not text.stopped]
        steps = min(chunk, max((text.remaining for _, text in active), default=0))
        symbols = np.full((steps, stepper.rows), SAMPLED, np.int32)
        for row, text in active:
            given = text.unread[:steps]
            symbols[: len(given), row] = given
        losses = stepper.run(symbols)
        for row, text in active:
            text.add(symbols[:, row], losses[:, row], self.stops, self.follow)
            text.worth = stepper.worth(row)

    def texts(
        self,
        count: int,
        *,
        chosen: range | None = None,
        rows: int = ROWS,
        chunk: int | None = None,
        max_pending: int = MAX_PENDING,
        max_rejected: int = MAX_REJECTED,
    ) -> Iterator[GeneratedText]:
        """Yield `count` texts for each prompt, in their order.

        With `chosen`, only these of all texts are sampled, each as it would be among all. Raises UsageError if which
        texts are kept depends on the others (`unique`, `novel`).

        They do not depend on `rows`, the texts generated side by side, on `chunk`, the steps between two looks at them,
        or on `max_pending`. A prompt is given up after `max_rejected` texts in a row were rejected; if fewer texts were
        found than wanted, raises RnnError at the end.
        """
        config, prompts = self.config, self.prompts
        total = range(count * len(prompts)) if chosen is None else chosen
        if chosen is not None and self.rejects:
            raise UsageError(
                f"`{self.rejects}` compares all texts with each other, and `shard` makes only some; leave one out"
            )
        if not self.rejects:
            rows = max(1, min(config.candidates * config.best_of * len(total), rows))
        short = self.codec.line_mode or self.guide is not None
        stepper, chunk = self._stepper(rows), chunk or (LINE_CHUNK if short else CHUNK)
        if len(prompts) == 1 and rows > 1:
            prompts = [self._read(prompts[0])]

        def queue_of(index: int, prompt: Prompt) -> PromptQueue:
            wanted = range(max(total.start - index * count, 0), min(total.stop - index * count, count))
            first = (index << 32) + config.candidates * config.best_of * wanted.start
            each = config.best_of * len(wanted)
            others = {"best_of": config.best_of, "max_pending": max_pending, "max_rejected": max_rejected}
            return self.queue(prompt, first, each, **others)

        made = (queue_of(index, prompt) for index, prompt in enumerate(prompts))
        queues = PromptQueues((queue for queue in made if queue.wanted), max_pending)
        slots: list[Slot | None] = [None] * rows
        seen: set[bytes] = set()
        found = 0
        while True:
            for row in range(rows):
                if slots[row] is None and (queue := queues.next()):
                    slots[row] = self._begin(stepper, row, queue)
            if not queues:
                break
            self._advance(stepper, [slot and slot.text for slot in slots], chunk)
            for row, slot in enumerate(slots):
                if slot and slot.text.stopped:
                    slot.queue.complete(slot.text_index, slot.text)
                    slots[row] = None
            for text in queues.kept(lambda text: self.accepts(text, seen)):
                found += 1
                yield text
            slots = [None if slot and slot.queue.done else slot for slot in slots]
        if found < len(total):
            mismatch = ", or did not match" if self.guide else ""
            raise RnnError(
                f"{found:,} of {len(total):,} texts were found, and then {max_rejected:,} in a row that were there "
                f"already or in the corpus{mismatch}; ask for fewer, or raise the temperature"
            )

    def queue(self, prompt: Prompt, first: int, wanted: int, **others: Any) -> PromptQueue:
        """Return a PromptQueue with the candidates for each text; `others` are further values of it."""
        candidates, seed = self.config.candidates, self.config.random_seed
        return PromptQueue(prompt, first, wanted, candidates=candidates, seed=seed, **others)

    def _begin(self, stepper: Stepper | MixedStepper, row: int, queue: PromptQueue) -> Slot:
        """Begin the next text of a queue on a row."""
        index = queue.begin()
        return Slot(queue, index, GeneratedText(queue.prompt, stepper.begin(row, queue.prompt, index)))

    @property
    def rejects(self) -> str | None:
        """The parameter that may reject a complete text, or None. With a guide, `max_copy` may end one too early."""
        config = self.config
        cut = self.guide is not None and config.max_copy is not None
        return "unique" if config.unique else "novel" if config.novel else "max_copy" if cut else None

    def accepts(self, text: GeneratedText, seen: set[bytes]) -> bool:
        """Say whether to accept a text: with `novel` none of the corpus, with `unique` none seen before."""
        if self.rejects is None:
            return True
        whole = self._whole(np.concatenate([text.prompt.ids, np.array(text.symbols, np.int32)]))
        if self.guide and not self.guide.accepts(whole):
            return False
        if self.config.novel and self.fingerprint and self.fingerprint.has_line(whole):
            return False
        if self.config.unique:
            before = len(seen)
            seen.add(whole.tobytes())
            return len(seen) > before
        return True

    def pieces(self, count: int, chunk: int = CHUNK, chosen: range | None = None) -> Iterator[Piece]:
        """Yield the texts of `texts`, or the `chosen` of them, as UTF-8, in pieces.

        A single text that cannot be rejected is streamed: `chunk` symbols at a time, as soon as they are certain to
        belong to it, after an empty piece before the first step. Any other text comes whole.
        """
        config = self.config
        all_of_them = chosen is None or len(chosen) == count
        alone = count == len(self.prompts) == config.best_of == config.candidates == 1
        if all_of_them and alone and not self.rejects:
            yield from self._stream(chunk)
        else:
            for text in self.texts(count, chosen=chosen):
                yield Piece(text, text_of(self.codec, text), first=True, last=True)

    def _stream(self, chunk: int) -> Iterator[Piece]:
        """Yield text 0 of the first prompt in pieces."""
        stepper, shown = self._stepper(1), 0
        text = GeneratedText(self.prompts[0])
        yield Piece(text, b"", first=True, last=False)
        prompt = self._read(text.prompt)
        text.unread = stepper.begin(0, prompt, 0)
        while True:
            self._advance(stepper, [text], chunk)
            certain = max(shown, len(text.symbols) - text.uncertain(self.stops, self.follow))
            data = text_of(self.codec, text, shown, certain)
            shown = certain
            yield Piece(text, data, first=False, last=text.stopped is not None)
            if text.stopped:
                return


joins = lru_cache(maxsize=64)(may_join)  # a server asks for each request


def joined_characters(codec: Codec) -> str | None:
    """Return the character of each symbol if some of them join others to one grapheme cluster, otherwise None."""
    if not isinstance(codec, CharacterCodec) or not joins(codec.symbols):
        return None
    return "\n" + codec.symbols


def fingerprint_for(checkpoint: Checkpoint, config: SamplingConfig) -> Fingerprint | None:
    """Return the fingerprint of the corpus if it is needed. Raises UsageError if it is missing."""
    if not config.novel and config.max_copy is None:
        return None
    parameter = "novel" if config.novel else "max_copy"
    if config.novel and not checkpoint.codec.line_mode:
        raise UsageError("`novel` is for a model of lines; keep this one from copying with `max_copy`")
    if "fingerprint" not in checkpoint.record:
        raise UsageError(
            f"`{parameter}` needs the fingerprint of the corpus, which this model was trained without; leave it out"
        )
    return Fingerprint.from_dict(checkpoint.record["fingerprint"])


def sample_texts(checkpoint: Checkpoint, prompt: str | bytes = "", count: int = 1, **options: Any) -> Iterator[bytes]:
    """Yield `count` continuations of a prompt, as bytes without it; the options are those of Sampler."""
    sampler = Sampler(checkpoint, prompt, **options)
    return (text_of(sampler.codec, text) for text in sampler.texts(count))


def text_of(codec: Codec, text: GeneratedText, start: int = 0, end: int | None = None) -> bytes:
    """Return a part of a generated text as UTF-8; words after a word, be it the prompt's, begin with a blank."""
    before = text.symbols[start - 1 : start] if start else text.prompt.ids[-1:]
    return codec.decode_after(int(before[0]) if len(before) else BOUNDARY, text.symbols[start:end])
