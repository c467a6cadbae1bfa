"""What limited a result is read from its reports."""

import pytest

from rnn_cli.network.config import NetworkConfig
from rnn_cli.training.config import TrainingConfig
from rnn_cli.training.diagnosis import diagnosis
from rnn_cli.training.run_state import Report

MODEL = NetworkConfig(hidden_size=64)
CONFIG = TrainingConfig(minutes=1.5, dropout=0.2)


def history(training, validation):
    """Return reports of these losses, one for each evaluation."""
    return [
        Report(step, 1.0, 1.0, 1.0, loss, held_out, 0.001, 1.0)
        for step, (loss, held_out) in enumerate(zip(training, validation))
    ]


FALLING = [3.0, 2.5, 2.0, 1.8, 1.6, 1.5, 1.4, 1.3]
FLAT = [3.0, 2.5, 2.0, 1.55, 1.51, 1.5, 1.5, 1.5]
TURNED = [3.0, 2.5, 2.0, 1.8, 1.7, 1.75, 1.8, 1.9]


@pytest.mark.parametrize(
    "training, validation, words",
    [
        (FALLING, TURNED, ["more text", "overfitted", "`dropout=0.5`"]),
        (FALLING, FALLING, ["more time", "falling", "`minutes=3`"]),
        ([loss - 0.4 for loss in FALLING], FALLING, ["more time"]),
        ([loss - 0.4 for loss in FLAT], FLAT, ["more text", "held-out", "`dropout=0.5`"]),
        (FLAT, FLAT, ["a larger model", "`hidden_size=128`"]),
        ([loss + 0.1 for loss in FLAT], FLAT, ["a larger model"]),  # dropout makes the training loss the higher one
    ],
)
def test_limit_of_the_result_is_named(training, validation, words):
    sentence = diagnosis(history(training, validation), MODEL, CONFIG)
    assert all(word in sentence for word in words)
    assert len(sentence.splitlines()) == 2
    assert all(len(line) < 80 for line in sentence.splitlines())


@pytest.mark.parametrize("validation", [[], [2.0, 1.0, 1.5], [None] * 10])
def test_none_without_a_trend(validation):
    assert diagnosis(history([1.0] * len(validation), validation), MODEL, CONFIG) is None


def test_no_overfitting_if_both_losses_rose():
    assert diagnosis(history([loss + 0.5 for loss in TURNED], TURNED), MODEL, CONFIG) is None


def test_settings_already_in_use_are_not_advised():
    config = TrainingConfig(steps=100, dropout=0.5)
    assert "dropout" not in diagnosis(history(FALLING, TURNED), MODEL, config)
    assert "`steps=200`" in diagnosis(history(FALLING, FALLING), MODEL, config)
    assert "`epochs=3`" in diagnosis(history(FALLING, FALLING), MODEL, TrainingConfig(epochs=1.5))


def test_training_loss_under_augmentation_is_ignored():
    config = TrainingConfig(epochs=8, augment=1.0)
    assert "as this one is short" in diagnosis(history(FLAT, FLAT), MODEL, config)
    assert "overfitted" in diagnosis(history(FALLING, TURNED), MODEL, config)


def test_a_rise_of_half_a_percent_is_noise():
    rising = [*FLAT[:-1], 1.5075]
    assert "overfitted" not in diagnosis(history(FALLING, rising), MODEL, CONFIG)
    assert "overfitted" in diagnosis(history(FALLING, [*FLAT[:-1], 1.53]), MODEL, CONFIG)
