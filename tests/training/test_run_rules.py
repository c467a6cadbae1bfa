"""Rules of a run that show only in certain courses: patience, plateaus, going back, dropped weights, resuming."""

import math
from dataclasses import replace

import numpy as np
import pytest
from test_trainer import CONFIG, Clock, inject_nan, load_text, make_trainer, reload, train_until

COUNTING = replace(CONFIG, steps=1000, evaluate_every=1, learning_rate=1e-4)


@pytest.fixture
def corpus(tmp_path):
    return load_text(tmp_path, "abcd" * 100, "dcba" * 30, line_mode=False)


def with_losses(trainer, losses):
    """Let the evaluations of a run find these losses, one after the other."""
    coming = iter(losses)
    trainer.validation_loss = lambda: next(coming)
    return trainer


def test_patience_counts_evaluations_without_gain_in_a_row(corpus):
    trainer = with_losses(make_trainer(corpus, replace(COUNTING, patience=3)), [9, 8, 8, 8, 7, 7, 7, 6, 6, 6, 6, 5])
    train_until(trainer)
    assert (trainer.progress.step, trainer.progress.best_step) == (11, 8)


def test_a_plateau_of_two_evaluations_halves_the_rate(corpus):
    trainer = with_losses(make_trainer(corpus, replace(COUNTING, schedule="plateau")), [9, 9, 9, 8, 8, 7, 7, 7, 7, 7])
    factors = []
    trainer.stop = lambda: factors.append(trainer.progress.rate_factor) or len(factors) > 10
    list(trainer)
    assert factors == [1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25, 0.125]


def test_an_equal_loss_is_no_gain(corpus):
    trainer = with_losses(make_trainer(corpus, replace(COUNTING, steps=2)), [7, 7])
    train_until(trainer)
    assert (trainer.progress.best_step, trainer.progress.evaluations_without_gain) == (1, 1)


def test_each_step_drops_other_recurrent_weights(corpus):
    keys = {}
    for seed in (5, 6):
        trainer = make_trainer(corpus, replace(CONFIG, recurrent_dropout=0.5, random_seed=seed, steps=20))
        train = trainer.window.train
        given = []
        trainer.window.train = lambda step, drop, train=train, given=given: given.append(drop) or train(step, drop)
        train_until(trainer)
        assert {drop.probability for drop in given} == {0.5}
        keys[seed] = [drop.key for drop in given]
    assert len({*keys[5], *keys[6]}) == 40


@pytest.mark.parametrize("blind_loss, good", [(0.0, 0), (math.inf, 40)])
def test_only_a_loss_below_that_of_guessing_is_good(corpus, blind_loss, good):
    trainer = make_trainer(corpus)
    trainer.task.blind_loss = blind_loss
    train_until(trainer, 45)
    assert trainer.good.progress.step == good


def test_a_state_between_evaluations_is_not_taken_as_good(corpus):
    trainer = make_trainer(corpus, replace(CONFIG, steps=100, evaluate_every=50))
    trainer.task.blind_loss = math.inf
    train_until(trainer, 45)
    assert trainer.good.progress.step == 0


def test_going_back_before_the_average_clears_it(corpus):
    trainer, told = make_trainer(corpus, replace(CONFIG, average=0.4)), []
    trainer.task.blind_loss = math.inf
    inject_nan(trainer, 36)
    trainer.stop = lambda: bool(told)
    trainer.say = told.append
    before = []
    train = trainer.window.train
    trainer.window.train = lambda *step: before.append(trainer.window.average.any()) or train(*step)
    list(trainer)
    assert "back to step 20 " in told[0]
    assert before[-1]
    assert not trainer.window.average.any()
    assert trainer.progress.averaged == 0


def test_going_back_keeps_what_was_averaged_by_then(corpus):
    trainer, told = make_trainer(corpus, replace(CONFIG, average=0.4, evaluate_every=10)), []
    trainer.task.blind_loss = math.inf
    inject_nan(trainer, 46)
    averages = {}
    trainer.stop = lambda: averages.setdefault(trainer.progress.step, trainer.window.average.copy()) is None or told
    trainer.say = told.append
    list(trainer)
    assert "back to step 40 " in told[0]
    assert trainer.progress.averaged == 10
    np.testing.assert_array_equal(trainer.window.average, averages[40])


def test_the_overhead_of_a_run_survives_a_resume(corpus, tmp_path):
    clock = Clock(0.25)
    trainer = make_trainer(corpus, clock=clock)
    list(clock.train(trainer, 10))
    assert (trainer.progress.overhead, trainer.progress.seconds) == (0.25, 2.5)
    clock.now += 1000
    resumed = reload(trainer, tmp_path / "model", corpus, threads=1, clock=clock)
    assert (resumed.progress.overhead, resumed.progress.seconds) == (0.25, 2.5)
    list(clock.train(resumed, 12))
    assert (resumed.progress.overhead, resumed.progress.seconds) == (0.5, 3.0)


def test_each_rollback_halves_the_rate_of_the_next_steps(corpus):
    trainer = make_trainer(corpus, replace(CONFIG, schedule="constant"))
    inject_nan(trainer, 36, times=2)
    rates, train = [], trainer.window.train
    trainer.window.train = lambda step, drop: rates.append(step.learning_rate) or train(step, drop)
    train_until(trainer)
    assert rates[-1] == pytest.approx(CONFIG.learning_rate / 4)
    assert trainer.progress.rollbacks == 2
