"""Series in files: a CSV with a column for each series, one of `unique_id,ds,y`, or numbers, one a line."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from rnn_cli.errors import UsageError
from rnn_cli.tasks.forecast.times import NUMBER, Step, step_of
from rnn_cli.text.documents import decode_text, joined_names, read_documents

LONG_NAMES = ("unique_id", "ds", "y")
DELIMITERS = ",;\t"
MISSING = {"", "nan", "na", "n/a", "null", "none", "-", "?"}
LARGEST = 1e30  # of a value, so that squares and sums of float64 and ratios in float32 are finite
WIDE, LONG, PLAIN = "one column a series", "unique_id,ds,y", "numbers, one a line"
FIRST_TIME = 1  # of numbers without times


@dataclass
class Series:
    """A series of numbers at equal steps of time, oldest first. `stamps` are its times as they are written."""

    name: str
    values: np.ndarray
    stamps: list[str]
    step: Step

    def __len__(self) -> int:
        return len(self.values)

    def before(self, end: int) -> Series:
        """Return the values before an index."""
        return Series(self.name, self.values[:end], self.stamps[:end], self.step)


@dataclass
class SeriesFile:
    """The series of some files, and how they are written. `name` is what messages call the files."""

    name: str
    kind: str
    series: list[Series]

    @property
    def points(self) -> int:
        """The number of values."""
        return sum(map(len, self.series))


@dataclass
class Rows:
    """What a file has of one series, in the order of its lines; None is a missing value."""

    values: list[float | None] = field(default_factory=list)
    stamps: list[str] = field(default_factory=list)
    places: list[str] = field(default_factory=list)

    def add(self, value: float | None, stamp: str, place: str) -> None:
        """Add the value of a line."""
        self.values.append(value)
        self.stamps.append(stamp)
        self.places.append(place)


def read_series(paths: Sequence[str]) -> SeriesFile:
    """Read the series of some files. Raises UsageError with file and line for what is not a series of numbers."""
    found: dict[str, Series] = {}
    kind = PLAIN
    documents = read_documents(paths)
    for document in documents:
        kind, series = series_in(document.name, decode_text(document, "convert it to UTF-8"))
        for each in series:
            if each.name in found:
                raise UsageError(f"the series '{each.name}' is in two files, the second is {document.name}; rename one")
            found[each.name] = each
    name = joined_names([document.name for document in documents])
    check_some(name, list(found.values()))
    return SeriesFile(name, kind, list(found.values()))


def series_in(name: str, text: str) -> tuple[str, list[Series]]:
    """Return how a text is written, and its series; `name` is what messages call it. Raises UsageError."""
    kind, rows = read_rows(name, text)
    return kind, [series_of(title, values) for title, values in rows.items()]


def check_some(name: str, series: Sequence[Series]) -> None:
    """Raise UsageError if there are no series in what messages call `name`."""
    if not series:
        raise UsageError(f"{name} has no numbers; give a CSV with a header, or numbers, one a line")


def read_rows(name: str, text: str) -> tuple[str, dict[str, Rows]]:
    """Return how a file is written, and its rows by series."""
    lines = text.replace("\r\n", "\n").split("\n")
    first = next((line for line in lines if line.strip()), "")
    delimiter = max(DELIMITERS, key=first.count)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(map(str.strip, row))]
    except csv.Error as problem:
        raise UsageError(f"{name}, line {reader.line_num:,} is not CSV ({problem}); check its quotes") from None
    if not rows:
        return PLAIN, {}
    if len(rows[0][1]) == 1:
        return PLAIN, plain_rows(name, rows)
    header = rows[0][1]
    if all(is_number(cell) for cell in header[1:]):
        raise UsageError(f"{name}, line 1 is not a header; name the columns in it, for example time,y")
    lowered = [cell.lower() for cell in header]
    for number, row in rows[1:]:
        if len(row) != len(header):
            hint = "; write decimals with a point, not a comma" if delimiter == "," and len(row) > len(header) else ""
            raise UsageError(
                f"{name}, line {number:,} has {len(row)} columns and the header {len(header)}; complete it{hint}"
            )
    if set(LONG_NAMES) <= set(lowered):
        return LONG, long_rows(name, rows[1:], [lowered.index(each) for each in LONG_NAMES])
    return WIDE, wide_rows(name, header, rows[1:])


def plain_rows(name: str, rows: Sequence[tuple[int, list[str]]]) -> dict[str, Rows]:
    """Return numbers, one a line; the first line may be a name."""
    title = "y"
    if not is_number(rows[0][1][0]) and rows[0][1][0].lower() not in MISSING:
        title, rows = rows[0][1][0], rows[1:]
        if rows and not is_number(rows[0][1][0]):
            number_of(f"{name}, line {rows[0][0]:,}", rows[0][1][0])
    found = Rows()
    for index, (number, row) in enumerate(rows):
        place = f"{name}, line {number:,}"
        if len(row) > 1:
            raise UsageError(f"{place} has {len(row)} columns, and the first line has one; write a number a line")
        found.add(number_of(place, row[0]), str(index + FIRST_TIME), place)
    return {title: found} if rows else {}


def long_rows(name: str, rows: Iterable[tuple[int, list[str]]], columns: Sequence[int]) -> dict[str, Rows]:
    """Return the values of lines `unique_id,ds,y`, whose columns are numbered."""
    found: dict[str, Rows] = {}
    of_name, of_time, of_value = columns
    for number, row in rows:
        place = f"{name}, line {number:,}"
        found.setdefault(row[of_name], Rows()).add(number_of(place, row[of_value]), row[of_time], place)
    return found


def wide_rows(name: str, header: list[str], rows: Sequence[tuple[int, list[str]]]) -> dict[str, Rows]:
    """Return the values of each column after the first, which is the time."""
    names = header[1:]
    for index, title in enumerate(names):
        if not title or title in names[:index]:
            what = f"names '{title}' twice" if title else f"has no name for column {index + 2}"
            raise UsageError(f"{name}, line 1 {what}; give each column a name of its own")
    found = {title: Rows() for title in names}
    for number, row in rows:
        place = f"{name}, line {number:,}"
        for title, cell in zip(names, row[1:]):
            found[title].add(number_of(place, cell), row[0], place)
    return found


def is_number(text: str) -> bool:
    """Say whether a text is a number as programs write them."""
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text


def number_of(place: str, text: str) -> float | None:
    """Return the number in a cell, None for an empty one. Raises UsageError for another text or an infinite one."""
    if text.lower() in MISSING:
        return None
    if not is_number(text):
        point = text.replace(",", ".")
        advice = "leave it out or correct it"
        if text.count(",") == 1 and is_number(point):
            advice = f"write decimals with a point: {point}"
        raise UsageError(f"{place} has '{text}', which is not a number; {advice}")
    value = float(text)
    if not math.isfinite(value) or abs(value) > LARGEST:
        raise UsageError(f"{place} has '{text}', and the limit is {LARGEST:g}; correct it or leave the line out")
    return value


def series_of(name: str, rows: Rows) -> Series:
    """Return the series of some rows, without what is missing before and after it. Raises UsageError for a gap."""
    known = [index for index, value in enumerate(rows.values) if value is not None]
    if not known:
        raise UsageError(f"{rows.places[0]}: the series '{name}' has no numbers; leave it out")
    span = range(known[0], known[-1] + 1)
    for index in span:
        if rows.values[index] is None:
            raise UsageError(
                f"{rows.places[index]} has no number for the series '{name}'; fill the gap, for example with the mean "
                "of its neighbours"
            )
    values = np.array([rows.values[index] for index in span], np.float64)
    stamps, places = rows.stamps[span.start : span.stop], rows.places[span.start : span.stop]
    return Series(name, values, stamps, step_of(stamps, places, name))


def numbered(name: str, values: Sequence[float] | np.ndarray) -> Series:
    """Return a series of values at the times 1, 2, ..., for use from Python."""
    stamps = [str(index + FIRST_TIME) for index in range(len(values))]
    return Series(name, np.asarray(values, np.float64), stamps, Step(NUMBER, 1.0))
