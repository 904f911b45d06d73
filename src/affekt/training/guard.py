"""Gradients clipped by their norm, and taken away where they are not finite, as in s3prl."""

import logging

import lightning.pytorch as lightning
from torch.nn.utils import clip_grads_with_norm_, get_total_norm
from torch.optim import Optimizer

from affekt.errors import AffektError

SKIPPED_AT_MOST = 10  # optimiser steps in a row

log = logging.getLogger(__name__)


class GuardedModule(lightning.LightningModule):
    """A training that passes over optimiser steps whose gradient is not finite.

    Args:
        name: of the training in messages.
        advice: what would do where no gradient is finite any more.
    """

    def __init__(self, name: str, advice: str) -> None:
        super().__init__()
        self._name = name
        self._advice = advice
        self._skipped = 0  # steps in a row

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the gradient's norm if asked to; without a finite norm take the gradient away.

        Raises:
            AffektError: that happened SKIPPED_AT_MOST times in a row.
        """
        tensors = [p for group in optimizer.param_groups for p in group["params"]]
        norm = get_total_norm([p.grad for p in tensors if p.grad is not None])
        if norm.isfinite():
            self._skipped = 0
            if gradient_clip_val:
                clip_grads_with_norm_(tensors, gradient_clip_val, norm)
            return
        self._skipped += 1
        if self._skipped == SKIPPED_AT_MOST:
            raise AffektError(
                f"{self._name}: the loss or its gradient was NaN or infinite in "
                f"{SKIPPED_AT_MOST} steps in a row; {self._advice}"
            )
        log.warning(
            "%s: step skipped, its gradient is not finite (%d of at most %d in a row)",
            self._name,
            self._skipped,
            SKIPPED_AT_MOST - 1,
        )
        optimizer.zero_grad(set_to_none=True)  # the optimiser passes over such parameters
