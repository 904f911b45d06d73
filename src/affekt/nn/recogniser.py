"""Encoder frames -> layer mix -> pooling -> head.

The frame that the methods with one tower share; with attentive correlation pooling and a linear
head it is figure 1 of Kakouros et al. 2022 (arXiv:2211.01756).
Axes: B batch, R pooled channels, K classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor, nn

from affekt.encoders.frames import Convolved, Frames, Pooled, Waves
from affekt.losses import Losses
from affekt.nn.language import LanguageHead, SentenceCosines
from affekt.nn.mixing import LayerMix, OneLayer
from affekt.nn.pooling import Pooling
from affekt.nn.wccn import DeepWCCN
from affekt.recipe.stage import Part

Inputs = Frames | Convolved | Waves | Pooled


@dataclass(frozen=True)
class Output:
    """What a recogniser gives."""

    pooled: Float[Tensor, "B R"]  # what the head is given
    embedding: Float[Tensor, "B E"]  # what enters the last linear layer
    logits: Float[Tensor, "B K"]
    task_losses: Losses | None = None  # of the encoder's own task, in training
    emotion: SentenceCosines | None = None  # of a head that asks for classes by sentences
    gender: SentenceCosines | None = None  # of one that asks for genders as well


class Recogniser(nn.Module):
    """The trainable part behind an encoder, and the encoder itself where signals come in.

    Args:
        mix: of the encoder's layers.
        pooling: over time.
        head: if it is a sequence, the last of its parts gives the logits.
        encoder: an encoder that is trained, or one that meets random crops.
        standardise: what brings the encoder's channels to one scale. Frames that come in are
            standardised already.
    """

    def __init__(
        self,
        mix: LayerMix | OneLayer,
        pooling: Pooling,
        head: nn.Sequential | LanguageHead,
        *,
        encoder: nn.Module | None = None,
        standardise: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.mix = mix
        self.pooling = pooling
        self.head = head
        self.encoder = encoder
        self.standardise = standardise or nn.Identity()

    def forward(self, inputs: Inputs, labels: Int[Tensor, " B"] | None = None) -> Output:
        """Logits and the embedding under them; only Deep-WCCN looks at labels, in training."""
        task_losses = None
        if isinstance(inputs, Pooled):
            pooled = inputs.vectors
        else:
            frames = inputs if isinstance(inputs, Frames) else self.heard(inputs)
            pooled, task_losses = self.pooled(frames), frames.task_losses
        if isinstance(self.head, LanguageHead):
            emotion, gender = self.head(pooled)
            return Output(pooled, emotion.vectors, emotion.logits, task_losses, emotion, gender)
        h = pooled
        *parts, last = self.head
        for part in parts:
            h = part(h, labels) if isinstance(part, DeepWCCN) else part(h)
        return Output(pooled, h, last(h), task_losses)

    def pooled(self, frames: Frames) -> Float[Tensor, "B R"]:
        """What the head is given of frames."""
        return self.pooling(self.mix(frames.layers), frames.mask)

    def heard(self, inputs: Convolved | Waves) -> Frames:
        """The frames of the encoder, on one scale."""
        encoder: Any = self.encoder
        if isinstance(inputs, Convolved):
            frames = encoder.onward(inputs)
        else:
            frames = encoder(inputs.wav, inputs.lengths)
        return Frames(self.standardise(frames.layers), frames.mask, frames.task_losses)

    @property
    def parts(self) -> dict[Part, list[nn.Module]]:
        """What a stage may train."""
        return {
            "encoder": [self.encoder] if self.encoder else [],
            "pooling": [self.mix, self.pooling],
            "head": [self.head],
        }

    def pools_the_same(self, trains: Sequence[Part], layers: int) -> bool:
        """Whether `pooled` of the same frames never changes: it learns nothing and drops nothing.

        Args:
            trains: what is trained.
            layers: of the frames; the weight of a single one is 1.
        """
        learns = [*self.pooling.parameters(), *(self.mix.parameters() if layers > 1 else ())]
        return "pooling" not in trains or not (learns or self.pooling.channel_dropout)
