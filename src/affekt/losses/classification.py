"""Cross-entropy with label smoothing, and the encoder's own task beside it.

Axes: B batch, K classes.
"""

from jaxtyping import Float, Int
from torch import Tensor, nn

from affekt.errors import RecipeError
from affekt.losses import Losses
from affekt.nn.recogniser import Output


def cross_entropy(
    logits: Float[Tensor, "B K"], labels: Int[Tensor, " B"], *, label_smoothing: float = 0.0
) -> Tensor:
    """Cross-entropy against y (1 - p_l) + p_l / K, eq. (9) of arXiv:2211.01756."""
    return nn.functional.cross_entropy(logits, labels, label_smoothing=label_smoothing)


class Classification:
    """The objective of a classifier: L_CE + beta L_w2v, eq. (9) of arXiv:2311.13678.

    Args:
        label_smoothing: p_l.
        beta: weight of the encoder's own task, where it has one; judged is without it.
    """

    def __init__(self, *, label_smoothing: float = 0.0, beta: float = 0.0) -> None:
        if beta < 0:
            raise RecipeError(f"objective 'classification': beta must be 0 or more, not {beta:g}")
        if not 0 <= label_smoothing <= 1:
            raise RecipeError(
                f"objective 'classification': label_smoothing must be from 0 to 1, not "
                f"{label_smoothing:g}"
            )
        self.label_smoothing = label_smoothing
        self.beta = beta

    def __call__(
        self,
        output: Output,
        labels: Int[Tensor, " B"],
        genders: Int[Tensor, " B"] | None = None,
    ) -> Losses:
        """Genders are not looked at."""
        loss = cross_entropy(output.logits, labels, label_smoothing=self.label_smoothing)
        if output.task_losses is None:
            return Losses(loss, {"cross_entropy": loss})
        own = output.task_losses
        return Losses(loss + self.beta * own.total, {"cross_entropy": loss} | own.parts)
