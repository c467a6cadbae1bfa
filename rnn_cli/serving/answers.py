"""The answers to requests for texts, in the form of OpenAI's legacy completions."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any

from rnn_cli.errors import RnnError
from rnn_cli.language.candidates import GeneratedText
from rnn_cli.language.sampling import text_of
from rnn_cli.serving.jobs import Choice, Job, Part, Top
from rnn_cli.text.codecs import BOUNDARY, Codec

REASONS = {"end": "stop", "stop": "stop", "copy": "stop", "length": "length", None: None}


class Answer:
    """The answer to a job, at once or in pieces. `model` is the name of the model."""

    def __init__(self, job: Job, model: str) -> None:
        self.job, self._codec = job, job.sampler.codec
        self._head = {
            "id": f"cmpl-{os.urandom(12).hex()}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": model,
        }
        self._shown: dict[int, int] = {}  # symbols of each choice; -1 once its end has been told

    def whole(self) -> dict[str, Any]:
        """Return the answer to a job that is done. Raises RnnError if fewer texts were found than wanted."""
        choices = []
        for number, part in enumerate(self.job.parts):
            found = self.job.choices(part)
            if len(found) < self.job.request.n:
                raise RnnError("too many texts in a row were there already or in the corpus; raise the temperature")
            choices += [
                self._choice(number * self.job.request.n + index, part, choice, 0, len(choice.text.symbols))
                for index, choice in enumerate(found)
            ]
        return {**self._head, "choices": choices, "usage": self.usage(), "seed": self.job.sampler.config.random_seed}

    def pieces(self) -> list[dict[str, Any]]:
        """Return what has become certain since the last call, an object for each text that has grown."""
        found = []
        for number, part in enumerate(self.job.parts):
            if not (part.done or self.job.streams_at_once) or not part.ready:
                continue
            for index, choice in enumerate(self.job.choices(part)):
                key = number * self.job.request.n + index
                start, stopped = self._shown.get(key, 0), choice.text.stopped  # in this order: the end comes last
                end = choice.certain
                if start < 0 or (start == end and stopped is None):
                    continue
                self._shown[key] = -1 if stopped else end
                found.append({**self._head, "choices": [self._choice(key, part, choice, start, end)]})
        return found

    def usage(self) -> dict[str, int]:
        """Return the numbers of symbols that were read and written."""
        read = sum(len(part.own) for part in self.job.parts)
        written = sum(len(choice.text.symbols) for part in self.job.parts for choice in part.texts)
        return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}

    def last(self) -> dict[str, Any]:
        """Return the last object of a stream that tells its usage."""
        return {**self._head, "choices": [], "usage": self.usage()}

    def _choice(self, key: int, part: Part, choice: Choice, start: int, end: int) -> dict[str, Any]:
        text, request = choice.text, self.job.request
        echo = request.echo and start == 0
        shown = text_of(self._codec, text, start, end).decode("utf-8", "replace")
        if echo:
            shown = self._codec.decode_after(self._before(part), part.own).decode("utf-8", "replace") + shown
        ended = text.stopped if end == len(text.symbols) else None
        values: dict[str, Any] = {
            "index": key,
            "text": shown,
            "logprobs": None,
            "finish_reason": REASONS[ended],
            "stopped": ended,
        }
        if request.logprobs is not None:
            values["logprobs"] = self._logprobs(part, choice, start, end, echo)
        return values

    def _before(self, part: Part) -> int:
        """Return the symbol before the prompt itself, or BOUNDARY."""
        before = part.prompt.ids[: len(part.prompt.ids) - len(part.own)]
        return int(before[-1]) if len(before) else BOUNDARY

    def _logprobs(self, part: Part, choice: Choice, start: int, end: int, echo: bool) -> dict[str, Any]:
        """Return the log probabilities (nats, at temperature 1) of symbols, and the most probable ones beside them."""
        own, text = part.own.tolist(), choice.text
        symbols, losses, tops = list(text.symbols[start:end]), list(text.losses[start:end]), choice.tops[start:end]
        before = text.symbols[start - 1] if start else own[-1] if own else self._before(part)
        offset = len(self._text(part, text, start))
        if echo:
            count = len(own)
            symbols = own + symbols
            losses, tops = part.losses[len(part.losses) - count :] + losses, part.tops[-count:] * bool(count) + tops
            before, offset = self._before(part), 0
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

    def _text(self, part: Part, text: GeneratedText, end: int) -> str:
        """Return the text of the answer before a position, the prompt included if it is echoed."""
        own = self._codec.decode_after(self._before(part), part.own) if self.job.request.echo else b""
        return (own + text_of(self._codec, text, 0, end)).decode("utf-8", "replace")

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
