"""Drawing with SVG text. Colours are CSS variables of the page, so that light and dark both fit.

A matplotlib import alone takes longer than a whole report made of these few lines.
"""

from collections.abc import Callable, Iterable, Sequence
from html import escape

import numpy as np

INK, MUTED, RULE, ACCENT, WARM, HEAT, CARD = (
    f"var(--{name}, {plain})"
    for name, plain in (
        ("ink", "#1d2430"),
        ("muted", "#667085"),
        ("rule", "#e3e7ee"),
        ("accent", "#2f6fb5"),
        ("warm", "#d97706"),
        ("heat", "#1f5a9e"),
        ("card", "#fff"),
    )
)
# Near Okabe and Ito's palette for colour-blind readers; middle tones, for light and dark pages.
EMOTIONS = {
    "angry": "#d1495b", "happy": "#e69f00", "neutral": "#8a94a3", "sad": "#3a7dbf",
    "fearful": "#a86fc2", "disgusted": "#2f9e78", "surprised": "#4fb3e0", "calm": "#7fb8a4",
    "bored": "#9c7a54", "contemptuous": "#c2608f", "excited": "#f0c24b", "frustrated": "#a65e2e",
}  # fmt: skip
SPARE = ("#5c9e31", "#4f6bd6", "#20a4a4", "#77767b")
Number = int | float  # the type checker of the tests takes `float` at its word
CHARACTER = 7.0  # width of an average character of 12 px text, in px
LEADING = 17.0  # from one row of a legend to the next, in px
Entry = tuple[str, str, str]  # of a legend: name, colour, shape


def colours(labels: Sequence[str]) -> dict[str, str]:
    """A colour per label: an emotion has the same one in every picture of every report."""
    others = [name for name in labels if name not in EMOTIONS]
    spare = {name: SPARE[n % len(SPARE)] for n, name in enumerate(others)}
    return {name: EMOTIONS.get(name) or spare[name] for name in labels}


def picture(width: Number, height: Number, parts: Iterable[str], *, title: str) -> str:
    """The `<svg>` element; it shrinks with the page, but not so far that words are too small."""
    size = f'width="{width:.0f}" style="min-width:{0.7 * width:.0f}px"'
    return (
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" {size} role="img" '
        f'aria-label="{escape(title)}">{"".join(parts)}</svg>'
    )


def text(
    x: Number, y: Number, words: str, *, anchor: str = "start", more: str = "", hint: str = ""
) -> str:
    """Words at a point; `anchor` is start, middle or end; `hint` is shown under the pointer."""
    inner = escape(words) + _hint(hint)
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {more}>{inner}</text>'


def line(x1: Number, y1: Number, x2: Number, y2: Number, *, more: str = "") -> str:
    """A straight line, thin and pale unless `more` says otherwise."""
    style = more or f'stroke="{RULE}"'
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" {style}/>'


def box(x: Number, y: Number, width: Number, height: Number, *, more: str, hint: str = "") -> str:
    """A filled rectangle; `hint` is shown under the pointer."""
    size = f'width="{width:.1f}" height="{height:.1f}"'
    return f'<rect x="{x:.1f}" y="{y:.1f}" {size} {more}>{_hint(hint)}</rect>'


def mark(
    x: Number, y: Number, colour: str, *, shape: str = "dot", size: Number = 4.5, hint: str = ""
) -> str:
    """A mark of some shape; `hint` is shown under the pointer.

    Full: dot, diamond, triangle, square. Hollow: ring, and target, a ring around a dot. Lines:
    cross, tick.
    """
    s = size
    if shape in ("dot", "ring", "target"):
        return _round(x, y, colour, shape=shape, size=size, hint=hint)
    path = {
        "triangle": f"M{x - s:.1f} {y + 0.8 * s:.1f}h{2 * s:.1f}l{-s:.1f} {-1.8 * s:.1f}z",
        "square": f"M{x - 0.9 * s:.1f} {y - 0.9 * s:.1f}h{1.8 * s:.1f}v{1.8 * s:.1f}"
        f"h{-1.8 * s:.1f}z",
        "diamond": f"M{x - s:.1f} {y:.1f}l{s:.1f} {-s:.1f} {s:.1f} {s:.1f} {-s:.1f} {s:.1f}z",
        "cross": f"M{x - s:.1f} {y - s:.1f}l{2 * s:.1f} {2 * s:.1f}m0 {-2 * s:.1f}"
        f"l{-2 * s:.1f} {2 * s:.1f}",
        "tick": f"M{x:.1f} {y - s:.1f}v{2 * s:.1f}",
    }[shape]
    paint = (
        f'fill="none" stroke="{colour}" stroke-width="2" stroke-linecap="round"'
        if shape in ("cross", "tick")
        else f'fill="{colour}"'
    )
    return f'<path d="{path}" {paint}>{_hint(hint)}</path>'


def _round(x: Number, y: Number, colour: str, *, shape: str, size: Number, hint: str) -> str:
    at = f'cx="{x:.1f}" cy="{y:.1f}"'
    if shape == "dot":
        return f'<circle {at} r="{size:.1f}" fill="{colour}">{_hint(hint)}</circle>'
    paint = f'fill="{CARD}" stroke="{colour}" stroke-width="2"'
    ring = f'<circle {at} r="{size - 0.8:.1f}" {paint}>{_hint(hint)}</circle>'
    return ring + (f'<circle {at} r="1.6" fill="{colour}"/>' if shape == "target" else "")


def polyline(points: Iterable[tuple[Number, Number]], colour: str, *, more: str) -> str:
    """A line through the points."""
    d = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{d}" fill="none" stroke="{colour}" {more}/>'


def _hint(words: str) -> str:
    return f"<title>{escape(words)}</title>" if words else ""


def scale(low: Number, high: Number, start: Number, end: Number) -> Callable[[Number], float]:
    """The map of [low, high] to [start, end]."""
    span = (high - low) or 1.0
    return lambda value: start + (value - low) / span * (end - start)


def ticks(low: Number, high: Number, count: int = 5) -> list[float]:
    """About `count` round numbers that enclose [low, high].

    >>> ticks(0.0, 0.93)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    raw = ((high - low) or 1.0) / count
    power = 10.0 ** np.floor(np.log10(raw))
    step = power * next(f for f in (1, 2, 2.5, 5, 10) if f * power >= raw * 0.999)
    first, last = np.floor(low / step + 1e-9), np.ceil(high / step - 1e-9)
    return [round(float(n * step), 10) for n in np.arange(first, last + 1)]


def legend(entries: Sequence[Entry], y: Number, width: Number) -> list[str]:
    """Marks with their names in centred rows, the first at `y`."""
    parts = []
    for n, row in enumerate(_rows(entries, width)):
        x = max(8.0, (width - sum(map(_width, row))) / 2 + 8)
        for name, colour, shape in row:
            at = y + n * LEADING
            parts += [mark(x, at, colour, shape=shape)]
            parts += [text(x + 9, at + 4, name, more=f'fill="{INK}"')]
            x += _width((name, colour, shape))
    return parts


def legend_height(entries: Sequence[Entry], width: Number) -> float:
    """What the rows of a legend after the first take, in px."""
    return LEADING * max(0, len(_rows(entries, width)) - 1)


def _width(entry: Entry) -> float:
    return 26 + CHARACTER * len(entry[0])


def _rows(entries: Sequence[Entry], width: Number) -> list[list[Entry]]:
    rows: list[list[Entry]] = []
    for entry in entries:
        if not rows or sum(map(_width, (*rows[-1], entry))) > width:
            rows.append([])
        rows[-1].append(entry)
    return rows
