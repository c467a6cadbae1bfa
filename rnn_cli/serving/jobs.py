"""Requests at work. A request for texts has its prompts, the texts of each, and what of them is certain."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from rnn_cli.language.candidates import GeneratedText, PromptQueue
from rnn_cli.language.constraints import state_after
from rnn_cli.language.sampling import Sampler
from rnn_cli.language.stepper import Prompt, ReadState, RowState
from rnn_cli.serving.fields import RequestError
from rnn_cli.serving.requests import CompletionRequest

Top = list[tuple[int, float]]  # the most probable symbols at a position, and the log of their probabilities


@dataclass
class KeptState:
    """A model after a text: the last symbols of the text, and the state of the network, which may lag behind.

    owner   the name of the model, and its label
    unread  the number of the last symbols that the network has not read
    """

    owner: tuple[str, str | None]
    ids: np.ndarray
    read: ReadState
    unread: int = 0


@dataclass(eq=False)
class Choice:
    """A text of the answer; the first `certain` symbols of it stay as they are.

    `ended` is why it has ended, or None. The engine sets `certain` after the symbols, and `ended` last, so another
    thread may read a text in the reverse order while it is written.
    """

    text: GeneratedText
    certain: int = 0
    ended: str | None = None
    tops: list[Top] = field(default_factory=list)


@dataclass(eq=False)
class Part:
    """One prompt of a job.

    own      the symbols of the prompt itself, without what a state came after
    losses   of the symbols that have been read, in nats, and the most probable symbols at each, if they are asked for
    """

    prompt: Prompt
    own: np.ndarray
    queue: PromptQueue
    unread: np.ndarray
    losses: list[float] = field(default_factory=list)
    tops: list[Top] = field(default_factory=list)
    begun: bool = False  # whether a row reads the prompt, or has read it
    ready: bool = False  # whether texts may begin
    texts: list[Choice] = field(default_factory=list)  # in the order in which they were begun
    kept: list[GeneratedText] = field(default_factory=list)
    seen: set[bytes] = field(default_factory=set)
    done: bool = False  # whether all texts are there; set last, as other threads look at it


class Work:
    """A request at work in an engine.

    changed    called from the thread of the engine after each change, and once after the request is done
    complete   whether the whole answer is there; set last, as other threads look at it
    cancelled  whether nobody waits for it any more
    error      why it failed
    deadline   the time (monotonic, seconds) after which it fails
    """

    def __init__(self) -> None:
        self.changed: Callable[[], None] = lambda: None
        self.complete = self.cancelled = False
        self.error: Exception | None = None
        self.deadline = math.inf

    @property
    def done(self) -> bool:
        """Whether nothing is left to do."""
        return self.cancelled or self.error is not None or self.complete

    @property
    def failure(self) -> Exception | None:
        """Why there is no whole answer, if the work is done."""
        return self.error

    def check_time(self) -> None:
        """Let the work fail if it has taken too long."""
        if not self.done and time.monotonic() > self.deadline:
            self.error = RequestError("the request took too long; ask for less, or try again later", status=503)


class Job(Work):
    """A request for texts at work. `owner` is the name of the model, and its label."""

    def __init__(
        self,
        request: CompletionRequest,
        sampler: Sampler,
        owner: tuple[str, str | None],
        state: KeptState | None = None,
    ) -> None:
        super().__init__()
        self.request, self.sampler, self.owner = request, sampler, owner
        self.parts = [self._part(prompt, number, state) for number, prompt in enumerate(sampler.prompts)]

    def _part(self, prompt: Prompt, number: int, state: KeptState | None) -> Part:
        own = prompt.ids
        if state is not None:
            if guide := self.sampler.guide:
                raise RequestError(f"{guide.described} needs the whole text, not a `state`; send it as prompt", "state")
            ids = np.concatenate([state.ids, own])
            follow = self.sampler.follow
            unread = state.unread + len(own)
            prompt = replace(
                prompt,
                ids=ids,
                lead=[],
                automaton_state=state_after(follow, ids),
                network_state=state.read,
                unread=unread,
            )
        else:
            unread = len(prompt.lead) + len(own)
        queue = self.sampler.queue(prompt, number << 32, self.request.best_of)
        given = np.concatenate([prompt.lead, prompt.ids]).astype(np.int32)
        return Part(prompt, own, queue, given[len(given) - unread :])

    @property
    def failure(self) -> Exception | None:
        """Why there is no whole answer, if the work is done: perhaps too few texts were kept."""
        if self.error or not self.complete or all(len(self.choices(part)) >= self.request.n for part in self.parts):
            return self.error
        return RequestError("too many texts in a row were there already or in the corpus; raise the temperature")

    @property
    def tops(self) -> int:
        """How many of the most probable symbols are listed at each position."""
        return self.request.logprobs or 0

    @property
    def guided_bytes(self) -> int:
        """The memory of the automaton that its texts keep to, 0 without one."""
        return self.sampler.guide.nbytes if self.sampler.guide else 0

    @property
    def streams_at_once(self) -> bool:
        """Whether every text that is begun is one of the answer."""
        each = self.request.best_of == self.request.n and self.request.config.candidates == 1
        return each and self.sampler.rejects is None

    def choices(self, part: Part) -> list[Choice]:
        """Return the texts of the answer for a prompt, once they are there: the best ones first."""
        if self.streams_at_once:
            return part.texts
        found = {id(choice.text): choice for choice in part.texts}
        best = sorted(part.kept, key=lambda text: text.surprise) if self.request.best_of > self.request.n else part.kept
        return [found[id(text)] for text in best[: self.request.n]]


@dataclass(eq=False)
class Lane:
    """What a row does: it reads a prompt (`choice` None) or writes a text. `saved` is its row while it waits."""

    job: Job
    part: Part
    choice: Choice | None = None
    index: int = 0
    saved: RowState | None = None
    steps: int = 0  # since it got its row

    @property
    def finished(self) -> bool:
        """Whether the row is free for another lane."""
        if self.job.done or self.part.done:
            return True
        return self.choice.text.stopped is not None if self.choice else len(self.part.unread) == 0
