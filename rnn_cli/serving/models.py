"""The models that are served, by their names. They are loaded at the start; no path comes from a request."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from rnn_cli.checkpoint.checkpoint import LANGUAGE, Checkpoint
from rnn_cli.errors import UsageError
from rnn_cli.language.ngrams import ngrams_of
from rnn_cli.language.sampling import Sampler
from rnn_cli.language.stepper import NOT_READ
from rnn_cli.network.model import Model
from rnn_cli.serving.engine import Engine
from rnn_cli.serving.jobs import Job, KeptState
from rnn_cli.serving.requests import CompletionRequest, Limits, RequestError, translated
from rnn_cli.tasks.labelled.model import LABELLED, language_model, read_description
from rnn_cli.text.codecs import Codec
from rnn_cli.text.fingerprint import Fingerprint

REMEMBERED = 1024  # symbols before a state, for what looks back: copies of the corpus, letters with marks
WRITES = (LANGUAGE, LABELLED)  # the tasks whose models write texts


class Models:
    """Models by name, and an engine for each that writes, made when it is first asked for."""

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
        self._lock = threading.Lock()
        self._active = 0

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

    def writer(self, name: str, label: str | None) -> tuple[Checkpoint, Engine]:
        """Return the language model that writes for a model and a label, and its engine."""
        checkpoint = self.checkpoints[name]
        task = checkpoint.task["name"]
        if task not in WRITES:
            raise RequestError(f"the model '{name}' does not write texts; its task is '{task}'", "model")
        with self._lock:
            if (name, label) not in self._writers:
                own: Checkpoint = translated(lambda: language_model(checkpoint, label))
                self._writers[name, label] = own, self._engine(own)
            return self._writers[name, label]

    def _engine(self, checkpoint: Checkpoint) -> Engine:
        fingerprint = checkpoint.record.get("fingerprint")
        return Engine(
            Model.from_torch(checkpoint.config, checkpoint.parameters),
            Fingerprint.from_dict(fingerprint) if fingerprint else None,
            ngrams_of(checkpoint),
            self._threads,
            self._precision,
        )

    def begin(
        self, request: CompletionRequest, state: KeptState | None = None, changed: Callable[[Job], None] | None = None
    ) -> tuple[Job, Callable[[], None]]:
        """Begin a request; return its job, and a function that gives it up. Raises RequestError if it cannot be done.

        `changed` is called from another thread whenever there is something new, and once after the job is done.
        """
        name = self.name_of(request.model)
        owner = (name, request.label)
        if state is not None and state.owner != owner:
            raise RequestError("the `state` is one of another model or label", "state")
        checkpoint, engine = self.writer(*owner)
        prompts = [as_read(checkpoint.codec, prompt) for prompt in request.prompts]
        stops = [as_read(checkpoint.codec, stop) for stop in request.stop]
        sampler: Sampler = translated(
            lambda: Sampler(checkpoint, prompts, request.config, stops, request.unknown, model=engine.model)
        )
        job = Job(request, sampler, state)
        with self._lock:
            if self._active >= self.limits.max_waiting:
                raise RequestError(f"{self.limits.max_waiting:,} requests are at work; try again later", status=503)
            self._active += 1
        told = [False]

        def report() -> None:
            if job.done and not told[0]:
                told[0] = True
                with self._lock:
                    self._active -= 1
            if changed is not None:
                changed(job)

        job.changed = report
        engine.submit(job)
        return job, lambda: engine.cancel(job)

    def close(self) -> None:
        """End all engines."""
        for _, engine in self._writers.values():
            engine.close()


def as_read(codec: Codec, text: str) -> str | bytes:
    """Return a text as a codec encodes it."""
    return text.encode("utf-8") if codec.reads_bytes else text


def kept_after(job: Job, owner: tuple[str, str | None]) -> list[KeptState]:
    """Return the states after the texts of a job that is done, in the order of its choices.

    The network has read the prompt; it reads the text when the state is first used.
    """
    found = []
    for part in job.parts:
        read = part.prompt.network_state or NOT_READ
        for choice in job.choices(part):
            ids = np.concatenate([part.prompt.ids, np.array(choice.text.symbols, np.int32)])
            unread = len(choice.text.symbols)
            found.append(KeptState(owner, ids[-max(REMEMBERED, unread) :], read, unread))
    return found
