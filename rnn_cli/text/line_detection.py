"""Detection of what a text is: a list, each line a text of its own, or one stream.

A few odd lines do not decide: lengths are looked at by quantiles, and marks and blank lines by their share.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import AnyStr

from rnn_cli.text.documents import lines_of

LOOK_AT = 1 << 20  # characters that are looked at
LONGEST_SENTENCE = 10_000  # characters
LONGEST_LINE = 120  # characters
MOST_LONG = 0.05  # share of lines that may be longer in a list,
MOST_LONG_CHARACTERS = 0.5  # and the share of the characters that is in them
MOST_EMPTY = 0.1  # share of blank lines in a list: more of them separate paragraphs or stanzas
MOST_ENDED = 0.25  # share of the lines of a list that end as sentences and verses do
MOST_INDENTED = 0.2  # share of the lines of a list that begin with a blank
NARROWEST, FEWEST_WORDS = 40, 5  # characters and words in a line of wrapped prose
FULL = 0.6  # share of the lines of wrapped prose to which the next word could not have been added
# Questions and exclamations are left out: headlines and titles end in them too.
SENTENCE_ENDS = tuple(",.;:…。、，；：।॥؛،")  # noqa: RUF001
ASCII_ENDS = tuple(",.;:")  # a line of less than WORDS_OF_A_SENTENCE words may be a name that ends so: "Acme Inc."
WORDS_OF_A_SENTENCE = 3
FEWEST_ENDINGS, FEW_ENDINGS = 10, 0.1  # lines, and distinct last words for each, below which they are abbreviations
CLOSING = "\"'”’»)]」』"  # noqa: RUF001 (what may stand behind them)
JOIN_FASTA = """awk '/^>/ {if (s) print s; s = ""; next} {s = s $0} END {print s}'"""
FASTA_LETTERS = frozenset("ABCDEFGHIKLMNPQRSTUVWYXZabcdefghiklmnpqrstuvwyxz*-.")


def beginning(chunks: Iterable[AnyStr]) -> AnyStr | str:
    """Return as much of a text as `looks_like_lines` needs: what it looks at, and whether more follows."""
    taken: list[AnyStr] = []
    size = 0
    for chunk in chunks:
        taken.append(chunk)
        size += len(chunk)
        if size > LOOK_AT:
            break
    return taken[0][:0].join(taken) if taken else ""


def looks_like_lines(text: str | bytes) -> tuple[bool, str]:
    """Say whether the lines of a text look like texts of their own, and why, from its first 1 MB."""
    part = text[:LOOK_AT]
    sample = part if isinstance(part, str) else part.decode("latin-1")
    rows = sample.split("\n")
    if len(text) > LOOK_AT or not rows[-1]:  # the last one is cut off, or what follows the last newline
        rows.pop()
    rows = [row.removesuffix("\r") for row in rows]
    full = [row for row in rows if row.strip()]
    longest = max(map(len, full), default=0)
    if len(rows) <= 1:
        longest = len(rows[0]) if rows else len(sample)
        if longest > LONGEST_LINE:
            return False, f"it has a line of {longest:,} characters"
        return longest > 0, f"it is one line of {longest:,} characters"
    if not full:
        return False, "all its lines are empty"
    if is_fasta(full):
        return False, f"it looks like FASTA; {JOIN_FASTA} FILE makes a list of its sequences"
    long = [len(row) for row in full if len(row) > LONGEST_LINE]
    if len(long) > MOST_LONG * len(full) or sum(long) > MOST_LONG_CHARACTERS * sum(map(len, full)):
        share = f"{len(long) / len(full):.0%} of its lines have" if len(long) > 1 else "it has a line of"
        size = f"more than {LONGEST_LINE} characters" if len(long) > 1 else f"{longest:,} characters"
        return False, f"{share} {size}"
    empty = 1 - len(full) / len(rows)
    if empty > MOST_EMPTY:
        return False, f"{empty:.0%} of its lines are empty"
    width = quantile(list(map(len, full)), 0.98)
    if is_wrapped(rows, width):
        return False, f"its lines are as full as those of a text that is wrapped at {width} columns"
    indented = sum(row[0] in " \t" for row in full) / len(full)
    if indented > MOST_INDENTED:
        return False, f"{indented:.0%} of its lines are indented"
    ending = [row for row in full if ends_a_sentence(row)]
    ended = 0 if are_abbreviations(ending) else len(ending) / len(full)
    if ended >= MOST_ENDED:
        return False, f"{ended:.0%} of its lines end in a punctuation mark"
    most = f"at most {longest:,} characters" if not long else f"{longest:,} characters at most, {width} as a rule"
    blank = f", {empty:.0%} of them empty" if empty >= 0.01 else ""
    return True, f"lines of {most}{blank}, {ended:.0%} of which end in a mark"


def quantile(numbers: Sequence[int], share: float) -> int:
    """Return the smallest of some numbers that at least this share of them does not exceed."""
    return sorted(numbers)[max(0, -int(-share * len(numbers) // 1) - 1)]


def ends_a_sentence(row: str) -> bool:
    """Say whether a line ends with a mark that ends or divides a sentence, as lines of prose and verse do."""
    end = row.rstrip().rstrip(CLOSING)
    return end.endswith(SENTENCE_ENDS) and (not end.endswith(ASCII_ENDS) or len(end.split()) >= WORDS_OF_A_SENTENCE)


def are_abbreviations(rows: Sequence[str]) -> bool:
    """Say whether lines end in so few words that these are abbreviations, as in names of companies, not sentences."""
    distinct = {row.split()[-1] for row in rows}
    return len(rows) >= FEWEST_ENDINGS and len(distinct) < FEW_ENDINGS * len(set(rows))


def is_wrapped(rows: Sequence[str], width: int) -> bool:
    """Say whether lines are those of prose wrapped at a width: to most of them the next word would not fit."""
    pairs = [(row, after) for row, after in pairwise(rows) if row.strip() and after.strip()]
    if width < NARROWEST or not pairs or sum(len(row.split()) for row, _ in pairs) < FEWEST_WORDS * len(pairs):
        return False
    full = sum(len(row.rstrip()) + 1 + len(after.split()[0]) > width for row, after in pairs)
    return full >= FULL * len(pairs)


def is_fasta(rows: Sequence[str]) -> bool:
    """Say whether lines are records of biological sequences: '>' and a name, then lines of letters without blanks."""
    sequences = [row.strip() for row in rows if row[0] not in ">;"]
    return rows[0][0] == ">" and len(sequences) > 0 and all(FASTA_LETTERS.issuperset(row) for row in sequences)


def detect_lines(texts: Iterable[str | bytes]) -> tuple[bool, str]:
    """Say whether every one of some texts looks like lines, with the reason of the first that decides."""
    verdicts = [looks_like_lines(text) for text in texts if text]
    return min(verdicts, key=lambda verdict: verdict[0], default=(False, "it is empty"))


def detect_sentences(texts: Iterable[str | bytes]) -> tuple[bool, str]:
    """Say whether lines are sentences, as texts that are read by words have them, or one stream; and why."""
    longest = max((len(line) for text in texts for line in lines_of(text[:LOOK_AT])), default=0)
    if longest > LONGEST_SENTENCE:
        return False, f"it has a line of {longest:,} characters"
    return True, "each line is a sentence with an end"
