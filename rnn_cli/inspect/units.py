"""The search for units that track a nameable property of a text, and what one unit responds to."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rnn_cli.inspect.activations import Activations, find_unit, unit_name
from rnn_cli.inspect.plain_model import PlainModel
from rnn_cli.inspect.properties import Track, tracks_of
from rnn_cli.network.plain import columns_of

SHIFTS = 8  # of a label track: the best score of any unit on any of them is what chance does
FEWEST = 8  # steps with the property, and without it, that a half of the text must have


class Found(NamedTuple):
    """The unit that tracks a property best.

    unit    chosen on the first half of the text
    score   on the second half: AUC from 0.5 to 1, or the absolute rank correlation from 0 to 1
    chance  the best score of any unit there, if the labels are shifted against the text
    sign    -1 if the unit is low where the property holds
    """

    label: str
    measure: str
    unit: str
    score: float
    chance: float
    sign: int


def find_units(states: dict[str, np.ndarray], pieces: list[str], count: int = 1) -> list[Found]:
    """Return for each property that a text has the `count` units that track it best, the surest property first.

    The unit is chosen on the first half and scored on the second one, so its score is not that of a lucky choice.
    """
    names = [unit_name(state, *index) for state in states for index in np.ndindex(states[state].shape[::2])]
    values = np.concatenate([each.transpose(1, 0, 2).reshape(each.shape[1], -1) for each in states.values()], axis=1)
    half = len(values) // 2
    first, second = ranks_of(values[:half]), ranks_of(values[half:])
    found = []
    for track in tracks_of(pieces):
        parts = track.values[:half], track.values[half:]
        if not all(is_varied(part, track) for part in parts):
            continue
        chosen = scores_of(first, parts[0], track)
        result = scores_of(second, parts[1], track)
        shifts = [len(parts[1]) * k // (SHIFTS + 1) for k in range(1, SHIFTS + 1)]
        chance = max(strength(scores_of(second, np.roll(parts[1], by), track), track).max() for by in shifts)
        for index in np.argsort(-strength(chosen, track), kind="stable")[:count]:
            sign = 1 if chosen[index] > (0.5 if track.binary else 0) else -1
            score = result[index] if sign > 0 else (1 - result[index] if track.binary else -result[index])
            measure = "AUC" if track.binary else "correlation"
            found.append(Found(track.label, measure, names[index], float(score), float(chance), sign))
    return sorted(found, key=lambda each: each.chance - each.score)


def is_varied(part: np.ndarray, track: Track) -> bool:
    """Say whether labels vary enough to score units by them."""
    if track.binary:
        return FEWEST <= part.sum() <= len(part) - FEWEST
    return len(part) > FEWEST and len(np.unique(part)) > 2


def strength(scores: np.ndarray, track: Track) -> np.ndarray:
    """Return scores whatever their sign: 1 - AUC says that a unit is low where the property holds."""
    return np.maximum(scores, 1 - scores) if track.binary else np.abs(scores)


def scores_of(ranks: np.ndarray, labels: np.ndarray, track: Track) -> np.ndarray:
    """Return the score (U) of units by the ranks (T, U) of their values: AUC, or Spearman's correlation.

    AUC is the chance that a step with the property has a higher value than one without (Mann and Whitney 1947).
    """
    if track.binary:
        chosen = labels > 0
        positive, negative = int(chosen.sum()), int((~chosen).sum())
        auc: np.ndarray = (ranks[chosen].mean(axis=0) - (positive + 1) / 2) / negative
        return auc
    own = ranks_of(labels[:, None].astype(float))[:, 0]
    own = own - own.mean()
    centred = ranks - ranks.mean(axis=0)
    correlation: np.ndarray = own @ centred / np.maximum(np.linalg.norm(own) * np.linalg.norm(centred, axis=0), 1e-30)
    return correlation


def ranks_of(values: np.ndarray) -> np.ndarray:
    """Return the rank from 1 of each value in its column; equal values share the mean of their ranks."""
    ranks = np.empty(values.shape)
    for column in range(values.shape[1]):
        _, index, counts = np.unique(values[:, column], return_inverse=True, return_counts=True)
        ranks[:, column] = (np.cumsum(counts) - (counts - 1) / 2)[index]
    return ranks


def contexts(values: np.ndarray, pieces: list[str], count: int, width: int = 20) -> list[tuple[int, float, str, str]]:
    """Return (step, value, text up to it, text after it) of the highest values, at least `width` steps apart."""
    chosen: list[int] = []
    for step in np.argsort(-values, kind="stable").tolist():
        if all(abs(step - other) >= width for other in chosen):
            chosen.append(step)
        if len(chosen) == count:
            break
    return [
        (k, float(values[k]), "".join(pieces[max(k + 1 - width, 0) : k + 1]), "".join(pieces[k + 1 : k + 1 + width]))
        for k in chosen
    ]


def histogram(values: np.ndarray, bins: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Return how often a unit has values in each of equal intervals, and their edges."""
    return np.histogram(values, bins)


def logit_effect(model: PlainModel, acts: Activations, name: str) -> np.ndarray:
    """Return the mean change of each logit (V) at the same step if a unit goes from its 10th to its 90th percentile.

    All else at the step is as it was: its inputs, its other units, the state before it.
    """
    state, layer, unit = find_unit(name, acts.states)
    low, high = np.quantile(acts.states[state][layer, :, unit], [0.1, 0.9])
    effect: np.ndarray = outputs_with(model, acts, (state, layer, unit), high).mean(axis=0)
    effect -= outputs_with(model, acts, (state, layer, unit), low).mean(axis=0)
    return effect


def outputs_with(model: PlainModel, acts: Activations, where: tuple[str, int, int], value: float) -> np.ndarray:
    """Return the logits (T, V) of each step if a unit had this value; the steps are the rows of one batch."""
    state, layer, unit = where
    changed = acts.states[state][layer].copy()
    changed[:, unit] = value
    x = changed if state == "h" else acts.gates["o"][layer] * np.tanh(changed)
    for above in range(layer + 1, model.config.num_layers):
        (weights,) = model.weights.layers[above]
        inputs, recurrent = columns_of(weights)
        before = acts.before(above, np.arange(len(x)))
        preact = np.tile(weights.bias, (len(x), 1))
        preact[:, inputs] += x @ weights.weight_ih
        preact[:, recurrent] += before[0] @ weights.weight_hh
        _, after = model.cell.forward(tuple(np.split(preact, model.cell.blocks, axis=1)), tuple(before))
        x = after[0]
    return x @ model.weights.decoder_weight + model.weights.decoder_bias
