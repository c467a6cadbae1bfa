"""Excerpts: short texts whole, pieces from all parts of long ones, lines never cut."""

import numpy as np
import pytest

from rnn_cli.text.codecs import BOUNDARY
from rnn_cli.text.excerpts import spread


@pytest.mark.parametrize("line_mode", [False, True])
def test_a_short_text_is_whole(line_mode):
    ids = np.array([BOUNDARY, 3, 1, 4, BOUNDARY])
    assert spread(ids, 4, 2, line_mode) is ids


def test_pieces_of_a_stream_come_from_all_parts():
    ids = np.arange(1001)
    found = spread(ids, 100, 20, line_mode=False)
    assert found[0] == BOUNDARY
    pieces = found[1:].reshape(5, 20)
    assert (np.diff(pieces) == 1).all()
    assert pieces[:, 0].tolist() == [1, 246, 491, 736, 981]


def test_lines_stay_whole():
    lines = [[line] * (1 + line % 7) for line in range(1, 200)]
    ids = np.array([BOUNDARY, *(symbol for line in lines for symbol in [*line, BOUNDARY])])
    found = spread(ids, 200, 40, line_mode=True)
    assert found[0] == found[-1] == BOUNDARY
    kept = [part.tolist() for part in np.split(found, np.flatnonzero(found == BOUNDARY))]
    kept = [part[1:] for part in kept if len(part) > 1]
    assert len(found) < 201
    assert all(part in lines for part in kept)
    assert kept[0][0] < 15 < 180 < kept[-1][0]


def test_a_line_longer_than_all_pieces_is_cut():
    ids = np.array([BOUNDARY, *range(1, 500), BOUNDARY])
    assert spread(ids, 100, 20, line_mode=True).tolist() == list(range(101))
