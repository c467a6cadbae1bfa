"""rnn export: a model file -> a file, or a folder, that other programs read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from rnn_cli.cli.options import (
    DEFAULT_MODEL,
    OUTPUT,
    ModelPath,
    Quiet,
    announce_compiling,
    model_files,
    note,
    one_model,
)
from rnn_cli.errors import RnnError, UsageError

Target = Literal["onnx", "numpy", "c", "hub", "html"]


def export(
    context: typer.Context,
    to: Annotated[
        Target,
        typer.Option(
            "--to",
            help="onnx: a graph; numpy: a Python file; c: a header; hub: a folder with PyTorch's names; html: a page.",
            rich_help_panel=OUTPUT,
            show_default=False,
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="The file, or for hub the folder, to write.",
            rich_help_panel=OUTPUT,
            show_default=False,
        ),
    ],
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="[MODEL]", help="The model file, as --model.", show_default=False, autocompletion=model_files
        ),
    ] = None,
    model: ModelPath = DEFAULT_MODEL,
    licence: Annotated[
        str | None,
        typer.Option(
            "--license",
            help="For hub: the licence of the weights, such as mit or cc-by-4.0.",
            rich_help_panel=OUTPUT,
            show_default=False,
        ),
    ] = None,
    int8: Annotated[
        bool,
        typer.Option(
            "--int8", help="For html: weights of 8 bits, half as large; says what it costs.", rich_help_panel=OUTPUT
        ),
    ] = False,
    measure_on: Annotated[
        str | None,
        typer.Option(
            "--measure-on",
            help="For --int8: a file of texts, with answers if the model has some, on which the cost is measured.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Write a model for other programs: a web page, ONNX, C, NumPy, or a folder for model hubs.

    Example: rnn export model.safetensors --to onnx -o names.onnx
    """
    if licence is not None and to != "hub":
        raise UsageError("--license is for --to hub; leave it out")
    if int8 and to != "html":
        raise UsageError("--int8 is for --to html; leave it out")
    if measure_on is not None and not int8:
        raise UsageError("--measure-on is for --int8; leave it out")
    model = one_model(context, file, model)

    from rnn_cli.atomic_files import check_writable, is_same, write_atomically
    from rnn_cli.checkpoint.checkpoint import load_checkpoint
    from rnn_cli.export.targets import Request, export_files

    checkpoint = load_checkpoint(model)
    announce_compiling(quiet)
    files, remarks = export_files(
        to, Request(checkpoint, output, licence, int8, () if measure_on is None else (measure_on,))
    )
    for path in files:
        if is_same(path, model):
            raise UsageError(f"{path} is the model itself; choose another file with --output")
        if to == "hub":
            make_folder(output)
        check_writable(path)
    for path, data in files.items():
        write_atomically(path, data)
        note(f"wrote {path}: {len(data):,} bytes", quiet)
    for remark in remarks:
        note(remark, quiet)


def make_folder(path: Path) -> None:
    """Make a folder unless it is there. Raises RnnError if it cannot be made."""
    try:
        path.mkdir(exist_ok=True)
    except OSError as problem:
        raise RnnError(f"the folder {path} cannot be made: {problem.strerror}") from problem
