"""What limited a result is read from its reports."""

import numpy as np
import pytest

from rnn_cli.language.task import LanguageTask
from rnn_cli.network.config import NetworkConfig
from rnn_cli.text.corpus import load_corpus
from rnn_cli.training.config import TrainingConfig
from rnn_cli.training.diagnosis import diagnosis
from rnn_cli.training.run_state import Report
from rnn_cli.training.trainer import Trainer

MODEL = NetworkConfig(hidden_size=64)
FEW, MANY = 1_000, 1_000_000  # characters of an epoch
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
    sentence = diagnosis(history(training, validation), MODEL, CONFIG, FEW)
    assert all(word in sentence for word in words)
    assert len(sentence.splitlines()) == 2
    assert all(len(line) < 80 for line in sentence.splitlines())


@pytest.mark.parametrize("validation", [[], [2.0, 1.0, 1.5], [None] * 10])
def test_none_without_a_trend(validation):
    assert diagnosis(history([1.0] * len(validation), validation), MODEL, CONFIG, FEW) is None


def test_no_overfitting_if_both_losses_rose():
    assert diagnosis(history([loss + 0.5 for loss in TURNED], TURNED), MODEL, CONFIG, FEW) is None


def test_settings_already_in_use_are_not_advised():
    config = TrainingConfig(steps=100, dropout=0.5)
    assert "dropout" not in diagnosis(history(FALLING, TURNED), MODEL, config, FEW)
    assert "`steps=200`" in diagnosis(history(FALLING, FALLING), MODEL, config, FEW)
    assert "`epochs=3`" in diagnosis(history(FALLING, FALLING), MODEL, TrainingConfig(epochs=1.5), FEW)


def test_training_loss_under_augmentation_is_ignored():
    config = TrainingConfig(epochs=8, augment=1.0)
    assert "as this one is short" in diagnosis(history(FLAT, FLAT), MODEL, config, FEW)
    assert "overfitted" in diagnosis(history(FALLING, TURNED), MODEL, config, FEW)


def test_a_rise_of_half_a_percent_is_noise():
    rising = [*FLAT[:-1], 1.5075]
    assert "overfitted" not in diagnosis(history(FALLING, rising), MODEL, CONFIG, FEW)
    assert "overfitted" in diagnosis(history(FALLING, [*FLAT[:-1], 1.53]), MODEL, CONFIG, FEW)


def test_dropout_that_holds_back_is_named():
    reports = history([loss + 0.2 for loss in FALLING], FALLING)
    assert "less dropout" in diagnosis(reports, MODEL, CONFIG, MANY)
    assert "`dropout=0.1`" in diagnosis(reports, MODEL, CONFIG, MANY)
    assert "more time" in diagnosis(reports, MODEL, CONFIG, FEW)
    assert "more time" in diagnosis(reports, MODEL, TrainingConfig(minutes=1.0), MANY)
    only_recurrent = TrainingConfig(minutes=1.0, recurrent_dropout=0.3)
    assert "`recurrent_dropout=0.15`" in diagnosis(reports, MODEL, only_recurrent, MANY)


@pytest.fixture(scope="module")
def words():
    """Return words at random from a vocabulary: a text that has no structure beyond its words."""
    generator = np.random.default_rng(1)
    known = ["".join(generator.choice(list("abcdefghij"), generator.integers(2, 7))) for _ in range(200)]
    return " ".join(generator.choice(known, 30_000))


@pytest.mark.parametrize(
    "characters, hidden_size, values, words_of_limit",
    [
        (100_000, 48, {"epochs": 4, "dropout": 0.8}, "less dropout"),
        (100_000, 4, {"epochs": 8}, "a larger model"),
        (100_000, 64, {"steps": 60, "schedule": "constant"}, "more time"),
        (2_000, 128, {"epochs": 120}, "more text"),
    ],
)
def test_planted_limits_are_found(tmp_path, words, characters, hidden_size, values, words_of_limit):
    (tmp_path / "text").write_text(words[:characters])
    (tmp_path / "held_out").write_text(words[-8_000:])
    held_out = {"validation_fraction": 0.0, "validation_files": [str(tmp_path / "held_out")], "random_seed": 1}
    corpus = load_corpus([str(tmp_path / "text")], as_bytes=False, line_mode=False, **held_out)
    network = NetworkConfig.for_symbols(len(corpus.codec), hidden_size=hidden_size)
    every = {"evaluate_every": 8, "learning_rate": 0.01, "batch_size": 16, "sequence_length": 32, "random_seed": 1}
    trainer = Trainer(LanguageTask(corpus, network), TrainingConfig(**every, **values), 2)
    assert list(trainer)
    limit = diagnosis(trainer.history, network, trainer.config, trainer.batches.units_per_epoch)
    assert limit is not None
    assert words_of_limit in limit
