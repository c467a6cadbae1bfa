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
    network, codec, symbols = load(text, model, label, quiet)
    if (symbols.targets >= 0).sum() < 2:
        raise UsageError("the text is too short for a gradient to flow through it; give two symbols or more")

    from rnn_cli.checkpoint.checkpoint import load_checkpoint
    from rnn_cli.display.columns import log_bars, table
    from rnn_cli.display.stdout import TextWriter
    from rnn_cli.display.tables import key_values, spaced
    from rnn_cli.inspect.gradient_flow import (
        compared,
        connectivity,
        gradient_flow,
        gradient_norm,
        meaning,
        norm_of,
        spectral_radii,
    )

    curves = {"this model": gradient_flow(network, symbols).over_lag}
    if compare:
        others = compared(network, symbols, seed, gain, train_steps)
        curves |= {name: flow.over_lag for name, flow in others.items()}
    own = curves["this model"]
    last = int((symbols.targets >= 0).nonzero()[0][-1])
    reached = connectivity(network, symbols, last)
    names = ["start", *(codec.name(symbol) for symbol in symbols.inputs[1 : last + 1].tolist())]
    predicted = codec.name(int(symbols.targets[last]))
    radii = spectral_radii(network)
    norm = norm_of(gradient_norm(network, symbols)[2])
    clip = load_checkpoint(model).record.get("training", {}).get("clip_norm")
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
        (f"spectral radius, layer {k}", "  ".join(f"{gate} {value:.3f}" for gate, value in layer.items()))
        for k, layer in enumerate(radii, 1)
    ]
    limit = "not clipped in training" if clip is None else f"{clipped:.3g} after clipping to {clip:g}"
    writer.write_line("\n" + key_values([*parts, ("gradient norm", f"{norm:.3g}, {limit}")]))
    writer.close()
