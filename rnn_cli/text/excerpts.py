"""Excerpts of a long text that stand for all of it, as its parts may differ."""

from __future__ import annotations

import numpy as np

from rnn_cli.text.codecs import BOUNDARY


def spread(ids: np.ndarray, most: int, piece: int, line_mode: bool) -> np.ndarray:
    """Return about `most` symbols after the first boundary, in pieces that are spread evenly; all of a shorter text.

    Pieces have `piece` symbols each; in line mode they are whole lines.
    """
    if len(ids) - 1 <= most:
        return ids
    starts = np.linspace(1, len(ids) - piece, max(1, most // piece)).astype(np.int64)
    pieces = [ids[start : start + piece] for start in starts]
    if line_mode:
        pieces = [part for part in map(whole_lines, pieces) if len(part)] or [ids[1 : most + 1]]
    return np.concatenate([ids[:1], *pieces])


def whole_lines(ids: np.ndarray) -> np.ndarray:
    """Return the symbols after the first boundary, up to the last one."""
    marks = np.flatnonzero(ids == BOUNDARY)
    return ids[marks[0] + 1 : marks[-1] + 1] if len(marks) else ids[:0]
