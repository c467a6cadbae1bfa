"""What a forecaster reads and predicts at each step of a series.

With y the series divided by its scale, m the season, H the horizon, and k(h) the least k with k m >= h, the seasonal
naive forecast of step t + h is the last value known of that phase of the season:

    naive_(t,h) = y_(t + h - k(h) m)                        level_t = mean of y_(t-m+1) ... y_t
    target_(t,h) = y_(t+h) - naive_(t,h)                    for h = 1 ... H; if outputs are 0, that is the forecast

    inputs_t    arcsinh, which is linear near 0 and a logarithm far from it, of
                y_t - y_(t-1), y_t - y_(t-m)
                naive_(t,h) - level_t                       for h = 1 ... min(m, H): the last season
                naive_(t,h) - naive_(t-m,h)                 how it differs from the season before
                naive with the longer season - naive_(t,h)  for h = 1 ... min(longer, H), if there is a longer season

The scale of a series is the mean of |y_t - y_(t-m)|, so that series of any size look alike. Values before the start of
a series count as 0 in the inputs that need them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rnn_cli.network.workspace import Batch

LIMIT = 10.0  # of targets, in scales: a single event does not decide the weights


def seasonal_scale(values: np.ndarray, season: int) -> float:
    """Return the mean of |y_t - y_(t-m)|; for a series that repeats exactly, that of |y_t|, or 1.

    A season of one that is longer than the series is taken as 1.
    """
    apart = values[season:] - values[:-season] if len(values) > season else np.diff(values)
    for each in (apart, values):
        if len(each) and (scale := float(np.abs(each).mean())) > 1e-12 * float(np.abs(values).max()):
            return scale
    return 1.0


def seasonal_naive(values: np.ndarray, season: int, horizon: int) -> np.ndarray:
    """Return the forecast (H,) that repeats the last season. The series has at least one season."""
    return np.resize(values[-season:], horizon)


@dataclass(frozen=True)
class Shape:
    """What of a series is read and predicted: the season, a longer one (0: none), and the horizon."""

    season: int
    longer: int
    horizon: int

    @property
    def input_size(self) -> int:
        """The inputs of a step."""
        return 2 + 2 * min(self.season, self.horizon) + min(self.longer, self.horizon)

    @property
    def first(self) -> int:
        """The first step with a forecast: it has seen a whole season, and a value before it."""
        return max(self.season - 1, 1)

    @property
    def reach(self) -> int:
        """How many values before a step its inputs read."""
        return max(2 * self.season, self.longer) + self.season


class Windows:
    """Series side by side, from which rows of steps are taken."""

    def __init__(
        self, shape: Shape, series: Sequence[np.ndarray], scales: Sequence[float] | np.ndarray, quantiles: int = 1
    ) -> None:
        """Take series and the scale of each. Before each are `reach` zeros, and after it a horizon of NaN.

        Each target is there once for each of the `quantiles`.
        """
        self.shape, self.scales, self.quantiles = shape, np.array(scales), quantiles
        lengths = np.array([len(values) for values in series])
        self.starts = shape.reach + np.concatenate([[0], np.cumsum(lengths + shape.reach + shape.horizon)[:-1]])
        self.ends = self.starts + lengths
        size = int(self.ends[-1]) + shape.horizon
        self.values, self.known = np.full(size, np.nan), np.zeros(size, bool)
        for start, values, scale in zip(self.starts, series, self.scales):
            self.values[start - shape.reach : start] = 0
            self.values[start : start + len(values)] = values / scale
            self.known[start : start + len(values)] = True
        sums = np.cumsum(np.nan_to_num(self.values))
        self.levels = np.zeros(size)
        self.levels[shape.season :] = (sums[shape.season :] - sums[: -shape.season]) / shape.season
        ahead = np.arange(1, shape.horizon + 1)
        self._naive = ahead - shape.season * -(-ahead // shape.season)  # from t
        longer = ahead[: min(shape.longer, shape.horizon)]
        self._longer = longer - shape.longer
        self._ahead = ahead

    def batch(self, chosen: np.ndarray, first: np.ndarray, length: int) -> Batch:
        """Return rows of up to `length` steps: of series `chosen[b]` from step `first[b]` on, up to its last value."""
        begin = self.starts[chosen] + first
        t = begin + np.arange(length)[:, None]
        inside = t < self.ends[chosen]
        t = np.where(inside, t, begin)
        targets = self.values[t[..., None] + self._ahead] - self.values[t[..., None] + self._naive]
        targets = np.repeat(np.clip(targets, -LIMIT, LIMIT).astype(np.float32), self.quantiles, axis=-1)
        targets[~inside] = np.nan
        inputs = self.inputs(t)
        inputs[~inside] = 0
        starts = (~inside).astype(np.uint8)
        starts[0] = 1
        return Batch(inputs, starts, targets)

    def inputs(self, t: np.ndarray) -> np.ndarray:
        """Return the inputs (..., I) of steps t (...), positions in `values`, float32."""
        values, season, count = self.values, self.shape.season, min(self.shape.season, self.shape.horizon)
        at = t[..., None]
        naive = values[at + self._naive[:count]]
        earlier = at + self._naive[:count] - season
        parts = [
            values[at] - values[at - 1],
            self._difference(values[at], at - season),
            naive - self.levels[at],
            self._difference(naive, earlier),
        ]
        if len(self._longer):
            naive = values[at + self._naive[: len(self._longer)]]
            parts.append(-self._difference(naive, at + self._longer))
        return np.arcsinh(np.concatenate(parts, axis=-1)).astype(np.float32)

    def _difference(self, values: np.ndarray, indices: np.ndarray) -> np.ndarray:
        """Return values less those at some indices, 0 where the series has not begun there."""
        difference: np.ndarray = np.where(self.known[indices], values - self.values[indices], 0.0)
        return difference
