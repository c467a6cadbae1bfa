"""rnn gradients: a text and a model -> how the gradient of a prediction flows back through time."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from rnn_cli.cli.inspect import TextArgument, load
from rnn_cli.cli.options import DEFAULT_MODEL, Json, Label, ModelPath, Quiet, RandomSeed
from rnn_cli.config import check_range
from rnn_cli.errors import UsageError

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

    import numpy as np

    from rnn_cli.display.columns import log_bars, table
    from rnn_cli.display.stdout import TextWriter
    from rnn_cli.display.tables import key_values, spaced
    from rnn_cli.inspect.activations import activations
    from rnn_cli.inspect.gradient_flow import (
        compared,
        gradient_flow,
        mean_over_lag,
        meaning,
        norm_of,
        spectral_radii,
        spread,
        weight_gradient,
    )
    from rnn_cli.text.codecs import BOUNDARY

    acts = activations(network, symbols)
    flows = {"this model": gradient_flow(network, acts, spread(symbols))}
    reached = flows["this model"].inputs[-1]
    reached = reached[~np.isnan(reached)][::-1]  # of the last prediction, the earliest symbol first
    if compare:
        flows |= compared(network, symbols, seed, gain, train_steps)
    curves = {name: mean_over_lag(flow.states) for name, flow in flows.items()}
    own, last = curves["this model"], int(symbols.scored[-1])
    read = symbols.inputs[last + 1 - len(reached) : last + 1].tolist()
    names = ["start" if symbol == BOUNDARY else checkpoint.codec.name(symbol) for symbol in read]
    predicted = checkpoint.codec.name(int(symbols.targets[last]))
    radii = spectral_radii(network)
    norm = norm_of(weight_gradient(network, acts))
    clip = checkpoint.record.get("training", {}).get("clip_norm")
    clip = float(clip) if isinstance(clip, int | float) and clip > 0 else None
    clipped = norm if clip is None else min(norm, clip)
    writer = TextWriter()
    if as_json:
        facts = {
            "over_lag": {name: values.tolist() for name, values in curves.items()},
            "connectivity": {
                "predicted": predicted,
                "inputs": [{"symbol": name, "norm": value} for name, value in zip(names, reached.tolist())],
            },
            "spectral_radius": radii,
            "norm": norm,
            "norm_clipped": clipped,
            "clip_norm": clip,
            "meaning": meaning(own),
        }
        writer.write_line(json.dumps(facts))
        writer.close()
        return
    lags = [lag for lag in SHOWN_LAGS if lag <= len(own)]
    rows = [[str(lag), *(f"{values[lag - 1]:.2e}" for values in curves.values())] for lag in lags]
    if not compare:
        rows = [[*row, bar] for row, bar in zip(rows, log_bars([own[lag - 1] for lag in lags]))]
    writer.write_line("gradient of the loss (nats) in the state: its norm, by steps back from a loss")
    writer.write_line(
        table(["steps back", *curves, *([] if compare else ["bar: log scale"])], rows, 0, bars=not compare)
    )
    writer.write_line("\n" + key_values([(name, meaning(values)) for name, values in curves.items()]))
    writer.write_line(f"\nnorm of the gradient of the prediction of {spaced(predicted)} in each symbol before it")
    bars = log_bars(reached.tolist())
    shown = list(zip(names, reached.tolist(), bars))[-40:]
    rows = [[spaced(name), f"{value:.2e}", bar] for name, value, bar in shown]
    writer.write_line(table(["symbol", "norm", "bar: log scale"], rows))
    parts = [
        (f"spectral radius {k}", "  ".join(f"{gate} {value:.3f}" for gate, value in layer.items()))
        for k, layer in enumerate(radii, 1)
    ]
    limit = "not clipped in training" if clip is None else f"{clipped:.3g} after clipping to {clip:g}"
    writer.write_line("\n" + key_values([*parts, ("gradient norm", f"{norm:.3g}, {limit}")]))
    writer.close()
