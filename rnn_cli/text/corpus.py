"""A text to train on: read twice, chunk by chunk, and kept as symbols. It may be larger than the memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from rnn_cli.config import check_range
from rnn_cli.errors import UsageError
from rnn_cli.text.codecs import (
    BOUNDARY,
    SEPARATORS,
    ByteCodec,
    CharacterCodec,
    Codec,
    ParagraphCodec,
    TokenCodec,
    WordCodec,
)
from rnn_cli.text.codecs.tokens import GRAPHEMES, LIST, SMILES, listed_tokens
from rnn_cli.text.codecs.words import choose_words, count_words
from rnn_cli.text.documents import decode_text, joined_names, read_document
from rnn_cli.text.holdout import (
    COPY_SAMPLES,
    boundaries,
    copied_samples,
    lines_in_both,
    scored_symbols,
    split_lines,
    split_stream,
)
from rnn_cli.text.line_detection import beginning, detect_lines, detect_sentences
from rnn_cli.text.sources import Source, changed, expand, open_sources
from rnn_cli.text.spool import Spool

# A long text may have thousands of characters that occur a few times each, in names and quotations. They take most of
# the parameters and of the time: 104 MB of documentation have 3,411 characters, of which 2,236 make up 0.05 %.
MANY_CHARACTERS = 512
RARE = 1_000_000  # of so many, a character that occurs once is rare


@dataclass
class Corpus:
    """A text to train on and perhaps a held-out part, as symbols with their boundaries (Codec.frame).

    digest              SHA-256 of the files, whatever the random seed
    training            of codec.dtype; in line mode without empty lines
    validation          the same for the held-out part, or None
    mode_reason         why the text is read as lines or as a stream
    split_reason        what is held out, or why nothing is
    dropped_lines       the number of empty lines left out
    validation_unknown  the number of unknown characters left out of the held-out part
    mode_detected       whether the text decided how it is read
    remarks             what is odd about the text, each with the command that mends it
    vocabulary_reason   which words are in the vocabulary, if symbols are words

    Symbols, the characters or words, are counted as they are scored, including the ends of lines.
    """

    name: str
    digest: str
    codec: Codec
    training: np.ndarray
    validation: np.ndarray | None
    mode_reason: str
    split_reason: str
    dropped_lines: int
    validation_unknown: int
    mode_detected: bool = False
    remarks: tuple[str, ...] = ()
    vocabulary_reason: str | None = None

    @cached_property
    def characters(self) -> int:
        """The number of symbols scored in an epoch of training."""
        return scored_symbols(self.training, self.codec.line_mode)

    @cached_property
    def validation_characters(self) -> int:
        """The number of scored symbols of the held-out part."""
        return 0 if self.validation is None else scored_symbols(self.validation, self.codec.line_mode)


def load_corpus(
    paths: Sequence[str],
    *,
    as_bytes: bool,
    line_mode: bool | None,
    validation_fraction: float | None,
    validation_files: Sequence[str] | None = None,
    random_seed: int,
    separator: str | None = None,
    min_count: int | None = None,
    column: str | None = None,
    words: bool = False,
    vocabulary: int | None = None,
    base: Codec | None = None,
    tokens: str | None = None,
) -> Corpus:
    """Read files, and those in directories ("-" is stdin), as a corpus. If `line_mode` is None, it is detected.

    With a `separator` ("blank line" or "file") a text ends there instead, and its lines belong together. Characters
    that occur less than `min_count` times are left out, and unknown to the model; by default those that occur less than
    once in RARE, if there are more than MANY_CHARACTERS different ones. With a `column` the files are tables
    (CSV, TSV, JSON lines), of which the values of that column are read, each as a line. With `tokens` a symbol may have
    several characters: "smiles", "graphemes", or a file that lists them, one a line (`TokenCodec`).

    With `words` symbols are words: the `vocabulary` commonest of those that occur `min_count` times (`choose_words`),
    counted in all the text that is not in the `validation_files`. Words of the codec `base` are known besides.

    The `validation_files` are held out or, without them, a fraction: the last part of a stream, or random lines.
    The default fraction is a tenth, and nothing of a short stream. Raises UsageError for a file that cannot be read or
    decoded, and if there is nothing to predict.
    """
    if isinstance(paths, str):
        raise UsageError("give a list of files; one file is a list of one")
    if validation_fraction is not None:
        check_range("validation_fraction", validation_fraction, 0.0, 0.9)
    if min_count is not None:
        check_range("min_count", min_count, 1, 10**9)
    if words and (as_bytes or separator):
        raise UsageError("words have neither bytes nor paragraphs; leave one of the two out")
    if as_bytes and (separator or min_count is not None):
        raise UsageError("bytes have neither paragraphs nor rare characters; leave one of the two out")
    if tokens is not None and (as_bytes or separator):
        raise UsageError("`tokens` are for lines or a stream of characters; leave the other option out")
    if separator and separator not in SEPARATORS:
        raise UsageError(f"separator must be one of {', '.join(SEPARATORS)}, not {separator}")
    if separator:
        line_mode = True
    if column is not None and line_mode is None:
        line_mode = True
    paths, left_out = expand(paths, as_bytes)
    held_out_paths, _ = expand(validation_files or (), as_bytes)
    sources = open_sources([*paths, *held_out_paths], column)
    texts, held_out = sources[: len(paths)], sources[len(paths) :]
    remarks = [f"{left_out:,} files that are not text are left out"] if left_out else []
    name = joined_names([source.name for source in texts])
    digest = hashlib.sha256(f"{len(texts)} ".encode())

    reason, detected = "as requested", line_mode is None
    if line_mode is None:
        starts = (beginning(text.chunks()) if as_bytes else beginning(text.characters()) for text in texts)
        line_mode, reason = detect_sentences(starts) if words else detect_lines(starts)
    if not line_mode:
        texts = without_copies(texts, remarks)
    vocabulary_reason, codec = None, base
    if words:
        codec, vocabulary_reason = read_words(texts, held_out, line_mode, vocabulary, min_count, base)
    elif tokens is not None or isinstance(base, TokenCodec):
        codec = read_tokens(texts, line_mode, tokens, min_count or 1, base)
    else:
        codec = ByteCodec(line_mode) if as_bytes else read_codec(texts, held_out, line_mode, separator)
    rare: list[str] = []
    if isinstance(codec, CharacterCodec) and (len(codec) > MANY_CHARACTERS if min_count is None else min_count > 1):
        codec, rare = without_rare(codec, texts, min_count)
    ids, dropped, unknown = encode(codec, texts, digest)
    if unknown and not rare and (min_count or 1) == 1:
        raise changed(name)
    remarks += rare
    check_predictable(ids, line_mode, name, codec.unit)

    training, validation = ids, None
    if validation_files:
        validation, _, unknown = encode(codec, held_out, digest)
        split_reason = joined_names([source.name for source in held_out])
        if scored_symbols(validation, line_mode) == 0:
            raise UsageError(f"{split_reason} has no {codec.unit} that is in {name}; give another text to validate on")
        split_reason += overlap(ids, validation, line_mode)
    else:
        if line_mode:
            split = split_lines(ids, validation_fraction, random_seed, "texts" if separator else "lines")
        else:
            split = split_stream(ids, validation_fraction, f"{codec.unit}s")
        training, validation, split_reason = split
    remarks += remarks_on(codec, ids)
    return Corpus(
        name,
        digest.hexdigest(),
        codec,
        training,
        validation,
        reason,
        split_reason,
        dropped,
        unknown,
        detected,
        tuple(remarks),
        vocabulary_reason,
    )


def read_words(
    texts: Sequence[Source],
    held_out: Sequence[Source],
    line_mode: bool,
    most: int | None,
    min_count: int | None,
    base: Codec | None,
) -> tuple[WordCodec, str]:
    """Return the codec of the commonest words of texts, after those of `base`, and which these are.

    Raises UsageError if the held-out files cannot be decoded either.
    """
    words, reason = choose_words(count_words(source.characters() for source in texts), most, min_count)
    codec = WordCodec(words, line_mode)
    if isinstance(base, WordCodec):
        codec = base.extended_with(codec)
    for source in held_out:
        for _ in source.characters():
            pass
    return codec, reason


def without_rare(
    codec: CharacterCodec, texts: Sequence[Source], min_count: int | None
) -> tuple[CharacterCodec, list[str]]:
    """Return a codec without rare characters, and a sentence that says how many these are, if there are any."""
    counts = np.zeros(len(codec) + 1, np.int64)
    for source in texts:
        for part in source.characters():
            counts += np.bincount(codec.encode(part) + 1, minlength=len(counts))
    least, hint = (min_count, "") if min_count else (int(counts.sum()) // RARE, "; `min_count=1` keeps them")
    rare = counts[2:] < least
    if not rare.any():
        return codec, []
    kept = replace(codec, symbols="".join(symbol for symbol, left_out in zip(codec.symbols, rare) if not left_out))
    if not kept.symbols:
        raise UsageError(f"no character occurs {least:,} times; lower min_count")
    return kept, [
        f"{rare.sum():,} characters that occur less than {least:,} times are left out ({counts[2:][rare].sum():,} in "
        f"all); to the model they are unknown{hint}"
    ]


def without_copies(sources: Sequence[Source], remarks: list[str]) -> list[Source]:
    """Return texts without those that are copies of one before, or the last part of a stream would be no test."""
    kept: list[Source] = []
    for source in sources:
        copy_of = next((other for other in kept if other.is_copy_of(source)), None)
        if copy_of is None:
            kept.append(source)
        else:
            what = "given twice" if copy_of.name == source.name else f"a copy of {copy_of.name}"
            remarks.append(f"{source.name} is {what}, and read once")
    return kept


def overlap(training: np.ndarray, validation: np.ndarray, line_mode: bool) -> str:
    """Return how much of a text to validate on is in the training text, if it is."""
    if line_mode:
        count, total = lines_in_both(training, validation), boundaries(validation) - 1
        return f", but {count:,} of its {total:,} lines are in the training text too" if count else ""
    copied = copied_samples(training, validation)
    if 2 * copied < COPY_SAMPLES:
        return ""
    return f", but {copied} of {COPY_SAMPLES} samples of it are in the training text word for word"


def remarks_on(codec: Codec, ids: np.ndarray) -> Iterator[str]:
    """Yield what is odd about the characters of a text, and the command that mends it."""
    if "\r" in codec.alphabet:
        if boundaries(ids) - 1 <= 1 if codec.line_mode else "\n" not in codec.alphabet:
            yield "its lines end in carriage returns (\\r) alone; tr '\\r' '\\n' makes them newlines"
        else:
            yield "it has carriage returns (\\r), which are learned as a character; tr -d '\\r' removes them"
    if "\ufeff" in codec.alphabet:
        yield (
            "it has byte order marks (U+FEFF) within, as joined files have, which are learned as a character; "
            "sed 's/\\xEF\\xBB\\xBF//g' removes them"
        )


def read_codec(texts: Sequence[Source], held_out: Sequence[Source], line_mode: bool, separator: str | None) -> Codec:
    """Return the codec of the characters of texts. Raises UsageError if the held-out files cannot be decoded either."""
    parts = (part for source in texts for part in source.characters())
    codec = ParagraphCodec.of_separated(parts, separator) if separator else CharacterCodec.of_texts(parts, line_mode)
    for source in held_out:
        for _ in source.characters():
            pass
    return codec


def read_tokens(
    texts: Sequence[Source], line_mode: bool, tokens: str | None, min_count: int, base: Codec | None
) -> TokenCodec:
    """Return the codec of the tokens of texts, by a rule, or by the list in a file and that of `base`."""
    known = base if isinstance(base, TokenCodec) else None
    rule = tokens if tokens in (SMILES, GRAPHEMES) else LIST if tokens is not None or known is None else known.rule
    listed = known.tokens if known else ()
    if tokens is not None and rule == LIST:
        listed += listed_tokens(tokens, lines_in(tokens))
    return TokenCodec.of_texts((source.characters() for source in texts), line_mode, rule, listed, min_count)


def lines_in(path: str) -> list[str]:
    """Return the lines of a file in UTF-8."""
    return decode_text(read_document(path), "write it in UTF-8").split("\n")


def encode(codec: Codec, sources: Sequence[Source], digest: hashlib._Hash) -> tuple[np.ndarray, int, int]:
    """Return texts as symbols with boundaries, and the numbers of empty lines and of unknown symbols left out."""
    dropped = unknown = 0

    def known_pieces(source: Source) -> Iterator[np.ndarray]:
        nonlocal unknown
        digest.update(f"{source.size} ".encode())
        read = source.chunks if codec.reads_bytes else source.characters
        for ids in codec.encode_pieces(read(digest.update)):
            known = codec.known(ids)
            unknown += len(ids) - len(known)
            yield known

    last = -1  # symbol so far
    with Spool() as spool:
        for ids in codec.frame_pieces(map(known_pieces, sources), codec.dtype):
            kept = without_empty_lines(ids, last) if codec.line_mode else ids
            dropped += len(ids) - len(kept)
            last = int(ids[-1])
            spool.write(kept)
        return spool.array(codec.dtype), dropped, unknown


def without_empty_lines(ids: np.ndarray, last: int) -> np.ndarray:
    """Return symbols without the boundaries that follow another one; `last` is the symbol before them."""
    ends = ids == BOUNDARY
    empty = ends & np.append(last == BOUNDARY, ends[:-1])
    return ids[~empty] if empty.any() else ids


def check_predictable(ids: np.ndarray, line_mode: bool, name: str, unit: str = "character") -> None:
    """Raise UsageError for a text with nothing to predict."""
    scored = scored_symbols(ids, line_mode)
    if scored == 0:
        raise UsageError(f"{name} is empty; give a text with at least two {unit}s")
    if scored == 1:
        raise UsageError(f"{name} has a single {unit}, so there is nothing to predict; give a longer text")
