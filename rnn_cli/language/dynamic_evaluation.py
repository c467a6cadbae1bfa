"""Dynamic evaluation: a model that goes on learning from the text that it scores (Krause et al. 2018)."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from rnn_cli.checkpoint.checkpoint import Checkpoint
from rnn_cli.config import check_range
from rnn_cli.errors import CheckpointError, UsageError
from rnn_cli.language.scorer import Scorer
from rnn_cli.network.workspace import TrainingWindow
from rnn_cli.text.vocabulary import BOUNDARY

# Chosen on the ninth tenth of tinyshakespeare, with a model of the first eight. There the rate may be twice or half as
# much for the same gain; plain gradient descent gains a fifth less.
LEARNED = 32  # symbols that are learned from at a time
DECAY = 0.001  # of the way back to the trained weights, at each step
MEMORY = 0.999  # of the mean square of the gradient
EPSILON = 1e-4
DEFAULT_RATE = 0.0007


class DynamicScorer(Scorer):
    """A scorer that makes a step of gradient descent on each window of the text, after it has been scored.

    With g the gradient of the window's mean loss, w the weights, w_0 the trained ones, and s the mean of g^2 so far,
    in which each window counts for less with every one after it:

        w <- w - rate g / (sqrt(s) + epsilon) + DECAY (w_0 - w)

    Only whole windows are learned from. So neither the weights nor the scores depend on the pieces that a text comes
    in. The text is read in one row, in its order: no symbol is scored by weights that have seen what is after it.
    """

    def __init__(
        self, checkpoint: Checkpoint, threads: int, rate: float = DEFAULT_RATE, precision: str = "float32"
    ) -> None:
        check_range("adapt_rate", rate, 0.0, 1.0)
        super().__init__(checkpoint, threads, rows=1, precision=precision)
        self._rate, self._steps = rate, 0
        self._trained = self.model.parameters.copy()
        self._squares = np.zeros_like(self._trained)
        self._learner = TrainingWindow(self.model, LEARNED, 1, self.team, precision)

    def start(self) -> None:
        """Begin a new text: what was learned stays, what was read is forgotten."""
        super().start()
        self._pending = np.array([BOUNDARY], np.int32)  # the symbols of the window that is being filled

    def read(
        self, symbols: np.ndarray, with_ranks: bool = False, progress: Callable[[int], None] = lambda done: None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Score the next symbols of the text as Scorer does, and learn from them.

        Raises UsageError where the model has learned so fast that it predicts no numbers any more.
        """
        known = np.cumsum(symbols >= 0)
        parts, start = [], 0
        while start < len(symbols):
            room = LEARNED + 1 - len(self._pending)
            before = int(known[start - 1]) if start else 0
            end = min(int(np.searchsorted(known, before + room)) + 1, len(symbols))
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
        """Make a step on the window that is full, and begin the next one."""
        learner, weights = self._learner, self.model.parameters
        learner.inputs[:, 0] = self._pending[:-1]
        learner.starts[:] = learner.inputs == BOUNDARY
        learner.targets[:, 0] = self._pending[1:]
        self._pending = self._pending[-1:]
        learner.gradient()
        if not math.isfinite(np.dot(learner.grad, learner.grad)):
            learner.state[:] = 0  # or nothing would be learned from here on
            return
        self._steps += 1
        grad = learner.grad
        self._squares *= MEMORY
        self._squares += (1 - MEMORY) * grad * grad
        scale = np.sqrt(self._squares / (1 - MEMORY**self._steps)) + EPSILON
        weights += DECAY * (self._trained - weights) - self._rate * (grad / scale)
        self._window.pack()
