"""What an encoder takes and gives.

Axes: B batch, S samples, L layers, T frames, C channels of a convolution, D channels of a frame,
R pooled channels.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from affekt.losses import Losses


@dataclass(frozen=True)
class Waves:
    """The signals of a padded batch, and how many samples each has."""

    wav: Float[Tensor, "B S"]
    lengths: Int[Tensor, " B"]

    def to(self, device: torch.device | str) -> "Waves":
        """The same on another device."""
        return Waves(self.wav.to(device), self.lengths.to(device))


@dataclass(frozen=True)
class Convolved:
    """What a frozen front end made of a padded batch, and how many frames each has."""

    frames: Float[Tensor, "B T C"]
    lengths: Int[Tensor, " B"]

    def to(self, device: torch.device | str) -> "Convolved":
        """The same on another device."""
        return Convolved(self.frames.to(device), self.lengths.to(device))


@dataclass(frozen=True)
class Frames:
    """All layers of a padded batch, and which frames are speech."""

    layers: Float[Tensor, "B L T D"]
    mask: Bool[Tensor, "B T"]  # True on speech, False on padding
    task_losses: Losses | None = None  # of the encoder's own task, where it is trained on it

    def to(self, device: torch.device | str) -> "Frames":
        """The same on another device."""
        return Frames(self.layers.to(device), self.mask.to(device), self.task_losses)


@dataclass(frozen=True)
class Pooled:
    """One vector per utterance, where mix and pooling have nothing to learn."""

    vectors: Float[Tensor, "B R"]

    def to(self, device: torch.device | str) -> "Pooled":
        """The same on another device."""
        return Pooled(self.vectors.to(device))


def valid(lengths: Int[Tensor, " B"], longest: int) -> Bool[Tensor, "B T"]:
    """The mask of the first `lengths` of `longest` frames."""
    return torch.arange(longest, device=lengths.device) < lengths[:, None]
