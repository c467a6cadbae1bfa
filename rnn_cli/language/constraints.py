"""What may follow what in a text, as a table: the state that each symbol leads to, or FORBIDDEN.

State 0 is between characters. In a model of bytes the others are inside a character of UTF-8 (RFC 3629, section 4).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rnn_cli.errors import UsageError
from rnn_cli.kernels.text.generate import FORBIDDEN
from rnn_cli.text.vocabulary import BOUNDARY, Vocabulary

# (state, first byte, last byte, next state): in states 1 to 3 as many more bytes are to come; in 4 to 7 one, two or
# three are, the first of which is limited, so that no character is written too long, too large, or as a surrogate.
UTF8 = (
    (0, 0x00, 0x7F, 0),
    (0, 0xC2, 0xDF, 1),
    (0, 0xE0, 0xE0, 4),
    (0, 0xE1, 0xEF, 2),
    (0, 0xED, 0xED, 5),
    (0, 0xF0, 0xF0, 6),
    (0, 0xF1, 0xF3, 3),
    (0, 0xF4, 0xF4, 7),
    (1, 0x80, 0xBF, 0),
    (2, 0x80, 0xBF, 1),
    (3, 0x80, 0xBF, 2),
    (4, 0xA0, 0xBF, 1),
    (5, 0x80, 0x9F, 1),
    (6, 0x90, 0xBF, 2),
    (7, 0x80, 0x8F, 2),
)
STATES = 8
LONGEST = 4  # bytes of a character


def follow_table(vocabulary: Vocabulary, forbidden: str = "", valid_utf8: bool = True) -> np.ndarray:
    """Return the table (states, V) uint8 for a model that draws none of the characters of `forbidden`.

    Characters that the model does not know are never drawn anyway. Raises UsageError where nothing is left, and for a
    model of bytes where one of them is not ASCII, as its bytes are part of other characters too.
    """
    if vocabulary.symbols is None and valid_utf8:
        table = np.full((STATES, len(vocabulary)), FORBIDDEN, np.uint8)
        for state, first, last, following in UTF8:
            table[state, 1 + first : 2 + last] = following
        table[0, BOUNDARY] = 0
    else:
        table = np.zeros((1, len(vocabulary)), np.uint8)
    if not vocabulary.lines:
        table[:, BOUNDARY] = FORBIDDEN
    if vocabulary.symbols is None and vocabulary.lines:
        table[:, 1 + ord("\n")] = FORBIDDEN  # the newline of a line is its boundary
    if vocabulary.symbols is None and not forbidden.isascii():
        raise UsageError("`forbid` takes only ASCII characters for a model of bytes; leave the others out")
    symbols = vocabulary.encode(forbidden)
    table[:, symbols[symbols > BOUNDARY]] = FORBIDDEN
    if (table[0, BOUNDARY + 1 :] == FORBIDDEN).all():
        raise UsageError("`forbid` leaves no character to sample; forbid fewer")
    return table


def state_after(table: np.ndarray, ids: Sequence[int] | np.ndarray) -> int:
    """Return the state after symbols, which need not be allowed: what cannot go on is left behind."""
    state = 0
    for symbol in ids[-LONGEST:]:
        following = table[state, symbol]
        if following == FORBIDDEN:
            following = table[0, symbol]
        state = 0 if following == FORBIDDEN else int(following)
    return state


def unfinished(table: np.ndarray, ids: Sequence[int] | np.ndarray) -> int:
    """Return how many symbols at the end are the beginning of a character that does not end there."""
    if state_after(table, ids) == 0:
        return 0
    return next(count for count in range(1, LONGEST) if table[0, ids[-count]] not in (0, FORBIDDEN))
