"""Texts with a label each, one a line: `label TAB text`, or fastText's `__label__x text`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from rnn_cli.errors import UsageError
from rnn_cli.rng import HELD_OUT, generator
from rnn_cli.text.documents import decode_chunks, joined_names
from rnn_cli.text.holdout import DEFAULT_FRACTION, FEWEST_LINES
from rnn_cli.text.sources import Source, open_sources

FASTTEXT = "__label__"
MOST_LABELS = 10_000
SHOWN = 40  # characters of a line in a message
TO_READ = "convert it to UTF-8"  # what to do with a file that is not


@dataclass(frozen=True)
class LabelledTexts:
    """Texts and their labels, in the order of the file.

    names       the distinct labels, sorted
    labels (n,) int64, the index of each text's label in `names`; -1: a label that `names` lacks
    first_lines file and line in which each label of `names` occurs first
    empty       how many lines without a text were left out
    """

    name: str
    digest: str
    texts: list[str]
    labels: np.ndarray
    names: tuple[str, ...]
    first_lines: tuple[str, ...]
    fasttext: bool
    empty: int

    def take(self, chosen: np.ndarray) -> LabelledTexts:
        """Return some of the texts."""
        return replace(self, texts=[self.texts[index] for index in chosen.tolist()], labels=self.labels[chosen])

    def relabelled(self, names: Sequence[str]) -> LabelledTexts:
        """Return the same texts with labels as indices in `names`, -1 for one that is not there."""
        index = {name: number for number, name in enumerate(names)}
        table = np.array([*(index.get(name, -1) for name in self.names), -1], np.int64)
        return replace(self, labels=table[self.labels], names=tuple(names))

    @property
    def counts(self) -> np.ndarray:
        """How many texts each label has."""
        return np.bincount(self.labels[self.labels >= 0], minlength=len(self.names))

    @property
    def commonest(self) -> tuple[str, float]:
        """The label that most texts have, and its share of the texts: what always answering it would get right."""
        counts = self.counts
        best = int(counts.argmax())
        return self.names[best], float(counts[best] / max(len(self.labels), 1))


def read_labelled(paths: Sequence[str]) -> LabelledTexts:
    """Read files ("-" is stdin) of labelled texts, in the format that the first line is in.

    Lines without a text are left out. A carriage return at the end of a line is not part of its text. Raises UsageError
    with file and line for a line without a label, and if there is no text at all.
    """
    sources = open_sources(paths)
    name = joined_names([source.name for source in sources])
    digest = hashlib.sha256(f"{len(sources)} ".encode())
    texts: list[str] = []
    labels: list[int] = []
    index: dict[str, int] = {}
    first_lines: list[str] = []
    fasttext, empty = None, 0
    for source in sources:
        digest.update(f"{source.size} ".encode())
        for number, line in enumerate(lines_of_source(source, digest), 1):
            if not line or line.isspace():
                empty += bool(line)
                continue
            if fasttext is None:
                fasttext = line.startswith(FASTTEXT)
            where = f"line {number:,} of {source.name}"
            label, text = split_fasttext(line, where) if fasttext else split_at_tab(line, where)
            if not text or text.isspace():
                empty += 1
                continue
            if label not in index:
                index[label] = len(index)
                first_lines.append(where)
                if len(index) > MOST_LABELS:
                    raise UsageError(
                        f"{name} has more than {MOST_LABELS:,} different labels, up to {where}; the label comes first, "
                        "then a TAB and the text: swap the columns"
                    )
            labels.append(index[label])
            texts.append(text)
    if not texts:
        raise UsageError(f"{name} has no text with a label; write label TAB text, one a line")
    order = sorted(index, key=str)
    ranks = np.empty(len(order), np.int64)
    ranks[[index[label] for label in order]] = np.arange(len(order))
    return LabelledTexts(
        name=name,
        digest=digest.hexdigest(),
        texts=texts,
        labels=ranks[np.array(labels)],
        names=tuple(order),
        first_lines=tuple(first_lines[index[label]] for label in order),
        fasttext=bool(fasttext),
        empty=empty,
    )


def lines_of_source(source: Source, digest: hashlib._Hash) -> Iterator[str]:
    """Yield the lines of a file without their ends. Raises UsageError if it is not UTF-8."""
    rest = ""
    for part in decode_chunks(source.name, source.chunks(digest.update), source.skipped, TO_READ):
        *lines, rest = (rest + part).split("\n")
        for line in lines:
            yield line.removesuffix("\r")
    if rest:
        yield rest.removesuffix("\r")


def split_at_tab(line: str, where: str) -> tuple[str, str]:
    """Return the label and the text of `label TAB text`. Blanks around a label are not part of it."""
    label, tab, text = line.partition("\t")
    if not tab:
        raise UsageError(f"{where} has no TAB: '{shortened(line)}'; write label TAB text")
    if not label.strip():
        raise UsageError(f"{where} has no label before its TAB: '{shortened(line)}'; write label TAB text")
    return label.strip(), text


def split_fasttext(line: str, where: str) -> tuple[str, str]:
    """Return the label and the text of `__label__x text`, which has exactly one label."""
    label, *rest = line.split(maxsplit=1)
    text = rest[0] if rest else ""
    if not label.startswith(FASTTEXT):
        raise UsageError(f"{where} does not begin with {FASTTEXT}, as the first line does: '{shortened(line)}'")
    if label == FASTTEXT:
        raise UsageError(f"{where} has no label after {FASTTEXT}: '{shortened(line)}'; write {FASTTEXT}label text")
    if text.startswith(FASTTEXT):
        raise UsageError(f"{where} has two labels, and a text has one here: '{shortened(line)}'; leave one out")
    return label.removeprefix(FASTTEXT), text


def shortened(line: str) -> str:
    """Return the beginning of a line for a message."""
    return line if len(line) <= SHOWN else line[:SHOWN] + "..."


def split_texts(
    data: LabelledTexts, fraction: float | None, random_seed: int
) -> tuple[LabelledTexts, LabelledTexts | None, str]:
    """Return the texts to train on, those to hold out, and what was done.

    About the same share of each label is held out, but never all that a label has. Equal texts stay together, so that
    no text is in both parts.
    """
    fraction, count = DEFAULT_FRACTION if fraction is None else fraction, len(data.texts)
    if fraction == 0:
        return data, None, "none, as requested"
    if count < FEWEST_LINES:
        return data, None, f"none, as there are fewer than {FEWEST_LINES} texts"
    held = held_out(data.texts, data.labels, fraction, random_seed)
    if not held.any():
        return data, None, "none, as each label has one text only"
    reason = f"{int(held.sum()):,} of {count:,} texts, at random, the same share of each label"
    return data.take(np.flatnonzero(~held)), data.take(np.flatnonzero(held)), reason


def held_out(texts: Sequence[str], labels: np.ndarray, fraction: float, random_seed: int) -> np.ndarray:
    """Say for each text whether it is held out.

    The distinct texts are sorted by label, in random order within one; of those, without the first of each label,
    every (1 / fraction)-th is held out. A text with several labels counts for the first of them.
    """
    distinct: dict[str, int] = {}
    number = np.array([distinct.setdefault(text, len(distinct)) for text in texts])
    first = np.unique(number, return_index=True)[1]
    draws = generator([random_seed, HELD_OUT])
    order = np.lexsort((draws.random(len(first)), labels[first]))
    begins = np.diff(labels[first][order], prepend=-2) != 0
    candidates = order[~begins]
    wanted = min(round(fraction * len(first)), len(candidates))
    if not wanted:
        return np.zeros(len(texts), bool)
    step = len(candidates) / wanted
    chosen = candidates[
        (np.arange(wanted) * step + draws.random() * step).astype(np.int64).clip(0, len(candidates) - 1)
    ]
    return np.isin(number, chosen)
