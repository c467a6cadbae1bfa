"""Requests for what is not a new text: labels, tags, translations and forecasts. Requests are untrusted.

`input` is a text or a list of texts, each a line as the command of the task reads it. That of a forecast is a text as
in a file, a list of numbers, or a list of objects with `y` and perhaps `ds` and `unique_id`; without it, the series of
the training are continued.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from rnn_cli.config import check_range
from rnn_cli.serving.fields import FieldReader, Limits, RequestError, translated, whole_text
from rnn_cli.tasks.forecast.seasons import LONGEST_HORIZON
from rnn_cli.tasks.forecast.series import FIRST_TIME, LARGEST, Rows, Series, check_some, series_in, series_of

MOST_MODELS = 64
MOST_LABELS = 1000  # listed for a text
MOST_BEAMS = 256
USUAL_BEAM = 5  # if several answers are wanted, at least
INPUT = "`input`"  # as messages call the series of a request


@dataclass(frozen=True)
class TaskRequest:
    """A request for the answers of a task, checked.

    models   names; several language models label texts together
    inputs   what is answered one by one, None: the series that the model has learned from
    options  equal options can be answered together
    """

    task: str
    models: tuple[str, ...]
    inputs: list[Any] | None
    options: tuple[Any, ...]
    stream: ClassVar[bool] = False
    keep: ClassVar[bool] = False
    size: ClassVar[float] = math.inf

    @property
    def rows(self) -> int:
        """The rows that an input takes: a translation is searched with several beams."""
        return int(self.options[1]) if self.task == "translate" else 1


def read_task(task: str, values: Mapping[str, Any], limits: Limits) -> TaskRequest:
    """Return a checked request for a task.

    Raises RequestError, naming the field, for an unknown field, a wrong type, or a value out of range.
    """
    reader = FieldReader(values)
    models = reader.texts("model", None, MOST_MODELS)
    if len(set(models)) < len(models) or (len(models) > 1 and task != "classify"):
        raise RequestError("`model` names a model twice, or several that do not work together", "model")
    inputs, options = READERS[task](reader, limits)
    reader.text("user", None)
    reader.refuse_others()
    return TaskRequest(task, tuple(models), inputs, options)


def read_lines(reader: FieldReader, limits: Limits) -> list[str]:
    """Return the texts of a request, each of which is a line."""
    texts = reader.texts("input", None, limits.max_choices)
    if not texts:
        raise RequestError("`input` must be a text or a list of texts", "input")
    if sum(map(len, texts)) > limits.max_prompt:
        raise RequestError(f"`input` has more than {limits.max_prompt:,} characters", "input")
    if any("\n" in text for text in texts):
        raise RequestError("`input` has a line end in a text; give each line as a text of its own", "input")
    return texts


def read_classify(reader: FieldReader, limits: Limits) -> tuple[list[str], tuple[Any, ...]]:
    """Return the texts, and how many labels are listed and the margin, in bits, below which a label is unsure."""
    return read_lines(reader, limits), (
        reader.whole("top", 1, 1, MOST_LABELS),
        reader.number("threshold", 0.0, 0.0, 1e9),
    )


def read_tag(reader: FieldReader, limits: Limits) -> tuple[list[str], tuple[Any, ...]]:
    """Return the sentences."""
    return read_lines(reader, limits), ()


def read_translate(reader: FieldReader, limits: Limits) -> tuple[list[str], tuple[Any, ...]]:
    """Return the sources, and the numbers of answers and of beams."""
    count = reader.whole("n", 1, 1, MOST_BEAMS)
    width = reader.whole("beam", max(count, USUAL_BEAM) if count > 1 else 1, 1, MOST_BEAMS)
    return read_lines(reader, limits), (count, width)


def read_forecast(reader: FieldReader, limits: Limits) -> tuple[list[Series] | None, tuple[Any, ...]]:
    """Return the series, and the number of values of each, 0 for all that the model forecasts."""
    horizon = reader.whole("horizon", 0, 0, LONGEST_HORIZON)
    given = reader.any("input")
    if given is None:
        return None, (horizon,)
    series: list[Series] = translated(lambda: series_given(given, limits))
    return series, (horizon,)


def series_given(given: Any, limits: Limits) -> list[Series]:
    """Return the series of a request. Raises UsageError for what is not a series of numbers."""
    if isinstance(given, str):
        _, series = series_in(INPUT, whole_text("input", given))
    elif isinstance(given, list):
        rows: dict[str, Rows] = {}
        for number, record in enumerate(given, 1):
            add_record(rows, record, f"{INPUT}, record {number:,}")
        series = [series_of(title, values) for title, values in rows.items()]
    else:
        raise RequestError(f"{INPUT} must be a text, a list of numbers, or a list of objects with `y`", "input")
    check_some(INPUT, series)
    if len(series) > limits.max_choices:
        raise RequestError(f"{INPUT} has more than {limits.max_choices:,} series", "input")
    return series


def add_record(rows: dict[str, Rows], record: Any, place: str) -> None:
    """Add a value, which is a number or an object with `y`, to the rows of its series."""
    values = record if isinstance(record, dict) else {"y": record}
    name, value = values.get("unique_id", "y"), values.get("y")
    if not isinstance(name, str) or set(values) - {"unique_id", "ds", "y"}:
        raise RequestError(f"{place} must have `y`, and perhaps `ds` and `unique_id`, a text", "input")
    own = rows.setdefault(whole_text("input", name), Rows())
    stamp = values.get("ds", len(own.values) + FIRST_TIME)
    if not isinstance(stamp, str | int | float) or isinstance(stamp, bool):
        raise RequestError(f"{place} must have a text or a number as `ds`", "input")
    if value is not None:
        check_range("input", value, -LARGEST, LARGEST)
    own.add(value, whole_text("input", str(stamp)), place)


READERS: dict[str, Callable[[FieldReader, Limits], tuple[list[Any] | None, tuple[Any, ...]]]] = {
    "classify": read_classify,
    "tag": read_tag,
    "translate": read_translate,
    "forecast": read_forecast,
}
