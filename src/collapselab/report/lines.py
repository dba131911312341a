"""Small line charts as SVG: they need no script, and take the page's ink, so that they are read on dark paper too."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from markupsafe import Markup, escape

WIDTH, HEIGHT = 300, 170
LEFT, RIGHT, TOP, BOTTOM = 52, 10, 26, 30  # around the lines, for numbers and words
SPREAD = 0.05  # of the span of the values, above and below them


class Line(NamedTuple):
    """Values y over x; None, nan and infinite ones are gaps. strength: how dark it is, above 0 and up to 1."""

    x: Sequence[float]
    y: Sequence[float | None]
    label: str = ""
    colour: str = "currentColor"
    strength: float = 1.0


class Stop(NamedTuple):
    """Where something ended: a dashed line across the chart, with words."""

    x: float
    words: str
    colour: str = "currentColor"


def chart(title: str, lines: Sequence[Line], across: str, stops: Sequence[Stop] = (), until: float = 0) -> Markup:
    """Lines in one chart. across: what the horizontal axis is, which goes on to ``until`` at least, from 0.

    What a screen reader says are its words. Empty where there is no number to draw.
    """
    points = [(x, y) for line in lines for x, y in zip(line.x, line.y, strict=True) if _drawn(y)]
    if not points:
        return Markup()
    low, high = min(y for _, y in points), max(y for _, y in points)
    margin = (high - low) * SPREAD or abs(high) * SPREAD or 1.0
    down, up = low - margin, high + margin
    last = max([until] + [x for x, _ in points] + [one.x for one in stops]) or 1.0

    def at(x: float, y: float) -> str:
        across_x = LEFT + (WIDTH - LEFT - RIGHT) * x / last
        return f"{across_x:.1f},{TOP + (HEIGHT - TOP - BOTTOM) * (up - y) / (up - down):.1f}"

    drawn = [_axes(title, across, (low, high), (down, up), last)]
    drawn += [_path(line, at) for line in lines]
    drawn += [_stop(one, at, down, up) for one in stops]
    first, end = lines[0], lines[-1]
    said = f"{title} over {across}: {_span(first)}" + (f"; last line {_span(end)}" if len(lines) > 1 else "")
    return Markup('<svg class="lines" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        WIDTH, HEIGHT, said, Markup("").join(drawn)
    )


def _drawn(y: Any) -> bool:
    return y is not None and math.isfinite(y)


def _span(line: Line) -> str:
    found = [y for y in line.y if _drawn(y)]
    return f"{_number(found[0])} to {_number(found[-1])}" if found else "no numbers"


def _number(value: float) -> str:
    """Three digits, without needless zeros."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _axes(title: str, across: str, span: tuple[float, float], edges: tuple[float, float], last: float) -> Markup:
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    text = Markup('<text x="{}" y="{}" text-anchor="{}"{}>{}</text>')
    strong = Markup(' font-weight="600"')
    marks = [text.format(0, 14, "start", strong, title)]
    for value in dict.fromkeys(span):
        y = TOP + (bottom - TOP) * (edges[1] - value) / (edges[1] - edges[0])
        marks.append(text.format(LEFT - 6, f"{y + 4:.1f}", "end", "", _number(value)))
        marks.append(Markup('<path class="rule" d="M{} {:.1f}H{}"/>').format(LEFT, y, right))
    marks.append(text.format(LEFT, HEIGHT - 12, "start", "", "0"))
    marks.append(text.format(right, HEIGHT - 12, "end", "", f"{_number(last)} {across}"))
    marks.append(Markup('<path class="axis" d="M{} {}V{}H{}"/>').format(LEFT, TOP, bottom, right))
    return Markup("").join(marks)


def _path(line: Line, at: Any) -> Markup:
    parts, pen = [], "M"
    pairs = list(zip(line.x, line.y, strict=True))
    for x, y in pairs:
        parts.append(f"{pen}{at(x, y)}" if _drawn(y) else "")
        pen = "L" if _drawn(y) else "M"
    title = Markup("<title>{}</title>").format(line.label) if line.label else ""
    style = Markup('stroke="{}" stroke-opacity="{:.2f}"').format(line.colour, line.strength)
    found = Markup('<path class="line" d="{}" {}>{}</path>').format("".join(parts), style, title)
    alone = [(x, y) for x, y in pairs if _drawn(y)]
    if len(alone) == 1:
        x, _, y = at(*alone[0]).partition(",")
        found += Markup('<circle cx="{}" cy="{}" r="2.5" fill="{}">{}</circle>').format(x, y, line.colour, title)
    return found


def _stop(one: Stop, at: Any, down: float, up: float) -> Markup:
    place = Markup('<path class="stop" d="M{}L{}" stroke="{}"><title>{}</title></path>')
    return place.format(at(one.x, down), at(one.x, up), one.colour, escape(one.words))


STYLE = """
.lines { display: block; width: 100%; max-width: 340px; height: auto; }
.lines text { font-size: 11.5px; fill: currentColor; font-family: inherit; }
.lines .line { fill: none; stroke-width: 1.6; }
.lines .axis { fill: none; stroke: currentColor; stroke-opacity: .55; }
.lines .rule { fill: none; stroke: currentColor; stroke-opacity: .16; }
.lines .stop { fill: none; stroke-width: 1.4; stroke-dasharray: 4 3; }
.small { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 260px), 1fr)); gap: .8rem 1.2rem; }
"""
"""What a page that shows them needs of style."""
