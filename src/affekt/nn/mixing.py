"""One representation from all layers of an encoder.

Kakouros et al. 2022 (arXiv:2211.01756), section 3.1; the weighted sum of SUPERB.
Axes: B batch, L layers, T frames, D channels.
"""

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from affekt.errors import RecipeError


class LayerMix(nn.Module):
    """A learned convex combination of the layers, equal weights at first; float32 comes out.

    Args:
        layers: how many there are, L + 1 in the paper.
        normalise: bring each frame of each layer to zero mean and unit variance before the sum,
            s3prl's `upstream_feature_normalize`.
    """

    def __init__(self, layers: int, *, normalise: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(layers))
        self.normalise = normalise

    def needed(self, layers: Float[Tensor, "B L T D"]) -> Float[Tensor, "B L T D"]:
        """Of the layers those that are looked at: all."""
        return layers

    def forward(self, layers: Float[Tensor, "B L T D"]) -> Float[Tensor, "B T D"]:
        """h_t = sum_l gamma_l h_{t,l}"""
        if layers.shape[1] == 1:  # gamma is 1: spare a copy of all frames
            return _wide(layers[:, 0], self.normalise)
        gamma = self.weight.softmax(dim=0)
        if layers.dtype == torch.float32 or layers.requires_grad:
            return torch.einsum("l,bltd->btd", gamma, _wide(layers, self.normalise))  # eq. (1)
        return _NarrowMix.apply(layers, gamma, self.normalise)  # type: ignore[return-value]


def _wide(layers: Tensor, normalise: bool) -> Tensor:
    """The layers in float32, each frame normalised if so wished."""
    layers = layers.float()
    return nn.functional.layer_norm(layers, layers.shape[-1:]) if normalise else layers


class _NarrowMix(torch.autograd.Function):
    """Eq. (1) over constant layers in half precision, clip by clip.

    Only one clip at a time stands in float32, once more in the backward pass: the einsum would
    copy all layers of the batch to float32 and hold them until then.
    """

    @staticmethod
    def forward(ctx: Any, layers: Tensor, gamma: Tensor, normalise: bool) -> Tensor:
        ctx.save_for_backward(layers)
        ctx.normalise = normalise
        mixed = [gamma @ clip for clip in _one_by_one(layers, normalise)]  # eq. (1)
        return torch.stack(mixed).unflatten(1, layers.shape[2:])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor, None]:
        (layers,) = ctx.saved_tensors
        clips = _one_by_one(layers, ctx.normalise)
        parts = [clip @ grad for clip, grad in zip(clips, grads[0].flatten(1), strict=True)]
        return None, torch.stack(parts).sum(dim=0), None


def _one_by_one(layers: Tensor, normalise: bool) -> Iterator[Float[Tensor, "L _"]]:
    """Each clip in float32, in one buffer: fresh memory for each takes longer than the sum."""
    buffer = torch.empty(layers.shape[1:], dtype=torch.float32, device=layers.device)
    for clip in layers:
        yield _wide(buffer.copy_(clip), normalise).flatten(1)


class OneLayer(nn.Module):
    """One layer as it is, in float32.

    Args:
        layers: how many there are.
        number: of the one; negative ones count from the top, -1 is the last.

    Raises:
        RecipeError: there is no such layer.
    """

    def __init__(self, layers: int, *, number: int = -1) -> None:
        super().__init__()
        if not -layers <= number < layers:
            raise RecipeError(
                f"mix 'layer': number = {number}, but the encoder has the layers 0 to {layers - 1} "
                f"(or -{layers} to -1, from the top)"
            )
        self.number = number

    def forward(self, layers: Float[Tensor, "B L T D"]) -> Float[Tensor, "B T D"]:
        """h_t = h_{t,l}; a single layer that comes in is the one"""
        return layers[:, self.number if layers.shape[1] > 1 else 0].float()

    def needed(self, layers: Float[Tensor, "B L T D"]) -> Float[Tensor, "B 1 T D"]:
        """Of the layers those that are looked at."""
        number = self.number % layers.shape[1]
        return layers[:, number : number + 1]


MIXES = {"weighted-sum": LayerMix, "layer": OneLayer}
