"""The values of a training report as one line of text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rnn_cli.bits import BITS_PER_NAT

Values = Mapping[str, Any]  # those of a Report (training/run_state.py)
STEP = "step"  # the unit of a forecaster
SHORT = {"character": "char"}


def bits_of(loss: float, unit: str) -> str:
    """Return a loss in nats per unit as bits in words; of a step of a series it is an error, not bits."""
    if unit == STEP:
        return f"error {loss:.3f}"
    return f"{loss * BITS_PER_NAT:.3f} bits/{SHORT.get(unit, unit)}"


def score_of(score: float | None) -> list[str]:
    """Return the score of a validation, a share, as parts of a line."""
    return [] if score is None else [f"score {score:.1%}"]


def plain_line(
    values: Values,
    fraction: float | None,
    remaining_seconds: float | None,
    validation: float | None,
    score: float | None = None,
    unit: str = "character",
) -> str:
    """Return a report as a plain line. `validation` and `score` are the last measured ones, in nats per unit."""
    parts = [f"step {values['step']}" if fraction is None else f"step {values['step']} ({fraction:.0%})"]
    parts.append(f"epoch {values['epoch']:.2f}")
    if remaining_seconds is not None:
        parts.append(f"{format_time(remaining_seconds)} left")
    parts += [f"loss {values['loss']:.3f}", bits_of(values["loss"], unit)][unit == STEP :]
    if validation is not None:
        parts.append(f"validation {bits_of(validation, unit)}")
    parts += score_of(score)
    parts += [f"learning rate {values['learning_rate']:.2g}", f"gradient norm {values['grad_norm']:.2g}"]
    if values["units_per_second"]:  # 0 if only the first step is done, which compiles
        parts.append(f"{format_count(values['units_per_second'])} {SHORT.get(unit, unit)}s/s")
    return ", ".join(parts)


def validation_line(values: Values, unit: str = "character") -> str:
    """Return the result of a validation, in less than 80 columns."""
    training, validation = values["loss"], values["validation_loss"]
    where = f"step {values['step']}, epoch {values['epoch']:.2f}"
    parts = [f"{where}: {bits_of(training, unit)}", f"validation {bits_of(validation, unit)}"]
    return ", ".join(parts + score_of(values.get("validation_score")))


def live_line(
    values: Values,
    fraction: float | None,
    remaining_seconds: float | None,
    validation: float | None,
    width: int,
    score: float | None = None,
) -> str:
    """Return a report in at most `width` columns; the last parts are left out if they do not fit."""
    parts = [f"step {values['step']}" if fraction is None else f"{fraction:.0%}"]
    if remaining_seconds is not None:
        parts.append(f"ETA {format_time(remaining_seconds)}")
    parts += [f"loss {values['loss']:.3f}", f"bits {values['loss'] * BITS_PER_NAT:.2f}"]
    if validation is not None:
        parts.append(f"val {validation * BITS_PER_NAT:.2f}")
    parts += score_of(score)
    parts += [f"lr {values['learning_rate']:.2g}", f"norm {values['grad_norm']:.2g}"]
    if values["units_per_second"]:
        parts.append(f"{format_count(values['units_per_second'])}/s")
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
