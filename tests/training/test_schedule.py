"""The learning rate: up, level, down, and the same first half whatever the length of the run."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnn_cli.training.schedule import WARM_UP_STEPS, learning_rate, steps_that_fit

TOTALS = st.integers(1, 5000)


SCHEDULES = st.sampled_from(["linear", "cosine", "step", "plateau", "constant"])


def rates(total, schedule="linear"):
    return [learning_rate(0.5, step, total, schedule) for step in range(total)]


def test_rate_warms_up_stays_level_and_decays():
    total = 400
    run = rates(total)
    assert run[:WARM_UP_STEPS] == pytest.approx([0.5 * (k + 1) / WARM_UP_STEPS for k in range(WARM_UP_STEPS)])
    assert set(run[WARM_UP_STEPS : total // 2 + 1]) == {0.5}
    assert run[total // 2 :] == pytest.approx([0.5 * (total - k) / 200 for k in range(200, total)])
    assert run[-1] == pytest.approx(0.5 / 200)


@given(TOTALS, SCHEDULES)
def test_every_rate_is_positive_and_at_most_the_peak(total, schedule):
    assert all(0 < rate <= 0.5 for rate in rates(total, schedule))


@given(TOTALS, SCHEDULES)
def test_no_rate_of_the_first_half_depends_on_the_length(total, schedule):
    first = [learning_rate(0.5, step, None, schedule) for step in range(total // 2)]
    assert rates(total, schedule)[: total // 2] == first


@given(TOTALS, SCHEDULES)
def test_rate_never_rises_after_the_warm_up(total, schedule):
    run = rates(total, schedule)[WARM_UP_STEPS:]
    assert run == sorted(run, reverse=True)


def test_final_rates_of_the_schedules():
    last = {name: learning_rate(0.5, 999, 1000, name) / 0.5 for name in ("cosine", "step", "plateau", "constant")}
    assert 0 < last["cosine"] < 1e-4
    assert last["step"] == pytest.approx(0.3**4)
    assert last["plateau"] == last["constant"] == 1


@given(TOTALS)
def test_length_fixed_at_the_middle_decays_from_there(step):
    total = steps_that_fit(step)
    assert total == 2 * step
    warm = learning_rate(0.5, step, None)
    assert learning_rate(0.5, step, total) == warm
    if step >= WARM_UP_STEPS and step > 1:
        assert learning_rate(0.5, step + 1, total) < warm


def test_a_run_has_at_least_one_step():
    assert steps_that_fit(0) == 1


@pytest.mark.parametrize(
    "schedule, step, rate",
    [
        ("linear", 0, 0.05), ("linear", 9, 0.5), ("linear", 19, 1), ("linear", 499, 1), ("linear", 750, 0.5),
        ("cosine", 499, 1), ("cosine", 750, 0.5), ("step", 499, 1), ("step", 500, 0.3), ("step", 625, 0.09),
    ],
)  # fmt: skip
def test_rates_of_some_steps(schedule, step, rate):
    assert learning_rate(1.0, step, 1000, schedule) == pytest.approx(rate)
