"""Dropout whose random numbers are cheap on a CPU, alone and within attention.

torch draws 64 bits for every number that may be dropped, one after the other: a fifth of a bf16
training step of hubert-base's shape. Here four numbers share a draw.
Axes: B batch, H heads, Q queries, T keys, K channels of a head.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

STEPS = 2**16  # of a probability: 16 bits decide on a number


def dropout(x: Float[Tensor, "*shape"], p: float) -> Float[Tensor, "*shape"]:
    """x with every number zero with probability p, the others times 1 / (1 - p)."""
    if x.device.type != "cpu":
        return nn.functional.dropout(x, p)
    draws = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
    bits = draws.view(torch.int16)[: x.numel()].view(x.shape)
    kept = bits >= round(p * STEPS) - STEPS // 2
    return x * kept.to(x.dtype).mul_(1 / (1 - p))


class Dropout(nn.Dropout):
    """`dropout` in training, nothing else."""

    def forward(self, input: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """In training some of it."""
        return dropout(input, self.p) if self.training and self.p else input


def exchange(model: nn.Module) -> None:
    """Put `Dropout` wherever a model has torch's."""
    for module in list(model.modules()):
        for name, part in module.named_children():
            if isinstance(part, nn.Dropout):
                setattr(module, name, Dropout(part.p).train(part.training))


def attention(
    q: Float[Tensor, "B H Q K"],
    k: Float[Tensor, "B H T K"],
    v: Float[Tensor, "B H T K"],
    mask: Bool[Tensor, "B _ _ T"] | Float[Tensor, "B _ _ T"] | None,
    p: float,
) -> Float[Tensor, "B H Q K"]:
    """Scaled dot-product attention whose weights are dropped with probability p.

    Args:
        q: queries.
        k: keys.
        v: values.
        mask: True where a query looks, or what is added to its logits.
        p: 0 outside training.
    """
    if not p or q.device.type != "cpu":
        return scaled_dot_product_attention(q, k, v, mask, p)
    with torch.autocast("cpu", enabled=False):
        logits = (q * q.shape[-1] ** -0.5) @ k.transpose(2, 3)
        if mask is not None and mask.dtype == torch.bool:
            logits = logits.masked_fill(~mask, -torch.inf)
        elif mask is not None:
            logits = logits + mask
        return dropout(logits.softmax(dim=3), p) @ v
