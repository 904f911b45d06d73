"""From frames to one vector per utterance: weights over time, then a statistic under them.

Means: Kakouros et al. 2022 (arXiv:2211.01756), eqs. (2) and (3), whose correlations are in
affekt.methods.attentive_correlation; self-attention pooling: Xiang 2024 (arXiv:2411.19803),
eq. (1).
Axes: B batch, T frames, D channels. Padding frames have weight zero.
"""

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from affekt.errors import RecipeError

EPS = 1e-9  # under the root of a variance, as in the code that the authors of 2211.01756 released

Statistic = Callable[[Tensor, Tensor], Tensor]


class UniformWeights(nn.Module):
    """Every valid frame weighs the same."""

    def forward(self, x: Float[Tensor, "B T D"], mask: Bool[Tensor, "B T"]) -> Float[Tensor, "B T"]:
        """w_t = 1 / T"""
        return mask.to(x.dtype) / mask.sum(dim=1, keepdim=True)


class SelfAttentionWeights(nn.Module):
    """Weights from one learned query: softmax(W_c H^T). A bias would cancel in the softmax."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.query = nn.Linear(dim, 1, bias=False)  # W_c

    def forward(self, x: Float[Tensor, "B T D"], mask: Bool[Tensor, "B T"]) -> Float[Tensor, "B T"]:
        """Xiang 2024, the left part of eq. (1)"""
        a = self.query(x)[..., 0].float()
        return a.masked_fill(~mask, -torch.inf).softmax(dim=1).to(x.dtype)


def mean(x: Float[Tensor, "B T D"], w: Float[Tensor, "B T"]) -> Float[Tensor, "B D"]:
    """mu = sum_t w_t x_t, eqs. (2) and (6)"""
    return torch.einsum("bt,btd->bd", w, x)


def mean_std(x: Float[Tensor, "B T D"], w: Float[Tensor, "B T"]) -> Float[Tensor, "B D2"]:
    """[mu; sigma], eq. (3), with the biased variance that it prints"""
    mu = mean(x, w)
    variance = mean((x - mu[:, None]).square(), w)
    return torch.cat([mu, (variance + EPS).sqrt()], dim=1)


def mean_unbiased_std(x: Float[Tensor, "B T D"], w: Float[Tensor, "B T"]) -> Float[Tensor, "B D2"]:
    """[mu; sigma] with T - 1 in place of T, as s3prl; of one frame sigma is sqrt(EPS)"""
    mu = mean(x, w)
    frames = (w > 0).sum(dim=1, keepdim=True)
    variance = mean((x - mu[:, None]).square(), w) * frames / (frames - 1).clamp(min=1)
    return torch.cat([mu, (variance + EPS).sqrt()], dim=1)


class Pooling(nn.Module):
    """Projection to v (2211.01756, section 3.3), dropout of whole channels, weights, statistic.

    `output_dim` is the length of the pooled vector.

    Args:
        dim: of v; 0 leaves the projection out.
        padding: what v holds in padding frames: zero, or the projection of zero, its bias.
    """

    def __init__(
        self,
        input_dim: int,
        weights: Callable[[int], nn.Module],
        statistic: Statistic,
        *,
        dim: int,
        channel_dropout: float,
        padding: Literal["zero", "bias"] = "zero",
    ) -> None:
        super().__init__()
        if dim < 0 or not 0 <= channel_dropout < 1:
            raise RecipeError(
                "pooling: dim must be 0 or more and channel_dropout from 0 to below 1, not "
                f"{dim} and {channel_dropout:g}"
            )
        self.project = nn.Linear(input_dim, dim) if dim else nn.Identity()
        dim = dim or input_dim
        self.channel_dropout = channel_dropout
        self.padding = padding
        self.weights = weights(dim)
        self.statistic = statistic
        one = torch.zeros(1, 1, dim)
        self.output_dim = statistic(one, one[..., 0]).shape[1]

    def forward(self, h: Float[Tensor, "B T D"], mask: Bool[Tensor, "B T"]) -> Float[Tensor, "B R"]:
        """r, one vector per utterance; what stands in padding frames has no influence"""
        if self.padding == "bias":
            v = self.project(h.masked_fill(~mask[..., None], 0.0))
        else:
            v = self.project(h).masked_fill(~mask[..., None], 0.0)
        if self.training and self.channel_dropout:  # before the attention, as in the authors' code
            kept = nn.functional.dropout(
                v.new_ones(v.shape[0], 1, v.shape[2]), self.channel_dropout
            )
            v = v * kept
        return self.statistic(v, self.weights(v, mask))


def mean_pooling(input_dim: int, *, dim: int = 256, channel_dropout: float = 0.0) -> Pooling:
    """Mean over time, eq. (2)"""
    return Pooling(
        input_dim, lambda _: UniformWeights(), mean, dim=dim, channel_dropout=channel_dropout
    )


def mean_std_pooling(
    input_dim: int, *, dim: int = 256, channel_dropout: float = 0.0, unbiased: bool = True
) -> Pooling:
    """Mean and standard deviation over time, eq. (3)"""
    statistic = mean_unbiased_std if unbiased else mean_std
    return Pooling(
        input_dim, lambda _: UniformWeights(), statistic, dim=dim, channel_dropout=channel_dropout
    )


def self_attention_pooling(
    input_dim: int, *, dim: int = 0, channel_dropout: float = 0.0
) -> Pooling:
    """Mean under learned weights (Xiang 2024, eq. (1))"""
    return Pooling(input_dim, SelfAttentionWeights, mean, dim=dim, channel_dropout=channel_dropout)


POOLINGS: dict[str, Callable[..., Pooling] | str] = {
    "mean": mean_pooling,
    "mean-std": mean_std_pooling,
    "self-attention": self_attention_pooling,
    "correlation": "affekt.methods.attentive_correlation:correlation_pooling",
    "attentive-correlation": "affekt.methods.attentive_correlation:attentive_correlation_pooling",
}
