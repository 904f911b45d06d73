"""One representation from all layers of an encoder.

Kakouros et al. 2022 (arXiv:2211.01756), section 3.1; the weighted sum of SUPERB.
Axes: B batch, L layers, T frames, D channels.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class LayerMix(nn.Module):
    """A learned convex combination of the layers, equal weights at first.

    Args:
        layers: how many there are, L + 1 in the paper.
        normalise: bring each frame of each layer to zero mean and unit variance before the sum,
            s3prl's `upstream_feature_normalize`.
    """

    def __init__(self, layers: int, *, normalise: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(layers))
        self.normalise = normalise

    def forward(self, layers: Float[Tensor, "B L T D"]) -> Float[Tensor, "B T D"]:
        """h_t = sum_l gamma_l h_{t,l}"""
        if self.normalise:
            layers = nn.functional.layer_norm(layers, layers.shape[-1:])
        if layers.shape[1] == 1:  # gamma is 1: spare a copy of all frames
            return layers[:, 0]
        gamma = self.weight.softmax(dim=0).to(layers.dtype)
        return torch.einsum("l,bltd->btd", gamma, layers)  # eq. (1)


MIXES = {"weighted-sum": LayerMix}
