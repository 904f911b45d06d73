"""Risk over coverage beside a plain loop."""

from dataclasses import replace

import numpy as np
import pytest

from affekt.evaluation import rejection


def confidence(p):
    return p.probabilities[p.label]


def test_risk_is_the_share_of_errors_among_those_at_least_as_sure(judge):
    judged = judge(60, skill=1.0)
    coverage, risk = rejection.risk_coverage(judged)
    levels = sorted({confidence(p) for p in judged}, reverse=True)
    expected = []
    for level in levels:
        here = [p for p in judged if confidence(p) >= level]
        expected.append((len(here) / 60, np.mean([p.label != p.truth for p in here])))
    np.testing.assert_allclose(np.stack([coverage, risk], axis=1), expected)
    assert (coverage[-1], risk[-1]) == (1.0, np.mean([p.label != p.truth for p in judged]))


def test_the_area_is_the_mean_risk_at_the_confidence_of_each_utterance(judge):
    judged = judge(50, skill=1.0)
    risks = []
    for one in judged:
        here = [p for p in judged if confidence(p) >= confidence(one)]
        risks.append(np.mean([p.label != p.truth for p in here]))
    assert rejection.area(judged) == pytest.approx(np.mean(risks))


def test_equal_confidence_is_answered_together_in_whatever_order(judge):
    judged = [replace(p, probabilities=dict.fromkeys(p.probabilities, 0.25)) for p in judge(30)]
    coverage, risk = rejection.risk_coverage(judged)
    assert coverage.tolist() == [1.0]
    wrong = np.mean([p.label != p.truth for p in judged])
    assert rejection.area(judged[::-1]) == pytest.approx(wrong) == pytest.approx(risk[0])


def test_coverage_at_an_accuracy_is_the_largest_share_that_has_it(judge):
    judged = judge(80, skill=1.0)
    ranked = sorted(judged, key=lambda p: -confidence(p))
    for accuracy in (0.7, 0.9, 0.99):
        right = [sum(p.label == p.truth for p in ranked[:n]) / n for n in range(1, 81)]
        expected = max((n / 80 for n, r in enumerate(right, 1) if r >= accuracy), default=0.0)
        assert rejection.coverage_at(judged, accuracy) == pytest.approx(expected)
    wrong = [replace(p, truth="bored") for p in judged]
    assert rejection.coverage_at(wrong, 0.5) == 0.0
    assert rejection.coverage_at(judged, 0.0) == 1.0
