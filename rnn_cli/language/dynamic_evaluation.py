"""Dynamic evaluation: a model keeps learning from the text that it scores (Krause et al. 2018)."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from rnn_cli.checkpoint.checkpoint import Checkpoint
from rnn_cli.config import check_range
from rnn_cli.errors import CheckpointError, UsageError
from rnn_cli.kernels.threads import Team
from rnn_cli.language.scorer import Scorer
from rnn_cli.network.workspace import TrainingWindow
from rnn_cli.text.codecs import BOUNDARY

# Chosen on the ninth tenth of tinyshakespeare, with a model of the first eight tenths. There the rate may be doubled or
# halved for the same gain; plain gradient descent gains a fifth less.
LEARNED = 32  # symbols in each gradient step
DECAY = 0.001  # share of the way back to the trained weights, at each step
MEMORY = 0.999  # decay of the mean square of the gradient
EPSILON = 1e-4
DEFAULT_RATE = 0.0007


class DynamicScorer(Scorer):
    """A scorer that makes a step of gradient descent on each window of the text, after it has scored the window.

    With g the gradient of the window's mean loss, w the weights, w_0 the trained weights, and s the exponentially
    weighted mean of g^2 (decay MEMORY):

        w <- w - rate g / (sqrt(s) + EPSILON) + DECAY (w_0 - w)

    It learns only from whole windows, so neither the weights nor the scores depend on the pieces of the text. The text
    is read in one row, in order: no symbol is scored by weights that have learned from it or from later symbols. The
    n-gram counts of the model go on over the text, too, unless their share is given.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        threads: int,
        rate: float = DEFAULT_RATE,
        precision: str = "float32",
        *,
        counts: float | None = None,
    ) -> None:
        check_range("adapt_rate", rate, 0.0, 1.0)
        super().__init__(checkpoint, threads, precision=precision, counts=counts, counting=counts is None)
        self._rate, self._steps = rate, 0
        self._trained = self.model.parameters.copy()
        self._squares = np.zeros_like(self._trained)
        self._learner = TrainingWindow(self.model, LEARNED, 1, Team(threads), precision)

    def start(self) -> None:
        """Begin a new text: reset the state, keep the learned weights."""
        super().start()
        self._pending = np.array([BOUNDARY], np.int32)  # symbols of the current, incomplete window

    def read(
        self, symbols: np.ndarray, with_ranks: bool = False, progress: Callable[[int], None] = lambda done: None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Score the next symbols of the text as Scorer does, and learn from them.

        Raises UsageError if the model has learned so fast that its outputs are no longer finite.
        """
        known = np.cumsum(symbols >= 0)
        parts, start = [], 0
        while start < len(symbols):
            missing = LEARNED + 1 - len(self._pending)
            before = int(known[start - 1]) if start else 0
            end = min(int(np.searchsorted(known, before + missing)) + 1, len(symbols))
            part = symbols[start:end]
            try:
                parts.append(super().read(part, with_ranks, progress))
            except CheckpointError as problem:
                if not self._steps:
                    raise
                raise UsageError(f"{problem}; it learned too fast: give a lower `adapt_rate`") from problem
            self._pending = np.concatenate([self._pending, part[part >= 0]])
            if len(self._pending) > LEARNED:
                self._learn()
            start = end
        if not parts:
            return super().read(symbols, with_ranks, progress)
        losses, ranks = zip(*parts)
        return np.concatenate(losses), np.concatenate(ranks)

    def _learn(self) -> None:
        """Make a step on the complete window, and begin the next one."""
        learner, weights = self._learner, self.model.parameters
        learner.inputs[:, 0] = self._pending[:-1]
        learner.starts[:] = learner.inputs == BOUNDARY
        learner.targets[:, 0] = self._pending[1:]
        self._pending = self._pending[-1:]
        learner.gradient()
        with np.errstate(over="ignore"):
            squared_norm = np.dot(learner.grad, learner.grad)
        if not math.isfinite(squared_norm):
            learner.state[:] = 0  # otherwise every later gradient would not be finite either
            return
        self._steps += 1
        grad = learner.grad
        self._squares *= MEMORY
        self._squares += (1 - MEMORY) * grad * grad
        scale = np.sqrt(self._squares / (1 - MEMORY**self._steps)) + EPSILON
        weights += DECAY * (self._trained - weights) - self._rate * (grad / scale)
        self._window.pack()
