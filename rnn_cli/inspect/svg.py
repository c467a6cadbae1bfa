"""Panels of curves as one SVG file, which needs no library and no font of its own."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape

from rnn_cli.inspect.axes import axes_of
from rnn_cli.inspect.runs import Panel

WIDTH, HEIGHT, SMALL_HEIGHT = 800, 360, 220  # of the first panel, and of the others
LEFT, RIGHT, TOP, BOTTOM, LINE = 76, 24, 40, 52, 20
COLOURS = ("#0b5fa5", "#b3440e", "#2f7d32", "#7b2fa0", "#8a6400", "#444444")  # 4.5:1 on white or more
DASHES = ("", "6 3", "2 3", "10 3 2 3", "1 4", "12 4")  # so that curves differ without colour, too
STYLE = "font-family='system-ui, sans-serif' font-size='14' fill='#1b1b1b'"


def text(x: float, y: float, content: str, anchor: str = "start", more: str = "") -> str:
    """Return an SVG text element."""
    return f"<text x='{x:.1f}' y='{y:.1f}' text-anchor='{anchor}'{more}>{escape(printable(content))}</text>"


def printable(content: str) -> str:
    """Return a text with U+FFFD for what XML cannot hold, or what turns the direction of the text."""
    return "".join(character if character.isprintable() else "\ufffd" for character in content)


def svg_of(panels: Sequence[Panel]) -> str:
    """Return panels, one below the other, as an SVG document with a title and a description of each curve."""
    parts, top = [], 0.0
    for index, panel in enumerate(panels):
        height = (SMALL_HEIGHT if index else HEIGHT) + LINE * len(panel.curves)
        parts += panel_parts(panel, top, height)
        top += height
    title = " / ".join(panel.title for panel in panels)
    described = escape(printable(". ".join(map(description_of, panels))))
    head = (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {top:.0f}' width='{WIDTH}' height='{top:.0f}' "
        f"role='img' aria-labelledby='title described' {STYLE}>"
    )
    about = f"<title id='title'>{escape(title)}</title><desc id='described'>{described}</desc>"
    return "\n".join([head, about, "<rect width='100%' height='100%' fill='white'/>", *parts, "</svg>"]) + "\n"


def description_of(panel: Panel) -> str:
    """Return the ends of each curve in words."""
    ends = [f"{c.name} from {c.points[0][1]:.4g} to {c.points[-1][1]:.4g}" for c in panel.curves]
    return f"{panel.title} ({panel.y_label}) over {panel.x_title}: {'; '.join(ends)}"


def panel_parts(panel: Panel, top: float, height: float) -> list[str]:
    """Return the elements of a panel that begins `top` pixels from the top: axes, curves, and a legend below."""
    x_axis, y_axis = axes_of(panel)
    right, bottom = WIDTH - RIGHT, top + height - BOTTOM - LINE * len(panel.curves)
    ceiling = top + TOP

    def place(x_share: float, y_share: float) -> tuple[float, float]:
        return LEFT + x_share * (right - LEFT), bottom - y_share * (bottom - ceiling)

    parts = [text(LEFT, top + 26, panel.title, more=" font-weight='bold' font-size='16'")]
    for share, label in zip(y_axis.tick_shares, y_axis.labels):
        _, y = place(0, share)
        parts += [f"<path d='M{LEFT} {y:.1f}H{right}' stroke='#d8d8d8'/>", text(LEFT - 8, y + 5, label, "end")]
    for share, label in zip(x_axis.tick_shares, x_axis.labels):
        x, _ = place(share, 0)
        parts += [f"<path d='M{x:.1f} {bottom:.1f}v5' stroke='#1b1b1b'/>", text(x, bottom + 20, label, "middle")]
    parts.append(f"<path d='M{LEFT} {ceiling:.1f}V{bottom:.1f}H{right}' fill='none' stroke='#1b1b1b'/>")
    parts.append(text((LEFT + right) / 2, bottom + 40, panel.x_title, "middle"))
    middle = (ceiling + bottom) / 2
    parts.append(text(18, middle, panel.y_label, "middle", f" transform='rotate(-90 18 {middle:.1f})'"))
    for index, curve in enumerate(panel.curves):
        places = [place(x_axis.share(x), y_axis.share(y)) for x, y in curve.points]
        route = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        dashes = DASHES[index % len(DASHES)]
        look = f"stroke='{COLOURS[index % len(COLOURS)]}' stroke-width='2'" + f" stroke-dasharray='{dashes}'" * bool(
            dashes
        )
        if len(places) == 1:
            parts.append(f"<circle cx='{places[0][0]:.1f}' cy='{places[0][1]:.1f}' r='4' fill='none' {look}/>")
        parts.append(f"<polyline points='{route}' fill='none' {look}/>")
        row = bottom + BOTTOM + LINE * index + 2
        parts += [f"<path d='M{LEFT} {row:.1f}h36' {look}/>", text(LEFT + 46, row + 5, curve.name)]
    return parts
