"""Line charts as plain SVG."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from html import escape

from common import RESULTS

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 432, 56, 210, 28, 44
COLOURS = ["#0b6e4f", "#c1440e", "#3056d3", "#8a2be2", "#946c00", "#555555"]
TICKS = 6


def text(x: float, y: float, content: str, anchor: str = "start") -> str:
    """Return an SVG text element."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(content)}</text>'


def dot(x: float, y: float, colour: str) -> str:
    """Return an SVG dot."""
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{colour}"/>'


def line_chart(
    curves: Mapping[str, Sequence[tuple[float, float]]],
    levels: Mapping[str, float],
    x_label: str,
    y_label: str,
    highest: float,
) -> str:
    """Return a chart of curves (x, y), x >= 0, and horizontal lines at `levels`; values above `highest` are omitted."""
    kept = {name: [point for point in points if point[1] <= highest] for name, points in curves.items()}
    levels = {name: level for name, level in levels.items() if level <= highest}
    points = [point for curve in kept.values() for point in curve]
    right = max((x for x, _ in points), default=1.0)
    low = min([y for _, y in points] + list(levels.values()), default=highest - 1)

    def to_pixels(x: float, y: float) -> tuple[float, float]:
        across, down = x / right, (highest - y) / max(highest - low, 1e-9)
        return LEFT + across * (WIDTH - LEFT - RIGHT), TOP + down * (HEIGHT - TOP - BOTTOM)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        'font-size="12"><rect width="100%" height="100%" fill="white"/>'
    ]
    for tick in range(TICKS):
        share = tick / (TICKS - 1)
        x, bottom = to_pixels(right * share, low)
        _, y = to_pixels(0, low + (highest - low) * share)
        parts += [
            f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#dddddd"/>',
            text(LEFT - 6, y + 4, f"{low + (highest - low) * share:.2f}", "end"),
            text(x, bottom + 16, f"{right * share:.{int(right < 2 * TICKS)}f}", "middle"),
        ]
    parts += [text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, x_label, "middle"), text(4, TOP - 14, y_label)]
    for index, (name, curve) in enumerate([*kept.items(), *((name, None) for name in levels)]):
        colour, y = COLOURS[index % len(COLOURS)], TOP + 16 * (index + 1)
        ends = [(0.0, levels[name]), (right, levels[name])] if curve is None else curve
        route = " ".join(f"{across:.1f},{down:.1f}" for across, down in (to_pixels(*end) for end in ends))
        dashes = ' stroke-dasharray="5 4"' if curve is None else ""
        stroke = f'fill="none" stroke="{colour}" stroke-width="2"{dashes}'
        parts += [
            f'<polyline points="{route}" {stroke}/>',
            *(dot(*to_pixels(*point), colour) for point in curve or ()),
            f'<path d="M{WIDTH - RIGHT + 10} {y - 4}h20" {stroke}/>',
            text(WIDTH - RIGHT + 36, y, name),
        ]
    return "\n".join([*parts, "</svg>"]) + "\n"


def save_chart(name: str, chart: str, caption: str) -> str:
    """Write a chart to benchmarks/results/DATE-NAME.svg; return the Markdown that shows it."""
    path = RESULTS / f"{datetime.date.today().isoformat()}-{name}.svg"
    path.write_text(chart, encoding="ascii")
    return f"![{caption}]({path.name})"
