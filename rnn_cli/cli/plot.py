"""rnn plot: model files or logs -> the curves of their training, in the terminal or as SVG or PNG."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from rnn_cli.cli.options import DEFAULT_MODEL, OUTPUT, ModelPath, Quiet, model_files, note
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
    kind = output.suffix.lower() if output else ""
    if output and kind not in (".svg", ".png"):
        raise UsageError(f"--output {output} must end in .svg or .png, which says what to write")
    files = files or [model]
    if len(files) > MOST_RUNS:
        raise UsageError(f"one picture holds at most {MOST_RUNS} runs, not {len(files)}; give fewer")

    from rnn_cli.atomic_files import is_same, unusable, write_atomically
    from rnn_cli.inspect.runs import load_run, panels_of

    if output and any(is_same(output, file) for file in files):
        raise UsageError(f"--output {output} would replace a file that is read; name another one")
    panels = panels_of([load_run(str(file)) for file in files], over)
    wanted = {"loss": "Loss", "rate": "Learning rate", "norm": "Gradient"}.get(show, "")
    panels = [panel for panel in panels if panel.title.startswith(wanted)]
    if not panels:
        raise UsageError(f"there are no values for --show {show}; use --show loss")
    if output is None:
        from rnn_cli.display.plots import plot as drawn
        from rnn_cli.display.plots import plot_width
        from rnn_cli.display.stdout import flush_stdout

        colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        print(drawn(panels, plot_width(), colour=colour))
        flush_stdout()
        return
    if kind == ".svg":
        from rnn_cli.inspect.svg import svg_of

        data = svg_of(panels).encode()
    else:
        from rnn_cli.inspect.png import png_of

        data = png_of(panels)
    try:
        write_atomically(output, data)
    except OSError as problem:
        raise unusable(problem, f"{output} cannot be written: {problem.strerror}; name another file") from problem
    note(f"wrote {output} ({len(data) / 1e3:.0f} kB)", quiet)
