"""Panels of curves as PNG, with matplotlib."""

from __future__ import annotations

import io
from collections.abc import Sequence

from rnn_cli.errors import UsageError
from rnn_cli.inspect.runs import Panel
from rnn_cli.inspect.svg import COLOURS, description_of, printable

INCHES, TALL, SHORT, DOTS_PER_INCH = 8.0, 3.6, 2.4, 150
STYLES = ("-", "--", ":", "-.")


def png_of(panels: Sequence[Panel]) -> bytes:
    """Return panels, one below the other, as PNG. Raises UsageError if matplotlib is not installed."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as problem:
        raise UsageError(
            "PNG needs matplotlib; install it with pip install 'rnn-cli[plot]', or name a file that ends in .svg"
        ) from problem
    heights = [SHORT if index else TALL for index in range(len(panels))]
    figure = Figure(figsize=(INCHES, sum(heights)), dpi=DOTS_PER_INCH, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    grid = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)
    for panel, axes in zip(panels, grid[:, 0]):
        for index, curve in enumerate(panel.curves):
            style, colour = STYLES[index % len(STYLES)], COLOURS[index % len(COLOURS)]
            xs, ys = zip(*curve.points)
            label = printable(curve.name).replace("$", r"\$")  # otherwise mathematics
            axes.plot(xs, ys, style, color=colour, marker="o" if len(xs) == 1 else "", label=label)
        axes.set(title=panel.title, xlabel=panel.x_title, ylabel=panel.y_label)
        axes.set_xlim(left=0)
        axes.set_yscale("log" if panel.logarithmic else "linear")
        axes.grid(color="#d8d8d8", linewidth=0.8)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize="small")
    file = io.BytesIO()
    described = printable(". ".join(map(description_of, panels)))
    canvas.print_png(file, metadata={"Software": None, "Description": described})
    return file.getvalue()
