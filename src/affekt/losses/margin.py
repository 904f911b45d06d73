"""The cosine margin loss of Xiang 2024 (arXiv:2411.19803), eq. (4).

Axes: P positives, M negatives, D channels.
"""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from affekt.errors import RecipeError
from affekt.losses.contrastive import directions, refuse_too_few

NegativePairs = Literal["index", "all"]
Scope = Literal["positive", "both"]


def cosine_margin(
    positives: Float[Tensor, "P D"],
    negatives: Float[Tensor, "M D"],
    *,
    alpha: float = 0.5,
    margin: float = 0.4,
    negative_pairs: NegativePairs = "index",
    alpha_scope: Scope = "positive",
) -> Tensor:
    """L_m: positives are alike, negatives no more than m like them, eq. (4) of arXiv:2411.19803.

    In float32 at least, also under autocast.

    Args:
        positives: vectors of one emotion: x_p1, as many x_p2, the partners in order, and with an
            odd number one without a partner. In a batch of two corpora the halves are the corpora.
        negatives: vectors of the others, x_n.
        alpha: weight.
        margin: m.
        negative_pairs: "index" compares the i-th positive with the i-th negative, as far as there
            are both; "all" each with each. The paper does not say.
        alpha_scope: what alpha weighs: as printed the first term, or both.

    Raises:
        RecipeError: there is no pair of positives, no negative, alpha below 0 or margin no cosine.
    """
    if not (0 <= alpha < torch.inf and -1 <= margin <= 1):
        raise RecipeError(
            "cosine margin loss: alpha must be 0 or more and margin from -1 to 1, not "
            f"{alpha:g} and {margin:g}"
        )
    refuse_too_few(positives, negatives, loss="cosine margin loss")
    with torch.autocast(positives.device.type, enabled=False):
        x_p, x_n = directions(positives), directions(negatives)
        half = len(x_p) // 2
        apart = (1 - (x_p[:half] * x_p[half : 2 * half]).sum(dim=1)).mean()  # eq. (4), first term
        if negative_pairs == "all":
            alike = x_p @ x_n.T
        else:
            both = min(len(x_p), len(x_n))
            alike = (x_p[:both] * x_n[:both]).sum(dim=1)
        excess = (alike - margin).relu().mean()  # eq. (4), second term
        return alpha * (apart + excess) if alpha_scope == "both" else alpha * apart + excess
