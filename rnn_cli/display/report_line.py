"""The values of a training report as one line of text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Values = Mapping[str, Any]


def unit_of(values: Values) -> str:
    """Return what the bits of a report are per, from the names of its values: "char" or "word"."""
    return next(name.removeprefix("bits_per_") for name in values if name.startswith("bits_per_"))


def validation_bits(values: Values) -> float | None:
    """Return the bits per unit of a validation, None if there was none."""
    bits: float | None = values[f"validation_bits_per_{unit_of(values)}"]
    return bits


def plain_line(
    values: Values, fraction: float | None, remaining_seconds: float | None, validation: float | None
) -> str:
    """Return a report as a plain line. `validation` is the last measured one, in bits per unit."""
    unit = unit_of(values)
    parts = [f"step {values['step']}" if fraction is None else f"step {values['step']} ({fraction:.0%})"]
    parts.append(f"epoch {values['epoch']:.2f}")
    if remaining_seconds is not None:
        parts.append(f"{format_time(remaining_seconds)} left")
    parts += [f"loss {values['loss']:.3f}", f"{values[f'bits_per_{unit}']:.3f} bits/{unit}"]
    if validation is not None:
        parts.append(f"validation {validation:.3f} bits/{unit}")
    parts += [f"learning rate {values['learning_rate']:.2g}", f"gradient norm {values['grad_norm']:.2g}"]
    if speed := values[f"{unit}s_per_second"]:  # 0 if only the first step is done, which compiles
        parts.append(f"{format_count(speed)} {unit}s/s")
    return ", ".join(parts)


def validation_line(values: Values) -> str:
    """Return the result of a validation, in less than 80 columns."""
    unit, validation = unit_of(values), validation_bits(values)
    training = values[f"bits_per_{unit}"]
    where = f"step {values['step']}, epoch {values['epoch']:.2f}"
    return f"{where}: {training:.3f} bits/{unit}, validation {validation:.3f} bits/{unit}"


def live_line(
    values: Values,
    fraction: float | None,
    remaining_seconds: float | None,
    validation: float | None,
    width: int,
) -> str:
    """Return a report in at most `width` columns; the last parts are left out if they do not fit."""
    unit = unit_of(values)
    parts = [f"step {values['step']}" if fraction is None else f"{fraction:.0%}"]
    if remaining_seconds is not None:
        parts.append(f"ETA {format_time(remaining_seconds)}")
    parts += [f"loss {values['loss']:.3f}", f"bits {values[f'bits_per_{unit}']:.2f}"]
    if validation is not None:
        parts.append(f"val {validation:.2f}")
    parts += [f"lr {values['learning_rate']:.2g}", f"norm {values['grad_norm']:.2g}"]
    if speed := values[f"{unit}s_per_second"]:
        parts.append(f"{format_count(speed)}/s")
    while len(line := "  ".join(parts)) > width and len(parts) > 1:
        parts.pop()
    return line


def format_time(seconds: float) -> str:
    """Return a duration as minutes and seconds, or as hours and minutes, or as days and hours."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}:{rest:02}"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours < 100 else f"{hours // 24}d{hours % 24:02}h"


def format_count(number: float) -> str:
    """Return a number in about three digits: 950, 12.3k, 1.23M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= 0.9995 * size:  # it rounds up to the unit
            return f"{number / size:.3g}{letter}"
    return f"{number:.0f}"
