"""The losses of GEmo-CLAP beside loops over i and j, as FACTS of arXiv:2306.07848 give them."""

import math

import pytest
import torch

from affekt.losses.clap import ground_truth, mean_kl, soft_labels, soft_target_kl

SIZES = [8, 32]
REDUCTIONS = {"batchmean": lambda n: n, "mean": lambda n: n * n, "sum": lambda _: 1}


def drawn(n: int, seed: int = 0):
    """Scaled cosines of n clips and sentences, and their emotions and genders."""
    generator = torch.Generator().manual_seed(seed)
    cosines = torch.rand(n, n, generator=generator) * 2 - 1
    emotion = torch.randint(4, (n,), generator=generator)
    gender = torch.randint(2, (n,), generator=generator)
    return 14.3 * cosines, 9.1 * cosines.T, emotion, gender


def softmax(row: list[float]) -> list[float]:
    above = [math.exp(x - max(row)) for x in row]
    return [x / sum(above) for x in above]


def looped_kl(c: torch.Tensor, m: list[list[float]], target: str, divided_by: float) -> float:
    total = 0.0
    for row, truth in zip(c.double().tolist(), m, strict=True):
        wanted = softmax(truth) if target == "softmax" else [x / sum(truth) for x in truth]
        for s, p in zip(wanted, softmax(row), strict=True):
            total += s * (math.log(s) - math.log(p)) if s else 0.0
    return total / divided_by


def looped(c_a, c_t, m, target="softmax", divided_by=1.0) -> float:
    return (looped_kl(c_a, m, target, divided_by) + looped_kl(c_t, m, target, divided_by)) / 2


def same(attribute: torch.Tensor) -> list[list[float]]:
    values = attribute.tolist()
    return [[float(a == b) for b in values] for a in values]


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("target", ["softmax", "l1"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_the_loss_of_emo_clap_is_equations_4_and_5(n, target, reduction):
    c_a, c_t, emotion, _ = drawn(n)
    got = mean_kl(c_a, c_t, ground_truth(emotion), target=target, reduction=reduction)
    expected = looped(c_a, c_t, same(emotion), target, REDUCTIONS[reduction](n))
    assert float(got) == pytest.approx(expected, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("target", ["softmax", "l1"])
def test_soft_labels_are_equation_6(n, target):
    c_a, c_t, emotion, gender = drawn(n)
    alpha = 0.8
    mixed = [
        [alpha * e + (1 - alpha) * g for e, g in zip(*rows, strict=True)]
        for rows in zip(same(emotion), same(gender), strict=True)
    ]
    truth = soft_labels(ground_truth(emotion), ground_truth(gender), alpha)
    assert float(mean_kl(c_a, c_t, truth, target=target)) == pytest.approx(
        looped(c_a, c_t, mixed, target, n), rel=1e-6, abs=1e-6
    )


def test_a_perfect_likeness_costs_nothing_and_any_other_something():
    _, _, emotion, _ = drawn(8)
    truth = ground_truth(emotion)
    assert float(mean_kl(truth, truth, truth)) == pytest.approx(0.0, abs=1e-6)
    assert float(mean_kl(1.1 * truth, truth, truth)) > 1e-5


@pytest.mark.parametrize("value", [0.0, 100.0, -100.0])
def test_equal_and_opposite_clips_have_finite_losses_and_gradients(value):
    c = torch.full((8, 8), value, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        loss = soft_target_kl(c @ torch.eye(8), ground_truth(torch.arange(8) % 3))
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.isfinite()
    assert c.grad.isfinite().all()
