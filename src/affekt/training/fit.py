"""Train a recogniser on one fold and judge the fold's test side."""

import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import lightning.pytorch as lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from safetensors.torch import save_file
from torch import nn

from affekt import audio
from affekt.batches import Ahead, UtteranceDataset, as_listed, in_order, loader
from affekt.encoders import ENCODERS
from affekt.labels import order
from affekt.losses import OBJECTIVES
from affekt.nn.heads import HEADS
from affekt.nn.mixing import MIXES
from affekt.nn.pooling import POOLINGS
from affekt.nn.recogniser import Recogniser
from affekt.nn.standardise import Standardise
from affekt.parts import Registry, Section, build, find, options
from affekt.recipe import Recipe, Stage
from affekt.signals import Signals, is_random
from affekt.training.optim import OPTIMIZERS, SCHEDULES
from affekt.training.stage import StageModule
from affekt.types import Fold, Prediction, Utterance

JUDGED_AT_ONCE = 64  # utterances
MONITORED = {"best-dev": "dev_UA", "best-dev-WA": "dev_WA"}  # by a stage's `select`

logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)

Inputs = Mapping[str, Any]
Row = dict[str, int | float]


@dataclass(frozen=True)
class Trained:
    """What a fold leaves behind."""

    predictions: list[Prediction]
    embeddings: np.ndarray  # (N, E), in the order of the predictions
    history: list[Row]  # one per epoch or evaluation


def check(recipe: Recipe) -> None:
    """Refuse a recipe whose network parts or stages do not fit their schemas."""
    assert recipe.pooling is not None
    options(MIXES, recipe.mix, "mix")
    options(POOLINGS, recipe.pooling, "pooling")
    options(HEADS, recipe.head, "head")
    for stage in recipe.stage:
        options(OBJECTIVES, stage.objective, "objective")
        options(OPTIMIZERS, stage.optimizer, "optimizer")
        options(SCHEDULES, stage.schedule, "schedule")


def recogniser(
    recipe: Recipe, layers: int, dim: int, classes: int, **front: nn.Module | None
) -> Recogniser:
    """The untrained network that a recipe describes; `front` as in Recogniser."""
    assert recipe.pooling is not None
    pooling = build(POOLINGS, recipe.pooling, "pooling", dim)
    head = build(HEADS, recipe.head, "head", pooling.output_dim, classes)
    return Recogniser(build(MIXES, recipe.mix, "mix", layers), pooling, head, **front)


def train(
    recipe: Recipe,
    fold: Fold,
    inputs: Inputs,
    *,
    seed: int,
    folder: Path,
    steps: Sequence[audio.Step] = (),
) -> Trained:
    """Train through all stages, save the model under `folder`, and judge the test side.

    Args:
        inputs: of every utterance of the fold by `Utterance.key`: frames, or signals if the
            encoder is trained.
        steps: of the audio; random ones are drawn anew in every epoch of training.
    """
    lightning.seed_everything(seed, verbose=False)
    classes = order(u.emotion for u in fold.train)  # what else is tested cannot be recognised
    live = isinstance(inputs, Signals) or is_random(steps)
    encoder = build(ENCODERS, recipe.encoder, "encoder") if live else None
    if encoder is not None:
        layers, dim = encoder.layers, encoder.dim
    else:
        layers, _, dim = inputs[fold.train[0].key].shape
    standardise = _scales(recipe, fold, inputs, layers=layers, dim=dim)
    seen = inputs
    if not isinstance(standardise, nn.Identity):  # once per fold, not once per step
        said = (*fold.train, *fold.dev, *fold.test)
        seen = {u.key: standardise(inputs[u.key]) for u in said}
    drawn = Signals(fold.train, steps, seed=seed) if live else seen
    model = recogniser(recipe, layers, dim, len(classes), encoder=encoder, standardise=standardise)
    train_side = UtteranceDataset(fold.train, drawn, classes)
    known = [u for u in fold.dev if u.emotion in classes]
    dev_side = UtteranceDataset(known, seen, classes)
    history: list[Row] = []
    for number, stage in enumerate(recipe.stage):
        name = f"seed {seed}, fold {fold.name}, stage {number}"
        rows = _run_stage(model, stage, train_side, dev_side, seed=seed, name=name)
        past = history[-1] if history else {}  # epochs and steps count on through the stages
        on = {key: past.get(key, 0) for key in ("epoch", "steps")}
        history += [{"stage": number, **row, **{k: row[k] + on[k] for k in on}} for row in rows]
    _save(folder, model, classes)
    test_side = UtteranceDataset(fold.test, seen, classes)
    batches = _to_judge(test_side, recipe.stage[-1])
    return Trained(*judge(model, test_side, batches, fold=fold.name, seed=seed), history)


def _scales(recipe: Recipe, fold: Fold, inputs: Inputs, *, layers: int, dim: int) -> nn.Module:
    """What brings the encoder's channels to one scale, where they need it."""
    if not getattr(find(ENCODERS, recipe.encoder.name, "encoder"), "standardise", False):
        return nn.Identity()
    standardise = Standardise(layers, dim)
    standardise.fit(inputs[u.key] for u in fold.train)
    return standardise


def _save(folder: Path, model: Recogniser, classes: Sequence[str]) -> None:
    """The weights, but for those of an encoder that its checkpoint holds."""
    folder.mkdir(parents=True, exist_ok=True)
    learnt = model.encoder is not None and any(p.requires_grad for p in model.encoder.parameters())
    tensors = {
        name: tensor.contiguous()
        for name, tensor in model.state_dict().items()
        if learnt or not name.startswith("encoder.")
    }
    save_file(tensors, folder / "model.safetensors", {"classes": "\n".join(classes)})


class _History(lightning.Callback):
    """Collects what is logged, one row per epoch, or per evaluation where steps are counted."""

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def on_train_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Keep the row of this round."""
        logged = {k: float(v) for k, v in trainer.callback_metrics.items()}
        at = {"epoch": trainer.current_epoch + 1, "steps": trainer.global_step}
        self.rows.append({**at, **logged})


def _run_stage(
    model: Recogniser,
    stage: Stage,
    train: UtteranceDataset,
    dev: UtteranceDataset,
    *,
    seed: int,
    name: str,
) -> list[Row]:
    """Train `model` in place; afterwards it holds the weights that `stage.select` asks for."""
    module = StageModule(
        model,
        build(OBJECTIVES, stage.objective, "objective"),
        optimizer=_bound(OPTIMIZERS, stage.optimizer, "optimizer"),
        schedule=_bound(SCHEDULES, stage.schedule, "schedule"),
        name=name,
    )
    history = _History()
    batches = loader(
        train,
        stage.batch_size,
        seed=seed,
        batches=stage.batches,
        by_length=stage.order == "by-length",
    )
    to_choose_on = _to_judge(dev, stage) if len(dev) else None
    monitored = MONITORED.get(stage.select) if to_choose_on else None
    best = None
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        # Lightning advises on workers, log intervals and loggers; none of it applies here.
        warnings.filterwarnings("ignore", module="lightning")
        if monitored:  # saved anew when it is strictly better
            best = ModelCheckpoint(folder, monitor=monitored, mode="max", save_weights_only=True)
        trainer = _trainer(stage, [history, best] if best else [history])
        try:
            trainer.fit(module, batches, to_choose_on)
        except SystemExit:  # what Lightning makes of Ctrl-C
            raise KeyboardInterrupt from None
        if best:
            saved = torch.load(best.best_model_path, weights_only=True)
            module.load_state_dict(saved["state_dict"])
    model.to(trainer.strategy.root_device)  # Lightning leaves it on the CPU
    return history.rows


def _to_judge(side: UtteranceDataset, stage: Stage) -> Ahead:
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
        enable_checkpointing=any(isinstance(c, ModelCheckpoint) for c in callbacks),
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        accumulate_grad_batches=stage.accumulate,
        gradient_clip_val=stage.clip or None,
        deterministic="warn",
    )


def _bound(registry: Registry, section: Section, what: str) -> Callable[..., Any]:
    return partial(find(registry, section.name, what), **options(registry, section, what))


@torch.inference_mode()
def judge(
    model: Recogniser, test: UtteranceDataset, batches: Ahead, *, fold: str, seed: int
) -> tuple[list[Prediction], np.ndarray]:
    """Predictions for the test side and the embeddings (N, E) under them, in its order."""
    model.eval()
    device = next(model.parameters()).device
    probabilities: dict[str, list[float]] = {}
    embeddings: dict[str, np.ndarray] = {}
    for batch in batches:
        output = model(batch.to(device).inputs)
        rows = output.logits.double().softmax(dim=1).tolist()
        probabilities |= dict(zip(batch.keys, rows, strict=True))
        embeddings |= dict(zip(batch.keys, output.embedding.cpu().numpy(), strict=True))
    predictions = [
        _prediction(u, dict(zip(test.classes, probabilities[u.key], strict=True)), fold, seed)
        for u in test.utterances
    ]
    return predictions, np.stack([embeddings[u.key] for u in test.utterances])


def _prediction(u: Utterance, probabilities: dict[str, float], fold: str, seed: int) -> Prediction:
    return Prediction(
        id=u.id,
        corpus=u.corpus,
        fold=fold,
        seed=seed,
        speaker=u.talker,
        gender=u.gender,
        language=u.language,
        truth=u.emotion,
        label=max(probabilities, key=lambda name: probabilities[name]),
        probabilities=probabilities,
    )
