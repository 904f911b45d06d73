"""One stage of training as a LightningModule: model, objective, optimiser, schedule, dev scores."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Int
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from affekt.batches import Batch
from affekt.evaluation.metrics import unweighted_accuracy, weighted_accuracy
from affekt.losses.classification import Losses
from affekt.nn.recogniser import Output, Recogniser
from affekt.training.guard import GuardedModule

Objective = Callable[[Output, Int[Tensor, " B"]], Losses]


class StageModule(GuardedModule):
    """Trains `model` for one stage and scores the dev side after every epoch.

    Logs `train_loss`, `dev_loss`, `dev_UA`, `dev_WA` and the named parts of the objective. An
    optimiser step whose gradient is not finite is skipped, as in s3prl.

    Args:
        name: of this training in messages.
    """

    def __init__(
        self,
        model: Recogniser,
        objective: Objective,
        *,
        optimizer: Callable[..., Optimizer],
        schedule: Callable[[Optimizer, int], LRScheduler],
        name: str = "training",
    ) -> None:
        super().__init__(name, "lower the learning rate, or check the audio")
        self.model = model
        self.objective = objective
        self._optimizer = optimizer
        self._schedule = schedule
        self._confusion: Tensor | None = None

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """The loss of one batch."""
        losses = self.objective(self.model(batch.inputs, batch.labels), batch.labels)
        sizes = {"on_step": False, "on_epoch": True, "batch_size": len(batch.labels)}
        self.log("train_loss", losses.total, **sizes)
        if len(losses.parts) > 1:
            self.log_dict({f"train_{k}": v for k, v in losses.parts.items()}, **sizes)
        return losses.total

    def validation_step(self, batch: Batch, _: int) -> None:
        """Count what is judged as what."""
        output = self.model(batch.inputs)
        loss = self.objective(output, batch.labels).total
        self.log("dev_loss", loss, on_epoch=True, batch_size=len(batch.labels))
        classes = output.logits.shape[1]
        cells = batch.labels * classes + output.logits.argmax(dim=1)
        counts = torch.bincount(cells, minlength=classes**2).reshape(classes, classes)
        self._confusion = counts if self._confusion is None else self._confusion + counts

    def on_validation_epoch_end(self) -> None:
        """Log the scores of the whole dev side."""
        if self._confusion is not None:
            confusion = self._confusion.cpu().numpy()
            self.log("dev_UA", float(unweighted_accuracy(confusion)))
            self.log("dev_WA", float(weighted_accuracy(confusion)))
        self._confusion = None

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """The optimiser, with a learning rate of its own for the encoder; a schedule by update."""
        encoder: Any = self.model.encoder
        fine_tuned = [p for p in encoder.parameters() if p.requires_grad] if encoder else []
        within = set(map(id, fine_tuned))
        rest = [p for p in self.parameters() if p.requires_grad and id(p) not in within]
        groups = [{"params": rest}, {"params": fine_tuned}]
        optimizer = self._optimizer([group for group in groups if group["params"]])
        for group in optimizer.param_groups[1:]:
            group["lr"] *= encoder.lr_factor
        schedule = self._schedule(optimizer, int(self.trainer.estimated_stepping_batches))
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }
