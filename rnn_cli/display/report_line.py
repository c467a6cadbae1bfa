"""The values of a training report as one line of text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Values = Mapping[str, Any]


def plain_line(
    values: Values, fraction: float | None, remaining_seconds: float | None, validation: float | None
) -> str:
    """Return a report as a plain line. `validation` is the last measured one, in bits per character."""
    parts = [f"step {values['step']}" if fraction is None else f"step {values['step']} ({fraction:.0%})"]
    parts.append(f"epoch {values['epoch']:.2f}")
    if remaining_seconds is not None:
        parts.append(f"{format_time(remaining_seconds)} left")
    parts += [f"loss {values['loss']:.3f}", f"{values['bits_per_char']:.3f} bits/char"]
    if validation is not None:
        parts.append(f"validation {validation:.3f} bits/char")
    parts += [f"learning rate {values['learning_rate']:.2g}", f"gradient norm {values['grad_norm']:.2g}"]
    if values["chars_per_second"]:  # 0 if only the first step is done, which compiles
        parts.append(f"{format_count(values['chars_per_second'])} chars/s")
    return ", ".join(parts)


def validation_line(values: Values) -> str:
    """Return the result of a validation, in less than 80 columns."""
    training, validation = values["bits_per_char"], values["validation_bits_per_char"]
    where = f"step {values['step']}, epoch {values['epoch']:.2f}"
    return f"{where}: {training:.3f} bits/char, validation {validation:.3f} bits/char"


def live_line(
    values: Values,
    fraction: float | None,
    remaining_seconds: float | None,
    validation: float | None,
    width: int,
) -> str:
    """Return a report in at most `width` columns; the last parts are left out if they do not fit."""
    parts = [f"step {values['step']}" if fraction is None else f"{fraction:.0%}"]
    if remaining_seconds is not None:
        parts.append(f"ETA {format_time(remaining_seconds)}")
    parts += [f"loss {values['loss']:.3f}", f"bits {values['bits_per_char']:.2f}"]
    if validation is not None:
        parts.append(f"val {validation:.2f}")
    parts += [f"lr {values['learning_rate']:.2g}", f"norm {values['grad_norm']:.2g}"]
    if values["chars_per_second"]:
        parts.append(f"{format_count(values['chars_per_second'])}/s")
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
