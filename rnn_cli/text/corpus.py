"""A text to train on: read twice, chunk by chunk, and kept as symbols. A corpus may be larger than the memory."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rnn_cli.config import check_range
from rnn_cli.errors import UsageError
from rnn_cli.text.documents import joined_names
from rnn_cli.text.holdout import scored_symbols, split_lines, split_stream
from rnn_cli.text.line_detection import beginning, detect_lines
from rnn_cli.text.sources import Source, changed, open_sources
from rnn_cli.text.spool import Spool
from rnn_cli.text.vocabulary import BOUNDARY, Vocabulary


@dataclass
class Corpus:
    """A text to train on and, where there is one, a part that is held out, as symbols with their boundaries.

    The arrays are of the smallest unsigned type that holds the vocabulary; Vocabulary.frame says what stands
    where. In line mode there are no empty lines. Characters are counted as they are scored, with the ends of
    lines. `digest` (SHA-256) tells texts apart, whatever the random seed. `mode_reason` says why the text is
    read as lines or not, `split_reason` what is held out, or why nothing is.
    """

    name: str
    digest: str
    vocabulary: Vocabulary
    training: np.ndarray
    validation: np.ndarray | None
    mode_reason: str
    split_reason: str
    dropped_lines: int
    validation_unknown: int

    @cached_property
    def characters(self) -> int:
        """The number of symbols that an epoch of training scores."""
        return scored_symbols(self.training, self.vocabulary.lines)

    @cached_property
    def validation_characters(self) -> int:
        """The number of symbols that are held out."""
        return 0 if self.validation is None else scored_symbols(self.validation, self.vocabulary.lines)


def load_corpus(
    paths: Sequence[str],
    *,
    as_bytes: bool,
    lines: bool | None,
    validation_fraction: float | None,
    validation_files: Sequence[str] | None = None,
    random_seed: int,
) -> Corpus:
    """Read files ("-" is stdin) as a corpus. Where `lines` is None, the text decides how it is read.

    Held out are the `validation_files` or, without them, a fraction: the last part of a stream, a random
    choice of lines. Without any it is a tenth, but nothing of a short stream, which is needed whole. Raises
    UsageError for a file that cannot be read or decoded, and for nothing to predict.
    """
    if isinstance(paths, str):
        raise UsageError("give a list of files; one file is a list of one")
    if validation_fraction is not None:
        check_range("validation_fraction", validation_fraction, 0.0, 0.9)
    sources = open_sources([*paths, *(validation_files or ())])
    texts, held_out = sources[: len(paths)], sources[len(paths) :]
    name = joined_names([source.name for source in texts])
    digest = hashlib.sha256(f"{len(texts)} ".encode())

    reason = "as it was asked for"
    if lines is None:
        starts = (beginning(text.chunks()) if as_bytes else beginning(text.characters()) for text in texts)
        lines, reason = detect_lines(starts)
    vocabulary = Vocabulary.of_bytes(lines) if as_bytes else read_vocabulary(texts, held_out, lines)
    ids, dropped, unknown = encode(vocabulary, texts, digest)
    if unknown:
        raise changed(name)
    check_predictable(ids, lines, name)

    training, validation = ids, None
    if validation_files:
        validation, _, unknown = encode(vocabulary, held_out, digest)
        split_reason = joined_names([source.name for source in held_out])
        if scored_symbols(validation, lines) == 0:
            raise UsageError(f"{split_reason} has no character that is in {name}; give another text to validate on")
    else:
        split = split_lines(ids, validation_fraction, random_seed) if lines else split_stream(ids, validation_fraction)
        training, validation, split_reason = split
    return Corpus(name, digest.hexdigest(), vocabulary, training, validation, reason, split_reason, dropped, unknown)


def read_vocabulary(texts: Sequence[Source], held_out: Sequence[Source], lines: bool) -> Vocabulary:
    """Return the characters of texts, having seen that what is held out can be decoded too."""
    vocabulary = Vocabulary.of_characters((part for source in texts for part in source.characters()), lines)
    for source in held_out:
        for _ in source.characters():
            pass
    return vocabulary


def encode(vocabulary: Vocabulary, sources: Sequence[Source], digest: hashlib._Hash) -> tuple[np.ndarray, int, int]:
    """Return texts as symbols with boundaries, and how many empty lines and unknown symbols were left out."""
    dropped = unknown = 0
    boundary = np.full(1, BOUNDARY, vocabulary.dtype)
    with Spool() as spool:
        if vocabulary.lines:
            spool.write(boundary)
        for source in sources:
            digest.update(f"{source.size} ".encode())
            if not vocabulary.lines:
                spool.write(boundary)
            ended = True  # whether the last symbol is the end of a line
            read = source.chunks if vocabulary.symbols is None else source.characters
            for part in read(digest.update):
                ids = vocabulary.encode_known(part)
                unknown += len(part) - len(ids)
                if vocabulary.lines and len(ids):
                    kept = without_empty_lines(ids, ended)
                    dropped += len(ids) - len(kept)
                    ended = bool(ids[-1] == BOUNDARY)
                    ids = kept
                spool.write(ids)
            if vocabulary.lines and not ended:
                spool.write(boundary)
        return spool.array(vocabulary.dtype), dropped, unknown


def without_empty_lines(ids: np.ndarray, ended: bool) -> np.ndarray:
    """Return symbols without the boundaries that follow another one; `ended` says whether one stands before."""
    ends = ids == BOUNDARY
    empty = ends & np.append(ended, ends[:-1])
    return ids[~empty] if empty.any() else ids


def check_predictable(ids: np.ndarray, lines: bool, name: str) -> None:
    """Raise UsageError for a text with nothing to predict."""
    scored = scored_symbols(ids, lines)
    if scored == 0:
        raise UsageError(f"{name} is empty; give a text with at least two characters")
    if scored == 1:
        raise UsageError(f"{name} has a single character, so there is nothing to predict; give a longer text")
