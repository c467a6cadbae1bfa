"""States of a follow table (`Codec.follow_table`), the automaton that says which symbols may come next."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rnn_cli.text.codecs import FORBIDDEN

LONGEST = 4  # bytes of a character


def state_after(table: np.ndarray, ids: Sequence[int] | np.ndarray) -> int:
    """Return the automaton's state after symbols, allowed or not: an invalid sequence resets the automaton."""
    state = 0
    for symbol in ids[-LONGEST:]:
        following = table[state, symbol]
        if following == FORBIDDEN:
            following = table[0, symbol]
        state = 0 if following == FORBIDDEN else int(following)
    return state


def unfinished(table: np.ndarray, ids: Sequence[int] | np.ndarray) -> int:
    """Return the number of symbols at the end that begin a character and do not complete it."""
    if state_after(table, ids) == 0:
        return 0
    return next(count for count in range(1, LONGEST) if table[0, ids[-count]] not in (0, FORBIDDEN))
