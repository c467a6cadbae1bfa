"""A forecaster as its file describes it, and its forecasts."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rnn_cli.checkpoint.checkpoint import Checkpoint
from rnn_cli.config import check_range
from rnn_cli.errors import CheckpointError, RnnError, UsageError
from rnn_cli.kernels.threads import Team
from rnn_cli.network.config import NetworkConfig
from rnn_cli.network.model import Model
from rnn_cli.network.workspace import Window, check_finite
from rnn_cli.tasks.forecast.seasons import LONGEST_HORIZON, LONGEST_SEASON
from rnn_cli.tasks.forecast.series import LARGEST, Series
from rnn_cli.tasks.forecast.times import MONTHS, NUMBER, SECONDS, Step, continued
from rnn_cli.tasks.forecast.windows import Shape, Windows, seasonal_naive, seasonal_scale

FORECAST = "forecast"
ROWS = 64  # series that are forecast side by side
MOST_KEPT = 1_000_000  # values in the file, of the ends of the series; if there are more, the file has none
MOST_NAMES = 10_000  # of series in the file, likewise
LONGEST_CONTEXT = 4096


@dataclass(frozen=True)
class KnownSeries:
    """The end of a series that a forecaster has learned from, with the scale of the whole series."""

    series: Series
    scale: float


@dataclass(frozen=True)
class Description:
    """What the file of a forecaster says beside its network.

    context   steps that are read before a forecast
    known     the ends of the series of the training, by name: what a forecast without a file continues
    """

    shape: Shape
    context: int
    known: dict[str, KnownSeries]

    def to_dict(self) -> dict[str, Any]:
        """Return the description, JSON-ready."""
        series = {
            name: {
                "values": base64.b64encode(known.series.values.astype("<f8").tobytes()).decode("ascii"),
                "last": known.series.stamps[-1],
                "step": [known.series.step.unit, known.series.step.size, known.series.step.month_end],
                "scale": known.scale,
            }
            for name, known in self.known.items()
        }
        shape = {"season": self.shape.season, "longer": self.shape.longer, "horizon": self.shape.horizon}
        return {"name": FORECAST, **shape, "context": self.context, "series": series}


def network_of(shape: Shape, quantiles: Sequence[float] = (), **others: Any) -> NetworkConfig:
    """Return the configuration of a network that forecasts the mean, or quantiles, of a shape."""
    return NetworkConfig(
        inputs="numbers",
        outputs="numbers",
        input_size=shape.input_size,
        output_size=shape.horizon * max(1, len(quantiles)),
        quantiles=tuple(quantiles),
        **others,
    )


def end_of(series: Series, shape: Shape, context: int) -> Series:
    """Return the last values of a series, as many as a forecast reads."""
    first = max(0, len(series) - context - shape.reach)
    return Series(series.name, series.values[first:], series.stamps[first:], series.step)


def read_description(checkpoint: Checkpoint) -> Description:
    """Return the description of a forecaster.

    Raises TaskError for a model of another task, CheckpointError if its description is damaged.
    """
    checkpoint.expect(FORECAST)
    try:
        match checkpoint.task:
            case {
                "season": int(season),
                "longer": int(longer),
                "horizon": int(horizon),
                "context": int(context),
                "series": dict(series),
                **others,
            } if others.keys() == {"name"}:
                check_range("season", season, 1, LONGEST_SEASON)
                check_range("longer", longer, 0, LONGEST_SEASON)
                check_range("horizon", horizon, 1, LONGEST_HORIZON)
                check_range("context", context, 1, LONGEST_CONTEXT)
                shape = Shape(season, longer, horizon)
                known = {name: read_known(name, values) for name, values in series.items()}
            case _:
                raise ValueError("fields")
    except (ValueError, KeyError, TypeError, UsageError, binascii.Error) as problem:
        raise CheckpointError("the description of its task has missing, unknown or damaged fields") from problem
    config = checkpoint.config
    expected = network_of(shape, config.quantiles)
    names = ("inputs", "outputs", "input_size", "output_size", "directions", "readout", "embedding")
    if any(getattr(config, name) != getattr(expected, name) for name in names):
        raise CheckpointError("its network does not fit its season and its horizon; the file is damaged")
    return Description(shape, context, known)


def read_known(name: str, kept: dict[str, Any]) -> KnownSeries:
    """Return the end of a series from a description. Raises ValueError, KeyError, TypeError or UsageError."""
    values = np.frombuffer(base64.b64decode(kept["values"], validate=True), "<f8").astype(np.float64)
    unit, size, month_end = kept["step"]
    last, scale = kept["last"], kept["scale"]
    check_range("scale", scale, 0.0, 1e300)
    check_range("size", size, 0.0, 1e18)
    sound = unit in (NUMBER, MONTHS, SECONDS) and isinstance(month_end, bool) and isinstance(last, str)
    if not (sound and len(values) and np.isfinite(values).all() and np.abs(values).max() <= LARGEST and scale > 0):
        raise ValueError(name)
    return KnownSeries(Series(name, values, [last] * len(values), Step(unit, size, month_end)), float(scale))


class Forecaster:
    """Forecasts the values that follow a series. No series depends on the others."""

    def __init__(self, model: Model, shape: Shape, context: int, team: Team) -> None:
        self.model, self.shape, self.context = model, shape, context
        self.levels = tuple(sorted(model.config.quantiles))
        # The loss replaces the outputs by its gradient. That of the squared error against 0 is the output itself.
        plain = Model(replace(model.config, quantiles=()), model.parameters.dtype)
        plain.parameters = model.parameters
        self._window = Window(plain, context, ROWS, team)
        self._window.pack()

    @classmethod
    def of_checkpoint(cls, checkpoint: Checkpoint, threads: int = 1) -> Forecaster:
        """Return the forecaster of a file. Raises TaskError or CheckpointError."""
        about = read_description(checkpoint)
        model = Model.from_torch(checkpoint.config, checkpoint.parameters)
        return cls(model, about.shape, about.context, Team(threads))

    def changed(self) -> None:
        """Take note that the weights of the model are other ones than before."""
        self._window.pack()

    @staticmethod
    def middle_of(levels: Sequence[float]) -> int:
        """Return which of the quantiles in rising order is the forecast, the nearest to the median; 0 without any."""
        return int(np.argmin(np.abs(np.array(sorted(levels)) - 0.5))) if levels else 0

    def forecast(self, series: Sequence[Series], scales: Sequence[float] | None = None) -> np.ndarray:
        """Return the forecasts (n, H, Q), float64: of each quantile in rising order, or of the mean, Q = 1.

        `scales` are those of the whole series if these are only their ends. Raises UsageError for a series that is
        shorter than a season, CheckpointError if the outputs are not finite.
        """
        shape = self.shape
        for each in series:
            if len(each) <= shape.first:
                raise UsageError(
                    f"the series '{each.name}' has {len(each):,} values, and a forecast with a season of "
                    f"{shape.season:,} needs {shape.first + 1:,}; give more of it"
                )
        found = np.zeros((len(series), shape.horizon, max(1, len(self.levels))))
        for first in range(0, len(series), ROWS):
            part = series[first : first + ROWS]
            own = (
                scales[first : first + ROWS]
                if scales is not None
                else [seasonal_scale(each.values, shape.season) for each in part]
            )
            found[first : first + ROWS] = self._forecast(part, np.asarray(own))
        return found

    def _forecast(self, series: Sequence[Series], scales: np.ndarray) -> np.ndarray:
        """Return the forecasts of up to ROWS series."""
        shape, count = self.shape, len(series)
        windows = Windows(shape, [each.values for each in series], scales)
        lengths = windows.ends - windows.starts
        first = np.maximum(lengths - self.context, shape.first)
        batch = windows.batch(np.arange(count), first, self.context)
        self._window.load(batch._replace(targets=np.zeros_like(batch.targets[..., :1])))
        self._window.targets[:] = 0
        self._window.state.fill(0)
        self._window.score()
        last = lengths - first - 1
        outputs = self._window.logits[last, np.arange(count), : self._window.model.config.output_size]
        check_finite(outputs)
        changes = outputs.astype(np.float64).reshape(count, shape.horizon, -1) * scales[:, None, None]
        naive = np.array([seasonal_naive(each.values, shape.season, shape.horizon) for each in series])
        return np.sort(naive[..., None] + changes, axis=-1)


def objects_of(series: Series, found: np.ndarray, levels: Sequence[float]) -> list[dict[str, Any]]:
    """Return the forecast (h, Q) of a series, JSON-ready: an object for each of its times.

    Raises RnnError if the times are beyond the calendar.
    """
    try:
        stamps = continued(series.stamps[-1], series.step, len(found))
    except ValueError:
        raise RnnError(f"the times after '{series.stamps[-1]}' are beyond the calendar") from None
    names, middle = [f"q{100 * level:g}" for level in levels], Forecaster.middle_of(levels)
    return [
        {"unique_id": series.name, "ds": stamp, "forecast": row[middle], **dict(zip(names, row))}
        for stamp, row in zip(stamps, found.tolist())
    ]
