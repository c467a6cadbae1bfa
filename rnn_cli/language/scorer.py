"""The cost of each symbol of a text under a model. The text may come in pieces; each symbol is scored once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from rnn_cli.checkpoint.checkpoint import Checkpoint
from rnn_cli.errors import UsageError
from rnn_cli.kernels.shared_row import RowTeam, team_for
from rnn_cli.kernels.text.score import ScoredRows, score_symbols, score_together
from rnn_cli.language.ngrams import NOTHING_READ, NgramModel, mixture_of, with_room
from rnn_cli.network.model import Model
from rnn_cli.network.parameters import round_up
from rnn_cli.network.workspace import Window, check_finite
from rnn_cli.text.batches import row_starts
from rnn_cli.text.codecs import BOUNDARY

STREAMS = 64  # rows scored side by side
WINDOW = 8  # steps whose values are in the processor's cache together
LOGITS = 64 << 20  # bytes of the outputs of a window, at most: with a large vocabulary it has fewer steps
WINDOWS = 16  # windows in one call of the kernel: about a tenth of a second, even for a large model
SCALAR_VALUES = 1_112_064  # possible Unicode characters


class Scorer:
    """Scores one text after the other, each in pieces of any size; the state is carried from piece to piece.

    Up to `rows` texts are scored side by side; a boundary ends one and starts the next. In line mode these are lines.
    If `reset_every` is N, for a stream, the state is reset every N characters and the character before is read again.
    So a character is predicted from at most N before it, as in a model with a fixed context, and the parts of N
    characters are scored side by side.

    The scores do not depend on the pieces, the threads, `rows`, `window` (steps) or `windows` (windows in one call of
    the kernel): rows do not see each other. `precision` is that of the operands of the products, as in training.

    `counts` is the weight of the n-gram counts in the mixture, by default the fitted ones; 0: the network alone. If
    `counting`, the n-gram counts of the model go on over the text, which is then read in one row. If an n-gram model is
    to be `fitted`, it is mixed instead of that of the checkpoint; see mixture_weights.py.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        threads: int,
        reset_every: int | None = None,
        rows: int | None = None,
        precision: str = "float32",
        *,
        counts: float | None = None,
        counting: bool = False,
        fitted: NgramModel | None = None,
        window: int = WINDOW,
        windows: int = WINDOWS,
    ) -> None:
        self.codec = checkpoint.codec
        self.reset_every, self.counting = reset_every, counting
        self.unknown_nats = unknown_nats(checkpoint)
        self.model = Model.from_torch(checkpoint.config, checkpoint.parameters)
        rows = 1 if counting else rows or (STREAMS if self.codec.line_mode or reset_every else 1)
        self._windows = windows
        rows, window = fitting(rows, window, len(self.codec))
        self.team = team_for(rows, self.model.layout.size, threads)
        self._together = RowTeam(self.team)
        self._window = Window(self.model, window, rows, self.team, precision)
        self._window.pack()
        columns = self._window.sizes.columns
        self._mixture = mixture_of(checkpoint, rows, columns, counts, counting)
        if fitted is not None:
            self._mixture = fitted.mixture(rows, columns, fitted=True)
        self.start()

    @property
    def unknown_bits(self) -> float:
        """The cost in bits of a character that the model does not know."""
        return self.unknown_nats / math.log(2)

    def sums(self) -> np.ndarray:
        """Return the sums (KINDS, SUMS) that the n-gram model is fitted from, of what was read since the last call."""
        total: np.ndarray = self._mixture.sums.sum(axis=0)
        self._mixture.sums.fill(0)
        return total

    def start(self) -> None:
        """Begin a new text."""
        self._last = np.array([BOUNDARY], np.int32)
        self._state = np.zeros_like(self._window.state[:, :, 0])
        self._contexts = np.full(self._mixture.contexts.shape[1], -1, np.int32)
        self._read = 0

    def read(
        self, symbols: np.ndarray, with_ranks: bool = False, progress: Callable[[int], None] = lambda done: None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Score the next symbols of the text; return their losses (nats, float64) and, if `with_ranks`, their ranks.

        The rank of a symbol is the number of more probable ones. UNKNOWN costs `unknown_nats`, its rank is the number
        of all symbols, and the model does not read it. `progress` is called with the number of symbols just scored.

        Raises UsageError for a symbol that the model does not have.
        """
        if len(symbols) and symbols.max() >= len(self.codec):
            raise UsageError(f"there is no symbol {symbols.max()} in a vocabulary of {len(self.codec):,}")
        known = symbols >= 0
        ids = np.concatenate([self._last, symbols[known]])
        losses = np.zeros(len(ids) - 1, np.float32)
        ranks = np.zeros(len(losses) if with_ranks else 0, np.int32)
        window, contexts = self._window.sizes.length, self._mixture.contexts
        if self._mixture.counting:
            self._mixture = with_room(self._mixture, len(ids))
        for cuts in self._groups(ids):
            starts, ends = cuts[:-1], cuts[1:]
            self._window.state[:] = 0
            contexts[:] = NOTHING_READ[: contexts.shape[1]]
            if starts[0] == 0:
                self._window.state[:, :, 0], contexts[0] = self._state, self._contexts
            rows = ScoredRows(ids, starts, ends, losses, ranks, self.codec.line_mode, self._mixture)
            step = 0
            while (remaining := ends - starts - step).max() > 0:
                steps = min(window * self._windows, round_up(int(remaining.max()), window))
                self._run(rows, step, steps)
                step += steps
                progress(int(remaining.clip(0, steps).sum()))
            self._state = self._window.state[:, :, len(starts) - 1].copy()
            self._contexts = contexts[len(starts) - 1].copy()
        check_finite(losses)
        self._last = ids[-1:]
        self._read += len(losses)
        progress(len(symbols) - len(losses))
        all_losses = np.full(len(symbols), self.unknown_nats)
        all_losses[known] = losses
        all_ranks = np.full(len(symbols) if with_ranks else 0, len(self.codec), np.int32)
        if with_ranks:
            all_ranks[known] = ranks
        return all_losses, all_ranks

    def _run(self, rows: ScoredRows, step: int, steps: int) -> None:
        window = self._window
        args = (window.network, window.arrays, rows, (step, step + steps))
        if window.sizes.batch == 1 < self.team.threads:
            self._together.run(steps, score_together, *args)
        else:
            self.team.run(score_symbols, *args)

    def _groups(self, ids: np.ndarray) -> Iterator[np.ndarray]:
        """Yield the starts of rows to score side by side, with the end of the last one.

        The very first row continues from the state before the piece, and the last row leaves the state after it.
        """
        pairs, streams = len(ids) - 1, self._window.sizes.batch
        if pairs == 0:
            return
        if self.reset_every:
            cuts = np.arange(-(self._read % self.reset_every), pairs, self.reset_every).clip(0)
            if self._read % self.reset_every == 0:
                self._state[:], self._contexts = 0, NOTHING_READ[: len(self._contexts)]
            for first in range(0, len(cuts), streams):
                yield np.append(cuts[first : first + streams + 1], pairs)[: streams + 1]
        else:
            starts = np.concatenate([[0], np.flatnonzero(ids[1:-1] == BOUNDARY) + 1, [pairs]])
            # Beside one very long text, further rows would mostly be idle.
            streams = min(streams, max(1, 2 * pairs // int(np.diff(starts).max())))
            yield np.unique(row_starts(pairs, streams, starts, pairs))


def fitting(rows: int, window: int, size: int) -> tuple[int, int]:
    """Return the rows and the steps of a window whose outputs, for `size` symbols, take at most LOGITS bytes."""
    most = max(1, LOGITS // (4 * size))
    return min(rows, most), max(1, min(window, most // min(rows, most)))


def unknown_nats(checkpoint: Checkpoint) -> float:
    """Return the cost of a character that the model does not know: log(n + 1) + log(1,112,064 - V).

    That is an escape, as probable as one more character among the n of the training text, followed by one of the
    characters that the model lacks.
    """
    seen = checkpoint.record.get("corpus", {}).get("characters")
    escape = max(seen, 0) + 1 if isinstance(seen, int) else 1
    return math.log(escape) + math.log(max(1, SCALAR_VALUES - len(checkpoint.codec)))
