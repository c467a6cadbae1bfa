"""Axes: round ticks, their labels, and where a value lies between the ends."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from rnn_cli.inspect.runs import Panel

STEPS = (1.0, 2.0, 5.0, 10.0)
PREFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"))
FLAT = 1e-3  # of a range without extent, as a share of its value


@dataclass(frozen=True)
class Axis:
    """The range [low, high] of the values, and its ticks. A logarithmic axis holds the logarithms to base 10."""

    low: float
    high: float
    ticks: tuple[float, ...]
    labels: tuple[str, ...]
    logarithmic: bool = False

    def share(self, value: float) -> float:
        """Return where a value lies: 0 at the low end, 1 at the high end."""
        value = math.log10(value) if self.logarithmic else value
        return min(max((value - self.low) / (self.high - self.low), 0.0), 1.0)

    @property
    def tick_shares(self) -> list[float]:
        """Return where the ticks lie."""
        return [(tick - self.low) / (self.high - self.low) for tick in self.ticks]


def axis_for(values: Iterable[float], most_ticks: int = 6, *, logarithmic: bool = False, zero: bool = False) -> Axis:
    """Return the axis of some values, of which there is at least one; it begins and ends at a tick.

    With `zero` it begins at 0 if no value is below, and ends at the greatest value.
    """
    known = [math.log10(value) if logarithmic else value for value in values]
    low, high = min(known), max(known)
    if zero:
        low = min(low, 0.0)
    if high - low <= 1e-12 * max(abs(low), abs(high), 1e-12):
        margin = max(abs(high) * FLAT, 1e-9)
        low, high = low - margin, high + margin
    step = round_step((high - low) / max(most_ticks - 1, 1))
    if logarithmic and step < 1:
        ticks = logarithmic_ticks(low, high, most_ticks)
    else:
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        ticks = [number * step for number in range(first, last + 1)]
    if zero:
        ticks = [tick for tick in ticks if tick <= high]
    else:
        low, high = min(low, ticks[0]), max(high, ticks[-1])
    shown = [10**tick if logarithmic else tick for tick in ticks]
    return Axis(low, high, tuple(ticks), tuple(map(label_of, shown)), logarithmic)


def logarithmic_ticks(low: float, high: float, most: int) -> list[float]:
    """Return the logarithms of 1, 2, 5 times powers of ten round [low, high]; of more than `most`, only both ends."""
    candidates = [exponent + math.log10(factor) for exponent in range(-99, 100) for factor in (1, 2, 5)]
    first = max(index for index, tick in enumerate(candidates) if tick <= low + 1e-9)
    last = min(index for index, tick in enumerate(candidates) if tick >= high - 1e-9)
    ticks = candidates[first : last + 1]
    return ticks if len(ticks) <= most else [ticks[0], ticks[len(ticks) // 2], ticks[-1]]


def axes_of(panel: Panel, x_ticks: int = 6, y_ticks: int = 6) -> tuple[Axis, Axis]:
    """Return the axes of a panel: x from 0, y from the least to the greatest value."""
    points = [point for curve in panel.curves for point in curve.points]
    x_axis = axis_for((x for x, _ in points), x_ticks, zero=True)
    return x_axis, axis_for((y for _, y in points), y_ticks, logarithmic=panel.logarithmic)


def round_step(size: float) -> float:
    """Return the least of 1, 2, 5, 10 times a power of ten that is at least `size`."""
    power = 10.0 ** math.floor(math.log10(size))
    return next(step * power for step in STEPS if step * power >= size * (1 - 1e-9))


def label_of(value: float) -> str:
    """Return a tick's value in few characters: 0.002, 1.5, 20k, 3M, 1e-05."""
    for size, letter in PREFIXES:
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}" if abs(value) < 1e12 else f"{value:.1e}"
    return f"{value:.3g}" if abs(value) > 1e-9 else "0"
