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


def figures_of(found: Sequence[str], targets: Sequence[str], words: bool) -> dict[str, Any]:
    """Return how many answers are right, the share of those that are not, and the share of wrong symbols."""
    pairs = [(symbols_in(own, words), symbols_in(target, words)) for own, target in zip(found, targets)]
    right = sum(own == target for own, target in pairs)
    errors = sum(distance(own, target) for own, target in pairs)
    symbols = max(1, sum(len(target) for _, target in pairs))
    return {"right": right, "word_error_rate": 1 - right / len(pairs), "symbol_error_rate": errors / symbols}


def evaluate_pairs(translator: Translator, data: Pairs, width: int = 1) -> dict[str, Any]:
    """Return the figures of a model on pairs, JSON-ready.

    A symbol that the training part lacks counts as wrong; `bits_per_symbol` is over the others and the ends.
    """
    symbols = translator.symbols
    found = [symbols.decode(answers[0].symbols) for answers in translator.translate(data.sources, width=width)]
    unknown = sorted({part for text in data.targets for part in symbols_in(text, symbols.words)} - set(symbols.outputs))
    return {
        "pairs": len(data),
        **figures_of(found, data.targets, symbols.words),
        "bits_per_symbol": bits_per_symbol(translator, data),
        "baseline": {"name": "copy of the source", **figures_of(data.sources, data.targets, symbols.words)},
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
