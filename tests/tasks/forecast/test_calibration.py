"""The quantiles of a forecaster hold on held-out values."""

from dataclasses import replace

import numpy as np
import pytest
from made_series import seasonal

from rnn_cli.kernels.threads import Team
from rnn_cli.network.model import Model
from rnn_cli.tasks.forecast.calibration import fit_factors, with_factors
from rnn_cli.tasks.forecast.forecaster import Forecaster, network_of
from rnn_cli.tasks.forecast.series import numbered
from rnn_cli.tasks.forecast.task import ForecastTask
from rnn_cli.tasks.forecast.windows import Shape
from rnn_cli.training.config import TrainingConfig
from rnn_cli.training.trainer import Trainer

LEVELS = (0.1, 0.5, 0.9)
NORMAL = 1.2816  # the 0.9 quantile of the normal distribution


def noisy_series(count, length):
    return [numbered(f"s{seed}", seasonal(length, seed=seed, noise=0.5)) for seed in range(count)]


def test_quantiles_that_are_too_narrow_are_widened():
    actual = np.random.default_rng(1).normal(size=20_000)
    found = np.tile([-NORMAL / 2, 0.0, NORMAL / 3], (len(actual), 1))
    assert fit_factors(actual, found, LEVELS, 1) == pytest.approx([2, 1, 3], rel=0.06)


def test_few_values_change_little():
    actual = np.random.default_rng(1).normal(size=4)
    found = np.tile([-NORMAL / 2, 0.0, NORMAL / 2], (4, 1))
    assert np.abs(np.log(fit_factors(actual, found, LEVELS, 1))).max() < 0.2


def test_the_factors_are_those_of_the_outputs():
    config = network_of(Shape(4, 0, 3), (0.9, 0.5, 0.1), hidden_size=5)
    tensors = Model.initialised(config, np.random.default_rng(2)).to_torch()
    before = {name: tensor + np.float32(0.1) for name, tensor in tensors.items()}
    before["decoder.bias"] += np.arange(9, dtype=np.float32)
    after = with_factors(before, np.array([2.0, 1.0, 0.5]), 1)
    state = np.random.default_rng(3).normal(size=5)
    old, new = ((each["decoder.weight"] @ state + each["decoder.bias"]).reshape(3, 3) for each in (before, after))
    middle = old[:, 1:2]
    assert new == pytest.approx(middle + np.array([2.0, 1.0, 0.5]) * (old - middle), rel=1e-5)
    assert np.array_equal(new[:, 1], old[:, 1])
    assert {name for name in before if not np.array_equal(before[name], after[name])} == {
        "decoder.weight",
        "decoder.bias",
    }


@pytest.mark.parametrize("levels", [(0.1, 0.5, 0.9), (0.9, 0.1, 0.5)])
def test_a_run_calibrates_its_best_model(levels):
    series = noisy_series(30, 60)
    shape = Shape(6, 0, 6)
    task = ForecastTask("made", series, shape, network_of(shape, levels, hidden_size=8))
    config = TrainingConfig(batch_size=8, sequence_length=12, steps=150, evaluate_every=50, learning_rate=0.01)
    trainer = Trainer(task, config, 1)
    list(trainer)
    raw = {name: value.copy() for name, value in trainer.best_tensors().items()}
    checkpoint = trainer.checkpoint()
    assert "calibrated" in task.remarks[0]
    actual = np.array([each.values[-6:] for each in series])

    def cost(parameters):
        model = Model.from_torch(checkpoint.config, parameters)
        found = Forecaster(model, shape, 12, Team(1)).forecast(task.origins, task.scales)
        errors = (actual[..., None] - found) / np.array(task.scales)[:, None, None]
        rising = np.sort(levels)
        return np.maximum(rising * errors, (rising - 1) * errors).sum()

    assert cost(checkpoint.parameters) < cost(raw)


def test_a_forecaster_of_the_mean_stays_as_it_is():
    series, shape = noisy_series(4, 40), Shape(6, 0, 6)
    task = ForecastTask("made", series, shape, replace(network_of(shape), hidden_size=4))
    trainer = Trainer(task, TrainingConfig(batch_size=4, sequence_length=12, steps=2), 1)
    list(trainer)
    raw = trainer.best_tensors()
    assert all(np.array_equal(raw[name], value) for name, value in trainer.checkpoint().parameters.items())
    assert not task.remarks
