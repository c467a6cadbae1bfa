"""The data of the report of a language model: all that report.html draws, computed here and rounded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rnn_cli.checkpoint.checkpoint import Checkpoint
from rnn_cli.errors import UsageError
from rnn_cli.inspect.influence import influence
from rnn_cli.inspect.numbers import packed, principal_components, rounded
from rnn_cli.inspect.reading import Reading, read_text
from rnn_cli.inspect.runs import panels_of, run_of
from rnn_cli.language.config import SamplingConfig
from rnn_cli.language.sampling import sample_texts
from rnn_cli.network.parameters import parameter_count
from rnn_cli.text.codecs import Codec

MOST_SYMBOLS = 1000
LAGS = 32
GUESSES = 5
GATED = 64  # units of a layer whose gates are embedded, those whose h varies most
WEIGHTS_READ = 1_200_000_000  # symbols times parameters: about five seconds for a network of 2 x 512
ARRAY_BYTES = 1_200_000  # of activations and gates; a third more in base64
CONFUSED = 24  # symbols in the table of confusions
EMBEDDED = 200  # symbols in the picture of embeddings
TEMPERATURES = (0.5, 1.0, 1.5)
SAMPLED = {"character": 240, "word": 50}
OWN_TEXT = {"character": 400, "word": 120}  # symbols of the text that the model writes if none is given


def language_report(checkpoint: Checkpoint, text: str | bytes | None, random_seed: int) -> dict[str, Any]:
    """Return the report of a language model on a text, by default one that it has written itself."""
    codec, config = checkpoint.codec, checkpoint.config
    given = text is not None
    if text is None:
        text = codec.as_read(written(checkpoint, 1.0, OWN_TEXT[codec.unit], random_seed))
    reading = read_text(checkpoint, text, symbols_that_fit(checkpoint), np.float32)
    layers, gated = [], []
    for layer in range(config.num_layers):
        h = reading.states(layer)
        layers.append(packed(h))
        chosen = np.sort(np.argsort(-h.std(axis=0), kind="stable")[:GATED])
        values = gate_values(reading, layer)
        gated.append({"units": chosen.tolist(), "gates": {n: packed(v[:, chosen]) for n, v in values.items()}})
    norms = influence(reading, LAGS)
    path, shares = principal_components(reading.states(config.num_layers - 1))
    return {
        "kind": "language",
        "unit": codec.unit,
        "given": given,
        "left_out": reading.unknown,
        "symbols": symbol_names(codec, reading),
        "newline": int(codec.newline),
        "read": reading.symbols.tolist(),
        "targets": reading.targets.tolist(),
        "bits": rounded(reading.bits),
        "ranks": reading.ranks.tolist(),
        "guesses": guesses(reading, codec),
        "layers": layers,
        "gated": gated,
        "influence": packed(norms),
        "lag_norms": rounded(mean_norms(norms, reading.starts)),
        "confusion": confusion(reading),
        "path": {"points": rounded(path), "shares": rounded(shares)},
        "embedding": embedding(checkpoint, reading),
        "samples": samples(checkpoint, random_seed),
    }


def symbols_that_fit(checkpoint: Checkpoint) -> int:
    """Return how many symbols can be read so that their activations fit into the page, and nobody waits long."""
    config = checkpoint.config
    each = config.num_layers * (config.hidden_size + 6 * min(config.hidden_size, GATED))
    return max(1, min(MOST_SYMBOLS, ARRAY_BYTES // each, WEIGHTS_READ // parameter_count(config)))


def written(checkpoint: Checkpoint, temperature: float, length: int, random_seed: int) -> bytes:
    """Return what the model writes: in line mode several texts."""
    config = SamplingConfig(temperature=temperature, length=length, random_seed=random_seed)
    if not checkpoint.codec.line_mode:
        return next(sample_texts(checkpoint, config=config))
    lines = sample_texts(checkpoint, count=12, config=config)
    return b"".join(line.removesuffix(b"\n") + b"\n" for line in lines)[: 4 * length]


def samples(checkpoint: Checkpoint, random_seed: int) -> list[dict[str, Any]]:
    """Return what the model writes at each of three temperatures."""
    length = SAMPLED[checkpoint.codec.unit]
    return [
        {"temperature": t, "text": written(checkpoint, t, length, random_seed).decode("utf-8", "replace")}
        for t in TEMPERATURES
    ]


def gate_values(reading: Reading, layer: int) -> dict[str, np.ndarray]:
    """Return the gates of a layer, and its cell state if it has one, each (T, H)."""
    values = reading.gates(layer)
    if len(reading.cell.states) > 1:
        values["c"] = reading.states(layer, 1)
    return values


def guesses(reading: Reading, codec: Codec) -> list[list[float]]:
    """Return for each step the most probable next symbols and their probabilities: [symbol, p, symbol, p, ...]."""
    log_probs = reading.log_probs.copy()
    log_probs[:, list(codec.never_sampled)] = -np.inf
    order = np.argsort(-log_probs, axis=1, kind="stable")[:, :GUESSES]
    probs = rounded(np.exp(np.take_along_axis(log_probs, order, 1)), 3)
    return [[part for pair in zip(*row) for part in pair] for row in zip(order.tolist(), probs)]


def symbol_names(codec: Codec, reading: Reading) -> dict[int, str]:
    """Return a printable name for each symbol that the page may show."""
    shown = {*range(min(len(codec), EMBEDDED + 1)), *reading.symbols.tolist(), *reading.targets.tolist()}
    shown |= {int(symbol) for row in guesses(reading, codec) for symbol in row[::2]}
    return {symbol: codec.name(symbol) for symbol in sorted(shown)}


def mean_norms(norms: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Return the mean norm (lags,) of the gradient over lag, over the steps that have so long a past."""
    begun = np.maximum.accumulate(np.where(starts, np.arange(len(starts)), 0))
    past = np.arange(len(starts)) - begun
    return np.array([norms[past >= lag, lag].mean() if (past >= lag).any() else 0.0 for lag in range(norms.shape[1])])


def confusion(reading: Reading) -> dict[str, Any]:
    """Return the mean probability that each of the commonest symbols was given if another one came: rows came."""
    counts = np.bincount(reading.targets, minlength=reading.log_probs.shape[1])
    shown = np.argsort(-counts, kind="stable")[:CONFUSED]
    shown = np.sort(shown[counts[shown] > 0])
    probs = np.exp(reading.log_probs)
    rows = [probs[reading.targets == symbol].mean(axis=0)[shown] for symbol in shown]
    return {"symbols": shown.tolist(), "counts": counts[shown].tolist(), "rows": rounded(np.array(rows), 2)}


def embedding(checkpoint: Checkpoint, reading: Reading) -> dict[str, Any]:
    """Return the principal components of what each symbol adds to the first layer, for up to EMBEDDED symbols."""
    tied = checkpoint.config.embedding == "tied"
    table = reading.weights.decoder_weight.T if tied else reading.weights.layers[0][0].weight_ih
    shown = np.arange(len(table)) if len(table) <= EMBEDDED else np.unique(reading.symbols)[:EMBEDDED]
    points, shares = principal_components(table[shown])
    return {"symbols": shown.tolist(), "points": rounded(points), "shares": rounded(shares)}


def curves(checkpoint: Checkpoint) -> list[dict[str, Any]]:
    """Return the curves of the training, none if the file records none."""
    try:
        panels = panels_of([run_of(checkpoint, "the model")])
    except UsageError:
        return []
    return [
        {
            "title": panel.title,
            "x": panel.x_title,
            "y": panel.y_title,
            "log": panel.logarithmic,
            "curves": [{"name": c.name, "points": rounded(np.array(c.points), 5)} for c in panel.curves],
        }
        for panel in panels
    ]


def answer_report(
    labels: Sequence[str], matrix: np.ndarray | None, built: Sequence[Mapping[str, Any]], unit: str
) -> dict[str, Any]:
    """Return the report of a model that answers: its confusions (actual, answered), and answers as they build up.

    Each item of `built` has the "pieces" of a text, the "answers" (pieces, labels) after each, and its "actual" label.
    """
    return {
        "kind": "answers",
        "unit": unit,
        "labels": list(labels),
        "matrix": None if matrix is None else matrix.tolist(),
        "built": [dict(item) | {"answers": rounded(np.asarray(item["answers"]), 3)} for item in built],
    }
