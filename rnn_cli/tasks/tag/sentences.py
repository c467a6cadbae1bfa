"""Tagged sentences: columns or CoNLL-U -> sentences, with errors that name file, line and what to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rnn_cli.errors import UsageError
from rnn_cli.text.documents import Document, decode_text, read_documents

# The columns of CoNLL-U from which tags can be taken, with their position.
CONLLU_COLUMNS = {"lemma": 2, "upos": 3, "xpos": 4, "feats": 5, "deprel": 7}
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


class Row(NamedTuple):
    """A line with a token: its number in the file, its token, its tag."""

    line: int
    token: str
    tag: str


def tokens_of(line: str) -> list[str]:
    """Return the tokens of a line: what blanks and TABs separate. Other white space belongs to a token."""
    return [token for token in line.replace("\t", " ").split(" ") if token]


def read_sentences(paths: Sequence[str], column: str | None = None) -> list[Sentence]:
    """Read files of tagged sentences; "-" is stdin. `column` names a column of CoNLL-U, by default "upos".

    Raises UsageError, with the file and the line, if one cannot be read, is not in columns, or has no sentence.
    """
    if column is not None and column not in CONLLU_COLUMNS:
        raise UsageError(f"`column` must be one of {', '.join(CONLLU_COLUMNS)}, not {column}")
    return [sentence for document in read_documents(paths) for sentence in sentences_of(document, column)]


def sentences_of(document: Document, column: str | None = None) -> list[Sentence]:
    """Return the sentences of a file. Raises UsageError as `read_sentences` does."""
    advice = "convert it to UTF-8"
    lines = [line.removesuffix("\r") for line in decode_text(document, advice).split("\n")]
    if is_conllu(document.name, lines):
        rows = conllu_rows(document.name, lines, column or "upos")
    elif column is not None:
        raise UsageError(f"`column` is for CoNLL-U, and {document.name} is not in it; leave it out")
    else:
        rows = column_rows(document.name, lines)
    sentences = list(grouped(rows))
    if not sentences:
        raise UsageError(f"{document.name} has no sentences; {FORMAT}")
    return sentences


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


def most_frequent_tags(sentences: Sequence[Sentence]) -> dict[str, str]:
    """Return the most frequent tag of each token, of equal ones the first by name; the most frequent token first."""
    counts: dict[str, Counter[str]] = {}
    for sentence in sentences:
        for token, tag in zip(sentence.tokens, sentence.tags):
            counts.setdefault(token, Counter())[tag] += 1
    tokens = sorted(counts, key=lambda token: (-counts[token].total(), token))
    return {token: min(counts[token], key=lambda tag: (-counts[token][tag], tag)) for token in tokens}
