"""Scores beside those that a recipe expects, as papers print them."""

from collections.abc import Mapping, Sequence
from typing import Any

Expected = int | float | Sequence[int | float]  # a score, or its mean (and deviation) over folds


def beside(
    expected: Mapping[str, Expected], scores: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Per metric: expected, ours and their difference.

    Beside a mean over folds stand our mean and deviation over folds, beside a plain
    score ours of all folds pooled.
    """
    rows = []
    for metric, value in expected.items():
        ours = scores[metric]
        if isinstance(value, int | float):
            pairs = (value, None), (ours["value"], None)
        else:
            pairs = (
                (value[0], value[1] if len(value) > 1 else None),
                (ours["fold_mean"], ours["fold_deviation"]),
            )
        (theirs, their_deviation), (own, own_deviation) = pairs
        rows.append(
            {
                "metric": metric,
                "expected": theirs,
                "expected_deviation": their_deviation,
                "ours": own,
                "ours_deviation": own_deviation,
                "difference": own - theirs,
            }
        )
    return rows
