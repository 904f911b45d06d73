"""Answering only where a model is sure: how much is right then, and of how many utterances.

Geifman and El-Yaniv 2017 (arXiv:1705.08500): coverage is the share that is answered, the surest
first; risk is the share of wrong labels among these.

Axes: C coverages, one for each confidence that occurs.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from affekt.evaluation import calibration
from affekt.types import Prediction


def risk_coverage(
    judged: Sequence[Prediction],
) -> tuple[Float[np.ndarray, " C"], Float[np.ndarray, " C"]]:
    """Coverage in ascending order up to 1, and the risk at each.

    Utterances of the same confidence are answered together: no order among them is better.
    """
    found = calibration.chances(judged)
    order = np.argsort(-found.confidence, kind="stable")
    confidence, wrong = found.confidence[order], np.cumsum(~found.right[order])
    last = np.append(confidence[1:] != confidence[:-1], True)  # of those that are equal
    count = np.arange(1, len(order) + 1)
    return count[last] / len(order), wrong[last] / count[last]


def area(judged: Sequence[Prediction]) -> float:
    """AURC: the risk, averaged over all coverages; small if the sure labels are right.

    Each utterance counts once, with the risk of answering it and all that are surer or as sure.
    """
    coverage, risk = risk_coverage(judged)
    return float((np.diff(coverage, prepend=0.0) * risk).sum())


def coverage_at(judged: Sequence[Prediction], accuracy: float) -> float:
    """The largest share that can be answered with so much accuracy; 0 if none can."""
    coverage, risk = risk_coverage(judged)
    fits = coverage[1.0 - risk >= accuracy - 1e-12]  # rounding
    return float(fits.max()) if len(fits) else 0.0
