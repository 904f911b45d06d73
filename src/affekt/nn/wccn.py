"""Deep-WCCN: within-class covariance normalisation as a layer, from mini-batches.

Tang et al. 2023 (arXiv:2311.13678), section 3.2. On functionals, from the whole training set:
affekt.classical.WCCN. Axes: B batch, D channels, C classes.
"""

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, distributed, nn

from affekt.errors import RecipeError

Update = Literal["streaming", "ema"]

RIDGE = 1e-6  # added to the diagonal of a W~ without inverse, relative to its mean


class DeepWCCN(nn.Module):
    """phi(x) = B^T x: after it the classes' mean covariance, smoothed, is the identity.

    The statistics follow from the features and labels of training, without gradients, and the
    last ones serve in testing. They are buffers in float64; before any of them B is the identity.
    A batch tells of a class of which it holds two or more. Under DDP it is the batch of all
    processes.

    Args:
        dim: D.
        classes: C.
        alpha: of eq. (7), how much of the identity is in W~.
        update: "streaming" weighs all batches alike, eq. (6); "ema" keeps an exponential moving
            average of the batches' B, as Eghbal-zadeh et al. 2017 (arXiv:1711.04022).
        momentum: of the moving average: the share of B that stays.

    Raises:
        RecipeError: alpha or momentum outside [0, 1].
    """

    covariance: Tensor  # S_c
    batches: Tensor  # n of eq. (6), of each class: how many batches told of it
    b: Tensor

    def __init__(
        self,
        dim: int,
        classes: int,
        *,
        alpha: float = 0.5,
        update: Update = "streaming",
        momentum: float = 0.9,
    ) -> None:
        super().__init__()
        for name, share in (("alpha", alpha), ("momentum", momentum)):
            if not 0 <= share <= 1:
                raise RecipeError(f"Deep-WCCN: {name} is {share:g}; give one from 0 to 1")
        self.alpha = alpha
        self.update = update
        self.momentum = momentum
        zeros = torch.zeros(classes, dim, dim, dtype=torch.float64)
        self.register_buffer("covariance", zeros)
        self.register_buffer("batches", torch.zeros(classes, dtype=torch.int64))
        self.register_buffer("b", torch.eye(dim, dtype=torch.float64))

    def forward(
        self, x: Float[Tensor, "B D"], labels: Int[Tensor, " B"] | None = None
    ) -> Float[Tensor, "B D"]:
        """phi(x); with labels, in training, the statistics learn from the batch first."""
        if self.training and labels is not None:
            self._learn(x.detach().double(), labels)
        return (x.double() @ self.b).to(x.dtype)  # eq. (5)

    @torch.no_grad()
    def _learn(self, x: Float[Tensor, "B D"], labels: Int[Tensor, " B"]) -> None:
        counts, covariance = _covariances(x, labels, len(self.batches))
        finite = covariance.diagonal(dim1=1, dim2=2).isfinite().all(dim=1)
        told = ((counts > 1) & finite).nonzero().flatten().tolist()
        if not told:
            return
        self.batches[told] += 1
        if self.update == "ema":
            new = self._projection(covariance[told].mean(dim=0))
            first = self.batches.sum() == len(told)
            self.b.copy_(new if first else self.momentum * self.b + (1 - self.momentum) * new)
            return
        for c in told:
            self.covariance[c].lerp_(covariance[c], 1 / int(self.batches[c]))  # eq. (6)
        known = (self.batches > 0).sum()  # S_c of the others is zero
        self.b.copy_(self._projection(self.covariance.sum(dim=0) / known))

    def _projection(self, w: Float[Tensor, "D D"]) -> Float[Tensor, "D D"]:
        """B, the lower Cholesky factor of W~^-1, eqs. (5) and (7)."""
        identity = torch.eye(len(w), dtype=w.dtype, device=w.device)
        w = (1 - self.alpha) * w + self.alpha * identity
        if self.alpha < RIDGE and _is_singular(w):
            w = w + RIDGE * w.diagonal().mean().clamp(min=RIDGE) * identity
        # W~ = U U^T with U upper triangular: the factor of W~ read backwards. B = U^-T.
        backwards = torch.linalg.cholesky(w.flip(0, 1))
        return torch.linalg.solve_triangular(backwards, identity, upper=False).flip(0, 1).mT


def _is_singular(w: Float[Tensor, "D D"]) -> bool:
    spread = torch.linalg.eigvalsh(w)
    return bool(spread[0] <= len(w) * torch.finfo(w.dtype).eps * spread[-1])


def _covariances(
    x: Float[Tensor, "B D"], labels: Int[Tensor, " B"], classes: int
) -> tuple[Int[Tensor, " C"], Float[Tensor, "C D D"]]:
    """Of each class how many, and their covariance, eq. (4); in the batch of all processes."""
    each = [x[labels == c] for c in range(classes)]
    counts = _of_all(labels.bincount(minlength=classes))
    means = _of_all(torch.stack([own.sum(dim=0) for own in each])) / counts[:, None]
    off = [own - mean for own, mean in zip(each, means, strict=True)]
    products = _of_all(torch.stack([own.T @ own for own in off]))
    return counts, products.div_(counts[:, None, None])


def _of_all(part: Tensor) -> Tensor:
    """The sum over the processes of DDP."""
    if distributed.is_available() and distributed.is_initialized():
        distributed.all_reduce(part)
    return part
