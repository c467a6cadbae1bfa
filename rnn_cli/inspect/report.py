"""The data of the report of a language model: all that report.html draws, computed here and rounded."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnn_cli.checkpoint.checkpoint import Checkpoint
from rnn_cli.errors import UsageError
from rnn_cli.inspect.activations import Activations, activations
from rnn_cli.inspect.gradient_flow import gradient_flow, mean_over_lag
from rnn_cli.inspect.numbers import evenly, packed, principal_components, rounded
from rnn_cli.inspect.plain_model import PlainModel, read_symbols
from rnn_cli.inspect.runs import panels_of, run_of
from rnn_cli.language.config import SamplingConfig
from rnn_cli.language.sampling import sample_texts
from rnn_cli.network.config import NetworkConfig
from rnn_cli.network.parameters import parameter_count
from rnn_cli.text.codecs import Codec

MOST_SYMBOLS = 1000
LAGS = 32
GUESSES = 5
GATED = 64  # units of a layer whose gates are embedded, those whose h varies most
WEIGHTS_READ = 2_400_000_000  # symbols times parameters: about two seconds for a network of 2 x 512
ARRAY_BYTES = 1_150_000  # of activations and gates; a third more in base64
MOST_POINTS = 500  # of a curve of the training
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
    model, text_symbols = PlainModel.of_checkpoint(checkpoint), read_symbols(codec, text, "skip")
    symbols = text_symbols.first(symbols_that_fit(config))
    if not len(symbols.inputs):
        raise UsageError("the model knows no symbol of the text; give a text like the one that it was trained on")
    acts = activations(model, symbols)
    flow = gradient_flow(model, acts, np.arange(len(symbols.inputs)), LAGS)
    h = acts.states["h"]
    path, shares = principal_components(h[-1])
    return {
        "kind": "language",
        "unit": codec.unit,
        "given": given,
        "left_out": int((codec.encode(text) < 0).sum()),
        "symbols": symbol_names(codec, acts),
        "newline": int(codec.newline),
        "read": symbols.inputs.tolist(),
        "targets": symbols.targets.tolist(),
        "bits": rounded(acts.bits),
        "ranks": acts.ranks.tolist(),
        "guesses": guesses(acts, codec),
        "layers": [packed(each) for each in h],
        "gated": [gates_of(acts, layer) for layer in range(config.num_layers)],
        "influence": packed(np.nan_to_num(flow.inputs)),
        "lag_norms": rounded(mean_over_lag(flow.inputs)),
        "confusion": confusion(acts),
        "path": {"points": rounded(path), "shares": rounded(shares)},
        "embedding": embedding(model, acts),
        "samples": samples(checkpoint, random_seed),
    }


def symbols_that_fit(config: NetworkConfig) -> int:
    """Return how many symbols can be read so that their activations fit into the page, and nobody waits long."""
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


def gates_of(acts: Activations, layer: int) -> dict[str, Any]:
    """Return the gates of a layer, and its cell state if it has one, of the GATED units that vary most."""
    chosen = np.sort(np.argsort(-acts.states["h"][layer].std(axis=0), kind="stable")[:GATED])
    values = acts.gates | {name: state for name, state in acts.states.items() if name != "h"}
    return {
        "units": chosen.tolist(),
        "gates": {name: packed(each[layer][:, chosen]) for name, each in values.items()},
    }


def guesses(acts: Activations, codec: Codec) -> list[list[float]]:
    """Return for each step the most probable next symbols and their probabilities: [symbol, p, symbol, p, ...]."""
    log_probs = acts.log_probs.copy()
    log_probs[:, list(codec.never_sampled)] = -np.inf
    order = np.argsort(-log_probs, axis=1, kind="stable")[:, :GUESSES]
    probs = rounded(np.exp(np.take_along_axis(log_probs, order, 1)), 3)
    return [[part for pair in zip(*row) for part in pair] for row in zip(order.tolist(), probs)]


def symbol_names(codec: Codec, acts: Activations) -> dict[int, str]:
    """Return a printable name for each symbol that the page may show."""
    shown = {*range(min(len(codec), EMBEDDED + 1)), *acts.symbols.inputs.tolist(), *acts.symbols.targets.tolist()}
    shown |= {int(symbol) for row in guesses(acts, codec) for symbol in row[::2]}
    return {symbol: codec.name(symbol) for symbol in sorted(shown)}


def confusion(acts: Activations) -> dict[str, Any]:
    """Return the mean probability that each of the commonest symbols was given if another one came: rows came."""
    targets = acts.symbols.targets
    counts = np.bincount(targets, minlength=acts.log_probs.shape[1])
    shown = np.argsort(-counts, kind="stable")[:CONFUSED]
    shown = np.sort(shown[counts[shown] > 0])
    probs = np.exp(acts.log_probs)
    rows = [probs[targets == symbol].mean(axis=0)[shown] for symbol in shown]
    return {"symbols": shown.tolist(), "counts": counts[shown].tolist(), "rows": rounded(np.array(rows), 2)}


def embedding(model: PlainModel, acts: Activations) -> dict[str, Any]:
    """Return the principal components of what each symbol adds to the first layer, for up to EMBEDDED symbols."""
    tied = model.config.embedding == "tied"
    table = model.weights.decoder_weight.T if tied else model.weights.layers[0][0].weight_ih
    shown = np.arange(len(table)) if len(table) <= EMBEDDED else np.unique(acts.symbols.inputs)[:EMBEDDED]
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
            "curves": [
                {"name": c.name, "points": rounded(np.array(c.points)[evenly(len(c.points), MOST_POINTS)], 5)}
                for c in panel.curves
            ],
        }
        for panel in panels
    ]
