"""Pairs of texts, one a line: `source TAB target`."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from rnn_cli.errors import UsageError
from rnn_cli.rng import HELD_OUT, generator
from rnn_cli.tasks.labelled_texts import lines_of_source, shortened
from rnn_cli.text.documents import joined_names
from rnn_cli.text.holdout import DEFAULT_FRACTION, FEWEST_LINES
from rnn_cli.text.sources import open_sources

FORMAT = "write source TAB target, one pair a line"
SHORT_SYMBOL, FEW_SYMBOLS = 3.0, 500  # characters of a symbol between blanks on average; how many different ones


@dataclass(frozen=True)
class Pairs:
    """Sources and their targets, in the order of the files."""

    name: str
    digest: str
    sources: list[str]
    targets: list[str]

    def take(self, chosen: np.ndarray) -> Pairs:
        """Return some of the pairs."""
        indices = chosen.tolist()
        return replace(self, sources=[self.sources[k] for k in indices], targets=[self.targets[k] for k in indices])

    def __len__(self) -> int:
        return len(self.sources)


def read_pairs(paths: Sequence[str]) -> Pairs:
    """Read files ("-" is stdin) of pairs; further columns are ignored, and empty lines left out.

    Raises UsageError with file and line for a line without a TAB or with an empty side, and if there is no pair.
    """
    sources = open_sources(paths)
    name = joined_names([source.name for source in sources])
    digest = hashlib.sha256(f"{len(sources)} ".encode())
    left: list[str] = []
    right: list[str] = []
    for source in sources:
        digest.update(f"{source.size} ".encode())
        for number, line in enumerate(lines_of_source(source, digest), 1):
            if not line or line.isspace():
                continue
            columns = line.split("\t")
            where = f"line {number:,} of {source.name}"
            if len(columns) < 2:
                raise UsageError(f"{where} has no TAB: '{shortened(line)}'; {FORMAT}")
            for side, text in zip(("source before", "target after"), columns):
                if not text.strip():
                    raise UsageError(f"{where} has no {side} its TAB: '{shortened(line)}'; {FORMAT}")
            left.append(columns[0].strip(" "))
            right.append(columns[1].strip(" "))
    if not left:
        raise UsageError(f"{name} has no pair; {FORMAT}")
    return Pairs(name, digest.hexdigest(), left, right)


def split_pairs(data: Pairs, fraction: float | None, random_seed: int) -> tuple[Pairs, Pairs | None, str]:
    """Return the pairs to train on, those to hold out, and what was done. Pairs of one source stay together."""
    fraction, count = DEFAULT_FRACTION if fraction is None else fraction, len(data)
    if fraction == 0:
        return data, None, "none, as requested"
    if count < FEWEST_LINES:
        return data, None, f"none, as there are fewer than {FEWEST_LINES} pairs"
    distinct = list(dict.fromkeys(data.sources))
    order = generator([random_seed, HELD_OUT]).permutation(len(distinct)).tolist()
    held = {distinct[index] for index in order[: round(fraction * len(distinct))]}
    chosen = np.array([source in held for source in data.sources])
    if chosen.all() or not chosen.any():
        return data, None, "none, as there are too few different sources"
    reason = f"{int(chosen.sum()):,} of {count:,} pairs, at random, those of one source together"
    return data.take(np.flatnonzero(~chosen)), data.take(np.flatnonzero(chosen)), reason


def looks_like_phones(targets: Sequence[str]) -> bool:
    """Say whether blanks separate symbols: in most targets, few and short ones."""
    symbols = [symbol for target in targets for symbol in target.split()]
    blanks = sum(" " in target for target in targets)
    short = sum(map(len, symbols)) <= SHORT_SYMBOL * len(symbols)
    return blanks >= len(targets) / 2 and short and len(set(symbols)) <= min(FEW_SYMBOLS, max(2, len(symbols) // 4))
