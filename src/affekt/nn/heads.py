"""From a pooled vector to logits. Axes: B batch, R pooled channels, K classes."""

from collections.abc import Callable

from torch import nn


def linear(input_dim: int, classes: int) -> nn.Sequential:
    """One linear layer (Kakouros et al. 2022, section 3.3)."""
    return nn.Sequential(nn.Linear(input_dim, classes))


def mlp(
    input_dim: int, classes: int, *, hidden: int = 256, dropout: float = 0.0, norm: bool = False
) -> nn.Sequential:
    """Linear, ReLU, dropout, linear; `norm` adds a layer norm before the last.

    With 256 hidden units: the classifier of Xiang 2024, stage 2. With 192, dropout and norm: the
    network of Tang et al. 2023 (arXiv:2311.13678), figure 1, without its Deep-WCCN.
    """
    parts = [nn.Linear(input_dim, hidden), nn.ReLU(), nn.Dropout(dropout)]
    if norm:
        parts.append(nn.LayerNorm(hidden))
    return nn.Sequential(*parts, nn.Linear(hidden, classes))


HEADS: dict[str, Callable[..., nn.Sequential]] = {"linear": linear, "mlp": mlp}
