"""Zero mean and unit variance per channel, with the statistics of the training side.

Axes: L layers, T frames, D channels.
"""

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor, nn

LEAST = 1e-6  # of the mean: a smaller spread is the rounding of a channel that never moves


class Standardise(nn.Module):
    """For encoders whose channels differ in scale (log-mel, MFCC, functionals).

    The statistics are buffers: they are fitted once, on training data only, and saved with the
    model. Before that the layer is the identity.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, layers: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(layers, 1, dim))
        self.register_buffer("std", torch.ones(layers, 1, dim))

    @torch.no_grad()
    def fit(self, clips: Iterable[Float[Tensor, "L _ D"]]) -> None:
        """Take mean and standard deviation of all frames of all clips, in double precision."""
        frames = 0
        total, squares = torch.zeros_like(self.mean).double(), torch.zeros_like(self.std).double()
        for clip in clips:
            frames += clip.shape[1]
            total += clip.double().sum(dim=1, keepdim=True)
            squares += clip.double().square().sum(dim=1, keepdim=True)
        mean = total / frames
        std = (squares / frames - mean.square()).clamp(min=0).sqrt()
        self.mean.copy_(mean)
        # A division by infinity: such a channel becomes zero.
        self.std.copy_(std.where(std > LEAST * mean.abs(), torch.inf))

    def forward(self, layers: Float[Tensor, "*B L T D"]) -> Float[Tensor, "*B L T D"]:
        """(x - mean) / std"""
        return (layers - self.mean) / self.std
