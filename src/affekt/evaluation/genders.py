"""Women and men apart: who is recognised how well, and is the gender itself heard?

Pan et al. 2024 (arXiv:2306.07848) train on gender and do not report either.
"""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from affekt.evaluation import intervals, metrics
from affekt.labels import order
from affekt.prompts import GENDERS
from affekt.types import Prediction


def numbers(judged: Sequence[Prediction]) -> dict[str, Any]:
    """Recall of each class by gender and the gap, and how often gender itself was named rightly.

    Returns:
        Nothing unless both genders are tested. `recall`: a row per class that both have, with
        `gap`, female less male. `heard`: UA of gender with its interval, where the model was asked
        for it.
    """
    sides = {gender: [p for p in judged if p.gender == gender] for gender in GENDERS}
    if not all(sides.values()):
        return {}
    recalls = {gender: _recalls(side) for gender, side in sides.items()}
    both = order(set.intersection(*({*recall} for recall in recalls.values())))
    rows = [
        {"name": name, "n": metrics.distinct(p for p in judged if p.truth == name and p.gender)}
        | {gender: recalls[gender][name] for gender in GENDERS}
        | {"gap": recalls["female"][name] - recalls["male"][name]}
        for name in both
    ]
    asked = [
        replace(p, truth=p.gender, label=p.gender_label, probabilities={})
        for p in judged
        if p.gender and p.gender_label
    ]
    heard = asdict(intervals.interval(asked, "UA")) if asked else None
    return {"recall": rows, "heard": heard}


def _recalls(side: Sequence[Prediction]) -> dict[str, float]:
    """Of the classes that these have."""
    names = {p.truth for p in side}
    return {
        row["name"]: float(row["recall"]) for row in metrics.per_class(side) if row["name"] in names
    }
