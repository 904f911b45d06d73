"""The product quantizer of wav2vec 2.0 (Baevski et al. 2020, arXiv:2006.11477, section 2).

The weights have the names and shapes of transformers'. Axes: B batch, T frames, C channels of the
front end's output, G codebooks, V entries of each, Q channels of a quantized frame.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn


@dataclass(frozen=True)
class Quantized:
    """Frames as entries of codebooks."""

    frames: Float[Tensor, "B T Q"]
    entries: Int[Tensor, "B T G"]  # which of each codebook
    perplexity: Tensor  # how many entries are in use on masked frames, of all codebooks together


class Quantizer(nn.Module):
    """Chooses an entry of each codebook for a frame; in training at random, by Gumbel's softmax.

    Args:
        dim: C.
        groups: G.
        entries: V.
        width: Q.
    """

    def __init__(self, dim: int, *, groups: int = 2, entries: int = 320, width: int = 256) -> None:
        super().__init__()
        self.groups = groups
        self.temperature = 2.0
        self.weight_proj = nn.Linear(dim, groups * entries)
        self.codevectors = nn.Parameter(torch.rand(1, groups * entries, width // groups))
        nn.init.normal_(self.weight_proj.weight)
        nn.init.zeros_(self.weight_proj.bias)

    def forward(self, z: Float[Tensor, "B T C"], mask: Bool[Tensor, "B T"]) -> Quantized:
        """The entries of all frames, and how evenly those of the masked ones are spread."""
        logits = self.weight_proj(z).float().unflatten(2, (self.groups, -1))  # (B, T, G, V)
        if self.training:
            chosen = nn.functional.gumbel_softmax(logits, tau=self.temperature, hard=True)
            spread = logits.softmax(dim=3)
        else:
            best = logits.argmax(dim=3)
            chosen = spread = nn.functional.one_hot(best, logits.shape[3]).to(logits.dtype)
        table = self.codevectors.view(self.groups, logits.shape[3], -1)
        frames = torch.einsum("btgv,gvq->btgq", chosen, table).flatten(2)
        mean = spread[mask].mean(dim=0)
        perplexity = (-torch.xlogy(mean, mean).sum(dim=1)).exp().sum()
        return Quantized(frames, chosen.argmax(dim=3), perplexity)
