"""Tagged sentences: columns or CoNLL-U -> sentences, with errors that name file, line and what to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rnn_cli.errors import UsageError
from rnn_cli.rng import HELD_OUT, generator
from rnn_cli.text.documents import decode_text, joined_names, read_documents
from rnn_cli.text.holdout import DEFAULT_FRACTION, FEWEST_LINES

# The columns of CoNLL-U from which tags can be taken, with their position.
CONLLU_COLUMNS = {"lemma": 2, "upos": 3, "xpos": 4, "feats": 5, "deprel": 7}
DEFAULT_COLUMN = "upos"
CONLLU_WIDTH, FORM = 10, 1
NEVER_EMPTY = {"upos", "xpos"}  # columns in which "_" says that there is no tag
LONGEST_QUOTE = 40  # characters of a line that a message quotes
FORMAT = "a line is TOKEN TAB TAG, and an empty line ends a sentence"


class Sentence(NamedTuple):
    """The tokens of a sentence, and the tag of each."""

    tokens: tuple[str, ...]
    tags: tuple[str, ...]

    @property
    def text(self) -> str:
        """The sentence as the network reads it: its tokens joined by blanks."""
        return " ".join(self.tokens)


class TaggedText(NamedTuple):
    """The sentences of some files, what messages call these, and the column of CoNLL-U, None for other files."""

    name: str
    sentences: list[Sentence]
    column: str | None


class Row(NamedTuple):
    """A line with a token: its number in the file, its token, its tag."""

    line: int
    token: str
    tag: str


def tokens_of(line: str) -> list[str]:
    """Return the tokens of a line: what blanks and TABs separate. Other white space belongs to a token."""
    return [token for token in line.replace("\t", " ").split(" ") if token]


def read_tagged(paths: Sequence[str], column: str | None = None) -> TaggedText:
    """Read files of tagged sentences; "-" is stdin. `column` names the column of CoNLL-U, by default "upos".

    Raises UsageError, with the file and the line, if one cannot be read, is not in columns, or has no sentence.
    """
    if column is not None and column not in CONLLU_COLUMNS:
        raise UsageError(f"`column` must be one of {', '.join(CONLLU_COLUMNS)}, not {column}")
    documents, sentences, used = read_documents(paths), [], None
    for document in documents:
        lines = [line.removesuffix("\r") for line in decode_text(document, "convert it to UTF-8").split("\n")]
        if is_conllu(document.name, lines):
            used = column or DEFAULT_COLUMN
            rows = conllu_rows(document.name, lines, used)
        else:
            rows = column_rows(document.name, lines)
        found = list(grouped(rows))
        if not found:
            raise UsageError(f"{document.name} has no sentences; {FORMAT}")
        sentences += found
    return TaggedText(joined_names([document.name for document in documents]), sentences, used)


def grouped(rows: Iterator[Row | None]) -> Iterator[Sentence]:
    """Yield the sentences of rows between which None ends a sentence."""
    part: list[Row] = []
    for row in [*rows, None]:
        if row is not None:
            part.append(row)
        elif part:
            yield Sentence(tuple(row.token for row in part), tuple(row.tag for row in part))
            part = []


def is_conllu(name: str, lines: Sequence[str]) -> bool:
    """Say whether a file is in CoNLL-U: by its name, or as its first token has ten columns and the number 1."""
    if name.endswith(".conllu"):
        return True
    first = next((line for line in lines if line and not line.startswith("#")), "")
    parts = first.split("\t")
    return len(parts) == CONLLU_WIDTH and parts[0].partition("-")[0] == "1"


def conllu_rows(name: str, lines: Sequence[str], column: str) -> Iterator[Row | None]:
    """Yield the words of CoNLL-U, without comments, multiword ranges (1-2) and empty nodes (1.1)."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            yield None
        elif not line.startswith("#"):
            parts = line.split("\t")
            if len(parts) != CONLLU_WIDTH:
                raise UsageError(
                    f"{name}, line {number:,}: CoNLL-U has {CONLLU_WIDTH} columns separated by TABs, and this line "
                    f"{len(parts)}: {quoted(line)}; correct it"
                )
            token, tag = parts[FORM].strip(), parts[CONLLU_COLUMNS[column]].strip()
            if not parts[0].isdecimal():
                if not all(part.isdecimal() for part in parts[0].replace("-", ".", 1).split(".", 1)):
                    raise UsageError(f"{name}, line {number:,}: '{parts[0]}' is not the number of a token; correct it")
                continue
            if not token or not tag or (tag == "_" and column in NEVER_EMPTY):
                missing = "token" if not token else column.upper()
                raise UsageError(f"{name}, line {number:,}: there is no {missing}: {quoted(line)}; add it")
            yield Row(number, token, tag)


def column_rows(name: str, lines: Sequence[str]) -> Iterator[Row | None]:
    """Yield the first and the last column of each line. Columns are separated by TABs, or else by blanks."""
    width, first = 0, 0
    for number, line in enumerate(lines, 1):
        if not line.strip():
            yield None
            continue
        parts = [part.strip(" ") for part in line.split("\t")] if "\t" in line else tokens_of(line)
        if len(parts) < 2 or not parts[-1]:
            raise UsageError(f"{name}, line {number:,}: a token without a tag: {quoted(line)}; {FORMAT}")
        if not parts[0]:
            raise UsageError(f"{name}, line {number:,}: a tag without a token: {quoted(line)}; {FORMAT}")
        width, first = width or len(parts), first or number
        if len(parts) != width:
            raise UsageError(
                f"{name}, line {number:,}: this line has {len(parts)} columns, and line {first:,} has {width}: "
                f"{quoted(line)}; separate the columns of all lines by one TAB"
            )
        yield Row(number, parts[0], parts[-1])


def quoted(line: str) -> str:
    """Return the beginning of a line in quotation marks."""
    shown = line if len(line) <= LONGEST_QUOTE else line[:LONGEST_QUOTE] + "..."
    return f"'{shown}'"


def tag_list(sentences: Sequence[Sentence], name: str) -> list[str]:
    """Return the distinct tags, the most frequent first, equal ones by name. Raises UsageError if there is only one."""
    counts = Counter(tag for sentence in sentences for tag in sentence.tags)
    tags = sorted(counts, key=lambda tag: (-counts[tag], tag))
    if len(tags) < 2:
        raise UsageError(f"{name} has one tag only, '{tags[0]}', so there is nothing to learn; give tokens of others")
    return tags


def token_count(sentences: Sequence[Sentence]) -> int:
    """Return the number of tokens."""
    return sum(len(sentence.tokens) for sentence in sentences)


def split_sentences(
    sentences: Sequence[Sentence], fraction: float | None, random_seed: int
) -> tuple[list[Sentence], list[Sentence], str]:
    """Return the sentences to train on, those to hold out, and what was done.

    Sentences of the same tokens stay together, so that none is in both parts.
    """
    fraction, count = DEFAULT_FRACTION if fraction is None else fraction, len(sentences)
    if fraction == 0:
        return list(sentences), [], "nothing, as requested"
    if count < FEWEST_LINES:
        return list(sentences), [], f"nothing, as there are fewer than {FEWEST_LINES} sentences"
    distinct = list(dict.fromkeys(sentence.tokens for sentence in sentences))
    order = generator([random_seed, HELD_OUT]).permutation(len(distinct)).tolist()
    held = {distinct[index] for index in order[: round(fraction * len(distinct))]}
    training = [sentence for sentence in sentences if sentence.tokens not in held]
    validation = [sentence for sentence in sentences if sentence.tokens in held]
    if not training or not validation:
        return list(sentences), [], "nothing, as there are too few different sentences"
    return training, validation, f"{len(validation):,} of {count:,} sentences, at random"


def most_frequent_tags(sentences: Sequence[Sentence]) -> dict[str, str]:
    """Return the most frequent tag of each token, of equal ones the first by name; the most frequent token first."""
    counts: dict[str, Counter[str]] = {}
    for sentence in sentences:
        for token, tag in zip(sentence.tokens, sentence.tags):
            counts.setdefault(token, Counter())[tag] += 1
    tokens = sorted(counts, key=lambda token: (-counts[token].total(), token))
    return {token: min(counts[token], key=lambda tag: (-counts[token][tag], tag)) for token in tokens}
