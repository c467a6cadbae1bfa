"""How long a season is and how far to forecast, from the times of the series and their autocorrelation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rnn_cli.errors import UsageError
from rnn_cli.tasks.forecast.series import Series
from rnn_cli.tasks.forecast.times import MONTHS, SECONDS, Step

LONGEST_SEASON = 1000
LONGEST_HORIZON = 1000
CLEAR = 0.4  # autocorrelation from which a lag is a season, if the times do not say how long one is
SEEN = 0.1  # the same, for the season that the times suggest
MARGIN = 0.01  # of the autocorrelation of a longer season over the multiples beside it
NEAR_BEST = 0.75  # share of the highest autocorrelation; the shortest lag that has it is the season
MOST_SEASONS = 12  # of a longer season that is looked for
MOST_SERIES = 200  # whose autocorrelation is taken
FEWEST_SEASONS = 3  # that a series must show, for a lag to be one
WITHOUT_SEASON = 8  # steps of the horizon
DAY = 86400
WEEK = 7  # days


class Seasons(NamedTuple):
    """The season (1: none), a longer one (0: none), the horizon, and the reasons for season and horizon."""

    season: int
    longer: int
    horizon: int
    season_reason: str = "given"
    horizon_reason: str = "given"


def choose_seasons(series: Sequence[Series], season: int | None, horizon: int | None) -> Seasons:
    """Choose what is not given. Raises UsageError if the longest series is too short for it."""
    correlations = autocorrelation(series)
    reason = "given"
    if season is None:
        season, reason = find_season(series[0].step, correlations)
    longest = max(map(len, series))
    given_horizon, horizon_reason = horizon is not None, "given"
    if horizon is None:
        wanted = 2 * season if season > 1 else WITHOUT_SEASON
        horizon = max(1, min(wanted, (longest - season) // 4, LONGEST_HORIZON))
        horizon_reason = "steps: two seasons" if horizon == 2 * season > 2 else "steps, by the length of the series"
    needed = season + 2 * horizon + 1
    if longest < needed:
        least = season + 3
        advice = f"`horizon={(longest - season - 1) // 2}`" if longest >= least and given_horizon else "a longer series"
        raise UsageError(
            f"the longest series, '{max(series, key=len).name}', has {longest:,} values, and a season of {season:,} "
            f"with a horizon of {horizon:,} needs {needed:,}, as the last horizon is held out; give {advice}"
        )
    return Seasons(season, longer_season(season, correlations), horizon, reason, horizon_reason)


def autocorrelation(series: Sequence[Series]) -> np.ndarray:
    """Return the mean over the series of the autocorrelation of their first differences, by lag; at lag 0 it is 1.

    A lag is taken of series that are at least FEWEST_SEASONS times as long. Constant series do not count.
    """
    every = -(-len(series) // MOST_SERIES)
    chosen = [each.values for each in series[::every] if len(each) > 2 * FEWEST_SEASONS]
    longest = max((len(values) for values in chosen), default=0) // FEWEST_SEASONS
    sums, counts = np.zeros(min(longest, LONGEST_SEASON) + 1), np.zeros(min(longest, LONGEST_SEASON) + 1)
    for values in chosen:
        change = np.diff(values)
        change = change - change.mean()
        size = 1 << (2 * len(change) - 1).bit_length()
        product = np.fft.irfft(np.abs(np.fft.rfft(change, size)) ** 2, size)
        lags = min(len(values) // FEWEST_SEASONS, len(sums) - 1) + 1
        if product[0] > 1e-18 * (1 + np.square(values).sum()):
            pairs = 1 - np.arange(lags) / len(change)  # of values a lag apart: at long lags there are fewer
            sums[:lags] += product[:lags] / product[0] / pairs
            counts[:lags] += 1
    return sums / np.maximum(counts, 1)


def expected_season(step: Step) -> tuple[int, str]:
    """Return the season that a step suggests, 0 for none, and what it is."""
    if step.unit == MONTHS:
        return (round(12 / step.size), "a year") if step.size < 12 and 12 % step.size == 0 else (0, "")
    if step.unit == SECONDS and step.size == DAY:
        return WEEK, "a week"
    if step.unit == SECONDS and step.size == 7 * DAY:
        return 52, "a year"
    if step.unit == SECONDS and step.size < DAY and DAY % step.size == 0:
        return round(DAY / step.size), "a day"
    return 0, ""


def find_season(step: Step, correlations: np.ndarray) -> tuple[int, str]:
    """Return the season and the reason: what the times suggest if it is there, else the first high peak."""
    season, name = expected_season(step)
    if 1 < season < len(correlations) and correlations[season] >= SEEN:
        return season, f"steps: {name}, as the times are {step.describe()} apart"
    peaks = [
        lag
        for lag in range(2, len(correlations) - 1)
        if correlations[lag] >= max(CLEAR, correlations[lag - 1], correlations[lag + 1])
    ]
    if not peaks:
        return 1, "no season is seen: the forecast to beat is the last value"
    highest = max(correlations[peaks])
    lag = next(lag for lag in peaks if correlations[lag] >= NEAR_BEST * highest)
    return lag, f"steps: the autocorrelation of the changes is {correlations[lag]:.2f} at this lag"


def longer_season(season: int, correlations: np.ndarray) -> int:
    """Return a multiple of the season at which the series repeat better than at those beside it, or 0: a week of days.

    The whole season before and after that multiple must be within what the correlations know.
    """
    if season == 1:
        return 0
    last = min(MOST_SEASONS, (len(correlations) - 1) // season - 1)
    peaks = [
        multiple * season
        for multiple in range(2, last + 1)
        if correlations[multiple * season] > correlations[(multiple - 1) * season] + MARGIN
        and correlations[multiple * season] > correlations[(multiple + 1) * season] + MARGIN
    ]
    best = max(peaks, key=lambda lag: correlations[lag], default=0)
    return best if best and correlations[best] >= SEEN else 0
