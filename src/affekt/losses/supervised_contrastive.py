"""The objective of the first stage of Xiang 2024 (arXiv:2411.19803), eq. (5).

Axes: B batch.
"""

from functools import partial

from jaxtyping import Int
from torch import Tensor

from affekt.errors import RecipeError
from affekt.losses import Losses
from affekt.losses.contrastive import Contrast, info_nce
from affekt.losses.margin import NegativePairs, Scope, cosine_margin
from affekt.nn.recogniser import Output


class SupervisedContrastive:
    """L = L_c + L_m of what pooling gives; batches are those of `ContrastiveBatches`.

    Args:
        temperature: tau of eq. (2).
        contrast: as of affekt.losses.contrastive.info_nce.
        alpha: of eq. (4).
        margin: m of eq. (4).
        negative_pairs: as of affekt.losses.margin.cosine_margin.
        alpha_scope: likewise.

    Raises:
        RecipeError: temperature not above 0, alpha below 0, or the margin no cosine.
    """

    def __init__(
        self,
        *,
        temperature: float = 0.07,
        contrast: Contrast = "infonce",
        alpha: float = 0.5,
        margin: float = 0.4,
        negative_pairs: NegativePairs = "index",
        alpha_scope: Scope = "positive",
    ) -> None:
        if temperature <= 0 or alpha < 0 or not -1 <= margin <= 1:
            raise RecipeError(
                "objective 'supervised-contrastive': temperature must be above 0, alpha 0 or more "
                f"and margin from -1 to 1, not {temperature:g}, {alpha:g} and {margin:g}"
            )
        self._contrast = partial(info_nce, temperature=temperature, contrast=contrast)
        self._margin = partial(
            cosine_margin,
            alpha=alpha,
            margin=margin,
            negative_pairs=negative_pairs,
            alpha_scope=alpha_scope,
        )

    def __call__(
        self,
        output: Output,
        labels: Int[Tensor, " B"],
        genders: Int[Tensor, " B"] | None = None,
    ) -> Losses:
        """Of a batch whose first half are positives; labels and genders are not looked at."""
        positives, negatives = output.pooled.tensor_split(2)
        contrast, margin = self._contrast(positives, negatives), self._margin(positives, negatives)
        return Losses(contrast + margin, {"contrastive": contrast, "margin": margin})
