"""Which samples a frame of a convolutional front end belongs to.

Frame t belongs to the samples from stride x t up to stride x (t + 1); it is computed from `reach`
samples, of which these are the first.
"""

from dataclasses import dataclass
from math import prod

from affekt.pretraining.family import Config


@dataclass(frozen=True)
class Front:
    """The kernels and strides of convolutions without padding, one after the other."""

    kernels: tuple[int, ...]
    strides: tuple[int, ...]

    @classmethod
    def of(cls, config: Config) -> "Front":
        """That of a network."""
        return cls(tuple(config.conv_kernel), tuple(config.conv_stride))

    @property
    def stride(self) -> int:
        """Samples from one frame to the next."""
        return prod(self.strides)

    @property
    def reach(self) -> int:
        """Samples that one frame is computed from.

        >>> Front((10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2)).reach
        400
        """
        reach = 1
        for kernel, stride in zip(reversed(self.kernels), reversed(self.strides), strict=True):
            reach = (reach - 1) * stride + kernel
        return reach

    def frames(self, samples: int) -> int:
        """How many frames so many samples give."""
        return max(0, (samples - self.reach) // self.stride + 1)
