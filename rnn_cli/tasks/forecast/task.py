"""Forecasting as a task: at each step, predict how the next values differ from the seasonal naive forecast."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from rnn_cli.checkpoint.checkpoint import Checkpoint
from rnn_cli.errors import UsageError
from rnn_cli.kernels.threads import Team
from rnn_cli.network.config import NetworkConfig
from rnn_cli.network.model import Model
from rnn_cli.network.workspace import Batch, count_scored
from rnn_cli.rng import SERIES_WINDOWS, WEIGHTS, generator
from rnn_cli.tasks.forecast.calibration import fit_factors, pinball, with_factors
from rnn_cli.tasks.forecast.forecaster import (
    FORECAST,
    MOST_KEPT,
    MOST_NAMES,
    Description,
    Forecaster,
    KnownSeries,
    end_of,
    network_of,
    read_description,
)
from rnn_cli.tasks.forecast.scores import NAIVE, errors
from rnn_cli.tasks.forecast.series import Series
from rnn_cli.tasks.forecast.windows import Shape, Windows, seasonal_naive, seasonal_scale
from rnn_cli.training.config import TrainingConfig
from rnn_cli.training.task import Batches, Task

MOST_SCORED = 1024  # series whose held-out horizon is forecast in an evaluation
BLIND_ROWS = 64  # of the batch that the blind loss is taken from
BYTES_PER_VALUE = 60  # of values, times, and what windows keep


def first_weights(network: NetworkConfig, random_seed: int) -> dict[str, np.ndarray]:
    """Return the weights of an untrained forecaster: its outputs are 0, so it is the seasonal naive forecast."""
    tensors = Model.initialised(network, generator([random_seed, WEIGHTS])).to_torch()
    tensors["decoder.weight"][:] = 0
    return tensors


def ends(quantiles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the lowest and the highest of the quantiles (N, Q)."""
    return quantiles.min(axis=1), quantiles.max(axis=1)


class SeriesBatches(Batches):
    """Rows of consecutive steps from series, each row from the zero state; a batch depends on its step alone.

    A series is taken as often as it is long. Its rows begin at random steps: first and last steps are in fewer of
    them, so rows that would begin before or end after the series are moved into it.
    """

    def __init__(self, windows: Windows, rows: int, length: int, random_seed: int) -> None:
        self.windows, self.batch_size, self.length, self.random_seed = windows, rows, length, random_seed
        self._steps = windows.ends - windows.starts - 1 - windows.shape.first  # the last value is only a target
        self.units_per_epoch = int(self._steps.sum())
        self.steps_per_epoch = max(1, -(-self.units_per_epoch // (rows * length)))
        self._shares = np.cumsum(self._steps / self._steps.sum())

    def batch(self, step: int) -> Batch:
        """Return the batch of a step."""
        draws = generator([self.random_seed, SERIES_WINDOWS, step]).random((2, self.batch_size))
        chosen = np.minimum(np.searchsorted(self._shares, draws[0], side="right"), len(self._steps) - 1)
        room = self._steps[chosen] - self.length  # steps that do not fit into a row
        first = np.floor(draws[1] * (room + self.length + 1)) - self.length // 2
        first = np.clip(first, 0, np.maximum(room, 0)).astype(np.int64)
        return self.windows.batch(chosen, first + self.windows.shape.first, self.length)


class HeldOutBatches(Batches):
    """The forecasts of the held-out horizons: rows that end before them, of which the last step is scored."""

    def __init__(self, windows: Windows, rows: int, length: int) -> None:
        self.windows, self.batch_size, self.length = windows, rows, length
        self.units_per_epoch = len(windows.ends)
        self.steps_per_epoch = -(-self.units_per_epoch // rows)

    def batch(self, step: int) -> Batch:
        """Return the batch of a step."""
        shape, windows = self.windows.shape, self.windows
        chosen = np.arange(step * self.batch_size, min((step + 1) * self.batch_size, len(windows.ends)))
        origins = windows.ends[chosen] - windows.starts[chosen] - shape.horizon  # values before the horizon
        first = np.maximum(origins - self.length, shape.first)
        batch = windows.batch(chosen, first, self.length)
        last = origins - first - 1
        targets = np.full_like(batch.targets, np.nan)
        rows = np.arange(len(chosen))
        targets[last, rows] = batch.targets[last, rows]
        return batch._replace(targets=targets)


class ForecastTask(Task):
    """Series, and the network that learns to continue them. The best model has the least MASE on the last horizon."""

    name = FORECAST
    unit = "step"

    def __init__(
        self,
        name: str,
        series: Sequence[Series],
        shape: Shape,
        network: NetworkConfig | None = None,
        context: int = 64,
    ) -> None:
        """Take series, of which the last horizon of each is held out. `name` is what messages call them.

        Series without a step to learn from before that horizon are left out (`left_out`). Raises UsageError if none is
        left, or the network is for another shape.
        """
        least = shape.first + 2 + shape.horizon
        self.data_name, self.shape, self.context, self.all_series = name, shape, context, list(series)
        self.series = [each for each in series if len(each) >= least]
        self.left_out = [each for each in series if len(each) < least]
        if not self.series:
            raise UsageError(
                f"{name} has no series of {least:,} values, which a season of {shape.season:,} and a horizon of "
                f"{shape.horizon:,} need; give longer ones, or a smaller `horizon` or `season`"
            )
        self.network = network or network_of(shape)
        expected = network_of(shape, self.network.quantiles)
        if (self.network.input_size, self.network.output_size) != (expected.input_size, expected.output_size):
            raise UsageError("the network has other inputs or outputs than the series; make it with `network_of`")
        self._forecaster: Forecaster | None = None

    @cached_property
    def origins(self) -> list[Series]:
        """The series without what is held out."""
        return [each.before(len(each) - self.shape.horizon) for each in self.series]

    @cached_property
    def scales(self) -> list[float]:
        """The scale of each series, without what is held out."""
        return [seasonal_scale(each.values, self.shape.season) for each in self.origins]

    @cached_property
    def windows(self) -> Windows:
        """The training part."""
        return Windows(self.shape, [each.values for each in self.origins], self.scales, self._quantiles)

    @property
    def blind_loss(self) -> float:  # type: ignore[override]
        """The loss of the seasonal naive forecast, whose outputs are 0, on some of the steps to train on."""
        return self._blind_loss

    @cached_property
    def _blind_loss(self) -> float:
        batch = SeriesBatches(self.windows, BLIND_ROWS, self.context, 0).batch(0)
        scored = count_scored(batch.targets)
        values = np.nan_to_num(batch.targets).astype(np.float64)
        levels = np.resize(np.array(self.network.quantiles or [0.5]), values.shape[-1])
        losses = pinball(values, levels) if self.network.quantiles else 0.5 * np.square(values)
        return float(losses.sum()) / max(1, scored)

    def batches(self, config: TrainingConfig) -> SeriesBatches:
        """Return rows of steps to train on. A forecast reads as many steps as they have."""
        self.context = config.sequence_length
        return SeriesBatches(self.windows, config.batch_size, self.context, config.random_seed)

    def validation_batches(self, config: TrainingConfig) -> HeldOutBatches:
        """Return the forecasts of the held-out horizons."""
        values = [each.values for each in self.series]
        windows = Windows(self.shape, values, self.scales, self._quantiles)
        return HeldOutBatches(windows, config.batch_size, config.sequence_length)

    @property
    def _quantiles(self) -> int:
        return max(1, len(self.network.quantiles))

    def describe(self) -> dict[str, Any]:
        """Return the shape, what a forecast reads, and the ends of all series with their scales."""
        ends = [end_of(each, self.shape, self.context) for each in self.all_series if len(each) > self.shape.first]
        known = {}
        if len(ends) <= MOST_NAMES and sum(map(len, ends)) <= MOST_KEPT:
            for each, end in zip((each for each in self.all_series if len(each) > self.shape.first), ends):
                known[each.name] = KnownSeries(end, seasonal_scale(each.values, self.shape.season))
        return Description(self.shape, self.context, known).to_dict()

    def record(self, config: TrainingConfig) -> dict[str, Any]:
        """Return what the data are."""
        sizes = {"series": len(self.series), "points": sum(map(len, self.series))}
        held_out = {"validation_points": len(self.series) * self.shape.horizon}
        return {"corpus": {"name": self.data_name, "digest": self.digest, **sizes, **held_out}}

    @cached_property
    def digest(self) -> str:
        """The digest of all names, times and values."""
        digest = hashlib.sha256()
        for each in self.all_series:
            digest.update("\n".join([each.name, *each.stamps, ""]).encode())
            digest.update(each.values.astype("<f8").tobytes())
        return digest.hexdigest()

    def resumed(self, checkpoint: Checkpoint) -> ForecastTask:
        """Return the task with the network and the shape of a checkpoint. Raises UsageError for other series."""
        about = read_description(checkpoint)
        if self.digest != checkpoint.record.get("corpus", {}).get("digest"):
            raise UsageError(f"{self.data_name} is not what this model was trained on; give the same files")
        return ForecastTask(self.data_name, self.all_series, about.shape, checkpoint.config, about.context)

    def data_bytes(self, config: TrainingConfig) -> int:
        """Return about how many bytes the series, and a batch of their windows, take."""
        positions = config.batch_size * config.sequence_length
        per_position = 3 * 8 * (self.network.input_size + self.network.output_size)
        return BYTES_PER_VALUE * sum(map(len, self.all_series)) + positions * per_position

    def score(self, model: Model, team: Team) -> float:
        """Return by which share the MASE of the held-out horizons is below that of the seasonal naive forecast."""
        if self._forecaster is None or self._forecaster.model is not model:
            self._forecaster = Forecaster(model, self.shape, self.context, team)
        self._forecaster.changed()
        return 1 - self._mase(self._forecaster.forecast(self._scored, self.scales[:MOST_SCORED])) / self._naive_mase

    def complete(self, checkpoint: Checkpoint, team: Team) -> None:
        """Let the quantiles of the best model hold on the held-out horizons (calibration.py)."""
        levels = self.network.quantiles
        if len(levels) < 2:
            return
        model = Model.from_torch(checkpoint.config, checkpoint.parameters)
        forecaster = Forecaster(model, self.shape, self.context, team)
        scales = np.array(self.scales[:MOST_SCORED])
        actual = np.array([each.values[-self.shape.horizon :] for each in self.series[:MOST_SCORED]])
        found = forecaster.forecast(self._scored, self.scales[:MOST_SCORED]) / scales[:, None, None]
        order = np.argsort(levels)
        found, actual = found.reshape(-1, len(levels)), (actual / scales[:, None]).ravel()
        middle = Forecaster.middle_of(levels)
        factors = fit_factors(actual, found, [levels[index] for index in order], middle)
        moved = found[:, middle : middle + 1] + factors * (found - found[:, middle : middle + 1])
        given = np.empty(len(levels))
        given[order] = factors
        checkpoint.parameters = with_factors(checkpoint.parameters, given, int(order[middle]))
        before, after = (((low <= actual) & (actual <= high)).mean() for low, high in (ends(found), ends(moved)))
        self.remarks = [
            f"between the quantiles {min(levels):g} and {max(levels):g} lie {after:.0%} of the held-out values; "
            f"before they were calibrated, {before:.0%}"
        ]

    @property
    def _scored(self) -> list[Series]:
        return self.origins[:MOST_SCORED]

    @cached_property
    def _naive_mase(self) -> float:
        season, horizon = self.shape.season, self.shape.horizon
        naive = np.array([seasonal_naive(each.values, season, horizon) for each in self._scored])
        return max(self._mase(naive[..., None]), 1e-9)  # 0 for series that repeat exactly

    def _mase(self, found: np.ndarray) -> float:
        """Return the MASE of the held-out horizons, of the forecast itself if there are quantiles."""
        actual = [each.values[-self.shape.horizon :] for each in self.series[:MOST_SCORED]]
        middle = Forecaster.middle_of(self.network.quantiles)
        return float(errors(actual, list(found[..., min(middle, found.shape[-1] - 1)]), self.scales)["mase"])

    def figures(self, loss: float, score: float | None) -> str:
        """Return how good the best model is on the held-out horizons, and how good the seasonal naive forecast."""
        naive = self._naive_mase
        skill = 0.0 if score is None else score
        return (
            f"MASE {naive * (1 - skill):.3f} on the last {self.shape.horizon:,} steps; "
            f"the {NAIVE} would have {naive:.3f}"
        )
