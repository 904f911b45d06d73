"""Encoder frames -> layer mix -> pooling -> head.

The frame that the methods with one tower share; with attentive correlation pooling and a linear
head it is figure 1 of Kakouros et al. 2022. Axes: B batch, R pooled channels, K classes.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from affekt.encoders.frames import Frames
from affekt.nn.mixing import LayerMix
from affekt.nn.pooling import Pooling


@dataclass(frozen=True)
class Output:
    """What a recogniser gives."""

    embedding: Float[Tensor, "B E"]  # what enters the last linear layer
    logits: Float[Tensor, "B K"]


class Recogniser(nn.Module):
    """The trainable part behind an encoder."""

    def __init__(self, mix: LayerMix, pooling: Pooling, head: nn.Sequential) -> None:
        super().__init__()
        self.mix = mix
        self.pooling = pooling
        self.head = head

    def forward(self, frames: Frames) -> Output:
        """Logits and the embedding under them."""
        h = self.mix(frames.layers)
        embedding = self.head[:-1](self.pooling(h, frames.mask))
        return Output(embedding, self.head[-1](embedding))
