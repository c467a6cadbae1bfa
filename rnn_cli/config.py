"""Configurations: what a model is and how it is trained, with the limits that every entrance checks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, field, fields
from typing import Any

from rnn_cli.errors import UsageError


def limited(low: float, high: float, default: Any = None, option: str | None = None) -> Any:
    """Declare a number of a configuration that lies in [low, high], or is None where that is the default.

    `option` is its name on the command line where that is another one.
    """
    return field(default=default, metadata={"low": low, "high": high, "option": option})


def one_of(*names: str) -> Any:
    """Declare a name of a configuration, the first of which is the default."""
    return field(default=names[0], metadata={"names": names})


class Config:
    """What a dataclass of named values inherits: UsageError where one is out of its range, not finite or no number."""

    def __post_init__(self) -> None:
        for item in fields(self):  # type: ignore[arg-type]
            value = getattr(self, item.name)
            if value not in item.metadata.get("names", (value,)):
                raise UsageError(
                    f"{item.name.replace('_', '-')} must be one of {', '.join(item.metadata['names'])}, not {value}"
                )
            if "low" in item.metadata and (value is not None or item.default is not None):
                check_range(item.metadata["option"] or item.name, value, item.metadata["low"], item.metadata["high"])

    def to_dict(self) -> dict[str, Any]:
        """Return the values as a JSON-ready dictionary."""
        return asdict(self)  # type: ignore[call-overload]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Any:
        """Build the configuration from a dictionary that holds exactly its fields."""
        names = {item.name for item in fields(cls)}  # type: ignore[arg-type]
        if set(values) != names:
            odd = sorted(set(values) ^ names)
            raise UsageError(f"the {cls.__name__} has missing or unknown fields: {', '.join(map(str, odd))}")
        return cls(**values)


def check_range(name: str, value: Any, low: float, high: float) -> None:
    """Raise UsageError unless `value` is a finite number in [low, high], whole where both limits are whole numbers."""
    whole = isinstance(low, int) and isinstance(high, int)
    kind = "a whole number" if whole else "a number"
    allowed = int if whole else (int, float)
    if not isinstance(value, allowed) or isinstance(value, bool) or not low <= value <= high:
        shown = f"{low:,} to {high:,}" if whole else f"{low:g} to {high:g}"
        raise UsageError(f"{name.replace('_', '-')} must be {kind} from {shown}, not {value}")
