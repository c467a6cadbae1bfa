"""The models that are served, by their names. They are loaded at the start; no path comes from a request."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from rnn_cli.checkpoint.checkpoint import LANGUAGE, Checkpoint
from rnn_cli.errors import UsageError
from rnn_cli.language.ngrams import ngrams_of
from rnn_cli.language.sampling import Sampler
from rnn_cli.language.stepper import NOT_READ
from rnn_cli.network.model import Model
from rnn_cli.serving.answerers import ANSWERERS
from rnn_cli.serving.answers import Answer
from rnn_cli.serving.engine import Engine
from rnn_cli.serving.fields import Limits, RequestError, translated
from rnn_cli.serving.jobs import Job, KeptState, Work
from rnn_cli.serving.requests import CompletionRequest, read_completion
from rnn_cli.serving.task_engine import Answerer, TaskEngine, TaskJob
from rnn_cli.serving.task_requests import TaskRequest, read_task
from rnn_cli.tasks.labelled.model import LABELLED, language_model, read_description
from rnn_cli.text.codecs import Codec
from rnn_cli.text.fingerprint import Fingerprint

REMEMBERED = 1024  # symbols before a state, for what looks back: copies of the corpus, letters with marks
WRITES = (LANGUAGE, LABELLED)  # the tasks whose models write texts
MOST_LISTED_AT_WORK = 2_000_000  # alternatives, about 100 bytes each, of all requests at work
MOST_GUIDED_AT_WORK = 128 << 20  # bytes of the automata of all requests at work; one has 12 MB at most
KEPT_WRITERS = 16  # engines; a model of labels has one for each label that is asked for
KEPT_ANSWERERS = 16

Request = CompletionRequest | TaskRequest


class Models:
    """Models by name, and what answers for each, made when it is first asked for."""

    def __init__(
        self, checkpoints: Mapping[str, Checkpoint], limits: Limits, threads: int = 1, precision: str = "float32"
    ) -> None:
        """Take checkpoints. Raises UsageError if there are none, CheckpointError if a description is damaged."""
        if not checkpoints:
            raise UsageError("name a model to serve")
        for checkpoint in checkpoints.values():
            if checkpoint.task["name"] == LABELLED:
                read_description(checkpoint)
        self.checkpoints, self.limits = dict(checkpoints), limits
        self._threads, self._precision = threads, precision
        self._writers: dict[tuple[str, str | None], tuple[Checkpoint, Engine]] = {}
        self._answerers: dict[tuple[str, tuple[str, ...]], Answerer] = {}
        self._tasks = TaskEngine()
        self._lock, self._making = threading.Lock(), threading.Lock()  # the second is held for long
        self._active: dict[Work, Engine | TaskEngine] = {}
        self._stopping = False

    def list(self) -> dict[str, Any]:
        """Return what `GET /v1/models` answers."""
        return {
            "object": "list",
            "data": [
                {"id": name, "object": "model", "created": 0, "owned_by": "rnn", "task": checkpoint.task["name"]}
                for name, checkpoint in self.checkpoints.items()
            ],
        }

    def name_of(self, model: str | None) -> str:
        """Return the name of a model: the one that is asked for or, if there is a single one, that."""
        if model is None:
            if len(self.checkpoints) > 1:
                raise RequestError("several models are served; name one with `model`", "model")
            return next(iter(self.checkpoints))
        if model not in self.checkpoints:
            raise RequestError("there is no such `model`; ask for the list of models", "model", 404)
        return model

    def begin(
        self, request: Request, state: KeptState | None = None, changed: Callable[[Work], None] | None = None
    ) -> tuple[Job | TaskJob, Callable[[], None]]:
        """Begin a request; return its job, and a function that gives it up. Raises RequestError if it cannot be done.

        `changed` is called from another thread whenever there is something new, and once after the job is done.
        """
        job: Job | TaskJob
        engine: Engine | TaskEngine
        if isinstance(request, TaskRequest):
            names = [self.name_of(name) for name in request.models or [None]]
            job, engine = TaskJob(request, names, self._answerer(request.task, names)), self._tasks
        else:
            job, engine = self._job(request, state)
        job.deadline = time.monotonic() + self.limits.max_seconds

        def report() -> None:
            if job.done:
                with self._lock:
                    self._active.pop(job, None)
            if changed is not None:
                changed(job)

        def cancel() -> None:
            job.cancelled = True

        job.changed = report
        with self._lock:
            self._check_room(job)
            engine.submit(job)  # type: ignore[arg-type]
            self._active[job] = engine
        return job, cancel

    def is_quick(self, request: Request) -> bool:
        """Say whether a request begins at once: what writes for it is there, and all texts may be written."""
        if isinstance(request, TaskRequest):
            return False
        config = request.config
        slow = config.novel or config.max_copy is not None or config.guided
        return (self.name_of(request.model), request.label) in self._writers and not slow

    def warm_up(self) -> None:
        """Answer a short request with each model that writes, so that the first client does not wait for kernels."""
        for name, checkpoint in self.checkpoints.items():
            if checkpoint.task["name"] == LANGUAGE:
                self._wait_for(read_completion({"model": name, "max_tokens": 1}, self.limits))

    def _wait_for(self, request: Request) -> None:
        ended = threading.Event()
        job, _ = self.begin(request, changed=lambda job: ended.set() if job.done else None)
        ended.wait()
        if job.error:
            raise job.error

    def _check_room(self, job: Job | TaskJob) -> None:
        """Raise RequestError if there is too much to do, or to keep in memory, already."""
        if self._stopping:
            raise RequestError("the server is stopping", status=503)
        if len(self._active) >= self.limits.max_waiting:
            raise RequestError(f"{self.limits.max_waiting:,} requests are at work; try again later", status=503)
        if not isinstance(job, Job):
            return
        others = [other for other in self._active if isinstance(other, Job)]
        if job.request.listed and sum(each.request.listed for each in (job, *others)) > MOST_LISTED_AT_WORK:
            raise RequestError("too many `logprobs` are at work; try again later", "logprobs", 503)
        if job.guided_bytes and sum(each.guided_bytes for each in (job, *others)) > MOST_GUIDED_AT_WORK:
            raise RequestError("too many patterns are at work; simplify yours, or try again later", status=503)

    def _job(self, request: CompletionRequest, state: KeptState | None) -> tuple[Job, Engine]:
        owner = (self.name_of(request.model), request.label)
        if state is not None and state.owner != owner:
            raise RequestError("the `state` is one of another model or label", "state")
        checkpoint, engine = self.writer(*owner)
        prompts = [as_read(checkpoint.codec, prompt) for prompt in request.prompts]
        stops = [as_read(checkpoint.codec, stop) for stop in request.stop]

        def called(number: int) -> str:
            return f"`prompt[{number}]`" if len(prompts) > 1 else "`prompt`"

        sampler: Sampler = translated(
            lambda: Sampler(
                checkpoint, prompts, request.config, stops, request.unknown, model=engine.model, called=called
            )
        )
        return Job(request, sampler, owner, state), engine

    def writer(self, name: str, label: str | None) -> tuple[Checkpoint, Engine]:
        """Return the language model that writes for a model and a label, and its engine."""
        checkpoint = self.checkpoints[name]
        task = checkpoint.task["name"]
        if task not in WRITES:
            raise RequestError(f"the model '{name}' does not write texts; its task is '{task}'", "model")
        key = (name, label)
        if found := self._writers.get(key):
            return found
        with self._making:
            if key not in self._writers:
                own: Checkpoint = translated(lambda: language_model(checkpoint, label))
                self._make_room()
                self._writers[key] = own, self._engine(own)
            return self._writers[key]

    def _make_room(self) -> None:
        """Put an engine away, the oldest that has nothing to do, if there are too many. Raises RequestError if none."""
        if len(self._writers) < max(KEPT_WRITERS, len(self.checkpoints)):
            return
        with self._lock:
            busy = set(map(id, self._active.values()))
        idle = next((key for key, (_, engine) in self._writers.items() if id(engine) not in busy), None)
        if idle is None:
            raise RequestError("too many labels are asked for at once; try again later", "label", 503)
        self._writers.pop(idle)[1].end()  # it is not waited for, as others wait for this thread

    def _engine(self, checkpoint: Checkpoint) -> Engine:
        fingerprint = checkpoint.record.get("fingerprint")
        return Engine(
            Model.from_torch(checkpoint.config, checkpoint.parameters),
            Fingerprint.from_dict(fingerprint) if fingerprint else None,
            ngrams_of(checkpoint),
            self._threads,
            self._precision,
        )

    def _answerer(self, task: str, names: Sequence[str]) -> Answerer:
        """Return what answers for a task with these models. Raises RequestError if they are for another task."""
        key = (task, tuple(names))
        with self._making:
            if key not in self._answerers:
                checkpoints = {name: self.checkpoints[name] for name in names}
                made: Answerer = translated(lambda: ANSWERERS[task](checkpoints, self._threads))
                while len(self._answerers) >= KEPT_ANSWERERS:
                    del self._answerers[next(iter(self._answerers))]
                self._answerers[key] = made
            return self._answerers[key]

    def stop(self) -> None:
        """Let everything at work fail, and begin nothing more."""
        with self._lock:
            self._stopping = True
            for job in self._active:
                job.error = job.error or RequestError("the server is stopping", status=503)

    def close(self) -> None:
        """End all engines."""
        for _, engine in self._writers.values():
            engine.close()
        self._tasks.close()


def read_request(task: Any, values: dict[str, Any], limits: Limits, states: bool = False) -> Request:
    """Return a checked request: for texts, or for one of the other tasks. Raises RequestError."""
    if task is None:
        return read_completion(values, limits, states)
    if not isinstance(task, str) or task not in ANSWERERS:
        raise RequestError(f"`task` must be one of {', '.join(ANSWERERS)}, or missing for texts", "task")
    return read_task(task, values, limits)


def answer_of(job: Job | TaskJob) -> Answer | TaskJob:
    """Return what writes the answer to a job; a task's does so itself."""
    return Answer(job, job.owner[0]) if isinstance(job, Job) else job


def as_read(codec: Codec, text: str) -> str | bytes:
    """Return a text as a codec encodes it."""
    return text.encode("utf-8") if codec.reads_bytes else text


def kept_after(job: Job) -> list[KeptState]:
    """Return the states after the texts of a job that is done, in the order of its choices.

    The network has read the prompt; it reads the text when the state is first used.
    """
    found = []
    for part in job.parts:
        read = part.prompt.network_state or NOT_READ
        for choice in job.choices(part):
            ids = np.concatenate([part.prompt.ids, np.array(choice.text.symbols, np.int32)])
            unread = len(choice.text.symbols)
            found.append(KeptState(job.owner, ids[-max(REMEMBERED, unread) :], read, unread))
    return found
