"""What a request for texts may ask for, whichever way it comes. Requests are untrusted."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rnn_cli.language.config import SamplingConfig
from rnn_cli.serving.fields import FieldReader, Limits, RequestError

STOPS_LIMIT = 4
MOST_LOGPROBS = 20
MOST_LISTED = 500_000  # alternatives in an answer, about 100 bytes each


@dataclass(frozen=True)
class CompletionRequest:
    """A request for texts, checked.

    prompts    the texts to continue; `state` names what they continue instead of the start of a text
    config     how symbols are sampled; its `best_of` is 1
    n          texts of each prompt in the answer, the best of `best_of`
    logprobs   None, or how many of the most probable symbols to list beside each
    """

    prompts: list[str]
    config: SamplingConfig
    model: str | None = None
    n: int = 1
    best_of: int = 1
    stop: tuple[str, ...] = ()
    echo: bool = False
    logprobs: int | None = None
    stream: bool = False
    include_usage: bool = False
    unknown: str = "error"
    label: str | None = None
    state: str | None = None
    keep: bool = False

    @property
    def symbols(self) -> int:
        """The number of symbols to read and to write, at most."""
        texts = len(self.prompts) * self.best_of * self.config.candidates
        return sum(map(len, self.prompts)) + texts * self.config.length

    @property
    def listed(self) -> int:
        """The number of alternatives that the answer may list."""
        return self.symbols * (self.logprobs or 0)

    @property
    def size(self) -> float:
        """The symbols of the answer, at most; unlimited with a list of each."""
        return self.symbols if self.logprobs is None else math.inf


def read_completion(values: Mapping[str, Any], limits: Limits, states: bool = False) -> CompletionRequest:
    """Return a checked request for texts. `states` says whether states can be kept on this transport.

    Raises RequestError, naming the field, for an unknown field, a wrong type, or a value out of range.
    """
    reader = FieldReader(values)
    prompts = reader.texts("prompt", "", limits.max_choices)
    n = reader.whole("n", 1, 1, limits.max_choices)
    best_of = reader.whole("best_of", n, n, limits.max_choices)
    if len(prompts) * best_of > limits.max_choices:
        raise RequestError(f"`prompt` and `best_of` ask for more than {limits.max_choices:,} texts", "best_of")
    if sum(map(len, prompts)) > limits.max_prompt:
        raise RequestError(f"`prompt` has more than {limits.max_prompt:,} characters", "prompt")
    config = reader.sampling(limits)
    logprobs = reader.value("logprobs", None, int)
    options = reader.value("stream_options", {}, dict)
    if set(options) - {"include_usage"} or not isinstance(options.get("include_usage", False), bool):
        raise RequestError("`stream_options` has `include_usage` only, true or false", "stream_options")
    if logprobs is not None:
        reader.within("logprobs", logprobs, 0, MOST_LOGPROBS)
    request = CompletionRequest(
        prompts,
        config,
        model=reader.text("model", None),
        n=n,
        best_of=best_of,
        stop=tuple(reader.texts("stop", None, STOPS_LIMIT)),
        echo=reader.value("echo", False, bool),
        logprobs=logprobs,
        stream=reader.value("stream", False, bool),
        include_usage=options.get("include_usage", False),
        unknown=reader.text("unknown", "error") or "error",
        label=reader.text("label", None),
        state=reader.text("state", None),
        keep=reader.value("keep", False, bool),
    )
    reader.text("user", None)
    reader.refuse_others()
    if request.unknown not in ("error", "skip"):
        raise RequestError("`unknown` is error or skip", "unknown")
    if (request.keep or request.state is not None) and not states:
        raise RequestError("`state` and `keep` are not kept on this connection; send the whole prompt", "state")
    if request.stream and request.best_of > request.n:
        raise RequestError("`stream` and `best_of` contradict each other: the best text is known at the end", "best_of")
    if request.listed > MOST_LISTED:
        raise RequestError(f"`logprobs` would list more than {MOST_LISTED:,} symbols; ask for fewer", "logprobs")
    return request
