"""Optimisers and learning-rate schedules by name."""

from collections.abc import Callable
from typing import Annotated

import torch
from pydantic import Field
from torch.nn import Parameter
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from affekt.errors import RecipeError

Warmup = Annotated[int, Field(ge=0)] | Annotated[float, Field(ge=0, lt=1)]  # steps, or a share
Groups = list[dict[str, list[Parameter]]]  # each may get a learning rate of its own


def adam(groups: Groups, *, lr: float = 1e-4, weight_decay: float = 0.0) -> Optimizer:
    """Adam; weight decay is added to the gradient."""
    return torch.optim.Adam(groups, lr=lr, weight_decay=weight_decay)


def adamw(groups: Groups, *, lr: float = 1e-4, weight_decay: float = 0.01) -> Optimizer:
    """Adam with decoupled weight decay."""
    return torch.optim.AdamW(groups, lr=lr, weight_decay=weight_decay)


def adagrad(groups: Groups, *, lr: float = 3e-4, weight_decay: float = 0.0) -> Optimizer:
    """Adagrad, the optimiser of arXiv:2311.13678."""
    return torch.optim.Adagrad(groups, lr=lr, weight_decay=weight_decay)


def constant(optimizer: Optimizer, steps: int, *, warmup: Warmup = 0) -> LRScheduler:
    """The learning rate stays as it is, once it has gone up linearly."""
    return _up(optimizer, _steps(warmup, steps))


def cosine(optimizer: Optimizer, steps: int, *, warmup: Warmup = 0) -> LRScheduler:
    """Up linearly, then along half a cosine to zero at the last step."""
    first = _steps(warmup, steps)
    down = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, steps - first))
    return torch.optim.lr_scheduler.SequentialLR(optimizer, [_up(optimizer, first), down], [first])


def _up(optimizer: Optimizer, warmup: int) -> LRScheduler:
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda n: min(1.0, (n + 1) / (warmup + 1)))


def _steps(warmup: int | float, steps: int) -> int:
    return warmup if isinstance(warmup, int) else round(warmup * steps)


def multi_step(
    optimizer: Optimizer, steps: int, *, at: list[float], factor: float = 0.1
) -> LRScheduler:
    """Times `factor` whenever one of the shares `at` of all steps is done."""
    if not all(0 < share < 1 for share in at):
        raise RecipeError(f"schedule 'multi-step': at are shares of a stage, 0 to 1, not {at}")
    milestones = [round(share * steps) for share in at]
    return torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones, factor)


OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "adam": adam,
    "adamw": adamw,
    "adagrad": adagrad,
}
SCHEDULES: dict[str, Callable[..., LRScheduler]] = {
    "constant": constant,
    "cosine": cosine,
    "multi-step": multi_step,
}
