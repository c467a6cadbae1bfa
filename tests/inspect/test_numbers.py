"""Arrays as a page holds them, and principal components."""

from __future__ import annotations

import base64

import numpy as np
import pytest

from rnn_cli.inspect.numbers import evenly, packed, principal_components


def test_packed_values_come_back() -> None:
    values = np.random.default_rng(1).standard_normal((9, 4)) * [1, 1e-3, 50, 0]
    held = packed(values)
    whole = np.frombuffer(base64.b64decode(held["data"]), np.int8).reshape(held["shape"])
    error = np.abs(whole * np.array(held["scales"]) - values).max(axis=0)
    assert (error <= np.abs(values).max(axis=0) / 250 + 1e-9).all()


def test_principal_components_find_a_planted_plane() -> None:
    generator = np.random.default_rng(2)
    plane = generator.standard_normal((200, 2)) * [5, 2]
    points, shares = principal_components(plane @ np.linalg.qr(generator.standard_normal((7, 2)))[0].T)
    assert shares.sum() == pytest.approx(1)
    assert np.linalg.matrix_rank(np.hstack([points, plane - plane.mean(axis=0)]), tol=1e-6) == 2


def test_indices_are_even_and_end_with_the_last() -> None:
    assert evenly(3, 5).tolist() == [0, 1, 2]
    assert evenly(9, 3).tolist() == [0, 4, 8]
    assert evenly(1, 3).tolist() == [0]
