"""What an encoder gives. Axes: B batch, L layers, T frames, D channels."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Frames:
    """All layers of a padded batch, and which frames are speech."""

    layers: Float[Tensor, "B L T D"]
    mask: Bool[Tensor, "B T"]  # True on speech, False on padding


def valid(lengths: Int[Tensor, " B"], longest: int) -> Bool[Tensor, "B T"]:
    """The mask of the first `lengths` of `longest` frames."""
    return torch.arange(longest, device=lengths.device) < lengths[:, None]
