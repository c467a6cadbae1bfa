"""Hold-out split: the last part of a stream, or random lines. Equal lines are never on both sides."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rnn_cli.rng import HELD_OUT, generator
from rnn_cli.text.codecs import BOUNDARY
from rnn_cli.text.spool import PIECE, Spool, pieces

DEFAULT_FRACTION = 0.1
FEWEST_LINES = 20  # below this, nothing is held out
# Of a stream below this, nothing is held out if it was not asked for: to learn from the last tenth too is worth 0.04 to
# 0.05 bits per character at 10,000 and 30,000 characters of tinyshakespeare, more than what validation saves.
FEWEST_OF_STREAM = 50_000
FEWEST_CHARACTERS = 100  # in a held-out part
HASH_BASE = np.uint64(0x9E3779B97F4A7C15)  # odd, so that no power is 0
MOST_SYMBOLS = 1 << 21  # in a vocabulary
HASHES_AT_A_TIME = 1 << 19  # lines whose hashes are sorted together
COPY_SAMPLES, COPY_LENGTH = 16, 100  # runs, and symbols in each, by which a held-out part is compared with the rest
LONGEST_SEARCHED = 1 << 26  # symbols of a text in which they are searched for

Split = tuple[np.ndarray, np.ndarray | None, str]


def boundaries(ids: np.ndarray) -> int:
    """Return the number of boundaries among symbols."""
    return sum(len(piece) - int(np.count_nonzero(piece)) for piece in pieces(ids))


def scored_symbols(ids: np.ndarray, line_mode: bool) -> int:
    """Return the number of symbols of a text that are scored: in a stream, the boundaries are not."""
    return len(ids) - 1 if line_mode else len(ids) - boundaries(ids)


def split_lines(ids: np.ndarray, fraction: float | None, random_seed: int, texts: str = "lines") -> Split:
    """Return the lines to train on, those to hold out, each in their order, and what was done.

    Of distinct lines the fraction is held out; a repeated line goes where its first occurrence goes. `texts` is what
    the message calls the lines.
    """
    fraction, count = DEFAULT_FRACTION if fraction is None else fraction, boundaries(ids) - 1
    if fraction == 0:
        return ids, None, "none (as requested)"
    repeats, firsts = repeated_lines(ids, count)
    distinct = count - len(repeats)
    if distinct < FEWEST_LINES:
        different = " different" if len(repeats) else ""
        return ids, None, f"none (fewer than {FEWEST_LINES}{different} {texts})"
    reason = f"of {count:,} {texts}, at random"
    drawn = held_lines(distinct, fraction, random_seed)
    if len(repeats):
        drawn = iter([with_repeats(count, np.concatenate([*drawn]), repeats, firsts)])
        reason += f" but equal ones together; {len(repeats):,} of {count:,} {texts} are repeats"
    waiting, continues, total = np.zeros(0, bool), False, 0  # `continues`: the piece begins within a line that is held
    with Spool() as training, Spool() as validation:
        for piece in pieces(ids[:-1]):
            starts = np.flatnonzero(piece == BOUNDARY)  # a line goes with the boundary before it
            if len(waiting) < len(starts):
                waiting = np.concatenate([waiting, next(drawn)])
            held, waiting = np.append(continues, waiting[: len(starts)]), waiting[len(starts) :]
            held_symbols = np.repeat(held, np.diff(starts, prepend=0, append=len(piece)))
            training.write(piece[~held_symbols])
            validation.write(piece[held_symbols])
            total += int(np.count_nonzero(held[1:]))
            continues = held[-1]
        training.write(ids[-1:])
        validation.write(ids[-1:])
        return training.array(ids.dtype), validation.array(ids.dtype), f"{total:,} {reason}"


def with_repeats(count: int, held: np.ndarray, repeats: np.ndarray, firsts: np.ndarray) -> np.ndarray:
    """Return for each line whether it is held out, given that for each distinct one, in order of first occurrence."""
    is_first = np.ones(count, bool)
    is_first[repeats] = False
    index = np.cumsum(is_first) - 1
    index[repeats] = index[firsts]
    return held[index]


def repeated_lines(ids: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices of lines that occurred before, and for each the index of its first occurrence.

    The hashes of all lines are kept as a corpus is; only HASHES_AT_A_TIME of them are sorted together.
    """
    with Spool() as spool:
        for hashes in line_hashes(ids):
            spool.write(hashes)
        hashes = spool.array(np.dtype(np.uint64))
    bits = max(0, count - 1).bit_length() - (HASHES_AT_A_TIME.bit_length() - 1)
    found = [repeats_in_part(hashes, part, max(bits, 0)) for part in range(1 << max(bits, 0))]
    return np.concatenate([repeats for repeats, _ in found]), np.concatenate([firsts for _, firsts in found])


def repeats_in_part(hashes: np.ndarray, part: int, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Return what `repeated_lines` does, of the hashes that begin with these bits."""
    indices, values, offset = [np.zeros(0, np.int64)], [np.zeros(0, np.uint64)], 0
    for piece in pieces(hashes):
        chosen = np.arange(len(piece)) if bits == 0 else np.flatnonzero(piece >> np.uint64(64 - bits) == part)
        indices.append((chosen + offset).astype(np.int64))
        values.append(piece[chosen])
        offset += len(piece)
    value = np.concatenate(values)
    ordered = np.sort(value)
    if (ordered[1:] != ordered[:-1]).all():
        return indices[0], indices[0]
    index, order = np.concatenate(indices), np.argsort(value, kind="stable")
    is_repeat = np.append(False, ordered[1:] == ordered[:-1])
    first = np.maximum.accumulate(np.where(is_repeat, 0, np.arange(len(order))))
    return index[order[is_repeat]], index[order[first[is_repeat]]]


def line_hashes(ids: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the hashes (uint64) of the lines of a text with its boundaries, those that end in a piece at a time.

    The hash of a line is the sum of m(symbol) r^position modulo 2^64, with a random number m for each symbol.
    """
    random = np.random.default_rng(0).integers(1, 1 << 63, min(1 + int(np.iinfo(ids.dtype).max), MOST_SYMBOLS))
    mixed = 2 * random.astype(np.uint64) + np.uint64(1)
    mixed[BOUNDARY] = 0
    powers = np.multiply.accumulate(np.append(np.uint64(1), np.full(PIECE, HASH_BASE, np.uint64)))
    pending, offset = np.zeros(1, np.uint64), 0  # the hash and the length of a line that goes on in the next piece
    for piece in pieces(ids[1:]):
        starts = np.append(0, np.flatnonzero(piece == BOUNDARY) + 1)
        lengths = np.diff(starts, append=len(piece))
        position = np.arange(len(piece)) - np.repeat(starts, lengths)
        sums = np.append(mixed[piece] * powers[position], np.uint64(0))  # so that the last line may be empty
        hashes = np.add.reduceat(sums, starts)
        hashes[:1] = hashes[:1] * np.uint64(pow(int(HASH_BASE), offset, 1 << 64)) + pending
        pending = hashes[-1:]
        offset = int(lengths[-1]) + (offset if len(starts) == 1 else 0)
        yield hashes[:-1]


def lines_in_both(training: np.ndarray, validation: np.ndarray) -> int:
    """Return the number of lines of a validation text that are in the training text too."""
    wanted = np.concatenate([np.zeros(0, np.uint64), *line_hashes(validation)])
    values, counts = np.unique(wanted, return_counts=True)
    if not len(values):
        return 0
    seen = np.zeros(len(values), bool)
    for hashes in line_hashes(training):
        place = np.searchsorted(values, hashes).clip(0, len(values) - 1)
        seen[place[values[place] == hashes]] = True
    return int(counts[seen].sum())


def copied_samples(training: np.ndarray, validation: np.ndarray) -> int:
    """Return how many of COPY_SAMPLES runs of COPY_LENGTH symbols of the validation text are in the training text.

    0 if the texts are too short for that, or so long that it would take more than about a second.
    """
    if len(validation) < 2 * COPY_LENGTH or len(training) > LONGEST_SEARCHED:
        return 0
    starts = np.linspace(1, len(validation) - COPY_LENGTH, COPY_SAMPLES).astype(int)
    runs = {validation[start : start + COPY_LENGTH].tobytes() for start in starts}
    wanted = {run for run in runs if len(set(run)) > 2}  # a run of one symbol says nothing
    found, before = set[bytes](), training[:0]
    for piece in pieces(training):
        part = np.concatenate([before, piece])
        data = part.tobytes()
        found |= {run for run in wanted - found if data.find(run) % part.itemsize == 0 and run in data}
        before = part[-COPY_LENGTH:]
    return len(found)


def held_lines(count: int, fraction: float, random_seed: int) -> Iterator[np.ndarray]:
    """Yield for each line whether it is held out, for at least as many lines at a time as a piece can hold."""
    draws = generator([random_seed, HELD_OUT])
    for first in range(0, count, PIECE):
        held = np.zeros(min(PIECE, count - first), bool)
        held[draws.permutation(len(held))[: max(1, round(fraction * len(held)))]] = True
        yield held


def split_stream(ids: np.ndarray, fraction: float | None, symbols: str = "characters") -> Split:
    """Return the first part, to train on, the last part, with a boundary before it, and what was done.

    `symbols` is what the message calls the symbols.
    """
    if fraction is None and len(ids) < FEWEST_OF_STREAM:
        return ids, None, "none (text too short)"
    fraction = DEFAULT_FRACTION if fraction is None else fraction
    if fraction == 0:
        return ids, None, "none (as requested)"
    cut = len(ids) - round(fraction * len(ids))
    training, rest = ids[:cut], ids[cut:]
    count = scored_symbols(rest, line_mode=False)
    if count < FEWEST_CHARACTERS:
        return ids, None, f"none (it would have fewer than {FEWEST_CHARACTERS} {symbols})"
    reason = f"the last {count:,} of {scored_symbols(training, line_mode=False) + count:,} {symbols}"
    copied = copied_samples(training, rest)
    if 2 * copied >= COPY_SAMPLES:
        reason += (
            f", but {copied} of {COPY_SAMPLES} samples of them are in the rest word for word: "
            "validate on another text to see what is learned"
        )
    if rest[0] == BOUNDARY:  # it begins with a document
        return training, rest, reason
    with Spool() as validation:
        validation.write(ids[:1])
        for piece in pieces(rest):
            validation.write(piece)
        return training, validation.array(ids.dtype), reason
