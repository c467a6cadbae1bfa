"""Files of series: three forms are read, and what is not a series is refused with file, line and advice."""

import numpy as np
import pytest
from made_series import months, seasonal, wide

from rnn_cli.errors import UsageError
from rnn_cli.tasks.forecast.seasons import choose_seasons
from rnn_cli.tasks.forecast.series import LONG, PLAIN, WIDE, numbered, read_series
from rnn_cli.tasks.forecast.times import Step, continued, follows, step_of


@pytest.fixture
def read(tmp_path):
    """Return a function that reads a text as series."""

    def read_text(text, name="x.csv"):
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_series([str(tmp_path / name)])

    return read_text


def test_three_forms_are_read(read):
    found = read("time,a,b\n2020-01,1,5\n2020-02,2,6\n")
    assert (found.kind, [each.name for each in found.series]) == (WIDE, ["a", "b"])
    assert found.series[1].values.tolist() == [5, 6]
    found = read("unique_id,ds,y\nA,1,1.5\nA,2,2.5\nB,1,7\n")
    assert (found.kind, found.points) == (LONG, 3)
    assert found.series[0].stamps == ["1", "2"]
    found = read("3\n1e2\n-4\n")
    assert (found.kind, found.series[0].values.tolist()) == (PLAIN, [3, 100, -4])
    assert read("rate\n3\n4\n").series[0].name == "rate"


def test_marks_of_other_programs_do_not_matter(read):
    plain = read("time,a b\n2020-01,1\n2020-02,2\n").series[0]
    for text in (
        b"\xef\xbb\xbftime,a b\r\n2020-01,1\r\n2020-02,2\r\n",
        b'"time","a b"\n"2020-01","1"\n"2020-02","2"\n',
        b"time;a b\n2020-01;1\n2020-02;2\n",
        b"time\ta b\n2020-01\t1\n\n2020-02\t2",
    ):
        found = read(text).series[0]
        assert (found.name, found.values.tolist(), found.stamps) == (plain.name, [1, 2], plain.stamps)


def test_columns_may_begin_and_end_at_different_times(read):
    found = read("time,a,b\n1,1,\n2,2,6\n3,,7\n").series
    assert [each.stamps for each in found] == [["1", "2"], ["2", "3"]]


@pytest.mark.parametrize(
    "text, message",
    [
        ("time,a\n1,1\n2,\n3,3\n", "line 3 has no number for the series 'a'; fill the gap"),
        ("time,a\n1,1\n2,nan\n3,3\n", "line 3 has no number for the series 'a'; fill the gap"),
        (
            "time,a\n2020-01,1\n2020-02,2\n2020-04,3\n",
            "line 4 of the series 'a' has '2020-04' after '2020-02', and the",
        ),
        ("time,a\n1,1\n2,x\n", "line 3 has 'x', which is not a number; leave it out or correct it"),
        ("time,a\n1,1\n2,inf\n", "line 3 has 'inf', and the limit is 1e+30"),
        ("time,a\n1,1\n2,1e300\n", "line 3 has '1e300', and the limit is 1e+30"),
        ("time,a\n2020-02,1\n2020-01,2\n", "has '2020-01' after '2020-02'; sort the lines by time"),
        ("time,a\n2020-01,1\n2020-01,2\n", "has the time '2020-01' a second time; leave one of the two out"),
        ("time,a\n31/12/2020,1\n", "has the time '31/12/2020', which is not understood; write times as 2024-01-31"),
        ("time,a\n1,1\n2020-01,1\n", "which is not of the kind of '1'; use one kind"),
        ("time;a\n1;1,5\n", "line 2 has '1,5', which is not a number; write decimals with a point: 1.5"),
        ('time,a\n1,"1,5"\n', "write decimals with a point: 1.5"),
        ("time,a\n1,1,5\n", "line 2 has 3 columns and the header 2; complete it; write decimals with a point"),
        ("time,a\n1\n", "line 2 has 1 columns and the header 2"),
        ("1,1\n2,2\n", "line 1 is not a header; name the columns in it"),
        ("time,a,a\n1,1,1\n", "line 1 names 'a' twice"),
        ('time,a\n1,"1\n', "is not CSV"),
        ("", "has no numbers"),
        ("time,a\n1,\n2,\n", "the series 'a' has no numbers; leave it out"),
        ("1\nx\n", "line 2 has 'x', which is not a number"),
        (b"time,a\n1,\xff\n", "is not valid UTF-8"),
    ],
)
def test_what_is_not_a_series_is_refused(read, text, message):
    with pytest.raises(UsageError, match=r"x\.csv") as caught:
        read(text)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "stamps, expected",
    [
        (["1", "2"], ["3", "4"]),
        (["0.5", "1.0"], ["1.5", "2.0"]),
        (["2020-11", "2020-12"], ["2021-01", "2021-02"]),
        (["2020-12-30", "2020-12-31"], ["2021-01-01", "2021-01-02"]),
        (["2020-01-31", "2020-02-29"], ["2020-03-31", "2020-04-30"]),
        (["2020-03-01", "2020-06-01"], ["2020-09-01", "2020-12-01"]),
        (["2020-01-01T22:00", "2020-01-01T23:00"], ["2020-01-02T00:00", "2020-01-02T01:00"]),
        (["2020-01-01 22:00:00Z", "2020-01-01 22:00:30Z"], ["2020-01-01 22:01:00Z", "2020-01-01 22:01:30Z"]),
    ],
)
def test_times_are_continued_as_they_are_written(stamps, expected):
    step = step_of(stamps, ["line 1", "line 2"], "a")
    assert continued(stamps[-1], step, 2) == expected
    assert follows(expected[0], stamps[-1])
    assert not follows(stamps[0], stamps[-1])


def test_times_beyond_the_calendar_are_an_error():
    with pytest.raises(ValueError, match="beyond"):
        continued("9999-12", Step("months", 1), 1)
    assert not follows("x", "1")


def test_a_season_is_found_by_times_or_by_autocorrelation(read):
    monthly = read(wide({"a": seasonal(96, 12)}, months(96))).series
    assert choose_seasons(monthly, None, None)[:3] == (12, 0, 21)
    assert choose_seasons([numbered("a", seasonal(120, 6))], None, None)[:3] == (6, 0, 12)
    noise = np.random.default_rng(3).standard_normal(200)
    assert choose_seasons([numbered("a", noise)], None, None)[0] == 1
    assert choose_seasons([numbered("a", np.ones(100))], None, None)[0] == 1


def test_a_week_of_days_is_a_longer_season():
    steps = np.arange(24 * 7 * 8)
    week = np.where(steps // 24 % 7 < 5, 3.0, 2.0) * (1 + np.sin(2 * np.pi * steps / 24))
    assert choose_seasons([numbered("a", week)], None, None)[:2] == (24, 168)


def test_a_short_series_is_refused_with_advice():
    with pytest.raises(UsageError, match="give `horizon=9`"):
        choose_seasons([numbered("a", seasonal(20))], 1, 12)
    with pytest.raises(UsageError, match="give a longer series"):
        choose_seasons([numbered("a", seasonal(5))], 12, 3)
