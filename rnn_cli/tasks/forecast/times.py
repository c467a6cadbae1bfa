"""Times of a series: read, checked for an equal step, and continued into the future."""

from __future__ import annotations

import calendar
import math
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

from rnn_cli.errors import UsageError

NUMBER, MONTHS, SECONDS = "number", "months", "seconds"
MONTH_LENGTH = len("1949-01")
DATE_LENGTH = len("1949-01-01")


class Step(NamedTuple):
    """The distance of two neighbours: `size` of a unit, and for months whether times are the last days of months."""

    unit: str
    size: float
    month_end: bool = False

    def describe(self) -> str:
        """Return the step in words."""
        if self.unit == NUMBER:
            return f"{self.size:g}"
        if self.unit == MONTHS:
            return f"{self.size:g} month{'s' * (self.size != 1)}"
        names = ((604800, "week"), (86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))
        seconds, name = next((pair for pair in names if self.size % pair[0] == 0), (1, "second"))
        return f"{self.size / seconds:g} {name}{'s' * (self.size != seconds)}"


def parse(stamp: str) -> datetime | float:
    """Return a time as a date or a number. Raises ValueError for other texts."""
    if len(stamp) == MONTH_LENGTH and stamp[4:5] == "-":
        return datetime.fromisoformat(stamp + "-01")
    if stamp.lstrip("+-").replace(".", "", 1).isdecimal():
        number = float(stamp)
        if not math.isfinite(number):
            raise ValueError("too large")
        return number
    return datetime.fromisoformat(stamp)


def month_index(time: datetime) -> int:
    """Return the months since year 0."""
    return time.year * 12 + time.month - 1


def is_month_end(time: datetime) -> bool:
    """Say whether a time is on the last day of its month."""
    return time.day == calendar.monthrange(time.year, time.month)[1]


def step_of(stamps: Sequence[str], where: Sequence[str], name: str) -> Step:
    """Return the step between the times of a series, in the order of its values.

    `where` says for messages at which line each stands. Raises UsageError, with the place, for a text that is not a
    time, for times that are doubled, unsorted or of two kinds, and for a gap.
    """
    times = []
    for stamp, place in zip(stamps, where):
        try:
            times.append(parse(stamp))
        except ValueError:
            advice = "write times as 2024-01-31, 2024-01-31 12:00, 2024-01 or a number"
            raise UsageError(f"{place} has the time '{stamp}', which is not understood; {advice}") from None
        if isinstance(times[-1], datetime) != isinstance(times[0], datetime):
            raise UsageError(f"{place} has the time '{stamp}', which is not of the kind of '{stamps[0]}'; use one kind")
        if isinstance(times[-1], datetime) and (times[-1].tzinfo is None) != (times[0].tzinfo is None):  # type: ignore[union-attr]
            raise UsageError(f"{place} has the time '{stamp}', and only some times have a time zone; use one kind")
    if len(times) < 2:
        return Step(NUMBER, 1.0) if isinstance(times[0], float) else Step(SECONDS, 86400)
    unit, points, month_end = units(times)
    gaps = [after - before for before, after in pairwise(points)]
    size = Counter(gap for gap in gaps if gap > 0).most_common(1)[0][0] if any(gap > 0 for gap in gaps) else 1
    for index, gap in enumerate(gaps, 1):
        of_series = f"{where[index]} of the series '{name}'"
        if gap == 0:
            raise UsageError(f"{of_series} has the time '{stamps[index]}' a second time; leave one of the two out")
        if gap < 0:
            raise UsageError(f"{of_series} has '{stamps[index]}' after '{stamps[index - 1]}'; sort the lines by time")
        if abs(gap - size) > 1e-6 * size:
            expected = Step(unit, size).describe()
            raise UsageError(
                f"{of_series} has '{stamps[index]}' after '{stamps[index - 1]}', and the others are {expected} apart; "
                "fill the gap, for example with the mean of its neighbours"
            )
    return Step(unit, size, month_end)


def units(times: Sequence[datetime | float]) -> tuple[str, list[float], bool]:
    """Return the unit of times, each in this unit, and whether they are ends of months."""
    dates = [time for time in times if isinstance(time, datetime)]
    if not dates:
        return NUMBER, [float(time) for time in times if isinstance(time, float)], False
    ends = all(map(is_month_end, dates))
    same_day = len({(time.day, time.hour, time.minute, time.second) for time in dates}) == 1
    months = [float(month_index(time)) for time in dates]
    if (ends or same_day) and len(set(months)) == len(months) > 1:
        return MONTHS, months, ends and not same_day
    return SECONDS, [(time - dates[0]).total_seconds() for time in dates], False


def continued(last: str, step: Step, count: int) -> list[str]:
    """Return the next `count` times after the last one, written as it is. Raises ValueError beyond the calendar."""
    time = parse(last)
    if isinstance(time, float):
        if step.size.is_integer() and "." not in last:
            return [str(int(last) + int(step.size) * number) for number in range(1, count + 1)]
        digits = max(len(text.partition(".")[2]) for text in (last, f"{step.size:.12g}"))
        return [f"{time + step.size * number:.{digits}f}" for number in range(1, count + 1)]
    return [written_as(last, moved(time, step, number)) for number in range(1, count + 1)]


def moved(time: datetime, step: Step, number: int) -> datetime:
    """Return the time `number` steps later."""
    if step.unit != MONTHS:
        try:
            return time + timedelta(seconds=step.size * number)
        except OverflowError as problem:
            raise ValueError(str(problem)) from problem
    year, month = divmod(month_index(time) + round(step.size) * number, 12)
    if not 1 <= year <= 9999:
        raise ValueError("beyond the calendar")
    days = calendar.monthrange(year, month + 1)[1]
    return time.replace(year=year, month=month + 1, day=days if step.month_end else min(time.day, days))


def written_as(example: str, time: datetime) -> str:
    """Return a time in the form of an example."""
    if len(example) <= DATE_LENGTH:
        return time.isoformat()[: len(example)]
    text = time.isoformat(example[DATE_LENGTH], "seconds" if example.count(":") > 1 else "minutes")
    return text.replace("+00:00", "Z") if example.endswith("Z") else text


def follows(stamp: str, last: str) -> bool:
    """Say whether a time is later than another one; False if the two cannot be compared."""
    try:
        return parse(stamp) > parse(last)  # type: ignore[operator]
    except (TypeError, ValueError):
        return False
