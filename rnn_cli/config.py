"""Configurations: each value is declared once, with its range or choices and with the words that explain it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, field, fields
from typing import Any

from rnn_cli.errors import UsageError


def setting(default: Any, *, help: str = "", group: str = "", option: str = "", short: str = "", **more: Any) -> Any:
    """Declare a value of a configuration. With a `help`, it is also an option of the commands.

    group   heading under which the help of a command lists the option
    option  name on the command line, without its dashes, if it is not the name of the field
    short   one-letter name on the command line
    """
    return field(default=default, metadata={"help": help, "group": group, "option": option, "short": short, **more})


def limited(low: float, high: float, default: float | None = None, *, automatic: bool = False, **about: Any) -> Any:
    """Declare a number in [low, high], or None if that is the default; whole if both limits are.

    `automatic` says that `rnn train` chooses the value if it is not given.
    """
    return setting(default, low=low, high=high, automatic=automatic, **about)


def one_of(*names: str, **about: Any) -> Any:
    """Declare a name out of several, the first of which is the default."""
    return setting(names[0], names=names, **about)


class Config:
    """Base class of the configurations. Raises UsageError if a value is not of its choices, range or kind."""

    def __post_init__(self) -> None:
        for item in fields(self):  # type: ignore[arg-type]
            value = getattr(self, item.name)
            if value not in item.metadata.get("names", (value,)):
                raise UsageError(f"`{item.name}` must be one of {', '.join(item.metadata['names'])}, not {value}")
            if "low" in item.metadata and (value is not None or item.default is not None):
                check_range(item.name, value, item.metadata["low"], item.metadata["high"])

    def to_dict(self) -> dict[str, Any]:
        """Return the values as a JSON-ready dictionary."""
        return asdict(self)  # type: ignore[call-overload]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Any:
        """Build the configuration from a dictionary that holds exactly its fields."""
        names = {item.name for item in fields(cls)}  # type: ignore[arg-type]
        if set(values) != names:
            unexpected = sorted(set(values) ^ names)
            raise UsageError(f"the {cls.__name__} has missing or unknown fields: {', '.join(map(str, unexpected))}")
        return cls(**values)


def check_range(name: str, value: Any, low: float, high: float) -> None:
    """Raise UsageError unless `value` is a finite number in [low, high], whole if both limits are."""
    whole = isinstance(low, int) and isinstance(high, int)
    kind = "a whole number" if whole else "a number"
    allowed = int if whole else (int, float)
    if not isinstance(value, allowed) or isinstance(value, bool) or not low <= value <= high:
        shown = f"{low:,} to {high:,}" if whole else f"{low:g} to {high:g}"
        raise UsageError(f"`{name}` must be {kind} from {shown}, not {value}")
