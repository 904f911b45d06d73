"""From a pooled vector to logits. Each is made for a width, and for the names of classes."""

from collections.abc import Sequence

from torch import nn

from affekt.nn.wccn import DeepWCCN, Update
from affekt.parts import Count, Registry, Share


def linear(input_dim: int, classes: Sequence[str]) -> nn.Sequential:
    """One linear layer (Kakouros et al. 2022, section 3.3)."""
    return nn.Sequential(nn.Linear(input_dim, len(classes)))


def mlp(
    input_dim: int,
    classes: Sequence[str],
    *,
    hidden: Count = 256,
    dropout: Share = 0.0,
    norm: bool = False,
) -> nn.Sequential:
    """Linear, ReLU, dropout, linear; `norm` adds a layer norm before the last.

    With 256 hidden units: the classifier of Xiang 2024, stage 2.
    """
    parts = [nn.Linear(input_dim, hidden), nn.ReLU(), nn.Dropout(dropout)]
    if norm:
        parts.append(nn.LayerNorm(hidden))
    return nn.Sequential(*parts, nn.Linear(hidden, len(classes)))


def deep_wccn(
    input_dim: int,
    classes: Sequence[str],
    *,
    hidden: Count = 192,
    dropout: Share = 0.3,
    alpha: float = 0.5,
    update: Update = "streaming",
    momentum: float = 0.9,
) -> nn.Sequential:
    """The classifier and output network of Tang et al. 2023 (arXiv:2311.13678), figure 1.

    Its layer normalisation is PyTorch's, which scales to the length sqrt(hidden): the text says
    "unity length". Without Deep-WCCN it is `mlp` with norm. `alpha`, `update` and `momentum` as in
    affekt.nn.wccn.
    """
    *parts, norm, last = mlp(input_dim, classes, hidden=hidden, dropout=dropout, norm=True)
    layer = DeepWCCN(hidden, len(classes), alpha=alpha, update=update, momentum=momentum)
    return nn.Sequential(*parts, layer, norm, last)


HEADS: Registry = {
    "linear": linear,
    "mlp": mlp,
    "deep-wccn": deep_wccn,
    "clap": "affekt.nn.language:language_head",
}
