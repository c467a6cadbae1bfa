"""rnn plot: model files or logs -> the curves of their training, in the terminal or as SVG or PNG."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from rnn_cli.cli.options import DEFAULT_MODEL, OUTPUT, ModelPath, Quiet, model_files
from rnn_cli.cli.output import check_output, write_output
from rnn_cli.errors import UsageError

MOST_RUNS = 20


def plot(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[MODEL|LOG]...",
            help="Model files, or logs of rnn train --log; default: --model.",
            show_default=False,
            autocompletion=model_files,
        ),
    ] = None,
    model: ModelPath = DEFAULT_MODEL,
    over: Annotated[
        Literal["step", "epoch", "seconds", "characters"], typer.Option("--over", help="What the x axis counts.")
    ] = "step",
    show: Annotated[
        Literal["all", "loss", "rate", "norm"],
        typer.Option("--show", help="The curves: of the loss, the learning rate, the gradient norm, or all."),
    ] = "all",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Write the picture to this file: .svg, or .png, which needs matplotlib.",
            show_default=False,
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Plot the curves of trainings: loss, validation, learning rate, gradient norm.

    Example: rnn plot model.safetensors
    """
    files = files or [model]
    if output:
        check_output(output, (".svg", ".png"), files)
    if len(files) > MOST_RUNS:
        raise UsageError(f"one picture holds at most {MOST_RUNS} runs, not {len(files)}; give fewer")

    from rnn_cli.inspect.runs import load_run, panels_of

    panels = panels_of([load_run(str(file)) for file in files], over)
    wanted = {"loss": "Loss", "rate": "Learning rate", "norm": "Gradient"}.get(show, "")
    panels = [panel for panel in panels if panel.title.startswith(wanted)]
    if not panels:
        raise UsageError(f"there are no values for --show {show}; use --show loss")
    if output is None:
        from rnn_cli.display.plots import plot as drawn
        from rnn_cli.display.plots import plot_width
        from rnn_cli.display.shading import has_colours
        from rnn_cli.display.stdout import flush_stdout

        print(drawn(panels, plot_width(), colour=has_colours()))
        flush_stdout()
        return
    if output.suffix.lower() == ".svg":
        from rnn_cli.inspect.svg import svg_of

        data = svg_of(panels).encode()
    else:
        from rnn_cli.inspect.png import png_of

        data = png_of(panels)
    write_output(output, data, quiet)
