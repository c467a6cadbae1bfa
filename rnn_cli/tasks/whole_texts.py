"""Batches of whole texts: several of them in a row, each from the zero state, so that little is padding.

A network that reads backwards as well, or the mean of a text, needs every text whole in one window of T steps. Packed
into rows of T steps, short texts fill a window almost completely:

    texts of 5, 4, 3, 3 and 2 symbols, T = 9        0 1 2 3 4 0 1 2 3
                                                    0 1 2 0 1 2 0 1 -

Which lengths share a row is the same in every epoch; which texts of these lengths do, and which rows share a batch, is
drawn anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from rnn_cli.errors import CheckpointError, UsageError
from rnn_cli.kernels.threads import Team
from rnn_cli.network.model import Model
from rnn_cli.network.workspace import IGNORED, Batch, Window
from rnn_cli.rng import WHOLE_TEXTS, generator
from rnn_cli.training.task import Batches

LONGEST = 4096  # symbols of a text, at most: the most steps that a window has
ANSWERED = 16_384  # positions of a window that answers; more texts take several windows
SMALLEST_WINDOW = 16  # steps
KEPT_WINDOWS = 4
LEAST_PROBABILITY = 2.0**-126  # below it, float32 loses digits


class Texts(NamedTuple):
    """Texts as symbols, one after the other, and what is to be answered at each symbol.

    symbols (N,)      int32, each text with its boundary, if it has one
    targets (N,)      int32, IGNORED (-1) if nothing is answered at this symbol
    starts  (n + 1,)  int64, the first symbol of each text, and N
    """

    symbols: np.ndarray
    targets: np.ndarray
    starts: np.ndarray

    @classmethod
    def join(cls, symbols: Sequence[np.ndarray], targets: Sequence[np.ndarray]) -> Texts:
        """Return texts from the symbols and the targets of each. Raises UsageError if the two differ in length."""
        lengths = np.fromiter(map(len, symbols), np.int64, len(symbols))
        if [len(row) for row in targets] != lengths.tolist():
            raise UsageError("each text needs a target for each of its symbols, -1 for none")
        nothing = [np.zeros(0, np.int32)]
        return cls(
            np.concatenate([*symbols, *nothing]).astype(np.int32),
            np.concatenate([*targets, *nothing]).astype(np.int32),
            np.concatenate([[0], np.cumsum(lengths)]),
        )

    @classmethod
    def labelled(cls, symbols: Sequence[np.ndarray], labels: Sequence[int] | np.ndarray) -> Texts:
        """Return texts with one label each, the target of its last symbol."""
        texts = cls.join(symbols, [np.full(len(text), IGNORED, np.int32) for text in symbols])
        texts.targets[texts.starts[1:] - 1] = labels
        return texts

    @property
    def text_count(self) -> int:
        """The number of texts."""
        return len(self.starts) - 1

    @property
    def lengths(self) -> np.ndarray:
        """The number of symbols of each text."""
        return np.diff(self.starts)

    @property
    def scored(self) -> int:
        """The number of symbols with a target."""
        return int(np.count_nonzero(self.targets >= 0))

    def take(self, chosen: np.ndarray) -> Texts:
        """Return some of the texts, in the order of their indices."""
        lengths = self.lengths[chosen]
        starts = np.concatenate([[0], np.cumsum(lengths)])
        positions = np.repeat(self.starts[chosen] - starts[:-1], lengths) + np.arange(starts[-1])
        return Texts(self.symbols[positions], self.targets[positions], starts)

    def place(self, rows: np.ndarray, offsets: np.ndarray, length: int, batch_size: int) -> tuple[Batch, np.ndarray]:
        """Return a batch with each text in its row from its offset on, and where each symbol is: (N,), t * B + row."""
        lengths, begins = self.lengths, self.starts[:-1]
        steps = np.repeat(offsets - begins, lengths) + np.arange(len(self.symbols))
        where = steps * batch_size + np.repeat(rows, lengths)
        shape = (length, batch_size)
        inputs, starts = np.zeros(shape, np.int32), np.ones(shape, np.uint8)
        targets = np.full(shape, IGNORED, np.int32)
        inputs.ravel()[where] = self.symbols
        targets.ravel()[where] = self.targets
        starts.ravel()[where] = 0
        starts[offsets, rows] = 1
        return Batch(inputs, starts, targets), where


def pack(lengths: np.ndarray, capacity: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a row and the first step in it for each length, so that rows of `capacity` steps are nearly full.

    Best fit decreasing: the longest texts come first, and each goes where it leaves the least room. Rows are numbered
    in the order in which they are begun. Raises UsageError for a text that is longer than a row.
    """
    if len(lengths) and lengths.max() > capacity:
        raise UsageError(f"a text has {lengths.max():,} symbols, and `sequence_length` is {capacity:,}; give more")
    rows, offsets = np.zeros(len(lengths), np.int64), np.zeros(len(lengths), np.int64)
    order = np.argsort(-lengths, kind="stable")
    sizes, firsts = np.unique(-lengths[order], return_index=True)
    open_rows: dict[int, np.ndarray] = {}  # by the room that is left in them
    begun = 0
    for size, texts in zip((-sizes).tolist(), np.split(order, firsts[1:])):
        for room in sorted(left for left in open_rows if left >= size):
            found, fitting = open_rows.pop(room), room // size
            used, rest = np.split(found, [-(-len(texts) // fitting)])
            texts = fill(rows, offsets, texts, used, capacity - room, size, fitting, capacity, open_rows)
            if len(rest):
                open_rows[room] = rest
            if not len(texts):
                break
        fitting = capacity // size
        new = np.arange(begun, begun - (-len(texts) // fitting))
        begun += len(new)
        fill(rows, offsets, texts, new, 0, size, fitting, capacity, open_rows)
    return rows, offsets


def fill(
    rows: np.ndarray,
    offsets: np.ndarray,
    texts: np.ndarray,
    used: np.ndarray,
    first: int,
    size: int,
    fitting: int,
    capacity: int,
    open_rows: dict[int, np.ndarray],
) -> np.ndarray:
    """Put up to `fitting` texts of one size into each of the rows `used`, from step `first` on; return the others."""
    placed = texts[: len(used) * fitting]
    number = np.arange(len(placed))
    rows[placed] = used[number // fitting]
    offsets[placed] = first + size * (number % fitting)
    counts = np.bincount(number // fitting, minlength=len(used))
    for count in np.unique(counts).tolist():
        left = capacity - first - size * count
        if left:
            open_rows[left] = np.concatenate([open_rows.get(left, used[:0]), used[counts == count]])
    return texts[len(placed) :]


class WholeTextBatches(Batches):
    """Windows of whole texts; each depends on nothing but the number of its step. An epoch reads every text once.

    `random_seed` None: the same order in every epoch, as validation wants it. `fill_rate` is the share of the positions
    that are not padding.
    """

    def __init__(self, texts: Texts, batch_size: int, sequence_length: int, random_seed: int | None = None) -> None:
        """Take texts, at least one. Raises UsageError if one is longer than `sequence_length`."""
        self.texts, self.sequence_length, self.random_seed = texts, sequence_length, random_seed
        lengths = texts.lengths
        # A slot is a place for a text of one length. Slots, longest first, as texts are when an epoch is arranged.
        self._by_length = np.argsort(-lengths, kind="stable")
        rows, offsets = pack(lengths, sequence_length)
        self._rows, self._offsets = rows[self._by_length], offsets[self._by_length]
        self._row_count = int(rows.max()) + 1
        self.steps_per_epoch = -(-self._row_count // batch_size)
        self.batch_size = -(-self._row_count // self.steps_per_epoch)  # rows are spread evenly over the steps
        self.units_per_epoch = texts.scored
        self.fill_rate = len(texts.symbols) / (self._row_count * sequence_length)
        self._epoch = -1

    def batch(self, step: int) -> Batch:
        """Return the batch of a step."""
        epoch, index = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._arrange(epoch)
        first, last = (number * self._row_count // self.steps_per_epoch for number in (index, index + 1))
        slots = self._slots[self._cuts[first] : self._cuts[last]]
        texts = self.texts.take(self._order[slots])
        rows = self._row_order[self._rows[slots]] - first
        return texts.place(rows, self._offsets[slots], self.sequence_length, last - first)[0]

    def _arrange(self, epoch: int) -> None:
        """Choose a text for each slot, and the order of the rows."""
        self._order, self._row_order = self._by_length, np.arange(self._row_count)
        if self.random_seed is not None:
            draws = generator([self.random_seed, WHOLE_TEXTS, epoch])
            self._order = np.lexsort((draws.random(self.texts.text_count), -self.texts.lengths))
            self._row_order = draws.permutation(self._row_count)
        rows = self._row_order[self._rows]
        self._slots = np.argsort(rows, kind="stable")
        self._cuts = np.searchsorted(rows[self._slots], np.arange(self._row_count + 1))
        self._epoch = epoch


class Reader:
    """Answers at the scored symbols of texts with the probabilities of all outputs. Texts do not see each other."""

    def __init__(self, model: Model, team: Team, precision: str = "float32") -> None:
        self.model, self.team, self.precision = model, team, precision
        self._windows: dict[tuple[int, int], Window] = {}
        self._packed: set[tuple[int, int]] = set()

    def changed(self) -> None:
        """Take note that the weights of the model are other ones than before."""
        self._packed.clear()

    def probabilities(self, texts: Texts) -> np.ndarray:
        """Return the probabilities (scored symbols, outputs), float64, in the order of the symbols.

        Raises UsageError for a text of more than LONGEST symbols, CheckpointError if the outputs are not finite.
        """
        answers = np.zeros((texts.scored, self.model.config.output_size))
        asked = texts.targets >= 0
        indices = np.cumsum(asked) - 1  # of the answer at each symbol that has one
        for length, chosen in groups_by_length(texts.lengths):
            part = texts.take(chosen)
            rows, offsets = pack(part.lengths, length)
            positions = np.repeat(texts.starts[chosen] - part.starts[:-1], part.lengths) + np.arange(len(part.symbols))
            most = max(1, ANSWERED // length)
            for first in range(0, int(rows.max()) + 1, most):
                inside = np.flatnonzero((rows >= first) & (rows < first + most))
                own = part.take(inside)
                batch, where = own.place(
                    rows[inside] - first, offsets[inside], length, int(rows[inside].max()) - first + 1
                )
                taken = positions[positions_of(part, inside)]
                answering = own.targets >= 0
                answers[indices[taken[answering]]] = self._run(batch, where[answering])
        return answers

    def _run(self, batch: Batch, where: np.ndarray) -> np.ndarray:
        """Return the probabilities at some positions (t * B + row) of a batch."""
        length, rows = batch.starts.shape
        window = self._window(length, 1 << (rows - 1).bit_length())
        scored = np.where(batch.targets >= 0, 0, IGNORED).astype(np.int32)
        window.load(batch._replace(targets=scored))
        window.state.fill(0)
        window.score()
        steps, row = np.divmod(where, rows)
        # The kernel leaves the gradient in the logits: the probabilities, less 1 at the target, which is output 0.
        losses = window.losses[steps, row].astype(np.float64)
        answers = window.logits[steps, row, : self.model.config.output_size].astype(np.float64)
        answers[:, 0] = np.exp(-losses)
        if not (np.isfinite(losses).all() and np.isfinite(answers).all()):
            raise CheckpointError("the model's outputs are not finite: its weights overflow")
        return np.maximum(answers, LEAST_PROBABILITY)

    def _window(self, length: int, rows: int) -> Window:
        """Return a window of this size, with the weights packed."""
        size = (length, rows)
        if size not in self._windows:
            while len(self._windows) >= KEPT_WINDOWS:
                oldest = next(iter(self._windows))
                del self._windows[oldest]
                self._packed.discard(oldest)
            self._windows[size] = Window(self.model, length, rows, self.team, self.precision)
        if size not in self._packed:
            self._windows[size].pack()
            self._packed.add(size)
        return self._windows[size]


def groups_by_length(lengths: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the length of a window, a power of 2, and the texts that it suits. Raises UsageError for a longer one."""
    if len(lengths) and lengths.max() > LONGEST:
        raise UsageError(f"a text has {lengths.max():,} symbols, and the limit is {LONGEST:,}; cut it")
    done = np.zeros(len(lengths), bool)
    length = SMALLEST_WINDOW
    while not done.all():
        chosen = ~done & (lengths <= length)
        if chosen.any():
            yield length, np.flatnonzero(chosen)
        done |= chosen
        length *= 2


def positions_of(texts: Texts, chosen: np.ndarray) -> np.ndarray:
    """Return the positions of the symbols of some texts, text after text."""
    lengths = texts.lengths[chosen]
    ends = np.cumsum(lengths)
    return np.repeat(texts.starts[chosen] - ends + lengths, lengths) + np.arange(int(lengths.sum()))


def window_length(lengths: np.ndarray, least: int = 32) -> int:
    """Return steps for the rows of a training: those of the longest text, at least `least`, at most LONGEST."""
    return int(min(max(lengths.max(initial=1), least), LONGEST))
