"""The learning rate: up, level, down, and the same first half whatever the length of the run."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnn_cli.schedule import WARM_UP_STEPS, learning_rate, steps_that_fit

TOTALS = st.integers(1, 5000)


def rates(total):
    return [learning_rate(0.5, step, total) for step in range(total)]


def test_a_run_warms_up_stays_level_and_goes_down_to_almost_nothing():
    total = 400
    run = rates(total)
    assert run[:WARM_UP_STEPS] == pytest.approx([0.5 * (k + 1) / WARM_UP_STEPS for k in range(WARM_UP_STEPS)])
    assert set(run[WARM_UP_STEPS : total // 2 + 1]) == {0.5}
    assert run[total // 2 :] == pytest.approx([0.5 * (total - k) / 200 for k in range(200, total)])
    assert run[-1] == pytest.approx(0.5 / 200)


@given(TOTALS)
def test_every_rate_is_positive_and_at_most_the_peak(total):
    assert all(0 < rate <= 0.5 for rate in rates(total))


@given(TOTALS)
def test_no_rate_of_the_first_half_depends_on_the_length(total):
    assert rates(total)[: total // 2] == [learning_rate(0.5, step, None) for step in range(total // 2)]


@given(TOTALS)
def test_a_run_that_decides_at_its_middle_decays_from_there(step):
    total = steps_that_fit(step)
    assert total == 2 * step
    warm = learning_rate(0.5, step, None)
    assert learning_rate(0.5, step, total) == warm
    if step >= WARM_UP_STEPS and step > 1:
        assert learning_rate(0.5, step + 1, total) < warm


def test_a_run_has_at_least_one_step():
    assert steps_that_fit(0) == 1
