"""Scores beside those that a recipe expects, as papers print them."""

from collections.abc import Mapping, Sequence
from typing import Any

Expected = int | float | Sequence[int | float]  # a score, or its mean (and deviation) over folds
PAIR = "UA, WA"  # both, means over folds, where it is not known which is which


def beside(
    expected: Mapping[str, Expected], scores: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Per metric: expected, ours and their difference.

    Beside a mean over folds stand our mean and deviation over folds, beside a plain
    score ours of all folds pooled. Of a PAIR the lower stands beside the lower of ours.
    """
    rows = []
    for metric, value in expected.items():
        if metric == PAIR and not isinstance(value, int | float):
            ours = sorted(("UA", "WA"), key=lambda name: scores[name]["fold_mean"])
            for which, name, theirs in zip(("lower", "higher"), ours, sorted(value), strict=True):
                rows.append(_row(f"{which} of {PAIR}", name, [theirs], scores[name]))
        else:
            rows.append(_row(metric, metric, value, scores[metric]))
    return rows


def _row(said: str, metric: str, value: Expected, ours: Mapping[str, Any]) -> dict[str, Any]:
    """One score; `said` is what it is called, `metric` which of ours stands beside it."""
    if isinstance(value, int | float):
        pairs = (value, None), (ours["value"], None)
    else:
        pairs = (
            (value[0], value[1] if len(value) > 1 else None),
            (ours["fold_mean"], ours["fold_deviation"]),
        )
    (theirs, their_deviation), (own, own_deviation) = pairs
    return {
        "said": said,
        "metric": metric,
        "expected": theirs,
        "expected_deviation": their_deviation,
        "ours": own,
        "ours_deviation": own_deviation,
        "difference": own - theirs,
    }
