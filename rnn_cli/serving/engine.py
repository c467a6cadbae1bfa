"""The engine: a thread that runs the requests for one model side by side, as rows of one product.

Rows join and leave between calls of the kernel. A text does not depend on the rows beside it, so the same request with
the same seed has the same answer, however busy the engine is. If more texts wait than there are rows, each runs for a
turn: its state is a few kilobytes, so to change rows costs little.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np

from rnn_cli.kernels.network.losses import NEVER
from rnn_cli.kernels.threads import Team
from rnn_cli.language.candidates import GeneratedText
from rnn_cli.language.config import SamplingConfig
from rnn_cli.language.ngrams import NgramModel
from rnn_cli.language.sampling import ROWS
from rnn_cli.language.stepper import SAMPLED, Stepper
from rnn_cli.network.model import Model
from rnn_cli.serving.fields import RequestError
from rnn_cli.serving.jobs import Choice, Job, Lane, Part, Top
from rnn_cli.text.fingerprint import Fingerprint

SHORTEST, LONGEST = 8, 256  # steps in one call; lines, which may end at any step, take the shortest
CALL_SECONDS = 0.01  # of a call between these: in that time another request waits
FILLING_SECONDS = 0.0025  # of a call while requests come and rows are free, as more of them may follow
TURN = 64  # steps of a row while others wait


class Engine:
    """Answers jobs with one model until `close`. All methods may be called from any thread."""

    def __init__(
        self,
        model: Model,
        fingerprint: Fingerprint | None = None,
        ngrams: NgramModel | None = None,
        threads: int = 1,
        precision: str = "float32",
    ) -> None:
        self.model = model
        self._fingerprint, self._ngrams, self._threads = fingerprint, ngrams, threads
        self._config = SamplingConfig(precision=precision)
        self._pace: dict[int, float] = {}  # seconds of a step, by the number of rows in eights
        self._jobs: deque[Job] = deque()
        self._lanes: list[Lane] = []  # on the first rows
        self._waiting: deque[Lane] = deque()
        self._new: deque[Job] = deque()
        self._wake = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> None:
        """Begin a job. Raises RequestError if the engine has ended."""
        with self._wake:
            if self._closed:
                raise RequestError("the model was put away; try again", status=503)
            self._new.append(job)
            self._wake.notify()

    def end(self) -> None:
        """Let the thread end, and the jobs with it."""
        with self._wake:
            self._closed = True
            self._wake.notify()

    def close(self) -> None:
        """End the thread, and wait for it."""
        self.end()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._closed or self._new or self._jobs)
                if self._closed:
                    return
                self._jobs.extend(self._new)
                self._new.clear()
            try:
                self._round()
            except Exception as error:  # of one round, which all its jobs share
                for job in self._jobs:
                    job.error = job.error or error
            for job in self._jobs:
                job.check_time()
            for job in [job for job in self._jobs if job.done]:
                self._jobs.remove(job)
                job.changed()

    def _round(self) -> None:
        """Fill the rows, and run all of them for some steps."""
        self._free([lane for lane in self._lanes if lane.finished])
        self._waiting = deque(lane for lane in self._waiting if not lane.finished)
        self._begin()
        if self._waiting and len(self._lanes) + len(self._waiting) > ROWS:
            spent = [lane for lane in self._lanes if lane.steps >= TURN][: len(self._waiting)]
            for lane in spent:
                lane.saved = self._stepper.save(self._lanes.index(lane))
            self._free(spent)
            self._waiting.extend(spent)
        coming = min(len(self._waiting), ROWS - len(self._lanes))
        for _ in range(coming):
            self._place(self._waiting.popleft())
        if self._lanes:
            self._advance(coming > 0 and len(self._lanes) < ROWS)

    def _begin(self) -> None:
        """Let jobs take turns to begin lanes, as many as there are rows; a job that has none gets one in any case."""
        served = {lane.job for lane in (*self._lanes, *self._waiting)}
        first = (next_lane(job) for job in self._jobs if job not in served and not job.done)
        self._waiting.extend(lane for lane in first if lane)
        room, idle = ROWS - len(self._lanes) - len(self._waiting), 0
        while room > 0 and idle < len(self._jobs):
            job = self._jobs[0]
            self._jobs.rotate(-1)
            lane = None if job.done else next_lane(job)
            idle = 0 if lane else idle + 1
            if lane:
                self._waiting.append(lane)
                room -= 1

    @cached_property
    def _stepper(self) -> Stepper:
        team = Team(min(self._threads, ROWS))
        return Stepper(self.model, ROWS, team, self._config, fingerprint=self._fingerprint, ngrams=self._ngrams)

    def _free(self, lanes: Sequence[Lane]) -> None:
        """Take lanes from their rows, and let the last rows go on there."""
        for lane in reversed(lanes):
            row, last = self._lanes.index(lane), len(self._lanes) - 1
            self._stepper.move(last, row)
            self._lanes[row] = self._lanes[last]
            self._lanes.pop()

    def _place(self, lane: Lane) -> None:
        """Put a lane on the next row."""
        row, sampler = len(self._lanes), lane.job.sampler
        self._lanes.append(lane)
        self._stepper.choose(row, sampler.config, sampler.follow, sampler.guide)
        if lane.saved is None:
            self._stepper.begin(row, lane.part.prompt, lane.index)
        else:
            self._stepper.restore(row, lane.saved)
            lane.saved = None
        lane.steps = 0

    def _advance(self, filling: bool) -> None:
        """Run the kernel once, and give each lane what its row has read or written."""
        lanes, stepper = self._lanes, self._stepper
        writing = [lane.choice.text for lane in lanes if lane.choice]
        unread = [len(lane.part.unread) for lane in lanes if not lane.choice]
        ending = any(lane.choice and lane.part.prompt.ends for lane in lanes)
        steps = min([SHORTEST if ending else self._steps_in_time(filling), *unread])
        if writing and not unread:
            steps = steps_to_an_end(steps, [text.remaining for text in writing])
        if any(lane.job.tops for lane in lanes):
            steps = 1  # as the outputs of the last step only are kept
        symbols = np.full((steps, len(lanes)), SAMPLED, np.int32)
        for row, lane in enumerate(lanes):
            if not lane.choice:
                symbols[:, row] = lane.part.unread[:steps]
        start = time.perf_counter()
        losses = stepper.run(symbols)
        self._measure((time.perf_counter() - start) / steps)
        for row, lane in enumerate(lanes):
            lane.steps += steps
            top = self._top(row, int(symbols[0, row]), float(losses[0, row]), lane.job.tops) if lane.job.tops else None
            if lane.choice:
                lane.choice.text.worth = stepper.worth(row)
                write(lane, lane.choice, symbols[:, row], losses[:, row], top)
            else:
                read(lane.part, steps, losses[:, row], top)
                if len(lane.part.unread) == 0:
                    lane.part.prompt = replace(lane.part.prompt, network_state=stepper.state(row), unread=0)
                    set_ready(lane.part)
        for job in dict.fromkeys(lane.job for lane in lanes if lane.job.request.stream):
            if not job.done:
                job.changed()

    @property
    def _eights(self) -> int:
        return -(-len(self._lanes) // 8)

    def _measure(self, pace: float) -> None:
        """Take note of the seconds of a step. A call that was disturbed counts less."""
        self._pace[self._eights] = min(pace, 1.1 * self._pace.get(self._eights, pace))

    def _steps_in_time(self, filling: bool) -> int:
        """Return the steps of a call, by the time of those before with as many rows. No text depends on them."""
        pace, seconds = self._pace.get(self._eights), FILLING_SECONDS if filling else CALL_SECONDS
        return SHORTEST if pace is None else int(min(max(seconds / pace, SHORTEST), LONGEST))

    def _top(self, row: int, symbol: int, loss: float, count: int) -> Top:
        """Return the most probable symbols of a step, of those that may follow."""
        window = self._stepper.window
        logits = window.logits[0, row, : window.sizes.output_size].astype(np.float64)
        normaliser = logits[symbol] + loss
        order = np.argsort(-logits, kind="stable")[:count]
        return [(int(each), float(logits[each] - normaliser)) for each in order if logits[each] > NEVER]


def steps_to_an_end(steps: int, remaining: Sequence[int]) -> int:
    """Return the steps of a call, fewer if a text ends in its second half: its row is free at once for another."""
    return min([*(count for count in remaining if 2 * count > steps), max(remaining), steps])


def next_lane(job: Job) -> Lane | None:
    """Return the next thing of a job for a row to do: read a prompt, or write a text after it."""
    for part in job.parts:
        if not part.begun:
            part.begun = True
            if len(part.unread):
                return Lane(job, part)
            set_ready(part)
        if part.ready and part.queue.needs_text:
            index = part.queue.begin()
            choice = Choice(GeneratedText(part.prompt))
            part.texts.append(choice)
            if choice.text.stopped is None:
                return Lane(job, part, choice, index)
            complete(Lane(job, part, choice, index))
    return None


def set_ready(part: Part) -> None:
    """Let texts begin after a prompt that has been read."""
    part.ready = True
    part.queue.prompt = part.prompt


def read(part: Part, steps: int, losses: np.ndarray, top: Top | None) -> None:
    """Take note that a row has read symbols of a prompt."""
    part.unread = part.unread[steps:]
    part.losses.extend(losses.tolist())
    if top is not None:
        part.tops.append(top)


def write(lane: Lane, choice: Choice, symbols: np.ndarray, losses: np.ndarray, top: Top | None) -> None:
    """Add to a text what a row has sampled."""
    sampler, text = lane.job.sampler, choice.text
    if top is not None:
        choice.tops.append(top)
    text.add(symbols, losses, sampler.stops, sampler.follow)
    if text.stopped:
        complete(lane)
    elif lane.job.request.stream:
        choice.certain = max(choice.certain, len(text.symbols) - text.uncertain(sampler.stops, sampler.follow))


def complete(lane: Lane) -> None:
    """Hand in a text that has stopped, and judge those that can be judged."""
    assert lane.choice is not None
    part = lane.part
    lane.choice.certain = len(lane.choice.text.symbols)
    lane.choice.ended = lane.choice.text.stopped
    part.queue.complete(lane.index, lane.choice.text)
    part.kept.extend(part.queue.kept(lambda text: lane.job.sampler.accepts(text, part.seen)))
    part.done = part.queue.done
    lane.job.complete = all(each.done for each in lane.job.parts)
