"""The states of a network after each symbol that it has read, so that it need not read a text twice."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import NamedTuple

import numpy as np

from rnn_cli.language.stepper import Prompt, ReadState, Stepper

MEGABYTE = 1 << 20
MOST_BYTES = 64 * MEGABYTE  # of kept states: 16,000 of two layers of 256
OVERHEAD = 400  # bytes of a kept state beside its numbers
SPACING = 64  # symbols between two states that are kept longer: to return to any place, so many are read at most
DENSE = 256  # symbols before the cursor after each of which a state is kept
START = b""  # the key of a text without symbols


class Kept(NamedTuple):
    """The state after a symbol, and what that symbol cost, in nats."""

    read: ReadState
    loss: float

    @property
    def nbytes(self) -> int:
        """The memory that it needs."""
        return self.read.network.nbytes + self.read.contexts.nbytes + OVERHEAD


class KeptStates:
    """States by the symbols that led to them. The ones used longest ago are dropped if all need too many bytes.

    Each SPACING-th of a text is dropped last, so that one is never far.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most = most_bytes
        self._near: OrderedDict[bytes, Kept] = OrderedDict()
        self._spaced: OrderedDict[bytes, Kept] = OrderedDict()

    def get(self, key: bytes) -> Kept | None:
        """Return a state, or None if it was not kept."""
        for states in (self._near, self._spaced):
            if key in states:
                states.move_to_end(key)
                return states[key]
        return None

    def put(self, key: bytes, kept: Kept, position: int) -> None:
        """Keep a state after `position` symbols."""
        most = self._most // kept.nbytes
        spaced = max(1, most // 4)
        states, most = (self._spaced, spaced) if position % SPACING == 0 else (self._near, max(1, most - spaced))
        states[key] = kept
        while len(states) > most:
            states.popitem(last=False)

    def __contains__(self, key: bytes) -> bool:
        return key in self._near or key in self._spaced

    @property
    def bytes(self) -> int:
        """The memory that the states need."""
        return sum(kept.nbytes for states in (self._near, self._spaced) for kept in states.values())


class Reader:
    """Reads texts with the first row of a stepper, and keeps the states.

    ids     the symbols of the longest text up to now of which the last one was the beginning
    losses  what each of them cost after those before it, in nats; NaN if that is not known any more
    """

    def __init__(self, stepper: Stepper, states: KeptStates | None = None) -> None:
        self.stepper, self.states = stepper, states or KeptStates()
        self.ids = np.zeros(0, np.int32)
        self.losses = np.zeros(0, np.float64)
        self._keys = [START]  # of the first 0, 1, 2, ... symbols
        stepper.begin(0, Prompt(np.zeros(0, np.int32)), 0)
        self._start = Kept(stepper.state(0), 0.0)

    def read(self, ids: np.ndarray, cancelled: Callable[[], bool] = lambda: False) -> Kept | None:
        """Return the state after symbols, reading those after which none is kept; None if `cancelled` meanwhile."""
        self._follow(ids)
        count = len(ids)
        done = next((index for index in range(count, 0, -1) if self._keys[index] in self.states), 0)
        kept = self.states.get(self._keys[done]) if done else self._start
        assert kept is not None
        if done < count:
            self._restore(kept)
        while done < count:
            if cancelled():
                return None
            size = 1 if count - done <= DENSE else min(SPACING - done % SPACING, count - DENSE - done)
            self.losses[done : done + size] = self.stepper.read(ids[done : done + size])
            done += size
            kept = Kept(self.stepper.state(0), float(self.losses[done - 1]))
            if size == 1 or done % SPACING == 0:
                self.states.put(self._keys[done], kept, done)
        return kept

    def _restore(self, kept: Kept) -> None:
        self.stepper.begin(0, Prompt(np.zeros(0, np.int32), network_state=kept.read), 0)

    def _follow(self, ids: np.ndarray) -> None:
        """Make `ids` the beginning of the own symbols, which stay if it is their beginning already."""
        size = min(len(ids), len(self.ids))
        others = np.flatnonzero(self.ids[:size] != ids[:size])
        same = int(others[0]) if len(others) else size
        if same == len(ids):
            return
        del self._keys[same + 1 :]
        self._keys.extend(keys_after(self._keys[-1], ids[same:].tolist()))
        found = [self.states.get(key) for key in self._keys[same + 1 :]]
        losses = [np.nan if kept is None else kept.loss for kept in found]
        self.ids, self.losses = ids.copy(), np.concatenate([self.losses[:same], losses])


def keys_after(key: bytes, symbols: Sequence[int]) -> list[bytes]:
    """Return the keys of longer and longer texts: each is a digest of the one before and of the symbol."""
    keys = []
    for symbol in symbols:
        key = blake2b(key + symbol.to_bytes(4, "little"), digest_size=16).digest()
        keys.append(key)
    return keys
