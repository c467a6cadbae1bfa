"""What every request has: JSON that is checked, fields that are checked, and errors that name them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from random import getrandbits
from typing import Any

from rnn_cli.config import Config, check_range, limited
from rnn_cli.errors import TaskError, UsageError
from rnn_cli.language.config import SamplingConfig

DEPTH_LIMIT = 8  # of JSON
DIGITS_LIMIT = 20  # of a whole number
USUAL_TOKENS = 16  # as many as OpenAI's API
# Parameters of sampling that have other names here; `suffix` of OpenAI's API is text after the completion.
RENAMED = {"random_seed": "seed", "length": "max_tokens", "suffix": "ends_with"}
MOST_CONTAINED = 8  # texts of `must_contain`
# Parts of OpenAI's API that are accepted if they ask for nothing.
EMPTY: dict[str, tuple[Any, ...]] = {
    "suffix": (None, ""),
    "presence_penalty": (None, 0),
    "frequency_penalty": (None, 0),
    "logit_bias": (None, {}),
}


SAMPLING = {
    RENAMED.get(item.name, item.name): item
    for item in fields(SamplingConfig)
    if item.name not in ("length", "best_of", "valid_utf8", "precision")
}  # the fields of a request, and what of the configuration they are


class RequestError(UsageError):
    """A request that cannot be answered: its sentence, the status of HTTP, and the field that is wrong."""

    def __init__(self, sentence: str, field: str | None = None, status: int = 400) -> None:
        super().__init__(sentence)
        self.field, self.status = field, status


@dataclass(frozen=True)
class Limits(Config):
    """How much a request may ask for; more is refused with a sentence that names the limit."""

    max_tokens: int = limited(1, 10**6, 4096, group="Limits", help="New characters, or words, of a text.")
    max_prompt: int = limited(1, 10**8, 65_536, group="Limits", help="Characters of all prompts of a request.")
    max_choices: int = limited(1, 10_000, 128, group="Limits", help="Texts of a request.")
    max_body: int = limited(256, 1 << 30, 1 << 20, group="Limits", help="Bytes of a request.")
    max_waiting: int = limited(1, 100_000, 256, group="Limits", help="Requests at work and waiting.")
    max_seconds: float = limited(0.001, 1e6, 600.0, group="Limits", help="Seconds of a request, waiting included.")
    max_states: int = limited(0, 10**6, 1000, group="Limits", help="States that a client of JSON lines keeps.")


@dataclass(frozen=True)
class Connecting(Config):
    """Where a server listens, and how many connections it has."""

    port: int = limited(0, 65_535, 8000, group="HTTP", help="0: any that is free.")
    max_connections: int = limited(1, 10_000, 256, group="HTTP", help="Connections at once.")
    grace: float = limited(0.0, 3600.0, 10.0, group="HTTP", help="Seconds in which answers may end after a signal.")


def parse(data: bytes, limits: Limits) -> dict[str, Any]:
    """Return the object of JSON in a request. Raises RequestError for anything else.

    Names are unique, numbers finite and short, and text is valid Unicode.
    """
    if len(data) > limits.max_body:
        raise RequestError(f"the request has more than {limits.max_body:,} bytes; make it shorter", status=413)
    try:
        values = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=unique,
            parse_int=bounded,
            parse_float=finite,
            parse_constant=finite,
        )
    except UnicodeDecodeError as error:
        raise RequestError(f"the request is not valid UTF-8 at byte {error.start + 1:,}") from error
    except RecursionError as error:
        raise RequestError("the request is nested too deeply") from error
    except ValueError as error:
        raise RequestError(f"the request is not valid JSON: {error}") from error
    if not isinstance(values, dict):
        raise RequestError("the request is not a JSON object")
    level: list[Any] = [values]
    for _ in range(DEPTH_LIMIT):
        children = (value.values() if isinstance(value, dict) else value for value in level)
        level = [child for group in children for child in group if isinstance(child, dict | list)]
    if level:
        raise RequestError("the request is nested too deeply")
    return values


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return pairs as a dictionary. Raises ValueError for a name that comes twice."""
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("a name comes twice")
    return values


def bounded(digits: str) -> int:
    """Return a whole number. Raises ValueError if it is too long."""
    if len(digits) > DIGITS_LIMIT:
        raise ValueError(f"a number has more than {DIGITS_LIMIT} digits")
    return int(digits)


def finite(digits: str) -> float:
    """Return a number. Raises ValueError unless it is finite."""
    if not math.isfinite(value := float(digits)):
        raise ValueError("a number is not finite")
    return value


class FieldReader:
    """Takes the fields of a request one after the other, checked; null is as good as missing."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values
        self._known: set[str] = set()

    def value(self, name: str, default: Any, kind: type) -> Any:
        """Return a field of a kind."""
        self._known.add(name)
        value = self._values.get(name)
        if value is None:
            return default
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            names = {int: "a whole number", bool: "true or false", str: "a text", dict: "an object"}
            raise RequestError(f"`{name}` must be {names[kind]}", name)
        return value

    def any(self, name: str) -> Any:
        """Return a field as it is, None if it is missing."""
        self._known.add(name)
        return self._values.get(name)

    def text(self, name: str, default: str | None) -> str | None:
        """Return a field that is a text of valid Unicode."""
        value = self.value(name, default, str)
        return value if value is None else whole_text(name, value)

    def texts(self, name: str, default: str | None, most: int) -> list[str]:
        """Return a field that is a text or a list of texts."""
        self._known.add(name)
        value = self._values.get(name, default)
        values = [] if value is None else value if isinstance(value, list) else [value]
        if not all(isinstance(each, str) for each in values) or (value is None and default is not None):
            raise RequestError(f"`{name}` must be a text or a list of texts", name)
        if not values and default is not None:
            raise RequestError(f"`{name}` must not be an empty list", name)
        if len(values) > most:
            raise RequestError(f"`{name}` has more than {most:,} texts", name)
        return [whole_text(name, each) for each in values]

    def number(self, name: str, default: float, low: float, high: float) -> float:
        """Return a field that is a number in a range."""
        self._known.add(name)
        value = self._values.get(name)
        value = default if value is None else value
        self.within(name, value, low, high)
        return float(value)

    def whole(self, name: str, default: int, low: int, high: int) -> int:
        """Return a field that is a whole number in a range."""
        value: int = self.value(name, default, int)
        self.within(name, value, low, high)
        return value

    def within(self, name: str, value: float, low: float, high: float) -> None:
        """Raise RequestError unless a value is in a range."""
        translated(lambda: check_range(name, value, low, high))

    def sampling(self, limits: Limits) -> SamplingConfig:
        """Return the configuration of sampling: the options of `rnn sample`, under OpenAI's names if it has any."""
        given: dict[str, Any] = {
            "length": self.whole("max_tokens", USUAL_TOKENS, 0, limits.max_tokens),
            "random_seed": getrandbits(31),
        }
        for name, item in SAMPLING.items():
            if item.default == ():
                given[item.name] = tuple(self.texts(name, None, MOST_CONTAINED))
                continue
            self._known.add(name)
            value = self._values.get(name)
            if value is not None:
                if isinstance(item.default, str | bool) and type(value) is not type(item.default):
                    raise RequestError(f"`{name}` has a value of a wrong type", name)
                given[item.name] = whole_text(name, value) if isinstance(value, str) else value
        config: SamplingConfig = translated(lambda: SamplingConfig(**given))
        return config

    def refuse_others(self) -> None:
        """Raise RequestError for a field that has not been taken, or that asks for what is not there."""
        for name, nothing in EMPTY.items():
            if name in self._values and self._values[name] not in nothing:
                raise RequestError(f"`{name}` is not supported; leave it out", name)
        for name in sorted(set(self._values) - self._known - set(EMPTY)):
            raise RequestError(f"there is no field `{name[:40]}`; check its name", name[:40])


def translated(make: Callable[[], Any]) -> Any:
    """Return what a function makes; its UsageError becomes a RequestError with the names of fields."""
    try:
        return make()
    except RequestError:
        raise
    except TaskError as error:
        raise RequestError(str(error), "model") from error
    except UsageError as error:
        sentence = str(error)
        for parameter, name in RENAMED.items():
            sentence = sentence.replace(f"`{parameter}", f"`{name}")
        raise RequestError(sentence, field_in(sentence)) from error


def field_in(sentence: str) -> str | None:
    """Return the first field that a message names, as `seed`, `seed=1` or `prompt[1]`; it may quote a backtick, too."""
    between = (part.partition("=")[0] for part in sentence.split("`")[1:-1])
    return next((part for part in between if part.partition("[")[0].isidentifier()), None)


def whole_text(name: str, value: str) -> str:
    """Return a text. Raises RequestError if it has a lone surrogate, which JSON can write and UTF-8 cannot."""
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise RequestError(f"`{name}` is not valid Unicode at character {error.start + 1:,}", name) from error
    return value
