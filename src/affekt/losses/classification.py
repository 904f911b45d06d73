"""Cross-entropy with label smoothing. Axes: B batch, K classes."""

from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor, nn

from affekt.nn.recogniser import Output


@dataclass(frozen=True)
class Losses:
    """What is minimised, and the named parts of it as in the paper."""

    total: Tensor
    parts: dict[str, Tensor]


def cross_entropy(
    logits: Float[Tensor, "B K"], labels: Int[Tensor, " B"], *, label_smoothing: float = 0.0
) -> Tensor:
    """Cross-entropy against y (1 - p_l) + p_l / K, eq. (9) of arXiv:2211.01756."""
    return nn.functional.cross_entropy(logits, labels, label_smoothing=label_smoothing)


class Classification:
    """The objective of a plain classifier."""

    def __init__(self, *, label_smoothing: float = 0.0) -> None:
        self.label_smoothing = label_smoothing  # p_l

    def __call__(self, output: Output, labels: Int[Tensor, " B"]) -> Losses:
        loss = cross_entropy(output.logits, labels, label_smoothing=self.label_smoothing)
        return Losses(loss, {"cross_entropy": loss})
