"""The pictures of a report, each one an SVG text."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Num

from affekt.evaluation import svg
from affekt.evaluation.svg import ACCENT, HEAT, INK, WARM, Number

WIDTH = 480.0
CELL = 80.0, 58.0  # of a confusion matrix
POINTS = 500  # of a map of embeddings, and of a training curve: more cannot be told apart
WIDE = 20.0
STEP, LEADING = 30.0, 14.0  # heights of a row of marks, and of a line of its name, in px
THICK = 'stroke-width="2" stroke-linejoin="round"'
LINES = (ACCENT, WARM, "#2f9e78", "#b07cc6")
Runs = Mapping[tuple[int, str], Sequence[tuple[Number, Number]]]  # (seed, fold): (epoch, value)


def confusion_matrix(c: Num[np.ndarray, "K K"], labels: Sequence[str]) -> str:
    """Rows are the truth, columns the label given; colour and percent are shares of the row."""
    top, left = 44.0, 42 + svg.CHARACTER * max(map(len, labels))
    x = [left + CELL[0] * (n + 0.5) for n in range(len(labels))]
    y = [top + CELL[1] * (n + 0.5) for n in range(len(labels))]
    centre = (x[0] + x[-1]) / 2, (y[0] + y[-1]) / 2
    turn = f'class="axis" transform="rotate(-90 12 {centre[1]:.1f})"'
    parts = [svg.text(centre[0], 13, "label given", anchor="middle", more='class="axis"')]
    parts += [svg.text(12, centre[1], "truth", anchor="middle", more=turn)]
    for i, truth in enumerate(labels):
        parts += [svg.text(x[i], top - 9, truth, anchor="middle")]
        parts += [svg.text(left - 9, y[i] + 4, truth, anchor="end")]
        total = int(c[i].sum())
        for j, label in enumerate(labels):
            hint = f"{truth} called {label}: {int(c[i, j])} of {total}"
            parts += _cell(x[j], y[i], int(c[i, j]), total, hint=hint)
    size = left + CELL[0] * len(labels) + 4, top + CELL[1] * len(labels) + 4
    return svg.picture(*size, parts, title="confusion matrix")


def _cell(x: Number, y: Number, count: int, total: int, *, hint: str) -> list[str]:
    share = count / max(total, 1)
    paint = f'rx="4" fill="{HEAT}" fill-opacity="{0.06 + 0.94 * share:.3f}"'
    ink = "#fff" if share > 0.75 else INK  # the better contrast
    corner = x - CELL[0] / 2 + 1.5, y - CELL[1] / 2 + 1.5
    return [
        svg.box(*corner, CELL[0] - 3, CELL[1] - 3, more=paint, hint=hint),
        svg.text(x, y + 1, f"{share:.0%}", anchor="middle", more=f'fill="{ink}" class="big"'),
        svg.text(x, y + 17, str(count), anchor="middle", more=f'fill="{ink}" class="small"'),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One value in a row of `strips`, or on one of `lines`."""

    value: Number
    colour: str
    hint: str
    shape: str = "dot"
    size: Number = 4.5
    lift: Number = 0.0  # px above the middle of the row; of `lines` px to the right
    span: tuple[Number, Number] | None = None  # an interval around it


Point = tuple[Number, Mark]  # a number on the horizontal axis, and what stands there
Place = tuple[Number, Number, Mark]  # px from the left and from the top, and what stands there


def strips(
    rows: Mapping[str, Sequence[Mark]],
    *,
    axis: str,
    legend: Sequence[svg.Entry] = (),
    band: tuple[Number, Number, Number] | None = None,
    step: Number = STEP,
) -> str:
    """One row of marks per name over a common axis; `band` is (low, value, high) over all rows.

    A row is `step` px high.
    """
    top = 40.0 + svg.legend_height(legend, WIDTH) if legend else 14.0
    left = min(225.0, 16 + svg.CHARACTER * max(len(w) for r in rows for w in r.split("\n")))
    bottom = top + step * len(rows)
    values = [v for marks in rows.values() for m in marks for v in (m.value, *(m.span or ()))]
    values = [v for v in (*values, *(band or ())) if np.isfinite(v)] or [0.0, 1.0]
    ticks = svg.ticks(min(values), max(values))
    x = svg.scale(ticks[0], ticks[-1], left + 12, WIDTH - 20)
    parts = svg.legend(legend, 14, WIDTH)
    for tick in ticks:
        parts.append(svg.line(x(tick), top, x(tick), bottom))
        parts.append(svg.text(x(tick), bottom + 16, f"{tick:g}", anchor="middle"))
    parts.append(svg.text((left + WIDTH) / 2, bottom + 34, axis, anchor="middle"))
    parts += _band(band, x, top=top, bottom=bottom) if band else []
    for n, (name, marks) in enumerate(rows.items()):
        y = top + step * (n + 0.5)
        if n and step > STEP:  # tall rows would run into each other
            parts.append(svg.line(12, y - step / 2, WIDTH - 20, y - step / 2))
        parts += _name(name, left, y)
        parts += [part for m in marks if np.isfinite(m.value) for part in _mark(m, x, y)]
    return svg.picture(WIDTH, bottom + 42, parts, title=axis)


def _band(
    band: tuple[Number, Number, Number],
    x: Callable[[Number], float],
    *,
    top: Number,
    bottom: Number,
) -> list[str]:
    low, value, high = map(x, band)
    paint = f'fill="{ACCENT}" fill-opacity="0.12"'
    dashes = f'stroke="{ACCENT}" stroke-dasharray="4 3"'
    return [
        svg.box(low, top, high - low, bottom - top, more=paint),
        svg.line(value, top, value, bottom, more=dashes),
    ]


def _name(name: str, left: Number, y: Number) -> list[str]:
    """What a row is called, on as many lines as the name has, cut where the marks begin."""
    room, ink = int((left - 12) / svg.CHARACTER), f'fill="{INK}"'
    lines = name.split("\n")
    parts = []
    for n, words in enumerate(lines):
        cut = words if len(words) <= room else words[: room - 1] + "…"
        at = y + 4 + LEADING * (n - (len(lines) - 1) / 2)
        hint = words if cut != words else ""
        parts.append(svg.text(left - 4, at, cut, anchor="end", more=ink, hint=hint))
    return parts


def _mark(m: Mark, x: Callable[[Number], float], y: Number) -> list[str]:
    parts = []
    if m.span and np.isfinite(m.span).all():
        bar = f'stroke="{m.colour}" stroke-width="5" stroke-opacity="0.3" stroke-linecap="round"'
        parts.append(svg.line(x(m.span[0]), y - m.lift, x(m.span[1]), y - m.lift, more=bar))
    place = x(m.value), y - m.lift
    return [*parts, svg.mark(*place, m.colour, shape=m.shape, size=m.size, hint=m.hint)]


def curves(panel: Mapping[str, Runs], *, axis: str) -> str:
    """A thin line per fold and seed and their mean, for each measure, over the epochs."""
    height, left, top, bottom = 300.0, 52.0, 34.0, 256.0
    points = [p for runs in panel.values() for run in runs.values() for p in run]
    x_ticks = svg.ticks(min(e for e, _ in points), max(e for e, _ in points), 6)
    y_ticks = svg.ticks(min(v for _, v in points), max(v for _, v in points))
    x = svg.scale(x_ticks[0], x_ticks[-1], left, WIDTH - 16)
    y = svg.scale(y_ticks[0], y_ticks[-1], bottom, top)
    paint = dict(zip(panel, LINES * len(panel), strict=False))
    parts = svg.legend([(name, colour, "dot") for name, colour in paint.items()], 12, WIDTH)
    for tick in y_ticks:
        parts.append(svg.line(left, y(tick), WIDTH - 16, y(tick)))
        parts.append(svg.text(left - 8, y(tick) + 4, f"{tick:g}", anchor="end"))
    parts += [svg.text(x(t), bottom + 18, f"{t:g}", anchor="middle") for t in x_ticks]
    parts.append(svg.text((left + WIDTH) / 2, bottom + 38, axis, anchor="middle"))
    for name, runs in panel.items():
        for run in runs.values():
            thin = [(x(e), y(v)) for e, v in run[:: len(run) // POINTS + 1]]
            parts.append(svg.polyline(thin, paint[name], more='stroke-opacity="0.22"'))
    for name, runs in panel.items():
        thick = [(x(e), y(v)) for e, v in mean_curve(runs)]
        parts.append(svg.polyline(thick, paint[name], more='stroke-width="2.5"'))
    return svg.picture(WIDTH, height, parts, title=axis)


def lines(
    series: Mapping[str, Sequence[Point]],
    *,
    axis: str,
    loose: Sequence[Point] = (),
    legend: Sequence[svg.Entry] = (),
) -> str:
    """A line through the marks of each series over the numbers on `axis`; `loose` marks have none.

    Every value is a finite number; the axis is logarithmic over a factor of WIDE or more.
    """
    more = svg.legend_height(legend, WIDTH)
    height, left, top, bottom = 330.0 + more, 52.0, 34.0 + more, 282.0 + more
    marks = [m for points in (*series.values(), loose) for _, m in points]
    values = [v for m in marks for v in (m.value, *(m.span or ())) if np.isfinite(v)]
    at = sorted({x for points in series.values() for x, _ in points})
    x, y_ticks = _across(at, left + 14, WIDTH - 30), svg.ticks(min(values), max(values))
    y = svg.scale(y_ticks[0], y_ticks[-1], bottom, top)
    parts = svg.legend(legend, 12, WIDTH)
    for tick in y_ticks:
        parts.append(svg.line(left, y(tick), WIDTH - 16, y(tick)))
        parts.append(svg.text(left - 8, y(tick) + 4, f"{tick:g}", anchor="end"))
    parts += [svg.text(x(t), bottom + 20, f"{t:g}", anchor="middle") for t in at]
    parts.append(svg.text((left + WIDTH) / 2, bottom + 42, axis, anchor="middle"))
    for points in series.values():
        parts += [
            _span(m, x(t) + m.lift, y) for t, m in points if m.span and np.isfinite(m.span).all()
        ]
        through = [(x(t) + m.lift, y(m.value)) for t, m in points]
        parts += [svg.polyline(through, m.colour, more=THICK) for _, m in points[:1]]
    for t, m in (point for points in (*series.values(), loose) for point in points):
        place = x(t) + m.lift, y(m.value)
        parts.append(svg.mark(*place, m.colour, shape=m.shape, size=m.size, hint=m.hint))
    return svg.picture(WIDTH, height, parts, title=axis)


def shares(
    series: Mapping[str, Sequence[Point]],
    *,
    across: str,
    up: str,
    legend: Sequence[svg.Entry],
    loose: Sequence[Point] = (),
    square: bool = False,
) -> str:
    """A line through the marks of each series over shares from 0 to 1; marks of size 0 are none.

    Args:
        series: points in ascending order of their share.
        loose: marks without a line.
        across: what the horizontal axis is.
        up: what the vertical axis is, which begins at 0.
        legend: of the series.
        square: whether the vertical axis ends at 1 too, and a diagonal shows where both are equal.
    """
    left, top, right = 56.0, 34.0, WIDTH - 16
    bottom = top + (right - left) * (0.75 if square else 0.6)
    values = [m.value for points in series.values() for _, m in points]
    y_ticks = svg.ticks(0.0, 1.0 if square else max([*values, 0.05]))
    x, y = svg.scale(0.0, 1.0, left, right), svg.scale(0.0, y_ticks[-1], bottom, top)
    parts = svg.legend(legend, 12, WIDTH)
    for tick in y_ticks:
        parts.append(svg.line(left, y(tick), right, y(tick)))
        parts.append(svg.text(left - 8, y(tick) + 4, f"{tick:g}", anchor="end"))
    for tick in svg.ticks(0.0, 1.0):
        parts.append(svg.text(x(tick), bottom + 18, f"{tick:g}", anchor="middle"))
    parts.append(svg.text((left + right) / 2, bottom + 38, across, anchor="middle"))
    turn = f'transform="rotate(-90 14 {(top + bottom) / 2:.1f})"'
    parts.append(svg.text(14, (top + bottom) / 2, up, anchor="middle", more=turn))
    if square:
        dashes = f'stroke="{svg.MUTED}" stroke-dasharray="4 3"'
        parts.append(svg.line(x(0.0), y(0.0), x(1.0), y(1.0), more=dashes))
    for points in series.values():
        parts += _through([(x(t), y(m.value), m) for t, m in points])
    parts += _marks([(x(t), y(m.value), m) for t, m in loose])
    return svg.picture(WIDTH, bottom + 46, parts, title=f"{up} by {across}")


def _through(places: Sequence[Place]) -> list[str]:
    """A line through marks, which have one colour."""
    line = [(x, y) for x, y, _ in places]
    parts = [svg.polyline(line, m.colour, more=THICK) for _, _, m in places[:1]]
    return parts + _marks(places)


def _marks(places: Sequence[Place]) -> list[str]:
    return [
        svg.mark(x, y, m.colour, shape=m.shape, size=m.size, hint=m.hint)
        for x, y, m in places
        if m.size > 0
    ]


def _span(m: Mark, x: Number, y: Callable[[Number], float]) -> str:
    assert m.span
    bar = f'stroke="{m.colour}" stroke-width="5" stroke-opacity="0.3" stroke-linecap="round"'
    return svg.line(x, y(m.span[0]), x, y(m.span[1]), more=bar)


def _across(numbers: Sequence[Number], start: Number, end: Number) -> Callable[[Number], float]:
    """The place of rising numbers on an axis, logarithmic over a factor of WIDE or more."""
    if numbers[0] > 0 and numbers[-1] >= WIDE * numbers[0]:
        place = svg.scale(float(np.log(numbers[0])), float(np.log(numbers[-1])), start, end)
        return lambda number: place(float(np.log(number)))
    return svg.scale(numbers[0], numbers[-1], start, end)


def mean_curve(runs: Runs) -> list[tuple[Number, float]]:
    """The mean over runs at each epoch that at least half of them reached."""
    values: dict[Number, list[Number]] = defaultdict(list)
    for run in runs.values():
        for epoch, value in run:
            values[epoch].append(value)
    return [(e, float(np.mean(v))) for e, v in sorted(values.items()) if 2 * len(v) >= len(runs)]
