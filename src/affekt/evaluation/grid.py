"""The pictures of a grid: scores over the values of one or two varied keys."""

from collections.abc import Mapping, Sequence
from typing import Any

from affekt.evaluation import by_corpus, pages, plots, svg
from affekt.evaluation.plots import Mark

METRICS = {"UA": (svg.ACCENT, "dot"), "WA": (svg.WARM, "diamond")}
LIFT = {"UA": -3.0, "WA": 3.0}  # px, so that intervals stand beside each other
PAPER = "cross"  # the mark of an expected score
Rows = Sequence[Mapping[str, Any]]  # of affekt.evaluation.table


def draw(rows: Rows, keys: Sequence[str]) -> dict[str, str]:
    """SVG texts by their heading: over one numeric key, or over the first of two; else nothing."""
    numeric = [all(_is_number(row["varied"][key]) for row in rows) for key in keys]
    if not rows or len(keys) not in (1, 2) or not numeric[0]:
        return {}
    several = by_corpus.corpora(rows)
    if len(keys) == 1:
        drawn = {"UA and WA": _over_one(rows, keys[0])}
        return drawn | ({"UA by corpus": _by_corpus(rows, keys[0])} if several else {})
    if numeric[1]:
        return {metric: _over_two(rows, keys, metric) for metric in ("WA", "UA")}
    return _by_corpus_each(rows, keys[0], keys[1]) if several else {}


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


def _by_corpus(rows: Rows, key: str) -> str:
    """The UA on each corpus as a line with its intervals."""
    paint = by_corpus.paints(by_corpus.corpora(rows))
    across = dict(zip(paint, by_corpus.lifts(len(paint), -2 * LIFT["WA"]), strict=True))
    series = {
        corpus: [
            (
                row["varied"][key],
                by_corpus.mark(row["name"], corpus, found, colour, lift=across[corpus]),
            )
            for row in rows
            if (found := row["by_corpus"].get(corpus))
        ]
        for corpus, colour in paint.items()
    }
    return plots.lines(series, axis=key, legend=by_corpus.legend(paint, rows))


def _by_corpus_each(rows: Rows, key: str, other: str) -> dict[str, str]:
    """The UA on each corpus for every value of the other key."""
    panels: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        value = row["varied"][other]
        said = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        panels.setdefault(f"UA by corpus, {other}: {said}", []).append(row)
    return {heading: _by_corpus(panel, key) for heading, panel in panels.items()}


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
