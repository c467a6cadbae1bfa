"""rnn import: weights with PyTorch's names and a list of symbols -> a model file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from rnn_cli.cli.options import DEFAULT_MODEL, ModelPath, Quiet, note
from rnn_cli.errors import UsageError


def import_(
    weights: Annotated[Path, typer.Argument(help="A safetensors file.", show_default=False)],
    symbols: Annotated[
        Path,
        typer.Option(
            "--symbols", help="A JSON list of the text of each symbol; null is the boundary.", show_default=False
        ),
    ],
    model: ModelPath = DEFAULT_MODEL,
    lines: Annotated[bool, typer.Option("--lines", help="Each line is a text; the newline ends it.")] = False,
    activation: Annotated[
        Literal["tanh", "relu", "sigmoid"], typer.Option("--activation", help="Of a plain RNN.")
    ] = "tanh",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the model file if it exists.")] = False,
    quiet: Quiet = False,
) -> None:
    """Make a language model of weights with PyTorch's names.

    They are those of an optional embedding, recurrent layers and a linear readout.

    Example: rnn import weights.safetensors --symbols symbols.json -m imported.safetensors
    """
    if model.exists() and not overwrite:
        raise UsageError(f"{model} exists; choose another file with --model, or replace it with --overwrite")

    from rnn_cli.atomic_files import check_writable
    from rnn_cli.checkpoint.checkpoint import save_checkpoint
    from rnn_cli.export.importing import import_model, read_symbols, read_weights

    check_writable(model)
    checkpoint = import_model(read_weights(weights), read_symbols(symbols), lines, activation)
    size = save_checkpoint(model, checkpoint)
    config = checkpoint.config
    note(f"wrote {model}: {config.cell}, {config.num_layers} x {config.hidden_size}, {size:,} bytes", quiet)
