"""Women and men apart: who is recognised how well, and is the gender itself heard?

Pan et al. 2024 (arXiv:2306.07848) train on gender and do not report either.

Axes: G speakers of a gender, D draws, K classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from affekt.evaluation import intervals, metrics
from affekt.labels import order
from affekt.types import GENDERS, Interval, Prediction


def numbers(judged: Sequence[Prediction]) -> dict[str, Any]:
    """Recall of each class by gender and the gap, and how often gender itself was named rightly.

    Returns:
        Nothing unless both genders are tested. `recall`: a row per class that both have, with
        `gap`, female less male, and its interval; `gap`: that of the recall averaged over these
        classes. `heard`: UA of gender with its interval, where the model was asked for it.
    """
    sides = {gender: [p for p in judged if p.gender == gender] for gender in GENDERS}
    if not all(sides.values()):
        return {}
    both = order(set.intersection(*({p.truth for p in side} for side in sides.values())))
    rows = [
        {"name": name, "n": metrics.distinct(p for p in judged if p.truth == name and p.gender)}
        | {gender: _recall(side, name) for gender, side in sides.items()}
        | {"gap": asdict(gap(sides, [name]))}
        for name in both
    ]
    asked = [
        replace(p, truth=p.gender, label=p.gender_label, probabilities={})
        for p in judged
        if p.gender and p.gender_label
    ]
    heard = asdict(intervals.interval(asked, "UA")) if asked else None
    whole = asdict(gap(sides, both)) if both else None
    return {"recall": rows, "gap": whole, "heard": heard}


def _recall(side: Sequence[Prediction], name: str) -> float:
    return float(np.mean([p.label == name for p in side if p.truth == name]))


def gap(sides: Mapping[str, Sequence[Prediction]], names: Sequence[str]) -> Interval:
    """Recall averaged over these classes, female less male, with its bootstrap interval.

    The speakers of each gender are drawn for themselves, with as many as there are; the quantiles
    are those for the fewer of the two. With a single speaker of one the interval is -1 to 1.
    """
    parts = {gender: [p for p in sides[gender] if p.truth in names] for gender in GENDERS}
    value, drawn, fewest = 0.0, np.zeros(intervals.DRAWS), np.inf
    for seed, (sign, part) in enumerate(zip((1, -1), parts.values(), strict=True)):
        table = _by_speaker(part, names)
        value += sign * float(_mean_recall(table.sum(0, keepdims=True))[0])
        fewest = min(fewest, len(table))
        if fewest > 1:
            rows, weights = intervals.resample(table, draws=intervals.DRAWS, seed=seed)
            drawn = drawn + sign * _mean_recall(weights @ rows)
    low, high = -1.0, 1.0
    if fewest > 1:
        # A draw without anybody who says a class says nothing of it.
        drawn = drawn[np.isfinite(drawn)]
        low, high = intervals.bounds(drawn, int(fewest), level=intervals.LEVEL)
    n = metrics.distinct(p for part in parts.values() for p in part)
    return Interval(value=value, low=low, high=high, n=n)


def _by_speaker(part: Sequence[Prediction], names: Sequence[str]) -> Float[np.ndarray, "G _"]:
    """Of each speaker how often each class is recognised (K), then how often it is said (K)."""
    keys = [p.speaker or (p.corpus, p.id) for p in part]
    places = {key: n for n, key in enumerate(dict.fromkeys(keys))}
    table = np.zeros((len(places), 2, len(names)))
    for key, p in zip(keys, part, strict=True):
        table[places[key], :, names.index(p.truth)] += p.label == p.truth, 1
    return table.reshape(len(places), -1)


def _mean_recall(sums: Float[np.ndarray, "D _"]) -> Float[np.ndarray, " D"]:
    """Recall averaged over the classes; NaN where one does not occur."""
    hits, said = np.split(sums, 2, axis=-1)
    shares = np.divide(hits, said, out=np.full(hits.shape, np.nan), where=said > 0)
    return shares.mean(axis=-1)
