"""The contrastive loss beside loops over i, j and k, as printed in arXiv:2411.19803."""

import math
from functools import partial

import pytest
import torch

from affekt.errors import RecipeError
from affekt.losses.contrastive import info_nce

CONTRASTS = ["infonce", "literal", "supcon"]
every_contrast = pytest.mark.parametrize("contrast", CONTRASTS)


def drawn(p: int, m: int, dim: int = 16, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Vectors around a mean of their own, so that similarities are as in a trained network."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(p + m, dim, generator=generator) + torch.randn(dim, generator=generator)
    return x[:p], x[p:]


def sim(x: list[float], y: list[float]) -> float:
    return sum(a * b for a, b in zip(x, y, strict=True)) / (math.hypot(*x) * math.hypot(*y))


def looped(positives, negatives, contrast: str, tau: float) -> float:
    """The sum over i and j of eq. (3), with Python's floats."""
    x_p, x_n = positives.double().tolist(), negatives.double().tolist()
    size = len(x_p)
    total = 0.0
    for i in range(size):
        for j in range(size):
            if i == j:
                continue
            above = math.exp(sim(x_p[i], x_p[j]) / tau)
            below = sum(math.exp(sim(x_p[i], negative) / tau) for negative in x_n)
            if contrast == "supcon":
                below += sum(math.exp(sim(x_p[i], x_p[a]) / tau) for a in range(size) if a != i)
            else:
                below += above
            total += above / below if contrast == "literal" else -math.log(above / below)
    return total / (size * (size - 1))


@every_contrast
@pytest.mark.parametrize("tau", [0.07, 0.5])
@pytest.mark.parametrize(("p", "m"), [(4, 4), (16, 16), (2, 5), (5, 1)])
def test_the_loss_is_the_double_sum_of_the_paper(contrast, tau, p, m):
    positives, negatives = drawn(p, m)
    got = info_nce(positives, negatives, temperature=tau, contrast=contrast)
    expected = looped(positives, negatives, contrast, tau)
    assert got.dtype == torch.float32
    assert float(got) == pytest.approx(expected, abs=1e-6)


def test_the_papers_values_are_the_defaults():
    positives, negatives = drawn(4, 4)
    expected = looped(positives, negatives, "infonce", 0.07)
    assert float(info_nce(positives, negatives)) == pytest.approx(expected, abs=1e-6)


@every_contrast
def test_gradients_are_the_differences_of_values(contrast):
    inputs = [x.double().requires_grad_() for x in drawn(4, 5, dim=3)]
    assert torch.autograd.gradcheck(partial(info_nce, contrast=contrast), inputs)


@every_contrast
def test_nothing_larger_than_the_pairs_is_kept_for_the_gradient(contrast):
    kept: list[int] = []

    def keep(x: torch.Tensor) -> torch.Tensor:
        kept.append(x.numel())
        return x

    positives, negatives = (x.requires_grad_() for x in drawn(32, 32, dim=4))
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        info_nce(positives, negatives, contrast=contrast)
    assert max(kept) <= 32 * 32


@every_contrast
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize(
    ("positive", "other", "negative"),
    [(1.0, 1.0, 1.0), (1.0, -1.0, 1.0), (1.0, 1.0, -1.0), (0.0, 1.0, 1.0), (0.0, 0.0, 0.0)],
    ids=["identical", "opposite positives", "opposite negatives", "a zero", "zeros"],
)
def test_extreme_vectors_have_finite_values_and_gradients(
    contrast, dtype, autocast, positive, other, negative
):
    x = torch.linspace(-1, 2, 8)
    positives = torch.stack([positive * x, other * x, x]).to(dtype).requires_grad_()
    negatives = torch.stack([negative * x, negative * x]).to(dtype).requires_grad_()
    for tau in (0.07, 1e-3):
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            loss = info_nce(positives, negatives, temperature=tau, contrast=contrast)
        for gradient in torch.autograd.grad(loss, [positives, negatives]):
            assert gradient.isfinite().all()
            assert gradient.abs().max() < 1e4
        assert loss.isfinite()


@every_contrast
def test_vectors_of_zeros_are_like_nothing_and_stay(contrast):
    positives, negatives = torch.zeros(3, 4, requires_grad=True), torch.zeros(2, 4)
    loss = info_nce(positives, negatives, contrast=contrast)
    (gradient,) = torch.autograd.grad(loss, positives)
    expected = {"infonce": math.log(3), "literal": 1 / 3, "supcon": math.log(4)}[contrast]
    assert loss.item() == pytest.approx(expected, abs=1e-6)
    assert (gradient == 0).all()


@every_contrast
def test_autocast_changes_nothing(contrast):
    positives, negatives = drawn(8, 8)
    expected = info_nce(positives, negatives, contrast=contrast)
    with torch.autocast("cpu", torch.bfloat16):
        assert info_nce(positives, negatives, contrast=contrast) == expected


@every_contrast
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_read_as_float32(contrast, dtype):
    positives, negatives = (x.to(dtype) for x in drawn(8, 8))
    expected = info_nce(positives.float(), negatives.float(), contrast=contrast)
    assert info_nce(positives, negatives, contrast=contrast) == expected


def together(share: float) -> tuple[torch.Tensor, torch.Tensor]:
    """The first two positives, drawn towards their mean by a share of the way."""
    positives, negatives = drawn(2, 4)
    return positives + share * (positives.mean(dim=0) - positives), negatives


@pytest.mark.parametrize("contrast", ["infonce", "supcon"])
def test_the_loss_falls_as_a_positive_pair_is_drawn_together(contrast):
    far, near, same = (info_nce(*together(s), contrast=contrast) for s in (0.0, 0.5, 1.0))
    assert far > near > same


def test_the_loss_as_printed_grows_as_a_positive_pair_is_drawn_together():
    far, near, same = (info_nce(*together(s), contrast="literal") for s in (0.0, 0.5, 1.0))
    assert far < near < same


def test_one_pair_has_no_other_positives():
    positives, negatives = drawn(2, 6)
    expected = info_nce(positives, negatives)
    torch.testing.assert_close(info_nce(positives, negatives, contrast="supcon"), expected)


@pytest.mark.parametrize(("p", "m"), [(1, 4), (0, 4), (4, 0)])
def test_a_batch_with_nothing_to_compare_is_refused(p, m):
    with pytest.raises(RecipeError, match=rf"{p} positive\(s\) and {m} negative\(s\)"):
        info_nce(torch.ones(p, 3), torch.ones(m, 3))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"temperature": 0.0}, "temperature must be above 0, not 0"),
        ({"temperature": float("nan")}, "temperature must be above 0, not nan"),
    ],
)
def test_options_that_are_none_are_refused(changes, told):
    with pytest.raises(RecipeError, match=told):
        info_nce(torch.ones(2, 3), torch.ones(2, 3), **changes)
