"""A forecaster: what it reads, that an untrained one is the seasonal naive forecast, and what training makes of it."""

import numpy as np
import pytest
from gradcheck import assert_same_gradient, numeric_gradient
from made_series import seasonal

from rnn_cli.checkpoint.checkpoint import load_checkpoint, save_checkpoint
from rnn_cli.errors import CheckpointError, TaskError, UsageError
from rnn_cli.kernels.threads import Team
from rnn_cli.network.model import Model
from rnn_cli.network.workspace import TrainingWindow
from rnn_cli.rng import generator
from rnn_cli.tasks.forecast.evaluation import evaluate_series
from rnn_cli.tasks.forecast.forecaster import Forecaster, network_of, read_description
from rnn_cli.tasks.forecast.scores import errors
from rnn_cli.tasks.forecast.series import numbered
from rnn_cli.tasks.forecast.task import ForecastTask, SeriesBatches, first_weights
from rnn_cli.tasks.forecast.windows import Shape, Windows, seasonal_naive, seasonal_scale
from rnn_cli.training.config import TrainingConfig
from rnn_cli.training.trainer import Trainer

SHAPE = Shape(season=6, longer=12, horizon=8)
LEVELS = (0.1, 0.5, 0.9)
CONFIG = TrainingConfig(
    batch_size=5, sequence_length=11, learning_rate=0.01, steps=40, evaluate_every=20, random_seed=1
)


def some_series(count=3):
    return [numbered(f"s{k}", 10.0**k * seasonal(60 + 17 * k, seed=k)) for k in range(count)]


def task_of(quantiles=(), **network):
    network = network_of(SHAPE, quantiles, **{"hidden_size": 12, **network})
    return ForecastTask("series", some_series(), SHAPE, network)


def test_inputs_and_targets_are_as_written():
    values = seasonal(50)
    scale = seasonal_scale(values, 6)
    batch = Windows(SHAPE, [values], [scale]).batch(np.array([0]), np.array([20]), 4)
    y, t = values / scale, 22
    ahead = np.arange(1, 9)
    naive = np.array([y[t + h - 6 * -(-h // 6)] for h in ahead])
    expected = [
        [y[t] - y[t - 1], y[t] - y[t - 6]],
        naive[:6] - y[t - 5 : t + 1].mean(),
        naive[:6] - np.array([y[t + h - 12] for h in range(1, 7)]),
        np.array([y[t + h - 12] for h in ahead]) - naive,
    ]
    np.testing.assert_allclose(batch.inputs[2, 0], np.arcsinh(np.concatenate(expected)), atol=1e-5)
    np.testing.assert_allclose(batch.targets[2, 0], y[t + ahead] - naive, atol=1e-5)
    assert batch.starts[:, 0].tolist() == [1, 0, 0, 0]


def test_values_before_and_after_a_series_are_not_read():
    values = seasonal(30)
    windows = Windows(SHAPE, [values, 1e6 + values], [1.0, 1.0])
    batch = windows.batch(np.array([0, 0]), np.array([SHAPE.first, 26]), 4)
    assert np.abs(batch.inputs).max() < 10
    assert np.isnan(batch.targets[1, 1, -1])
    assert not np.isnan(batch.targets[1, 1, 0])


@pytest.mark.parametrize("quantiles", [(), LEVELS], ids=["mean", "quantiles"])
def test_an_untrained_forecaster_is_the_naive_forecast(quantiles, cell):
    task = task_of(quantiles, cell=cell.name, activation=cell.activation)
    model = Model.from_torch(task.network, first_weights(task.network, 1))
    found = Forecaster(model, SHAPE, 11, Team(1)).forecast(task.series)
    for each, values in zip(task.series, found):
        for column in values.T:
            assert np.array_equal(column, seasonal_naive(each.values, 6, 8))


@pytest.mark.parametrize("quantiles", [(), LEVELS], ids=["mean", "quantiles"])
def test_gradients_of_forecasts(quantiles, cell):
    kind = {"cell": cell.name, "activation": cell.activation}
    network = network_of(Shape(3, 0, 2), quantiles, hidden_size=5, num_layers=2, **kind)
    model = Model.initialised(network, np.random.default_rng(1), np.float64)
    model.parameters *= 2  # so that no gradient is too small to be compared
    windows = Windows(Shape(3, 0, 2), [seasonal(14, 3), seasonal(11, 3, seed=2)], [1.0, 2.0], max(1, len(quantiles)))
    window = TrainingWindow(model, 6, 3, Team(1))
    window.load(windows.batch(np.array([0, 1]), np.array([4, 5]), 6))
    window.gradient()
    views = {
        "decoder": (model.layout.decoder(model.parameters)[0], model.layout.decoder(window.grad)[0].copy()),
        "W_ih": (model.layout.input_weights(model.parameters, 0), model.layout.input_weights(window.grad, 0).copy()),
        "W_hh": (model.layout.recurrent_weights(model.parameters, 1), None),
    }
    views["W_hh"] = (views["W_hh"][0], model.layout.recurrent_weights(window.grad, 1).copy())

    def loss_of(array):
        def loss(values):
            original = array.copy()
            array[:] = values
            window.state.fill(0)
            mean = window.gradient()
            array[:] = original
            return mean

        return loss

    for name, (array, analytic) in views.items():
        assert_same_gradient(analytic, numeric_gradient(loss_of(array), array.copy()), name)


def test_pytorch_forecasts_the_same():
    torch = pytest.importorskip("torch")
    task = task_of(num_layers=2)
    model = Model.initialised(task.network, generator([1]))
    tensors = {name: torch.from_numpy(tensor) for name, tensor in model.to_torch().items()}
    rnn, decoder = torch.nn.LSTM(SHAPE.input_size, 12, 2), torch.nn.Linear(12, 8)
    rnn.load_state_dict({name.removeprefix("rnn."): t for name, t in tensors.items() if name.startswith("rnn.")})
    decoder.load_state_dict({k.removeprefix("decoder."): t for k, t in tensors.items() if k.startswith("decoder.")})
    values = task.series[0].values
    scale = seasonal_scale(values, 6)
    inputs = Windows(SHAPE, [values], [scale]).batch(np.array([0]), np.array([len(values) - 11]), 11).inputs
    with torch.no_grad():
        changes = decoder(rnn(torch.from_numpy(inputs))[0])[-1, 0].numpy()
    found = Forecaster(model, SHAPE, 11, Team(1)).forecast(task.series[:1])[0, :, 0]
    np.testing.assert_allclose(found, seasonal_naive(values, 6, 8) + scale * changes, rtol=1e-5)


def test_series_do_not_see_each_other_and_quantiles_rise():
    task = task_of(LEVELS)
    model = Model.initialised(task.network, generator([1]))
    forecaster = Forecaster(model, SHAPE, 11, Team(1))
    together = forecaster.forecast(task.series)
    for each, values in zip(task.series, together):
        assert np.array_equal(forecaster.forecast([each])[0], values)
    assert (np.diff(together, axis=-1) >= 0).all()
    scaled = forecaster.forecast([numbered("x", 1024 * task.series[0].values)])
    np.testing.assert_allclose(scaled[0], 1024 * together[0], rtol=1e-6)


def test_a_batch_depends_on_its_step_alone():
    task = task_of()
    first, again = task.batches(CONFIG), task.batches(CONFIG)
    later = first.batch(7)
    again.batch(3)
    assert all(np.array_equal(a, b, equal_nan=a.dtype.kind == "f") for a, b in zip(later, again.batch(7)))
    assert not np.array_equal(later.inputs, first.batch(8).inputs)


def test_what_is_held_out_is_not_trained_on():
    series = some_series(1)
    changed = [numbered("s0", np.concatenate([series[0].values[:-8], np.full(8, 1e9)]))]
    for step in range(5):
        first, second = (ForecastTask("x", each, SHAPE).batches(CONFIG).batch(step) for each in (series, changed))
        assert np.array_equal(first.inputs, second.inputs)
        assert np.array_equal(first.targets, second.targets, equal_nan=True)
    held_out = ForecastTask("x", series, SHAPE).validation_batches(CONFIG).batch(0)
    assert np.count_nonzero(~np.isnan(held_out.targets).all(axis=-1)) == 1


@pytest.mark.parametrize("quantiles", [(), LEVELS], ids=["mean", "quantiles"])
def test_training_beats_the_naive_forecast(quantiles, tmp_path):
    found = []
    for threads in (1, 2):
        task = task_of(quantiles)
        trainer = Trainer(task, CONFIG, threads, start=first_weights(task.network, 1))
        list(trainer)
        found.append(trainer.best_tensors())
    assert all(np.array_equal(found[0][name], found[1][name]) for name in found[0])
    assert trainer.progress.best_score > 0.2
    save_checkpoint(tmp_path / "model", trainer.checkpoint())
    checkpoint = load_checkpoint(tmp_path / "model")
    about = read_description(checkpoint)
    assert list(about.known) == ["s0", "s1", "s2"]
    longer = [numbered(f"s{k}", 10.0**k * seasonal(60 + 17 * k + 8, seed=k)) for k in range(3)]
    scores = evaluate_series(checkpoint, longer)
    assert scores["mase"] < scores["baseline"]["mase"]
    assert (scores["series"], scores["points"], scores["continued"]) == (3, 24, 0)
    assert (scores["coverage"] is None) == (not quantiles)
    rest = [numbered(each.name, each.values[-8:]) for each in longer]
    of_rest = evaluate_series(checkpoint, rest)
    assert of_rest["continued"] == 3
    assert of_rest["mase"] == pytest.approx(scores["mase"], rel=1e-5)


def test_a_run_that_stops_and_resumes_ends_with_the_same_bits(tmp_path):
    whole = Trainer(task_of(), CONFIG, 1)
    list(whole)
    stopped = Trainer(task_of(), CONFIG, 1)
    stopped.stop = lambda: stopped.progress.step >= 23
    list(stopped)
    save_checkpoint(tmp_path / "model", stopped.checkpoint())
    resumed = Trainer.resume(load_checkpoint(tmp_path / "model"), task_of(), 2)
    list(resumed)
    assert np.array_equal(resumed.model.parameters, whole.model.parameters)
    other = ForecastTask("x", some_series(2), SHAPE, task_of().network)
    with pytest.raises(UsageError, match="is not what this model was trained on"):
        Trainer.resume(load_checkpoint(tmp_path / "model"), other, 1)


def test_constant_and_repeating_series_are_continued():
    repeating = numbered("b", np.tile([1.0, 2, 3, 4, 5, 6], 9))
    for series in (numbered("a", np.full(60, 7.0)), numbered("z", np.zeros(60)), repeating):
        task = ForecastTask("x", [series], SHAPE, network_of(SHAPE, hidden_size=4))
        trainer = Trainer(task, CONFIG, 1, start=first_weights(task.network, 1))
        list(trainer)
        model = Model.from_torch(task.network, trainer.best_tensors())
        found = Forecaster(model, SHAPE, 11, Team(1)).forecast([series])[0, :, 0]
        np.testing.assert_allclose(found, seasonal_naive(series.values, 6, 8), atol=0.05)
        assert "MASE" in task.figures(trainer.progress.best_loss, trainer.progress.best_score)


def test_errors_are_those_of_the_textbook():
    found = errors(
        [np.array([1.0, 3.0]), np.array([0.0, 4.0])], [np.array([2.0, 2.0]), np.array([0.0, 4.0])], [2.0, 1.0]
    )
    assert (found["mae"], found["rmse"], found["mape"]) == (0.5, np.sqrt(0.5), None)
    assert found["smape"] == pytest.approx((200 / 3 + 40) / 2 / 2)
    assert found["mase"] == 0.25


def test_a_short_series_is_named():
    forecaster = Forecaster(Model(task_of().network), SHAPE, 11, Team(1))
    with pytest.raises(UsageError, match="the series 'a' has 4 values, and a forecast with a season of 6 needs 6"):
        forecaster.forecast([numbered("a", [1, 2, 3, 4])])
    with pytest.raises(UsageError, match="no series of 15 values"):
        ForecastTask("x", [numbered("a", seasonal(14))], SHAPE)


@pytest.mark.parametrize(
    "change",
    [
        {"season": 0}, {"season": 7}, {"horizon": 10**9}, {"context": -1}, {"series": []}, {"extra": 1},
        {"series": {"a": {"values": "!", "last": "1", "step": ["number", 1, False], "scale": 1}}},
        {"series": {"a": {"values": "AAAAAAAA8H8=", "last": "1", "step": ["number", 1, False], "scale": 1}}},
        {"series": {"a": {"values": "AAAAAAAA8D8=", "last": "1", "step": ["number", 1, False], "scale": 0}}},
    ],
    ids=str,
)  # fmt: skip
def test_a_damaged_description_is_refused(change):
    checkpoint = Trainer(task_of(), CONFIG, 1).checkpoint()
    read_description(checkpoint)
    checkpoint.task |= change
    with pytest.raises(CheckpointError):
        read_description(checkpoint)


def test_other_models_do_not_forecast():
    checkpoint = Trainer(task_of(), CONFIG, 1).checkpoint()
    checkpoint.task = {"name": "tag"}
    with pytest.raises(TaskError):
        read_description(checkpoint)


def test_each_step_is_about_equally_often_in_a_batch():
    windows = Windows(SHAPE, [seasonal(60), seasonal(90)], [1.0, 1.0])
    batches = SeriesBatches(windows, 64, 11, 1)
    assert batches.units_per_epoch == 60 + 90 - 2 * (1 + SHAPE.first)
    starts = np.concatenate([batches.batch(step).inputs[0, :, 1] for step in range(20)])
    assert len(np.unique(starts)) > 70  # of 53 and 83 steps, less those at which no whole row begins: 43 + 73
