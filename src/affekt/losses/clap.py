"""The loss of GEmo-CLAP (Pan et al. 2024, arXiv:2306.07848), eqs. (4) to (7).

The symbols of the paper are lost in its text; these are as in docs/methods.md. Axes: N clips of a
batch, each with its sentence.
"""

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

Target = Literal["softmax", "l1"]
Reduction = Literal["batchmean", "mean", "sum"]


def ground_truth(attribute: Int[Tensor, " N"]) -> Float[Tensor, "N N"]:
    """M: 1 where two clips have the same emotion (M_e), or gender (M_g), else 0."""
    return (attribute[:, None] == attribute[None]).float()


def soft_labels(
    emotion: Float[Tensor, "N N"], gender: Float[Tensor, "N N"], alpha: float
) -> Float[Tensor, "N N"]:
    """M = alpha M_e + (1 - alpha) M_g, eq. (6): the ground truth of SL-GEmo-CLAP."""
    return alpha * emotion + (1 - alpha) * gender


def soft_target_kl(
    similarity: Float[Tensor, "N N"],
    truth: Float[Tensor, "N N"],
    *,
    target: Target = "softmax",
    reduction: Reduction = "batchmean",
) -> Tensor:
    """KL(C, M) = sum_ij S(M)_ij [log S(M)_ij - log S(C)_ij], eq. (5), S a softmax over a row.

    In float32 at least, also under autocast.

    Args:
        similarity: C, scaled by a temperature.
        truth: M.
        target: "softmax" is S(M) as printed, which is e : 1 for equal against unequal; "l1" shares
            a row out among those that are equal.
        reduction: the paper does not say; "batchmean" is the sum over N.
    """
    with torch.autocast(similarity.device.type, enabled=False):
        wide = similarity.to(torch.promote_types(similarity.dtype, torch.float32))
        truth = truth.to(wide.dtype)
        if target == "softmax":
            wanted = truth.softmax(dim=1)
        else:
            wanted = truth / truth.sum(dim=1, keepdim=True)
        total = nn.functional.kl_div(wide.log_softmax(dim=1), wanted, reduction="sum")
        return total / {"sum": 1, "batchmean": len(wide), "mean": wide.numel()}[reduction]


def mean_kl(
    audio: Float[Tensor, "N N"],
    text: Float[Tensor, "N N"],
    truth: Float[Tensor, "N N"],
    *,
    target: Target = "softmax",
    reduction: Reduction = "batchmean",
) -> Tensor:
    """L = (KL(C_a, M) + KL(C_t, M)) / 2, eq. (4).

    Args:
        audio: C_a = tau_a E_a E_t^T, eq. (3).
        text: C_t = tau_t E_t E_a^T, eq. (3).
        truth: M.
        target: as of `soft_target_kl`.
        reduction: likewise.
    """
    each = [soft_target_kl(c, truth, target=target, reduction=reduction) for c in (audio, text)]
    return (each[0] + each[1]) / 2
