"""The pictures of a grid: scores over the values of one or two varied keys."""

from collections.abc import Mapping, Sequence
from typing import Any

from affekt.evaluation import pages, plots, svg
from affekt.evaluation.plots import Mark

METRICS = {"UA": (svg.ACCENT, "dot"), "WA": (svg.WARM, "diamond")}
LIFT = {"UA": -3.0, "WA": 3.0}  # px, so that intervals stand beside each other
PAPER = "cross"  # the mark of an expected score
Rows = Sequence[Mapping[str, Any]]  # of affekt.evaluation.table


def draw(rows: Rows, keys: Sequence[str]) -> dict[str, str]:
    """SVG texts by metric: over one numeric key, or over the first of two; else nothing."""
    numeric = all(_is_number(row["varied"][key]) for row in rows for key in keys)
    if not rows or not numeric or len(keys) not in (1, 2):
        return {}
    if len(keys) == 1:
        return {"UA and WA": _over_one(rows, keys[0])}
    return {metric: _over_two(rows, keys, metric) for metric in ("WA", "UA")}


def look(values: Any, key: str) -> Any:
    """What nested tables and lists hold under a dotted key; None if nothing."""
    for part in key.split("."):
        if isinstance(values, list) and part.isdecimal() and int(part) < len(values):
            values = values[int(part)]
        elif isinstance(values, dict):
            values = values.get(part)
        else:
            return None
    return values


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _over_one(rows: Rows, key: str) -> str:
    """UA and WA as lines with their intervals."""
    series, loose = {}, []
    for metric, (colour, shape) in METRICS.items():
        series[metric] = [
            (row["varied"][key], _mark(row, metric, colour, shape=shape, spanned=True))
            for row in rows
        ]
        for row in rows:
            expected = _expected(row, metric, colour, lift=LIFT[metric])
            loose += [(row["varied"][key], m) for m in expected]
    return plots.lines(series, axis=key, loose=loose, legend=_legend(METRICS, loose))


def _over_two(rows: Rows, keys: Sequence[str], metric: str) -> str:
    """One line over the first key per value of the second."""
    values = list(dict.fromkeys(row["varied"][keys[1]] for row in rows))
    paints = (*plots.LINES, *svg.SPARE) * len(values)
    paint = {f"{v:g}": (colour, "dot") for v, colour in zip(values, paints, strict=False)}
    series: dict[str, list[tuple[int | float, Mark]]] = {name: [] for name in paint}
    loose = []
    for row in rows:
        x, name = row["varied"][keys[0]], f"{row['varied'][keys[1]]:g}"
        colour = paint[name][0]
        series[name].append((x, _mark(row, metric, colour, shape="dot", spanned=False)))
        loose += [(x, m) for m in _expected(row, metric, colour)]
    return plots.lines(series, axis=keys[0], loose=loose, legend=_legend(paint, loose))


def _mark(row: Mapping[str, Any], metric: str, colour: str, *, shape: str, spanned: bool) -> Mark:
    score = row["scores"][metric]
    return Mark(
        value=score["value"],
        colour=colour,
        shape=shape,
        hint=f"{row['name']}: {metric} {pages.interval(score)}",
        lift=LIFT[metric] if spanned else 0.0,
        span=(score["low"], score["high"]) if spanned else None,
    )


def _expected(row: Mapping[str, Any], metric: str, colour: str, *, lift: float = 0.0) -> list[Mark]:
    """The expected score of a cell, if there is one."""
    return [
        Mark(
            value=b["expected"],
            colour=colour,
            shape=PAPER,
            lift=lift,
            hint=f"{row['name']}: {metric} {pages.score(b['expected'])} expected",
        )
        for b in row["beside"]
        if b["metric"] == metric
    ]


def _legend(
    paint: Mapping[str, tuple[str, str]], loose: Sequence[Any]
) -> list[tuple[str, str, str]]:
    entries = [(name, colour, shape) for name, (colour, shape) in paint.items()]
    return [*entries, ("expected", svg.MUTED, PAPER)] if loose else entries
