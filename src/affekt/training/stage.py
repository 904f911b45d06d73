"""One stage of training: model, objective, optimiser, schedule, dev scores; run by Lightning."""

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import torch
from jaxtyping import Int
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from affekt.batches import Ahead, Batch, UtteranceDataset, as_listed, in_order, loader
from affekt.evaluation.metrics import unweighted_accuracy, weighted_accuracy
from affekt.losses import OBJECTIVES, Losses
from affekt.methods.supervised_contrastive import ContrastiveBatches
from affekt.nn.recogniser import Output, Recogniser
from affekt.parts import Registry, Section, build, find, options
from affekt.recipe import Stage
from affekt.training import kept
from affekt.training.guard import GuardedModule
from affekt.training.kept import Row
from affekt.training.optim import OPTIMIZERS, SCHEDULES
from affekt.training.sides import JUDGED_AT_ONCE

MONITORED = {"best-dev": "dev_UA", "best-dev-WA": "dev_WA"}  # by a stage's `select`

logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)

Objective = Callable[[Output, Int[Tensor, " B"], Int[Tensor, " B"]], Losses]


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
        output = self.model(batch.inputs, batch.labels)
        losses = self.objective(output, batch.labels, batch.genders)
        sizes = {"on_step": False, "on_epoch": True, "batch_size": len(batch.labels)}
        self.log("train_loss", losses.total, **sizes)
        if len(losses.parts) > 1:
            self.log_dict({f"train_{k}": v for k, v in losses.parts.items()}, **sizes)
        return losses.total

    def validation_step(self, batch: Batch, _: int) -> None:
        """Count what is judged as what."""
        output = self.model(batch.inputs)
        loss = self.objective(output, batch.labels, batch.genders).total
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
        """The optimiser, with a learning rate of its own for encoders; a schedule by update."""
        encoders: list[Any] = [m for m in self.modules() if hasattr(m, "lr_factor")]
        own = [[p for p in e.parameters() if p.requires_grad] for e in encoders]
        within = {id(p) for parameters in own for p in parameters}
        rest = [p for p in self.parameters() if p.requires_grad and id(p) not in within]
        groups = [(1.0, rest), *zip([e.lr_factor for e in encoders], own, strict=True)]
        groups = [(factor, parameters) for factor, parameters in groups if parameters]
        optimizer = self._optimizer([{"params": parameters} for _, parameters in groups])
        for group, (factor, _) in zip(optimizer.param_groups, groups, strict=True):
            group["lr"] *= factor
        schedule = self._schedule(optimizer, int(self.trainer.estimated_stepping_batches))
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }


def _patience(monitored: str, rounds: int) -> EarlyStopping:
    """Ends a stage after so many scores of dev without a better one."""
    return EarlyStopping(
        monitored,
        mode="max",
        patience=rounds,
        check_finite=False,
        check_on_train_epoch_end=False,  # before what is kept of the round is written
    )


def run_stage(
    model: Recogniser,
    stage: Stage,
    train: UtteranceDataset,
    dev: UtteranceDataset,
    *,
    seed: int,
    name: str,
    folder: Path | None = None,
) -> list[Row]:
    """Train `model` in place; afterwards it holds the weights that `stage.select` asks for.

    Args:
        folder: where the training is kept after every round; one that is there goes on.
    """
    module = StageModule(
        model,
        build(OBJECTIVES, stage.objective, "objective"),
        optimizer=_bound(OPTIMIZERS, stage.optimizer, "optimizer"),
        schedule=_bound(SCHEDULES, stage.schedule, "schedule"),
        name=name,
    )
    batches = _batches(train, stage, seed)
    rounds = kept.Rounds(batches, name)
    to_choose_on = to_judge(dev, stage) if len(dev) and not stage.contrasts else None
    monitored = MONITORED.get(stage.select) if to_choose_on else None
    watching: list[lightning.Callback] = [rounds]
    with kept.place(folder) as at, _only(module, stage), warnings.catch_warnings():
        # Lightning advises on workers, log intervals and loggers; none of it applies here.
        warnings.filterwarnings("ignore", module="lightning")
        here, last = kept.Stage(at), kept.Last(at)
        if end := here.end():
            module.load_state_dict(end["weights"])
            rounds.load_state_dict(end["rounds"])
            rounds.go_on()
            return rounds.rows
        best = kept.Best(at, monitored) if monitored else None
        watching += [best] if best else []
        if monitored and stage.patience:
            watching.append(_patience(monitored, stage.patience))
        watching += [last] if folder is not None else []
        trainer = _trainer(stage, watching)
        try:
            trainer.fit(module, batches, to_choose_on, ckpt_path=last.there(), weights_only=True)
        except SystemExit:  # what Lightning makes of Ctrl-C
            raise KeyboardInterrupt from None
        if best:
            module.load_state_dict(best.weights())
        if folder is not None:
            here.finish(module.state_dict(), rounds)
    model.to(trainer.strategy.root_device)  # Lightning leaves it on the CPU
    return rounds.rows


@contextmanager
def _only(module: StageModule, stage: Stage) -> Iterator[None]:
    """The parts that a stage trains are in training mode; the others are frozen, as if judged."""
    module.train()  # Lightning leaves the mode as it is, and an encoder comes as it is judged
    still = [p for name, p in module.model.parts.items() if name not in stage.trains]
    held = [p for part in still for m in part for p in m.parameters() if p.requires_grad]
    for part in still:
        for m in part:
            m.eval()
    for p in held:
        p.requires_grad_(False)
    try:
        yield
    finally:
        for p in held:
            p.requires_grad_(True)


def _batches(train: UtteranceDataset, stage: Stage, seed: int) -> Ahead:
    if stage.contrasts:
        return Ahead(
            train,
            ContrastiveBatches(
                train.utterances, stage.batch_size, batches=stage.batches, seed=seed
            ),
        )
    shuffled = {"seed": seed, "batches": stage.batches, "by_length": stage.order == "by-length"}
    return loader(train, stage.batch_size, **shuffled)


def to_judge(side: UtteranceDataset, stage: Stage) -> Ahead:
    """Batches of dev or test; at random in training means as they are listed here."""
    if stage.order == "by-length":
        return in_order(side, JUDGED_AT_ONCE)
    return as_listed(side, stage.batch_size)


def _trainer(stage: Stage, callbacks: list[lightning.Callback]) -> lightning.Trainer:
    return lightning.Trainer(
        max_epochs=stage.rounds,
        accelerator="auto",
        devices=1,
        logger=False,
        callbacks=callbacks,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        accumulate_grad_batches=stage.accumulate,
        gradient_clip_val=stage.clip or None,
        deterministic="warn",
    )


def _bound(registry: Registry, section: Section, what: str) -> Callable[..., Any]:
    return partial(find(registry, section.name, what), **options(registry, section, what))
