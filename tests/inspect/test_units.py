"""The search for units, against a planted one, and what a unit does to the prediction."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnn_cli.inspect.activations import activations
from rnn_cli.inspect.units import contexts, find_units, logit_effect, outputs_with, ranks_of
from rnn_cli.network.plain import network_forward


def test_planted_unit_is_found() -> None:
    generator = np.random.default_rng(5)
    pieces = list("".join('he said "it is so" to 12 men. ' if k % 2 else "She went on and on\n" for k in range(40)))
    h = generator.standard_normal((2, len(pieces), 30))
    inside, digit = 0, []
    for t, piece in enumerate(pieces):
        inside = inside ^ (piece == '"')
        h[1, t, 6] = 3 * inside + 0.5 * generator.standard_normal()
        h[0, t, 2] = -2 * piece.isdigit() + 0.1 * generator.standard_normal()
        digit.append(piece.isdigit())
    found = {each.label: each for each in find_units({"h": h}, pieces)}
    assert (found["inside quotes"].unit, found["inside quotes"].sign) == ("2:7", 1)
    assert (found["digit"].unit, found["digit"].sign) == ("1:3", -1)
    assert found["inside quotes"].score > 0.99 > 0.9 > found["inside quotes"].chance
    assert found["vowel"].score < found["vowel"].chance  # which no unit tracks


def test_ranks_share_ties() -> None:
    assert ranks_of(np.array([[3.0], [1.0], [3.0], [2.0]]))[:, 0].tolist() == [3.5, 1, 3.5, 2]


def test_contexts_are_apart() -> None:
    values = np.array([0, 5, 4, 0, 3, 0.0])
    assert contexts(values, list("abcdef"), 2, width=2) == [(1, 5.0, "ab", "cd"), (4, 3.0, "de", "f")]


def test_effect_of_a_last_unit_is_its_decoder_row(model: Any) -> None:
    network, symbols = model
    acts = activations(network, symbols)
    low, high = np.quantile(acts.states["h"][1, :, 3], [0.1, 0.9])
    expected = (high - low) * network.weights.decoder_weight[3]
    assert np.allclose(logit_effect(network, acts, "2:4"), expected)
    assert np.abs(logit_effect(network, acts, "1:4")).max() > 0


def test_effect_of_a_lower_unit_passes_through_the_layers_above(model: Any) -> None:
    """Compare with a network that is run one step from the states before it, with the unit held at a value."""
    network, symbols = model
    acts, step, held = activations(network, symbols), 5, 0.3
    found = outputs_with(network, acts, ("h", 0, 3), held)[step]
    x = acts.states["h"][0, step].copy()
    x[3] = held
    upper = network.weights._replace(layers=network.weights.layers[1:])
    states = np.array([[each[1, step - 1][None] for each in acts.states.values()]])[None]
    mask, starts = np.ones((1, 1, 16)), np.zeros((1, 1), bool)
    logits, _, _ = network_forward(network.cell, upper, x[None, None], starts, states, mask)
    np.testing.assert_allclose(found, logits[0, 0], atol=1e-12)
