"""The cosine margin loss beside a loop over eq. (4) of arXiv:2411.19803."""

import math
from functools import partial
from itertools import product

import pytest
import torch

from affekt.errors import RecipeError
from affekt.losses.margin import cosine_margin

every_option = pytest.mark.parametrize(
    "options",
    [
        {"negative_pairs": pairs, "alpha_scope": scope}
        for pairs, scope in product(["index", "all"], ["positive", "both"])
    ],
    ids=lambda options: " ".join(options.values()),
)


def drawn(p: int, m: int, dim: int = 16, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Vectors around a mean of their own: similarities on both sides of the margin."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(p + m, dim, generator=generator) + torch.randn(dim, generator=generator)
    return x[:p], x[p:]


def sim(x: list[float], y: list[float]) -> float:
    return sum(a * b for a, b in zip(x, y, strict=True)) / (math.hypot(*x) * math.hypot(*y))


def looped(positives, negatives, options: dict, alpha: float = 0.5, m: float = 0.4) -> float:
    """Eq. (4), with Python's floats."""
    x_p, x_n = positives.double().tolist(), negatives.double().tolist()
    half = len(x_p) // 2
    first = [1 - sim(x_p[i], x_p[half + i]) for i in range(half)]
    if options["negative_pairs"] == "index":
        compared = list(zip(x_p, x_n, strict=False))
    else:
        compared = [(positive, negative) for positive in x_p for negative in x_n]
    second = [max(0.0, sim(positive, negative) - m) for positive, negative in compared]
    weight = alpha if options["alpha_scope"] == "both" else 1.0
    return alpha * sum(first) / len(first) + weight * sum(second) / len(second)


@every_option
@pytest.mark.parametrize(("p", "m"), [(4, 4), (16, 16), (5, 3), (2, 7)])
@pytest.mark.parametrize(("alpha", "margin"), [(0.5, 0.4), (0.8, 0.1)])
def test_the_loss_is_equation_4(options, p, m, alpha, margin):
    positives, negatives = drawn(p, m)
    got = cosine_margin(positives, negatives, alpha=alpha, margin=margin, **options)
    expected = looped(positives, negatives, options, alpha, margin)
    assert got.dtype == torch.float32
    assert float(got) == pytest.approx(expected, abs=1e-6)


def test_the_papers_values_are_the_defaults():
    positives, negatives = drawn(8, 8)
    expected = looped(positives, negatives, {"negative_pairs": "index", "alpha_scope": "positive"})
    assert float(cosine_margin(positives, negatives)) == pytest.approx(expected, abs=1e-6)


@every_option
def test_gradients_are_the_differences_of_values(options):
    inputs = [x.double().requires_grad_() for x in drawn(5, 4, dim=3)]
    assert torch.autograd.gradcheck(partial(cosine_margin, **options), inputs)


def test_the_partners_are_the_two_halves_in_order():
    x, y = torch.eye(4)[:2]
    far = torch.eye(4)[2:3]
    assert cosine_margin(torch.stack([x, y, x, y]), far) == 0
    assert cosine_margin(torch.stack([x, x, y, y]), far) == 0.5


def test_an_odd_positive_has_no_partner_and_is_still_compared_with_negatives():
    x, y, z = torch.eye(3)
    positives = torch.stack([x, x, y])
    assert cosine_margin(positives, torch.stack([z, z, z])) == 0
    loss = cosine_margin(positives, torch.stack([z, z, y]))
    torch.testing.assert_close(loss, torch.tensor(0.6 / 3))


def test_negatives_below_the_margin_have_no_gradient():
    positives = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    negatives = torch.tensor([[0.3, 1.0], [1.0, 1.0]], requires_grad=True)
    (gradient,) = torch.autograd.grad(cosine_margin(positives, negatives), negatives)
    assert (gradient[0] == 0).all()
    assert (gradient[1] != 0).all()


@every_option
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize(
    ("positive", "other", "negative"),
    [(1.0, 1.0, 1.0), (1.0, -1.0, 1.0), (1.0, 1.0, -1.0), (0.0, 1.0, 1.0), (0.0, 0.0, 0.0)],
    ids=["identical", "opposite positives", "opposite negatives", "a zero", "zeros"],
)
def test_extreme_vectors_have_finite_values_and_gradients(
    options, dtype, autocast, positive, other, negative
):
    x = torch.linspace(-1, 2, 8)
    positives = torch.stack([positive * x, other * x, x]).to(dtype).requires_grad_()
    negatives = torch.stack([negative * x, negative * x]).to(dtype).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        loss = cosine_margin(positives, negatives, **options)
    for gradient in torch.autograd.grad(loss, [positives, negatives]):
        assert gradient.isfinite().all()
        assert gradient.abs().max() < 10
    assert loss.isfinite()


@every_option
def test_vectors_of_zeros_are_like_nothing_and_stay(options):
    positives, negatives = torch.zeros(4, 3, requires_grad=True), torch.zeros(4, 3)
    loss = cosine_margin(positives, negatives, **options)
    (gradient,) = torch.autograd.grad(loss, positives)
    assert loss == 0.5
    assert (gradient == 0).all()


@every_option
def test_autocast_changes_nothing(options):
    positives, negatives = drawn(8, 8)
    expected = cosine_margin(positives, negatives, **options)
    with torch.autocast("cpu", torch.bfloat16):
        assert cosine_margin(positives, negatives, **options) == expected


@every_option
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_read_as_float32(options, dtype):
    positives, negatives = (x.to(dtype) for x in drawn(8, 8))
    expected = cosine_margin(positives.float(), negatives.float(), **options)
    assert cosine_margin(positives, negatives, **options) == expected


@pytest.mark.parametrize(("p", "m"), [(1, 4), (0, 4), (4, 0)])
def test_a_batch_with_nothing_to_compare_is_refused(p, m):
    with pytest.raises(RecipeError, match=rf"{p} positive\(s\) and {m} negative\(s\)"):
        cosine_margin(torch.ones(p, 3), torch.ones(m, 3))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"alpha": -1.0}, "alpha must be 0 or more"),
        ({"margin": 1.5}, "margin from -1 to 1, not 0.5 and 1.5"),
    ],
)
def test_options_that_are_none_are_refused(changes, told):
    with pytest.raises(RecipeError, match=told):
        cosine_margin(torch.ones(2, 3), torch.ones(2, 3), **changes)
