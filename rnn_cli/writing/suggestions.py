"""Suggestions: how a model continues the text before the cursor, fast enough for each keystroke."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from rnn_cli.bits import BITS_PER_NAT
from rnn_cli.checkpoint.checkpoint import Checkpoint
from rnn_cli.kernels.threads import Team
from rnn_cli.language.candidates import GeneratedText
from rnn_cli.language.config import SamplingConfig
from rnn_cli.language.guide import Guide, guide_for
from rnn_cli.language.ngrams import ngrams_of
from rnn_cli.language.sampling import fingerprint_for, joined_characters
from rnn_cli.language.stepper import SAMPLED, Prompt, ReadState, Stepper
from rnn_cli.network.model import Model
from rnn_cli.text.codecs import BOUNDARY
from rnn_cli.text.codecs.words import BLANKS
from rnn_cli.text.patterns.automata import DEAD
from rnn_cli.writing.context import Context, Contexts
from rnn_cli.writing.states import MOST_BYTES, KeptStates, Reader

SLICE = 16  # symbols that are sampled between two looks at whether the suggestion is still wanted
FRAME = 1 / 60  # seconds in which a screen is drawn once
TRIES = 50  # suggestions that are sampled to find one that differs, or is new
ALTERNATIVE = 1 << 32  # between the numbers of the texts of two alternatives; lines and paragraphs have those between
LONGEST_LINE = 400  # symbols that are sampled to find the end of a line
LONGEST_MATCH = 1000  # symbols of a line that matches a pattern
SHOW, NEXT, PREVIOUS, LINE = "show", "next", "previous", "line"
STEPS = {SHOW: 1, NEXT: 1, PREVIOUS: -1, LINE: 1}


@dataclass(frozen=True)
class Suggestion:
    """A text to continue with. `ended` says that the model ends the line after it; `index` tells alternatives apart."""

    text: str
    index: int = 0
    ended: bool = False


@dataclass(frozen=True)
class Bits:
    """What the model needed, in bits: for the last symbol, and for each of the line and of the text on average."""

    last: float | None
    line: float | None
    text: float | None


@dataclass(frozen=True)
class Request:
    """Asks for a suggestion after a text.

    index   the alternative: one index gives the same suggestion while its text is typed, as far as it is typed
    wanted  SHOW this one; the NEXT or the PREVIOUS one that differs from `shown`; or this one up to the end of its LINE
    """

    text: str
    config: SamplingConfig
    index: int = 0
    wanted: str = SHOW
    shown: str = ""


@dataclass(frozen=True)
class Answer:
    """A suggestion for a request, None if there is none, and the bits of the text."""

    request: Request
    suggestion: Suggestion | None
    bits: Bits


class Suggester:
    """Answers requests with one model, by one thread at a time.

    Random numbers depend on the seed, the index of the alternative, the position in the text and, in line mode, the
    number of the line. So what is left of a suggestion stays the same while it is typed, and each line has its own.
    """

    def __init__(self, checkpoint: Checkpoint, config: SamplingConfig, most_bytes: int = MOST_BYTES) -> None:
        """Raises UsageError if the configuration does not fit the model. The first answer compiles, if need be."""
        self._checkpoint, self._config, self._most_bytes = checkpoint, config, most_bytes
        self.codec = checkpoint.codec
        self.follow = self.codec.follow_table(config.forbid)
        self._fingerprint = fingerprint_for(checkpoint, config)
        self._characters = joined_characters(self.codec)
        self._guide = self._matching(config)
        self.contexts = Contexts(self.codec)

    def _matching(self, config: SamplingConfig) -> Guide | None:
        """Return the guide by which each line matches a pattern. Raises UsageError if none can."""
        guide = guide_for(self.codec, config)
        if guide is None:
            return None
        ngrams, size = ngrams_of(self._checkpoint), len(self.codec)
        empty = Prompt(np.zeros(0, np.int32), longest=LONGEST_MATCH)
        guide = guide.for_prompts([empty], np.full(size, 1 / size) if ngrams is None else ngrams.symbol_shares())
        guide.check(empty, 0, "an empty line")
        return guide

    @cached_property
    def stepper(self) -> Stepper:
        """The row that reads and samples."""
        model = Model.from_torch(self._checkpoint.config, self._checkpoint.parameters)
        return Stepper(model, 1, Team(1), self._config, self.follow, self._fingerprint, ngrams_of(self._checkpoint))

    @cached_property
    def reader(self) -> Reader:
        """What reads the text, and keeps the states."""
        return Reader(self.stepper, KeptStates(self._most_bytes))

    def answer(
        self,
        request: Request,
        cancelled: Callable[[], bool] = lambda: False,
        early: Callable[[Answer], None] = lambda answer: None,
    ) -> Answer | None:
        """Return the answer to a request, or None if it is `cancelled` meanwhile.

        If it takes long, `early` is called with its beginning first.
        """
        context = self.contexts.of(request.text)
        kept = self.reader.read(context.ids, cancelled)
        if kept is None:
            return None
        bits = self._bits(context)
        table = self.contexts.words_with(context.begun, self.follow) if context.begun else self.follow
        if table is None or not self._may_match(context):
            return Answer(request, None, bits)
        index, step = request.index, STEPS[request.wanted]
        if request.wanted in (NEXT, PREVIOUS):
            index += step
        at_once = request.wanted == SHOW and not request.config.novel
        for _ in range(TRIES):
            if index < 0:
                break
            start, told = time.monotonic(), not at_once
            for text in self._sample(request, context, kept.read, table, index):
                if cancelled():
                    return None
                found = self._shown(request, context, text, index)
                if not told and not text.stopped and time.monotonic() - start > FRAME / 2:
                    early(Answer(request, found, bits))
                    told = True
            repeated = request.wanted in (NEXT, PREVIOUS) and found.text == request.shown
            if not repeated and self._is_allowed(request.config, context, text):
                return Answer(request, found, bits)
            index += step
        return Answer(request, None, bits)

    def _sample(
        self,
        request: Request,
        context: Context,
        state: ReadState,
        table: np.ndarray,
        index: int,
    ) -> Iterator[GeneratedText]:
        """Yield alternative `index` of what follows a context, at its start and each time it has grown."""
        config, copied = request.config, 0
        if self._fingerprint and config.max_copy is not None:
            _, copied = self._fingerprint.copied(context.ids[-2 * config.max_copy - 32 :], config.max_copy)
        line = request.wanted == LINE
        prompt = Prompt(
            context.ids,
            longest=max(config.length, LONGEST_LINE) if line else config.length,
            copied=copied,
            automaton_state=self._state(context),
            ends=self.codec.line_mode or self._guide is not None,
            characters=self._characters,
            network_state=state,
        )
        self.stepper.choose(0, config, table, self._guide)
        limits = replace(prompt, longest=self._start(context) + LONGEST_MATCH)
        self.stepper.begin(0, limits, context.texts + index * ALTERNATIVE, position=len(context.ids))
        text, newline = GeneratedText(prompt), self.codec.newline
        yield text
        while not text.stopped:
            symbols = np.full((min(SLICE, text.remaining), 1), SAMPLED, np.int32)
            losses = self.stepper.run(symbols)
            text.add(symbols[:, 0], losses[:, 0], [], self.follow)
            yield text
            if line and newline > BOUNDARY and newline in text.symbols:
                return

    def _start(self, context: Context) -> int:
        """Return the number of symbols before the line, or the paragraph, that is to match a pattern."""
        return 0 if self.codec.line_mode else context.line

    def _state(self, context: Context) -> int:
        """Return the state of the guide after a context, DEAD if no line that begins so matches."""
        return self._guide.state_after(context.ids[self._start(context) :]) if self._guide else 0

    def _may_match(self, context: Context) -> bool:
        """Say whether some line that begins as the context does matches the pattern, if there is one."""
        if self._guide is None:
            return True
        state, left = self._state(context), LONGEST_MATCH - len(context.ids) + self._start(context)
        return state != DEAD and bool(self._guide.distances[0, state] <= left)

    def _shown(self, request: Request, context: Context, text: GeneratedText, index: int) -> Suggestion:
        """Return a sampled text as a suggestion: without a last word that is cut off, or up to the end of its line."""
        whole = text.symbols[: len(text.symbols) - text.unfinished(self.follow)]
        shown, ended = self.contexts.text_of(context, list(whole)), text.stopped == "end"
        if request.wanted == LINE and "\n" in shown:
            return Suggestion(shown[: shown.index("\n") + 1], index)
        if text.stopped in (None, "length") and self.codec.unit == "character":
            blank = max(shown.rfind(each) for each in f"{BLANKS}\n")
            shown = shown[:blank] if blank > 0 and shown[:blank].strip() else shown
        return Suggestion(shown, index, ended)

    def _is_allowed(self, config: SamplingConfig, context: Context, text: GeneratedText) -> bool:
        """Say whether a text may be suggested: it matches, and with `novel` the line is not one of the corpus."""
        if text.stopped != "end":
            return True
        ids = np.concatenate([context.ids, np.array(text.symbols, np.int32)])
        if self._guide and not self._guide.accepts(ids[self._start(context) :]):  # `max_copy` has ended it too early
            return False
        return not (config.novel and self._fingerprint and self._fingerprint.has_line(ids))

    def _bits(self, context: Context) -> Bits:
        """Return the bits of a context that was just read."""
        losses = self.reader.losses[context.lead : len(context.ids)] * BITS_PER_NAT
        values = [losses[-1:], losses[context.line - context.lead :], losses]
        known = [float(each.mean()) if len(each) else math.nan for each in values]
        return Bits(*(None if math.isnan(value) else value for value in known))
