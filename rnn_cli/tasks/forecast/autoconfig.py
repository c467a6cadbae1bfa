"""What suits a forecaster, by the number of values that it learns from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from rnn_cli.language.autoconfig import RATES, Choice
from rnn_cli.network.config import NetworkConfig
from rnn_cli.tasks.forecast.forecaster import network_of
from rnn_cli.tasks.forecast.task import ForecastTask
from rnn_cli.training.config import LENGTHS, TrainingConfig

FEW_VALUES = 20_000  # up to which a small network is enough
EPOCHS, MOST_EPOCHS = (300, 300), (30, 120)  # without a length, and at most in a run of minutes: of few values, of many
SIZES, RATE = (32, 128), 2e-3
CONTEXT = 64  # steps of a row, and of what a forecast reads; the inputs reach further back
ROWS = 32
POSITIONS_IN_STEP = 240  # of few values, so that an epoch has several steps
# M4 hourly, 60 s, held out: 32.8 % below the MASE of the naive forecast with and without them, when large inputs were
# cut; 33.9 % with them and compressed inputs. They were not measured alone since.
DROPOUT, AVERAGE = (0.0, 0.2), (0.0, 0.3)  # of few values, of many
FEWEST_EVALUATED, MOST_EVALUATED = 20, 200


def choose(task: ForecastTask, given: Mapping[str, Any], fine_tuning: bool = False) -> Choice:
    """Complete the given values (None: not given) with what fits the series, and `fine_tuning` or a new model."""
    values = {name: value for name, value in given.items() if value is not None}
    reasons: list[str] = []

    def pick(name: str, value: Any, reason: str) -> None:
        if name not in values:
            values[name] = value
            shown = value if isinstance(value, str) else f"{value:,}"
            reasons.append(f"{name.replace('_', ' '):<18}{shown:<9}{reason}")

    points = sum(map(len, task.origins))
    many = points > FEW_VALUES
    pick("precision", "float32", "numbers need the digits")
    if not LENGTHS & values.keys():
        pick("epochs", EPOCHS[0] if not many else MOST_EPOCHS[0], f"passes over {points:,} values")
    elif "minutes" in values:
        pick("most_epochs", EPOCHS[1] if not many else MOST_EPOCHS[1], "epochs at most")
    pick("hidden_size", SIZES[many], f"units: right for {points:,} values")
    steps = max(len(each) - task.shape.first - 1 for each in task.origins)
    pick("sequence_length", min(CONTEXT, steps), "steps: what a forecast reads beside the seasons")
    rows = ROWS if many else max(1, POSITIONS_IN_STEP // values["sequence_length"])
    pick("batch_size", rows, "rows of a batch")
    pick("dropout", DROPOUT[many], "against overfitting" if many else "few epochs do not overfit")
    values.setdefault("average", AVERAGE[many])
    optimizer = values.get("optimizer", "adam")
    rate = RATES.get(optimizer, RATE) / (2 if fine_tuning else 1)
    pick("learning_rate", rate, "at its peak: gentle" if fine_tuning else f"at its peak, for {optimizer}")
    per_epoch = -(-points // (values["batch_size"] * values["sequence_length"]))
    values.setdefault("evaluate_every", min(max(per_epoch, FEWEST_EVALUATED), MOST_EVALUATED))
    network = {field.name: values[field.name] for field in fields(NetworkConfig) if field.name in values}
    training = {field.name: values[field.name] for field in fields(TrainingConfig) if field.name in values}
    quantiles = network.pop("quantiles", ())
    return Choice(network_of(task.shape, quantiles, **network), TrainingConfig(**training), tuple(reasons))
