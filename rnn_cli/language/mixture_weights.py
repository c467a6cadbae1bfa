"""The weights with which a network and its n-gram counts are mixed, fitted on held-out text.

The log-likelihood is concave in the weights (kernels/text/mixture.py), so Newton's method finds them: first one pair of
weights for all kinds of certainty, then one for each kind.
"""

from __future__ import annotations

import numpy as np

from rnn_cli.kernels.text.mixture import KINDS, MOST_WEIGHT
from rnn_cli.language.ngrams import DEFAULT_WEIGHTS, NgramModel
from rnn_cli.language.scorer import Scorer

ROUNDS, COMMON_ROUNDS = 4, 1  # of Newton's method; in the first ones all kinds have the same weights
CERTAINTY = 50.0  # symbols of mean curvature that hold the weights of a kind near the common ones
FLOOR = 1e-3  # of the curvature of a symbol, where both models are certain of the same


def fit_weights(scorer: Scorer, ngrams: NgramModel, ids: np.ndarray) -> None:
    """Choose the weights of an n-gram model with which a text costs least, read by a scorer that it is `fitted` in."""
    weights = ngrams.tree.weights[:, :2]
    common = np.array(DEFAULT_WEIGHTS)
    weights[:] = common
    for number in range(ROUNDS):
        scorer.start()
        scorer.read(ids[1:])
        sums = scorer.sums()
        slope, curvature = sums[:, 3:5], matrices(sums[:, 5:])
        curvature += FLOOR * sums[:, :1, None] * np.eye(2)
        mean = curvature.sum(axis=0) / max(sums[:, 0].sum(), 1.0) + FLOOR * np.eye(2)
        if number < COMMON_ROUNDS:
            common = common + np.linalg.solve(curvature.sum(axis=0) + mean, slope.sum(axis=0))
            weights[:] = common.clip(0, MOST_WEIGHT)
        else:
            slope = slope - CERTAINTY * (weights - common) @ mean
            weights += np.linalg.solve(curvature + CERTAINTY * mean, slope[..., None])[..., 0]
            weights[:] = weights.clip(0, MOST_WEIGHT)


def matrices(parts: np.ndarray) -> np.ndarray:
    """Return the symmetric matrices (KINDS, 2, 2) of their parts uu, uv and vv."""
    return parts[:, [0, 1, 1, 2]].reshape(KINDS, 2, 2)
