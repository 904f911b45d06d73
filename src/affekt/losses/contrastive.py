"""The contrastive loss of Xiang 2024 (arXiv:2411.19803), eqs. (2) and (3), and two readings of it.

Axes: P positives, M negatives, D channels.
"""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from affekt.errors import RecipeError

Contrast = Literal["infonce", "literal", "supcon"]
SHORT = 1e-12  # a vector that is shorter points nowhere


def info_nce(
    positives: Float[Tensor, "P D"],
    negatives: Float[Tensor, "M D"],
    *,
    temperature: float = 0.07,
    contrast: Contrast = "infonce",
) -> Tensor:
    """L_c, the mean over ordered pairs of positives, eqs. (2) and (3) of arXiv:2411.19803.

    In float32 at least, also under autocast. Kept are P x P and P x M numbers, which is little
    beside the encoder of as many utterances: there is no form in chunks.

    Args:
        positives: vectors of one emotion; only they are anchors.
        negatives: vectors of the others.
        temperature: tau.
        contrast: "infonce" is -log l_ij. "literal" is l_ij as printed, without the logarithm: it
            grows as positives come together, and so drives them apart. "supcon" has the other
            positives of anchor i in the denominator as well: L_out, eq. (2) of Khosla et al. 2020
            (arXiv:2004.11362).

    Raises:
        RecipeError: there is no pair of positives, no negative, or a temperature not above 0.
    """
    if not 0 < temperature < torch.inf:
        raise RecipeError(f"contrastive loss: temperature must be above 0, not {temperature:g}")
    refuse_too_few(positives, negatives, loss="contrastive loss")
    with torch.autocast(positives.device.type, enabled=False):
        x_p, x_n = directions(positives), directions(negatives)
        anchors = x_p / temperature
        pull = _off_diagonal(anchors @ x_p.T)  # sim(x_p^i, x_p^j) / tau
        push = (anchors @ x_n.T).logsumexp(dim=1, keepdim=True)  # log sum_k of eq. (2)
        if contrast == "supcon":
            every = torch.logaddexp(push, pull.logsumexp(dim=1, keepdim=True))
            return (every - pull).mean()
        log_odds = pull - push  # l_ij = sigmoid(log_odds), eq. (2)
        if contrast == "literal":
            return log_odds.sigmoid().mean()  # eq. (3)
        # Differs from eq. (2): with the -log of InfoNCE, which the paper names and does not print.
        return -nn.functional.logsigmoid(log_odds).mean()


def directions(x: Float[Tensor, "N D"]) -> Float[Tensor, "N D"]:
    """x / ||x||, in float32 at least: the product of two is sim(x, y) below eq. (3).

    Of arXiv:2411.19803. A vector of zeros becomes zeros: like nothing, and without a gradient.
    """
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    length = x.norm(dim=1, keepdim=True)
    return x / length.masked_fill(length < SHORT, torch.inf)


def refuse_too_few(
    positives: Float[Tensor, "P D"], negatives: Float[Tensor, "M D"], *, loss: str
) -> None:
    """Nothing, where eqs. (2) to (4) of arXiv:2411.19803 have something to take the mean of.

    Batches of the paper always do. A zero instead would hide that such a batch teaches nothing.
    """
    if len(positives) < 2 or len(negatives) < 1:
        raise RecipeError(
            f"{loss}: a batch of {len(positives)} positive(s) and {len(negatives)} negative(s) "
            "has nothing to compare, it needs 2 and 1; use larger batches, or corpora with more "
            "than one label"
        )


def _off_diagonal(square: Float[Tensor, "P P"]) -> Float[Tensor, "P P-1"]:
    """Every row without its own column: the j != i of eq. (3) of arXiv:2411.19803."""
    n = len(square)
    return square.flatten()[:-1].view(n - 1, n + 1)[:, 1:].reshape(n, n - 1)
