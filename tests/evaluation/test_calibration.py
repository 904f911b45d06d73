"""Calibration beside plain loops, scikit-learn, SciPy and PyTorch."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from scipy.stats import binom
from sklearn.metrics import brier_score_loss, log_loss

from affekt.errors import RunError
from affekt.evaluation import calibration
from affekt.types import Prediction

LABELS = ("angry", "happy", "neutral", "sad")


def said(truth: str, label: str = "", **probabilities: float) -> Prediction:
    return Prediction(
        id="1",
        corpus="toy",
        fold="1",
        seed=0,
        speaker=None,
        gender=None,
        language=None,
        truth=truth,
        label=label or max(probabilities, key=lambda name: probabilities[name]),
        probabilities=probabilities,
    )


def table(judged):
    return np.array([[p.probabilities[name] for name in LABELS] for p in judged])


def cost(judged, log_t):
    """NLL at a temperature, term by term."""
    total = 0.0
    for p in judged:
        z = {k: np.log(max(v, 0.5e-6)) / np.exp(log_t) for k, v in p.probabilities.items()}
        total += np.log(sum(np.exp(v) for v in z.values())) - z[p.truth]
    return total / len(judged)


@pytest.mark.parametrize("sharper", [0.4, 1.0, 3.0])
def test_the_temperature_is_scipys_minimum_of_the_likelihood(judge, sharper):
    judged = calibration.scaled(judge(200, skill=1.5), 1 / sharper)
    low, high = np.log(calibration.RANGE)
    found = minimize_scalar(
        lambda log_t: cost(judged, log_t),
        bounds=(low, high),
        method="bounded",
        options={"xatol": 1e-7},
    )
    assert calibration.temperature(judged) == pytest.approx(float(np.exp(found.x)), rel=1e-4)


def test_the_temperature_is_what_pytorch_descends_to(judge):
    judged = judge(150, skill=1.0)
    z = torch.tensor(table(judged)).clamp_min(0.5e-6).log()
    truth = torch.tensor([LABELS.index(p.truth) for p in judged])
    log_t = torch.zeros((), dtype=torch.double, requires_grad=True)
    descent = torch.optim.LBFGS([log_t], max_iter=100, tolerance_grad=1e-10)

    def loss():
        descent.zero_grad()
        value = torch.nn.functional.cross_entropy(z / log_t.exp(), truth)
        value.backward()
        return value

    descent.step(loss)
    assert calibration.temperature(judged) == pytest.approx(float(log_t.detach().exp()), rel=1e-5)


def test_logits_made_too_sharp_are_given_their_sharpness_back(judge):
    judged = judge(300, skill=1.5)
    before = calibration.temperature(judged)
    assert calibration.temperature(calibration.scaled(judged, 0.5)) == pytest.approx(
        2 * before, rel=1e-3
    )


def test_scaled_probabilities_are_the_softmax_of_logs_over_the_temperature(judge):
    judged = judge(20)
    expected = (torch.tensor(table(judged)).log() / 1.7).softmax(dim=1).numpy()
    found = calibration.scaled(judged, 1.7)
    np.testing.assert_allclose(table(found), expected, atol=1e-6)
    assert [replace(p, probabilities={}) for p in found] == [
        replace(p, probabilities={}) for p in judged
    ]
    np.testing.assert_allclose(table(calibration.scaled(judged, 1.0)), table(judged), atol=2e-6)


def test_where_nothing_can_be_fitted_the_temperature_is_one():
    right = [said("sad", sad=0.6, angry=0.4), said("angry", sad=0.1, angry=0.9)]
    assert calibration.temperature([]) == 1.0
    assert calibration.temperature(right) == 1.0
    assert calibration.temperature([said("bored", sad=0.6, angry=0.4)]) == 1.0
    assert calibration.temperature([said("sad", sad=0.5, angry=0.5)] * 3) == 1.0


def test_a_temperature_stays_in_its_range():
    wrong = [said("sad", sad=0.1, angry=0.9), said("angry", sad=0.9, angry=0.1)]
    assert calibration.temperature(wrong) == pytest.approx(calibration.RANGE[1])
    sure = [said("sad", sad=0.501, angry=0.499)] * 99 + [said("sad", sad=0.4999, angry=0.5001)]
    assert calibration.temperature(sure) == pytest.approx(calibration.RANGE[0])


def test_an_emotion_that_was_not_trained_moves_no_temperature_and_is_an_error(judge):
    judged = judge(80)
    odd = [*judged, said("bored", angry=0.7, happy=0.1, neutral=0.1, sad=0.1)]
    assert calibration.temperature(odd) == pytest.approx(calibration.temperature(judged))
    assert calibration.brier(odd[-1:]) == pytest.approx(1 + 0.7**2 + 3 * 0.1**2)
    assert calibration.nll(odd[-1:]) == pytest.approx(-np.log(calibration.FLOOR))
    assert calibration.ece(odd[-1:]) == pytest.approx(0.7)


def test_probabilities_rounded_to_zero_cost_as_half_of_the_last_digit():
    judged = [said("sad", sad=0.0, angry=1.0), said("sad", sad=1.0, angry=0.0)]
    assert calibration.nll(judged) == pytest.approx(-np.log(0.5e-6) / 2, abs=1e-5)
    assert np.isfinite(calibration.temperature(judged))
    assert table_of(calibration.scaled(judged, 0.05)) == pytest.approx([0, 1, 1, 0], abs=1e-6)


def table_of(judged):
    return [v for p in judged for v in p.probabilities.values()]


def test_likelihood_and_brier_score_are_scikit_learns(judge):
    judged = judge(120, seeds=(0, 1))
    truth, p = [p.truth for p in judged], table(judged)
    p = p / p.sum(axis=1, keepdims=True)
    assert calibration.nll(judged) == pytest.approx(log_loss(truth, p, labels=LABELS), abs=1e-5)
    expected = brier_score_loss(truth, p, labels=LABELS, scale_by_half=False)
    assert calibration.brier(judged) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("bins", [1, 5, 15])
def test_the_calibration_error_is_that_of_a_plain_loop_over_the_bins(judge, bins):
    judged = judge(150, skill=1.0)
    expected = 0.0
    for b in range(bins):
        here = [p for p in judged if b / bins < p.probabilities[p.label] <= (b + 1) / bins]
        if here:
            right = sum(p.label == p.truth for p in here) / len(here)
            sure = sum(p.probabilities[p.label] for p in here) / len(here)
            expected += len(here) / len(judged) * abs(right - sure)
    assert calibration.ece(judged, bins) == pytest.approx(expected, abs=1e-5)
    rows = calibration.reliability(judged, bins)
    assert sum(row["n"] for row in rows) == 150
    assert all(row["low"] < row["confidence"] <= row["high"] + 1e-6 for row in rows)


def test_the_error_by_chance_is_the_mean_deviation_of_a_binomial():
    judged = [said("sad", sad=0.7, angry=0.3)] * 40
    ways = np.arange(41)
    expected = (np.abs(ways / 40 - 0.7) * binom.pmf(ways, 40, 0.7)).sum()
    assert calibration.ece_by_chance(judged, draws=4000) == pytest.approx(expected, rel=0.05)


def test_models_of_other_classes_are_scaled_among_their_own():
    judged = [said("sad", sad=0.8, angry=0.2), said("bored", bored=0.25, happy=0.75)]
    found = calibration.scaled(judged, 2.0)
    assert [{*p.probabilities} for p in found] == [{"sad", "angry"}, {"bored", "happy"}]
    roots = [np.sqrt([0.8, 0.2]), np.sqrt([0.25, 0.75])]
    expected = np.concatenate([r / r.sum() for r in roots])
    assert table_of(found) == pytest.approx(expected.tolist(), abs=1e-6)


def test_a_temperature_that_is_none_and_no_predictions_are_refused(judge):
    with pytest.raises(RunError, match="a temperature is above 0, but got -1"):
        calibration.scaled(judge(3), -1.0)
    with pytest.raises(RunError, match="no predictions"):
        calibration.nll([])
