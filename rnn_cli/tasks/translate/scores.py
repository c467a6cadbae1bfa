"""How well a model translates, beside a copy of the source."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from rnn_cli.network.pair_window import PairWindow
from rnn_cli.tasks.translate.batches import PairBatches
from rnn_cli.tasks.translate.pairs import Pairs
from rnn_cli.tasks.translate.symbols import symbols_in
from rnn_cli.tasks.translate.translator import LONGEST, Translator

ROWS = 64


def distance(found: Sequence[str], target: Sequence[str]) -> int:
    """Return the edit distance (Levenshtein 1966): insertions, deletions and replacements."""
    row = list(range(len(target) + 1))
    for number, symbol in enumerate(found, 1):
        diagonal, row[0] = row[0], number
        for k, other in enumerate(target, 1):
            diagonal, row[k] = row[k], min(row[k] + 1, row[k - 1] + 1, diagonal + (symbol != other))
    return row[-1]


def figures_of(found: Sequence[str], data: Pairs, words: bool) -> dict[str, Any]:
    """Return how many sources are answered rightly, the share of those that are not, and the share of wrong symbols.

    `found` has an answer for each pair. A source with several targets counts once: it is right if the answer is one of
    them, and its wrong symbols are those of the nearest one.
    """
    answers = dict(zip(data.sources, found))
    targets: dict[str, list[list[str]]] = {source: [] for source in answers}
    for source, target in zip(data.sources, data.targets):
        targets[source].append(symbols_in(target, words))
    right = errors = symbols = 0
    for source, answer in answers.items():
        own = symbols_in(answer, words)
        wrong, length = min((distance(own, target), len(target)) for target in targets[source])
        right, errors, symbols = right + (wrong == 0), errors + wrong, symbols + length
    return {
        "right": right,
        "word_error_rate": 1 - right / len(answers),
        "symbol_error_rate": errors / max(1, symbols),
    }


def evaluate_pairs(translator: Translator, data: Pairs, width: int = 1) -> dict[str, Any]:
    """Return the figures of a model on pairs, JSON-ready.

    A symbol that the training part lacks counts as wrong; `bits_per_symbol` is over the others and the ends.
    """
    symbols = translator.symbols
    found = [symbols.decode(answers[0].symbols) for answers in translator.translate(data.sources, width=width)]
    unknown = sorted({part for text in data.targets for part in symbols_in(text, symbols.words)} - set(symbols.outputs))
    return {
        "pairs": len(data),
        "sources": len(set(data.sources)),
        **figures_of(found, data, symbols.words),
        "bits_per_symbol": bits_per_symbol(translator, data),
        "baseline": {"name": "copy of the source", **figures_of(data.sources, data, symbols.words)},
        "unknown_symbols": unknown,
    }


def bits_per_symbol(translator: Translator, data: Pairs) -> float:
    """Return the mean bits of the symbols of the targets, and of their ends, given their sources."""
    symbols = translator.symbols
    sources = [symbols.encode_source(text)[-LONGEST:] for text in data.sources]
    targets = [symbols.encode_target(text)[: LONGEST - 1] for text in data.targets]
    longest = max(max(map(len, sources)), 1 + max(map(len, targets)))
    rows = max(1, min(ROWS, len(sources)))
    window = PairWindow(translator.model, longest, rows, translator.team, translator.precision)
    window.pack()
    batches = PairBatches(sources, targets, rows)
    total, count = 0.0, 0
    for step in range(batches.steps_per_epoch):
        window.load(batches.batch(step))
        window.score()
        total += float(window.losses.sum(dtype=np.float64))
        count += int(np.count_nonzero(window.targets >= 0))
    return total / max(count, 1) / math.log(2)
