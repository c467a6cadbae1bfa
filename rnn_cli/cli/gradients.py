"""rnn gradients: a text and a model -> how the gradient of a prediction flows back through time."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rnn_cli.cli.inspect import TextArgument, load
from rnn_cli.cli.options import DEFAULT_MODEL, Json, Label, ModelPath, Quiet, RandomSeed
from rnn_cli.config import check_range
from rnn_cli.errors import UsageError

if TYPE_CHECKING:
    from rnn_cli.checkpoint.checkpoint import Checkpoint
    from rnn_cli.inspect.gradient_flow import GradientFlow
    from rnn_cli.inspect.plain_model import PlainModel, Symbols

SHOWN_SYMBOLS = 40
SHOWN_LAGS = (1, 2, 3, 4, 5, 7, 10, 14, 20, 30, 40, 50, 70, 100)


def gradients(
    text: TextArgument,
    model: ModelPath = DEFAULT_MODEL,
    label: Label = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="Compare with new rnn, gru and lstm networks of the same size.")
    ] = False,
    train_steps: Annotated[
        int, typer.Option("--train-steps", help="With --compare: train each this many steps on the text.")
    ] = 0,
    gain: Annotated[
        float, typer.Option("--gain", help="With --compare: multiply their recurrent weights by this.")
    ] = 1.0,
    random_seed: RandomSeed = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show how far back the gradient of the loss reaches in a text, and on which characters a prediction depends.

    Example: rnn gradients namaskar
    """
    check_range("train_steps", train_steps, 0, 1000)
    check_range("gain", gain, 0.01, 100.0)
    if not compare and (train_steps or gain != 1.0 or random_seed is not None):
        raise UsageError("--train-steps, --gain and --random-seed need --compare; give it too")
    seed = 1 if random_seed is None else random_seed
    check_range("random_seed", seed, 0, 2**63 - 1)
    checkpoint, network, symbols = load(text, model, label, quiet)
    if len(symbols.scored) < 2:
        raise UsageError("the text is too short for a gradient to flow through it; give two symbols or more")

    from rnn_cli.display.stdout import TextWriter
    from rnn_cli.inspect.gradient_flow import compared

    others = compared(network, symbols, seed, gain, train_steps) if compare else {}
    facts = measured(checkpoint, network, symbols, others)
    writer = TextWriter()
    writer.write_line(json.dumps(facts) if as_json else tables(facts))
    writer.close()


def measured(
    checkpoint: Checkpoint, network: PlainModel, symbols: Symbols, others: dict[str, GradientFlow]
) -> dict[str, Any]:
    """Return all figures of a model on a text, and the gradient over lag of other networks, JSON-ready."""
    import numpy as np

    from rnn_cli.inspect.activations import activations
    from rnn_cli.inspect.gradient_flow import (
        gradient_flow,
        mean_over_lag,
        meaning,
        norm_of,
        spectral_radii,
        spread,
        weight_gradient,
    )
    from rnn_cli.text.codecs import BOUNDARY

    acts, codec, last = activations(network, symbols), checkpoint.codec, int(symbols.scored[-1])
    own = gradient_flow(network, acts, spread(symbols))
    over_lag = {name: mean_over_lag(flow.states) for name, flow in {"this model": own, **others}.items()}
    reached = own.inputs[-1, ~np.isnan(own.inputs[-1])][::-1]  # of the last prediction, the earliest symbol first
    read = symbols.inputs[last + 1 - len(reached) : last + 1].tolist()
    names = ["start" if symbol == BOUNDARY else codec.name(symbol) for symbol in read]
    norm = norm_of(weight_gradient(network, acts))
    clip = checkpoint.record.get("training", {}).get("clip_norm")
    clip = float(clip) if isinstance(clip, int | float) and clip > 0 else None
    return {
        "over_lag": {name: norms.tolist() for name, norms in over_lag.items()},
        "connectivity": {
            "predicted": codec.name(int(symbols.targets[last])),
            "inputs": [{"symbol": name, "norm": value} for name, value in zip(names, reached.tolist())],
        },
        "spectral_radius": spectral_radii(network),
        "norm": norm,
        "norm_clipped": norm if clip is None else min(norm, clip),
        "clip_norm": clip,
        "meaning": meaning(over_lag["this model"]),
    }


def tables(facts: dict[str, Any]) -> str:
    """Return what `measured` returned for people."""
    import numpy as np

    from rnn_cli.display.columns import log_bars, table
    from rnn_cli.display.tables import key_values, spaced
    from rnn_cli.inspect.gradient_flow import meaning

    curves = facts["over_lag"]
    lags = [lag for lag in SHOWN_LAGS if lag <= len(curves["this model"])]
    heading = ["steps back", *curves]
    rows = [[str(lag), *(f"{norms[lag - 1]:.2e}" for norms in curves.values())] for lag in lags]
    alone = len(curves) == 1
    if alone:
        bars = log_bars([curves["this model"][lag - 1] for lag in lags])
        heading, rows = [*heading, "bar: log scale"], [[*row, bar] for row, bar in zip(rows, bars)]
    inputs, predicted = facts["connectivity"]["inputs"], spaced(facts["connectivity"]["predicted"])
    reached = zip(inputs, log_bars([each["norm"] for each in inputs]))
    symbols = [[spaced(each["symbol"]), f"{each['norm']:.2e}", bar] for each, bar in reached]
    radii = [
        (f"spectral radius, layer {k}", "  ".join(f"{gate} {value:.3f}" for gate, value in layer.items()))
        for k, layer in enumerate(facts["spectral_radius"], 1)
    ]
    limit = "not clipped in training"
    if facts["clip_norm"] is not None:
        limit = f"{facts['norm_clipped']:.3g} after clipping to {facts['clip_norm']:g}"
    parts = [
        "gradient of the loss (nats) in the state: its norm, by steps back from a loss",
        table(heading, rows, 0, bars=alone),
        "\n" + key_values([(name, meaning(np.array(norms))) for name, norms in curves.items()]),
        f"\nnorm of the gradient of the prediction of {predicted} in each symbol before it",
        table(["symbol", "norm", "bar: log scale"], symbols[-SHOWN_SYMBOLS:]),
        "\n" + key_values([*radii, ("gradient norm", f"{facts['norm']:.3g}, {limit}")]),
    ]
    return "\n".join(parts)
