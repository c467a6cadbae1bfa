"""Answers to requests: texts in the form of OpenAI's legacy completions, and errors."""

from __future__ import annotations

import time
from collections.abc import Sequence
from random import getrandbits
from typing import Any

from rnn_cli.errors import RnnError
from rnn_cli.language.sampling import text_of
from rnn_cli.serving.fields import RequestError
from rnn_cli.serving.jobs import Choice, Job, Part, Top
from rnn_cli.text.codecs import BOUNDARY, Codec

PIECE = 512  # symbols of all texts in one call of `pieces`
REASONS = {"end": "stop", "stop": "stop", "copy": "stop", "length": "length", None: None}


class Answer:
    """The answer to a job, at once or in pieces. `model` is the name of the model."""

    def __init__(self, job: Job, model: str) -> None:
        self.job, self._codec = job, job.sampler.codec
        self._head = {
            "id": f"cmpl-{getrandbits(96):024x}",  # no secret; os.urandom would let other threads run first
            "object": "text_completion",
            "created": int(time.time()),
            "model": model,
        }
        self._shown: dict[int, int] = {}  # symbols of each choice; -1 once its end has been told
        self.behind = False
        self._offsets: dict[int, int] = {}  # characters of each choice

    def whole(self) -> dict[str, Any]:
        """Return the answer to a job that is complete."""
        choices = []
        for number, part in enumerate(self.job.parts):
            choices += [
                self._choice(number * self.job.request.n + index, part, choice, (0, choice.certain), choice.ended)
                for index, choice in enumerate(self.job.choices(part))
            ]
        return {**self._head, "choices": choices, "usage": self.usage(), "seed": self.job.sampler.config.random_seed}

    def pieces(self) -> list[dict[str, Any]]:
        """Return what has become certain since the last call, an object for each text that has grown.

        A call makes objects of a few hundred symbols, as a thread that others wait for makes them. `behind` then says
        whether there is more.
        """
        found, self.behind = [], False
        most = max(1, PIECE // (len(self.job.parts) * self.job.request.n))
        for number, part in enumerate(self.job.parts):
            if not (part.done or self.job.streams_at_once) or not part.ready:
                continue
            for index, choice in enumerate(self.job.choices(part)):
                key = number * self.job.request.n + index
                start, ended = self._shown.get(key, 0), choice.ended  # before what is certain, as it is set after it
                certain = choice.certain
                end = min(certain, start + most)
                if end < certain and start >= 0:
                    self.behind, ended = True, None
                if start < 0 or (start == end and ended is None):
                    continue
                self._shown[key] = -1 if ended else end
                found.append({**self._head, "choices": [self._choice(key, part, choice, (start, end), ended)]})
        return found

    def usage(self) -> dict[str, int]:
        """Return the numbers of symbols that were read and written."""
        read = sum(len(part.own) for part in self.job.parts)
        written = sum(len(choice.text.symbols) for part in self.job.parts for choice in part.texts)
        return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}

    def last(self) -> dict[str, Any]:
        """Return the last object of a stream that tells its usage."""
        return {**self._head, "choices": [], "usage": self.usage()}

    def _choice(self, key: int, part: Part, choice: Choice, span: tuple[int, int], ended: str | None) -> dict[str, Any]:
        """Return the symbols of a text from start to end (exclusive), and why it ended, or None."""
        text, request = choice.text, self.job.request
        start, end = span
        echo = request.echo and start == 0
        shown = text_of(self._codec, text, start, end).decode("utf-8", "replace")
        if echo:
            shown = self._codec.decode_after(self._before(part), part.own).decode("utf-8", "replace") + shown
        values: dict[str, Any] = {
            "index": key,
            "text": shown,
            "logprobs": None,
            "finish_reason": REASONS[ended],
            "stopped": ended,
        }
        if request.logprobs is not None:
            offset = self._offsets.get(key, 0)
            values["logprobs"] = self._logprobs(part, choice, span, offset)
            self._offsets[key] = offset + len(shown)
        return values

    def _before(self, part: Part) -> int:
        """Return the symbol before the prompt itself, or BOUNDARY."""
        before = part.prompt.ids[: len(part.prompt.ids) - len(part.own)]
        return int(before[-1]) if len(before) else BOUNDARY

    def _logprobs(self, part: Part, choice: Choice, span: tuple[int, int], offset: int) -> dict[str, Any]:
        """Return the log probabilities (nats, at temperature 1) of symbols, and the most probable ones beside them.

        `offset` is the number of characters of the answer before them.
        """
        own, text, (start, end) = part.own.tolist(), choice.text, span
        symbols, losses, tops = list(text.symbols[start:end]), list(text.losses[start:end]), choice.tops[start:end]
        before = text.symbols[start - 1] if start else own[-1] if own else self._before(part)
        if self.job.request.echo and start == 0:
            count = len(own)
            symbols = own + symbols
            losses, tops = part.losses[len(part.losses) - count :] + losses, part.tops[-count:] * bool(count) + tops
            before = self._before(part)
        tokens, offsets = [], []
        previous = before
        for symbol in symbols:
            tokens.append(token_of(self._codec, previous, symbol))
            offsets.append(offset)
            offset += len(self._codec.decode_after(previous, [symbol]).decode("utf-8", "ignore"))
            previous = symbol
        return {
            "tokens": tokens,
            "token_logprobs": [-loss for loss in losses],
            "top_logprobs": self._tops(before, symbols, tops) if self.job.tops else None,
            "text_offset": offsets,
        }

    def _tops(self, before: int, symbols: Sequence[int], tops: Sequence[Top]) -> list[dict[str, float]]:
        return [
            {token_of(self._codec, previous, symbol): value for symbol, value in top}
            for previous, top in zip([before, *symbols], tops)
        ]


def token_of(codec: Codec, previous: int, symbol: int) -> str:
    r"""Return a symbol as a text: `bytes:\xe2` for a byte that is not a character."""
    data = codec.decode_after(previous, [symbol])
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in data)


def describe(error: Exception) -> dict[str, Any]:
    """Return an error as OpenAI's API does. An unexpected one is named, but not quoted: it might hold text."""
    status = error.status if isinstance(error, RequestError) else 400 if isinstance(error, RnnError) else 500
    sentence = str(error) if isinstance(error, RnnError) else f"unexpected {type(error).__name__}"
    kind = "invalid_request_error" if status < 500 else "server_error"
    field = error.field if isinstance(error, RequestError) else None
    return {"error": {"message": sentence, "type": kind, "param": field, "code": status}}
