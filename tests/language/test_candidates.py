"""Where a stop text ends what is drawn: the first place where it stands, found with few comparisons."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnn_cli.language.candidates import GeneratedText, StopText
from rnn_cli.language.stepper import Start

SOME = st.lists(st.integers(1, 2), max_size=60)


class Counted(list):
    """Symbols that count how often one of them is looked at."""

    looks = 0

    def __getitem__(self, place):
        self.looks += 1
        return super().__getitem__(place)


@given(drawn=SOME, wanted=st.lists(st.integers(1, 2), max_size=5), shortest=st.integers(0, 9), chunk=st.integers(1, 60))
def test_the_first_stop_text_that_is_not_too_early_ends_a_text(drawn, wanted, shortest, chunk):
    text, stop = GeneratedText(start=Start(np.zeros(0, np.int32), shortest, longest=100)), StopText(wanted)
    for start in range(0, len(drawn), chunk):
        if text.stopped is None:
            part = np.array(drawn[start : start + chunk], np.int32)
            text.take(part, np.zeros(len(part)), stop)
            assert text.stopped or text.stopping == expected_stopping(text.symbols.tolist(), wanted)
    ends = [place for place in range(shortest, len(drawn)) if wanted and drawn[place : place + len(wanted)] == wanted]
    assert text.stopped == ("stop" if ends else None)
    assert text.symbols.tolist() == (drawn[: ends[0]] if ends else drawn)
    assert len(text.losses) == len(text.symbols)


def expected_stopping(symbols, wanted):
    """Return how many symbols at the end of some are the beginning of the wanted ones, by trying all."""
    return max(count for count in range(len(wanted) + 1) if symbols[len(symbols) - count :] == wanted[:count])


@pytest.mark.parametrize("wanted", [[1] * 2000 + [2], [1] * 2000, [1, 2] * 1000 + [3]], ids=["late", "whole", "pairs"])
def test_a_long_stop_text_costs_no_more_than_a_short_one(wanted):
    symbols = Counted(wanted)
    stop, found, drawn = StopText(symbols), 0, ([1] * 999 + [2]) * 20
    for symbol in drawn:
        found = stop.follow(found, symbol)
    assert symbols.looks <= 3 * (len(wanted) + len(drawn))
