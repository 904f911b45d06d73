"""The pictures of a search, each one an SVG text."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from affekt.evaluation import svg
from affekt.evaluation.svg import ACCENT, MUTED, WARM, Number
from affekt.search.space import Choices, Range

WIDTH, HEIGHT = 480.0, 306.0
LEFT, RIGHT, TOP, BOTTOM = 58.0, 462.0, 34.0, 252.0
INSET = 12.0  # of the outermost marks
LOOKS = {"complete": (ACCENT, "dot"), "ended early": (MUTED, "ring"), "best": (WARM, "diamond")}
LABEL = 14  # characters of a choice
FEW = 8  # steps that have a tick each

Rows = Sequence[Mapping[str, Any]]  # trials, as affekt.search.report has them
Place = Callable[[Any], float]  # of a value on the horizontal axis


def course(trials: Rows) -> str:
    """The score of each trial, and the best one so far as a line."""
    judged = [t for t in trials if t["score"] is not None]
    numbers = svg.ticks(1, trials[-1]["trial"])
    marks = [(n, f"{n:g}") for n in numbers if n >= 1 and n == round(n)]
    x = svg.scale(1, trials[-1]["trial"], LEFT + INSET, RIGHT - INSET)
    y, parts = _frame(judged, [(x(n), name) for n, name in marks if x(n) <= RIGHT], "trial")
    steps, best = list[tuple[Number, Number]](), -math.inf
    for t in (t for t in judged if t["state"] == "complete"):
        steps += [(x(t["trial"]), y(best))] if steps else []
        best = max(best, t["score"])
        steps.append((x(t["trial"]), y(best)))
    end = [(x(trials[-1]["trial"]), y(best))] if steps else []
    parts.append(svg.polyline([*steps, *end], WARM, more='stroke-width="2"'))
    return _picture(parts, judged, lambda t: x(t["trial"]), y, title="scores of the trials")


def against(key: str, of: Range | Choices, trials: Rows) -> str:
    """The score of each trial over its value of one key."""
    judged = [t for t in trials if t["score"] is not None]
    x, ticks = _across(of)
    y, parts = _frame(judged, ticks, key)
    return _picture(parts, judged, lambda t: x(t["values"][key]), y, title=f"scores over {key}")


def _across(of: Range | Choices) -> tuple[Place, list[tuple[float, str]]]:
    """The places of values on the horizontal axis, and its ticks."""
    start, end = LEFT + INSET, RIGHT - INSET
    if isinstance(of, tuple):
        step = (end - start) / len(of)
        ticks = [(start + step * (n + 0.5), _short(value)) for n, value in enumerate(of)]
        return lambda value: ticks[of.index(value)][0], ticks
    if not of.log:
        numbers = [n for n in svg.ticks(of.low, of.high) if of.low <= n <= of.high]
        if of.step and (steps := round((of.high - of.low) / of.step)) <= FEW:
            numbers = [of.low + n * of.step for n in range(steps + 1)]
        place = svg.scale(of.low, of.high, start, end)
        return place, [(place(n), f"{n:g}") for n in numbers]
    line = svg.scale(math.log10(of.low), math.log10(of.high), start, end)
    powers = range(math.ceil(math.log10(of.low) - 1e-9), math.floor(math.log10(of.high) + 1e-9) + 1)
    numbers = [10.0**n for n in powers]
    if len(numbers) < 2:
        numbers = [of.low, math.sqrt(of.low * of.high), of.high]
    return lambda value: line(math.log10(value)), [
        (line(math.log10(n)), f"{n:.3g}") for n in numbers
    ]


def _short(value: Any) -> str:
    words = spelt(value.get("name", value) if isinstance(value, dict) else value)
    return words if len(words) <= LABEL else words[: LABEL - 1] + "…"


def spelt(value: Any) -> str:
    """A value of a recipe as words: 0.0004217, mean-std."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value)


def _frame(
    judged: Rows, ticks: Sequence[tuple[float, str]], axis: str
) -> tuple[Callable[[Number], float], list[str]]:
    """The vertical scale of the scores, and the lines and words around the marks."""
    scores = [t["score"] for t in judged]
    lines = svg.ticks(min(scores), max(scores))
    y = svg.scale(lines[0], lines[-1], BOTTOM, TOP)
    seen = {_look(t) for t in judged}
    parts = svg.legend([(name, *LOOKS[name]) for name in LOOKS if name in seen], 12, WIDTH)
    for n in lines:
        parts.append(svg.line(LEFT, y(n), RIGHT, y(n)))
        parts.append(svg.text(LEFT - 8, y(n) + 4, f"{n:g}", anchor="end"))
    parts += [svg.text(at, BOTTOM + 18, words, anchor="middle") for at, words in ticks]
    parts.append(svg.text((LEFT + RIGHT) / 2, BOTTOM + 40, axis, anchor="middle"))
    return y, parts


def _look(trial: Mapping[str, Any]) -> str:
    return "best" if trial["best"] else trial["state"]


def _picture(
    parts: list[str],
    judged: Rows,
    x: Callable[[Mapping[str, Any]], float],
    y: Callable[[Number], float],
    *,
    title: str,
) -> str:
    """The frame with a mark for each trial, the best one on top."""
    for t in sorted(judged, key=lambda t: t["best"]):
        colour, shape = LOOKS[_look(t)]
        hint = f"trial {t['trial']}: {t['score']:.3f}, " + ", ".join(
            f"{key} = {spelt(value)}" for key, value in t["values"].items()
        )
        size = 6.5 if t["best"] else 4.5
        parts.append(svg.mark(x(t), y(t["score"]), colour, shape=shape, size=size, hint=hint))
    return svg.picture(WIDTH, HEIGHT, parts, title=title)
