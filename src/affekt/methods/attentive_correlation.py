"""Attentive correlation pooling (Kakouros et al. 2022, arXiv:2211.01756), sections 3.3 and 3.4.

The rest of the paper is shared with other methods: eq. (1) is affekt.nn.mixing, eqs. (2) and (3),
the projection to v and the dropout of its channels are affekt.nn.pooling, eq. (9) is
affekt.losses.classification.

There are two readings. "strict" is what the paper prints, over the frames of speech.
"released-code" is what the code that the authors released computes. There padding frames take
part: they hold the bias of the projection and, with attention, a weight that is only e times
smaller. Then the result for a clip depends on the longest clip of its batch, in judging too: the
same model gives other predictions with another batch size. It is there to compare with published
figures.
Axes: B batch, T frames, D channels, H heads, P pairs of channels.
"""

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from affekt.nn.pooling import EPS, Pooling, UniformWeights, mean

Reading = Literal["strict", "released-code"]


class AttentiveWeights(nn.Module):
    """One set of weights from several heads, merged by logsumexp before the softmax.

    Args:
        dim: D, the channels of a frame.
        heads: H.
        bias: of W_att; the authors' code has one, eq. (8) does not print it.
        reading: "released-code" adds 1 to the logits of speech and leaves padding in the softmax.
    """

    def __init__(
        self, dim: int, *, heads: int = 4, bias: bool = True, reading: Reading = "strict"
    ) -> None:
        super().__init__()
        self.hidden = nn.Linear(dim, dim, bias=bias)  # W_att
        self.heads = nn.Linear(dim, heads)  # q_h, b_h
        self.reading = reading

    def forward(self, v: Float[Tensor, "B T D"], mask: Bool[Tensor, "B T"]) -> Float[Tensor, "B T"]:
        """w = softmax_t(a_t), eqs. (7) and (8)"""
        o = self.hidden(v).relu()
        a = self.heads(o).float().logsumexp(dim=2)  # (B, T)
        a = a + mask if self.reading == "released-code" else a.masked_fill(~mask, -torch.inf)
        return a.softmax(dim=1).to(v.dtype)


def correlation(v: Float[Tensor, "B T D"], w: Float[Tensor, "B T"]) -> Float[Tensor, "B P"]:
    """The correlations above the diagonal, row by row: P = D (D - 1) / 2, eqs. (4)-(6)

    Differs from eq. (5), which adds 1e-8 to s s': the root is taken of the variance plus EPS, as
    in the authors' code. A dropped channel has variance 0, where the root has no finite gradient.
    On channels of ordinary variance the two differ by less than 4e-8.
    """
    v, w = v.float(), w.float()  # second moments need more than bf16
    centred = v - mean(v, w)[:, None]
    sigma = torch.einsum("btd,bte->bde", centred * w[..., None], centred)
    per_s = (sigma.diagonal(dim1=1, dim2=2) + EPS).rsqrt()  # 1 / s
    return above_diagonal(sigma * per_s[:, :, None] * per_s[:, None, :])


def released_correlation(
    v: Float[Tensor, "B T D"], _: Float[Tensor, "B T"]
) -> Float[Tensor, "B P"]:
    """The authors' code without attention: Pearson's correlations times (T - 1) / T

    T counts padding, and all frames weigh the same. The deviation divides by T - 1, the product
    by T. Differs from that code in a batch of clips of one frame, where T - 1 is 0 and it gives
    NaN: here the correlations are 0. It also adds 1e-10 to every channel, which cancels.
    """
    v = v.float()
    frames = v.shape[1]
    s = v.std(dim=1, keepdim=True, correction=1 if frames > 1 else 0)
    z = (v - v.mean(dim=1, keepdim=True)) / (s + EPS)
    return above_diagonal(torch.einsum("btd,bte->bde", z, z) / frames)


def above_diagonal(c: Float[Tensor, "B D D"]) -> Float[Tensor, "B P"]:
    """The entries above the diagonal, row by row"""
    dim = c.shape[2]
    row, column = torch.triu_indices(dim, dim, offset=1, device=c.device)
    return c.flatten(1).index_select(1, row * dim + column)


def correlation_pooling(
    input_dim: int, *, dim: int = 256, channel_dropout: float = 0.25, reading: Reading = "strict"
) -> Pooling:
    """Correlations of the channels over time, eqs. (4) and (5)"""
    released = reading == "released-code"
    return Pooling(
        input_dim,
        lambda _: UniformWeights(),
        released_correlation if released else correlation,
        dim=dim,
        channel_dropout=channel_dropout,
        padding="bias" if released else "zero",
    )


def attentive_correlation_pooling(
    input_dim: int,
    *,
    dim: int = 256,
    heads: int = 4,
    channel_dropout: float = 0.25,
    attention_bias: bool = True,
    reading: Reading = "strict",
) -> Pooling:
    """Correlations of the channels under attentive weights, eqs. (5)-(8)"""
    return Pooling(
        input_dim,
        lambda size: AttentiveWeights(size, heads=heads, bias=attention_bias, reading=reading),
        correlation,
        dim=dim,
        channel_dropout=channel_dropout,
        padding="bias" if reading == "released-code" else "zero",
    )
