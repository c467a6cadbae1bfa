"""Text in: reading files, deciding what a text is, turning it into symbols, and holding a part out."""

from __future__ import annotations

import codecs
import hashlib
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from rnn_cli.config import check_range
from rnn_cli.errors import UsageError
from rnn_cli.vocabulary import BOUNDARY, Vocabulary

LOOK_AT = 1 << 20  # characters that the detection of lines reads
LONGEST_LINE = 120  # characters
SENTENCE_ENDS = tuple(",.;:!?")
FEWEST_LINES = 20  # below this, nothing is held out
FEWEST_CHARACTERS = 100  # in a held-out part
OTHER_ENCODINGS = {
    codecs.BOM_UTF32_LE: "UTF-32",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


@dataclass(frozen=True)
class Document:
    """The bytes of one file without its byte order mark, which took `skipped` bytes."""

    name: str
    data: bytes
    skipped: int = 0


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

    @property
    def characters(self) -> int:
        """The number of symbols that an epoch of training scores."""
        return scored_symbols(self.training, self.vocabulary.lines)

    @property
    def validation_characters(self) -> int:
        """The number of symbols that are held out."""
        return 0 if self.validation is None else scored_symbols(self.validation, self.vocabulary.lines)


def load_corpus(
    paths: Sequence[str],
    *,
    as_bytes: bool,
    lines: bool | None,
    validation_fraction: float,
    validation_files: Sequence[str] | None = None,
    random_seed: int,
) -> Corpus:
    """Read files ("-" is stdin) as a corpus. Where `lines` is None, the text decides how it is read.

    Held out are the `validation_files` or, without them, a fraction: the last part of a stream, a random
    choice of lines. Raises UsageError for a file that cannot be read or decoded, and for nothing to predict.
    """
    check_range("validation_fraction", validation_fraction, 0.0, 0.9)
    documents = read_documents([*paths, *(validation_files or ())])
    digest = digest_of(documents, len(paths))
    name = joined_names(documents[: len(paths)])
    decoded = [document.data if as_bytes else decode_text(document) for document in documents]
    texts, held_out = decoded[: len(paths)], decoded[len(paths) :]

    reason = "as it was asked for"
    if lines is None:
        lines, reason = detect_lines(texts)
    if as_bytes:
        vocabulary = Vocabulary.of_bytes(lines)
    else:
        vocabulary = Vocabulary.of_characters((text for text in texts if isinstance(text, str)), lines)
    ids, dropped, _ = encode_texts(vocabulary, texts)
    check_predictable(ids, lines, name)

    training, unknown = ids, 0
    validation: np.ndarray | None
    if validation_files:
        validation, _, unknown = encode_texts(vocabulary, held_out)
        split_reason = joined_names(documents[len(paths) :])
        if scored_symbols(validation, lines) == 0:
            raise UsageError(f"{split_reason} has no character that is in {name}; give another text to validate on")
    elif lines:
        training, validation, split_reason = split_lines(ids, validation_fraction, random_seed)
    else:
        training, validation, split_reason = split_stream(ids, validation_fraction)
    return Corpus(name, digest, vocabulary, training, validation, reason, split_reason, dropped, unknown)


def read_documents(paths: Sequence[str]) -> list[Document]:
    """Read whole files; "-" is stdin. Raises UsageError for one that cannot be read."""
    check_paths(paths)
    return [read_document(path) for path in paths]


def check_paths(paths: Sequence[str]) -> None:
    """Raise UsageError where stdin is named twice."""
    if paths.count("-") > 1:
        raise UsageError("stdin (-) can be read only once; name it once")


@contextmanager
def opened(path: str) -> Iterator[BinaryIO]:
    """Open one file, or stdin for "-". Raises UsageError for what cannot be opened or read."""
    try:
        if path == "-":
            if sys.stdin is None:
                raise UsageError("stdin is closed; give a file")
            yield sys.stdin.buffer
        else:
            with open(path, "rb") as file:
                yield file
    except OSError as error:
        directory = isinstance(error, IsADirectoryError)
        advice = "give the files in it" if directory else "check its name and permissions"
        raise UsageError(f"cannot read '{path}' ({error.strerror}); {advice}") from error


def read_document(path: str) -> Document:
    """Read one file, or stdin for "-", to its end."""
    with opened(path) as file:
        data = file.read()
    rest = data.removeprefix(codecs.BOM_UTF8)
    return Document("stdin" if path == "-" else path, rest, len(data) - len(rest))


def read_pieces(path: str, size: int) -> Iterator[tuple[bytes, bool]]:
    """Read a file, or stdin for "-", as it comes: (whole lines, False) as soon as they are there.

    A line of more than `size` bytes comes in parts, cut between characters. What has no newline at the end of the file
    comes last, with True. No more than twice the size is held.
    """
    rest, begun = bytearray(), False
    with opened(path) as file:
        while chunk := file.read1(size):  # type: ignore[attr-defined]
            rest += chunk
            if not begun and not codecs.BOM_UTF8.startswith(rest):
                begun = True
                if rest.startswith(codecs.BOM_UTF8):
                    del rest[: len(codecs.BOM_UTF8)]
            end = rest.rfind(b"\n", max(len(rest) - len(chunk), 0)) + 1
            if end:
                yield bytes(rest[:end]), False
                del rest[:end]
            while len(rest) > size:
                end = character_end(rest, size)
                yield bytes(rest[:end]), False
                del rest[:end]
    if not begun:
        rest = rest.removeprefix(codecs.BOM_UTF8)
    if rest:
        yield bytes(rest), True


def character_end(data: bytes | bytearray, most: int) -> int:
    """Return where to cut data of UTF-8 so that no character is cut in two: at `most`, or up to 3 bytes before."""
    cuts = (cut for cut in range(most, max(most - 4, 0), -1) if data[cut] & 0xC0 != 0x80)
    return next(cuts, most)


def decode_text(document: Document, advice: str = "convert it to UTF-8 or use --bytes") -> str:
    """Return a document as text. Raises UsageError, with the place and the advice, where it is not UTF-8."""
    data = document.data
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        byte, line = document.skipped + error.start + 1, data.count(b"\n", 0, error.start) + 1
        marks = [encoding for mark, encoding in OTHER_ENCODINGS.items() if data.startswith(mark)]
        found = f"it begins as {marks[0]} does" if marks else f"found 0x{data[error.start]:02x}"
        raise UsageError(
            f"{document.name} is not valid UTF-8 at byte {byte:,} (line {line:,}): {found}; {advice}"
        ) from error


def text_for(vocabulary: Vocabulary, document: Document) -> str | bytes:
    """Return a document as a model with this vocabulary reads it. Raises UsageError as `decode_text` does."""
    return document.data if vocabulary.symbols is None else decode_text(document, "convert it to UTF-8")


def looks_like_lines(text: str | bytes) -> tuple[bool, str]:
    """Say whether the lines of a text look like texts of their own, and why, from its first 1 MB."""
    part = text[:LOOK_AT]
    sample = part if isinstance(part, str) else part.decode("latin-1")
    rows = sample.split("\n")
    if len(text) > LOOK_AT or not rows[-1]:  # the last one is cut off, or what follows the last newline
        rows.pop()
    rows = [row.removesuffix("\r") for row in rows]
    longest = max(map(len, rows), default=len(sample))
    if longest > LONGEST_LINE:
        return False, f"it has a line of {longest:,} characters"
    if len(rows) <= 1:
        return bool(longest), f"it is one line of {longest:,} characters"
    empty = rows.count("") / len(rows)
    if empty > 0.01:
        return False, f"{empty:.0%} of its lines are empty"
    ended = sum(row.endswith(SENTENCE_ENDS) for row in rows) / len(rows)
    if ended >= 0.25:
        return False, f"{ended:.0%} of its lines end in a punctuation mark"
    return True, f"its lines have at most {longest:,} characters, and {ended:.0%} end in a punctuation mark"


def detect_lines(texts: Sequence[str | bytes]) -> tuple[bool, str]:
    """Say whether every one of some texts looks like lines, with the reason of the first that decides."""
    verdicts = [looks_like_lines(text) for text in texts if text]
    return min(verdicts, key=lambda verdict: verdict[0], default=(False, "it is empty"))


def encode_texts(vocabulary: Vocabulary, texts: Sequence[str | bytes]) -> tuple[np.ndarray, int, int]:
    """Return texts as symbols with boundaries, and how many empty lines and unknown symbols were left out."""
    dtype = np.min_scalar_type(len(vocabulary) - 1)
    parts, dropped, unknown = [], 0, 0
    for text in texts:
        ids = vocabulary.encode(text)
        known = ids[ids >= 0]
        unknown += len(ids) - len(known)
        part = vocabulary.frame(known.astype(dtype))
        if vocabulary.lines:
            empty = (part[1:] == BOUNDARY) & (part[:-1] == BOUNDARY)
            dropped += int(np.count_nonzero(empty))
            part = part[1:][~empty]  # the boundary before the first line is put back below
        parts.append(part)
    if vocabulary.lines:
        parts.insert(0, np.zeros(1, dtype))
    return np.concatenate(parts), dropped, unknown


def scored_symbols(ids: np.ndarray, lines: bool) -> int:
    """Return how many symbols of a text are scored: in a stream, the boundaries are not."""
    return len(ids) - 1 if lines else int(np.count_nonzero(ids))


def check_predictable(ids: np.ndarray, lines: bool, name: str) -> None:
    """Raise UsageError for a text with nothing to predict."""
    scored = scored_symbols(ids, lines)
    if scored == 0:
        raise UsageError(f"{name} is empty; give a text with at least two characters")
    if scored == 1:
        raise UsageError(f"{name} has a single character, so there is nothing to predict; give a longer text")


def split_lines(ids: np.ndarray, fraction: float, random_seed: int) -> tuple[np.ndarray, np.ndarray | None, str]:
    """Return the lines to train on, those to hold out, each in their order, and what was done."""
    starts = np.flatnonzero(ids == BOUNDARY)
    count = len(starts) - 1
    if fraction == 0:
        return ids, None, "none, as it was asked for"
    if count < FEWEST_LINES:
        return ids, None, f"none, as there are fewer than {FEWEST_LINES} lines"
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence([random_seed, 1])))
    held = np.zeros(count, bool)
    held[generator.permutation(count)[: max(1, round(fraction * count))]] = True
    held_symbols = np.repeat(held, np.diff(starts))  # each line with the boundary before it
    training = np.append(ids[:-1][~held_symbols], ids[-1:])
    validation = np.append(ids[:-1][held_symbols], ids[-1:])
    return training, validation, f"{np.count_nonzero(held):,} of {count:,} lines, at random"


def split_stream(ids: np.ndarray, fraction: float) -> tuple[np.ndarray, np.ndarray | None, str]:
    """Return the first part to train on, the last one, with a boundary before it, and what was done."""
    if fraction == 0:
        return ids, None, "none, as it was asked for"
    cut = len(ids) - round(fraction * len(ids))
    validation = ids[cut:]
    if validation[:1].any():  # it does not begin with a document, which has its boundary
        validation = np.append(ids[:1], validation)
    count = scored_symbols(validation, lines=False)
    if count < FEWEST_CHARACTERS:
        return ids, None, f"none, as it would have fewer than {FEWEST_CHARACTERS} characters"
    return ids[:cut], validation, f"the last {count:,} of {scored_symbols(ids, lines=False):,} characters"


def digest_of(documents: Sequence[Document], training: int) -> str:
    """Return the SHA-256 (hex) of documents, of their sizes, and of how many of them are to be trained on."""
    digest = hashlib.sha256(f"{training} ".encode())
    for document in documents:
        digest.update(f"{len(document.data)} ".encode())
        digest.update(document.data)
    return digest.hexdigest()


def joined_names(documents: Sequence[Document]) -> str:
    """Return the base names of documents, at most three of them."""
    names = [os.path.basename(document.name) for document in documents[:3]]
    if len(documents) > 3:
        names.append(f"{len(documents) - 3:,} more")
    return os.fsencode(", ".join(names)).decode("utf-8", "replace")  # a name may be any bytes
