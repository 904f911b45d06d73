"""From frames to one vector per utterance: weights over time, then a statistic under them.

Kakouros et al. 2022 (arXiv:2211.01756), eqs. (2)-(8); self-attention pooling: Xiang 2024
(arXiv:2411.19803), eq. (1).
Axes: B batch, T frames, D channels, H heads. Padding frames have weight zero, always.
"""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

EPS = 1e-9  # under the root of a variance, as in the authors' code; see `correlation`

Statistic = Callable[[Tensor, Tensor], Tensor]


class UniformWeights(nn.Module):
    """Every valid frame weighs the same."""

    def forward(self, x: Float[Tensor, "B T D"], mask: Bool[Tensor, "B T"]) -> Float[Tensor, "B T"]:
        """w_t = 1 / T"""
        return mask.to(x.dtype) / mask.sum(dim=1, keepdim=True)


class AttentiveWeights(nn.Module):
    """One set of weights from several heads, merged by logsumexp before the softmax.

    Args:
        dim: D, the channels of a frame.
        heads: H.
        bias: of W_att; the authors' code has one, eq. (8) does not print it.
    """

    def __init__(self, dim: int, *, heads: int = 4, bias: bool = True) -> None:
        super().__init__()
        self.hidden = nn.Linear(dim, dim, bias=bias)  # W_att
        self.heads = nn.Linear(dim, heads)  # q_h, b_h

    def forward(self, x: Float[Tensor, "B T D"], mask: Bool[Tensor, "B T"]) -> Float[Tensor, "B T"]:
        """w = softmax_t(a_t), eqs. (7) and (8)"""
        o = self.hidden(x).relu()
        a = self.heads(o).float().logsumexp(dim=2)  # (B, T)
        # Differs from the authors' code: padding gets no weight (theirs adds 1 to valid logits).
        return a.masked_fill(~mask, -torch.inf).softmax(dim=1).to(x.dtype)


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
    """[mu; sigma] with T - 1 in place of T, as s3prl's statistics pooling; one frame has sigma 0"""
    mu = mean(x, w)
    frames = (w > 0).sum(dim=1, keepdim=True)
    variance = mean((x - mu[:, None]).square(), w) * frames / (frames - 1).clamp(min=1)
    return torch.cat([mu, (variance + EPS).sqrt()], dim=1)


def correlation(x: Float[Tensor, "B T D"], w: Float[Tensor, "B T"]) -> Float[Tensor, "B P"]:
    """The correlations above the diagonal, row by row: P = D (D - 1) / 2, eqs. (4)-(6)

    Differs from eq. (5), which adds 1e-8 to s s': the root is taken of the variance plus EPS, as
    in the authors' code. A dropped channel has variance 0, where the root has no finite gradient.
    On channels of ordinary variance the two differ by less than 4e-8.
    """
    x, w = x.float(), w.float()  # second moments need more than bf16
    centred = x - mean(x, w)[:, None]
    sigma = torch.einsum("btd,bte->bde", centred * w[..., None], centred)
    s = (sigma.diagonal(dim1=1, dim2=2) + EPS).sqrt()
    c = sigma / (s[:, :, None] * s[:, None, :])
    row, column = torch.triu_indices(x.shape[2], x.shape[2], offset=1, device=x.device)
    return c[:, row, column]


class Pooling(nn.Module):
    """Projection to v (section 3.3), dropout of whole channels, weights, statistic.

    `dim` = 0 leaves the projection out. `output_dim` is the length of the pooled vector.
    """

    def __init__(
        self,
        input_dim: int,
        weights: Callable[[int], nn.Module],
        statistic: Statistic,
        *,
        dim: int,
        channel_dropout: float,
    ) -> None:
        super().__init__()
        self.project = nn.Linear(input_dim, dim) if dim else nn.Identity()
        dim = dim or input_dim
        self.channel_dropout = channel_dropout
        self.weights = weights(dim)
        self.statistic = statistic
        one = torch.zeros(1, 1, dim)
        self.output_dim = statistic(one, one[..., 0]).shape[1]

    def forward(self, h: Float[Tensor, "B T D"], mask: Bool[Tensor, "B T"]) -> Float[Tensor, "B R"]:
        """r, one vector per utterance; what stands in padding frames has no influence"""
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


def correlation_pooling(
    input_dim: int, *, dim: int = 256, channel_dropout: float = 0.25
) -> Pooling:
    """Correlations of the channels over time, eqs. (4) and (5)"""
    return Pooling(
        input_dim, lambda _: UniformWeights(), correlation, dim=dim, channel_dropout=channel_dropout
    )


def attentive_correlation_pooling(
    input_dim: int,
    *,
    dim: int = 256,
    heads: int = 4,
    channel_dropout: float = 0.25,
    attention_bias: bool = True,
) -> Pooling:
    """Correlations of the channels under attentive weights, eqs. (5)-(8)"""
    return Pooling(
        input_dim,
        lambda size: AttentiveWeights(size, heads=heads, bias=attention_bias),
        correlation,
        dim=dim,
        channel_dropout=channel_dropout,
    )


POOLINGS: dict[str, Callable[..., Pooling]] = {
    "mean": mean_pooling,
    "mean-std": mean_std_pooling,
    "self-attention": self_attention_pooling,
    "correlation": correlation_pooling,
    "attentive-correlation": attentive_correlation_pooling,
}
