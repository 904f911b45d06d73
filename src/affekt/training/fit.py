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
from affekt.batches import FrameDataset, loader
from affekt.encoders import ENCODERS
from affekt.encoders.extract import Clip, Live, is_random
from affekt.labels import order
from affekt.losses import OBJECTIVES
from affekt.nn.heads import HEADS
from affekt.nn.mixing import MIXES
from affekt.nn.pooling import POOLINGS
from affekt.nn.recogniser import Recogniser
from affekt.nn.standardise import Standardise
from affekt.parts import Registry, Section, build, find, options
from affekt.recipe import Recipe, Stage
from affekt.training.optim import OPTIMIZERS, SCHEDULES
from affekt.training.stage import StageModule
from affekt.types import Fold, Prediction, Utterance

JUDGED_AT_ONCE = 64  # utterances

logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)

Clips = Mapping[str, Clip]
Row = dict[str, int | float]


@dataclass(frozen=True)
class Trained:
    """What a fold leaves behind."""

    predictions: list[Prediction]
    embeddings: np.ndarray  # (N, E), in the order of the predictions
    history: list[Row]  # one per epoch


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


def recogniser(recipe: Recipe, layers: int, dim: int, classes: int) -> Recogniser:
    """The untrained network that a recipe describes."""
    assert recipe.pooling is not None
    pooling = build(POOLINGS, recipe.pooling, "pooling", dim)
    head = build(HEADS, recipe.head, "head", pooling.output_dim, classes)
    return Recogniser(build(MIXES, recipe.mix, "mix", layers), pooling, head)


def train(
    recipe: Recipe,
    fold: Fold,
    clips: Clips,
    *,
    seed: int,
    folder: Path,
    steps: Sequence[audio.Step] = (),
) -> Trained:
    """Train through all stages, save the model under `folder`, and judge the test side.

    Args:
        clips: frames of every utterance of the fold, by `Utterance.key`.
        steps: of the audio; random ones are drawn anew in every epoch of training.
    """
    lightning.seed_everything(seed, verbose=False)
    classes = order(u.emotion for u in fold.train)  # what else is tested cannot be recognised
    layers, _, dim = clips[fold.train[0].key].shape
    standardise = _scales(recipe, fold, clips, layers=layers, dim=dim)
    # Once per fold, not once per step.
    seen = {u.key: standardise(clips[u.key]) for u in (*fold.train, *fold.dev, *fold.test)}
    drawn: Clips = seen
    if is_random(steps):
        drawn = Live(recipe.encoder, fold.train, steps, seed=seed, then=standardise)
    train_side = FrameDataset(fold.train, drawn, classes)
    known = [u for u in fold.dev if u.emotion in classes]
    dev_side = FrameDataset(known, seen, classes)
    model = recogniser(recipe, layers, dim, len(classes))
    history: list[Row] = []
    for number, stage in enumerate(recipe.stage):
        rows = _run_stage(model, stage, train_side, dev_side, seed=seed)
        past = len(history)  # epochs count on through the stages
        history += [{"stage": number, **row, "epoch": past + row["epoch"]} for row in rows]
    _save(folder, standardise, model, classes)
    test_side = FrameDataset(fold.test, seen, classes)
    return Trained(*judge(model, test_side, fold=fold.name, seed=seed), history)


def _scales(recipe: Recipe, fold: Fold, clips: Clips, *, layers: int, dim: int) -> nn.Module:
    """What brings the encoder's channels to one scale, where they need it."""
    if not getattr(find(ENCODERS, recipe.encoder.name, "encoder"), "standardise", False):
        return nn.Identity()
    standardise = Standardise(layers, dim)
    standardise.fit(clips[u.key] for u in fold.train)
    return standardise


def _save(folder: Path, standardise: nn.Module, model: nn.Module, classes: Sequence[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {f"standardise.{name}": t for name, t in standardise.state_dict().items()}
    tensors |= {f"recogniser.{name}": t for name, t in model.state_dict().items()}
    save_file(tensors, folder / "model.safetensors", {"classes": "\n".join(classes)})


class _History(lightning.Callback):
    """Collects what is logged, one row per epoch."""

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def on_train_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        logged = {k: float(v) for k, v in trainer.callback_metrics.items()}
        self.rows.append({"epoch": trainer.current_epoch + 1, **logged})


def _run_stage(
    model: Recogniser, stage: Stage, train: FrameDataset, dev: FrameDataset, *, seed: int
) -> list[Row]:
    """Train `model` in place; afterwards it holds the weights that `stage.select` asks for."""
    module = StageModule(
        model,
        build(OBJECTIVES, stage.objective, "objective"),
        optimizer=_bound(OPTIMIZERS, stage.optimizer, "optimizer"),
        schedule=_bound(SCHEDULES, stage.schedule, "schedule"),
    )
    history = _History()
    batches = loader(train, stage.batch_size, seed=seed)
    to_choose_on = loader(dev, JUDGED_AT_ONCE, seed=None) if len(dev) else None
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        # Lightning advises on workers, log intervals and loggers; none of it applies here.
        warnings.filterwarnings("ignore", module="lightning")
        best = ModelCheckpoint(folder, monitor="dev_UA", mode="max", save_weights_only=True)
        choose_best = stage.select == "best-dev" and to_choose_on is not None
        trainer = lightning.Trainer(
            max_epochs=stage.epochs,
            accelerator="auto",
            devices=1,
            logger=False,
            callbacks=[history, best] if choose_best else [history],
            enable_checkpointing=choose_best,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            accumulate_grad_batches=stage.accumulate,
            gradient_clip_val=stage.clip or None,
            deterministic="warn",
        )
        try:
            trainer.fit(module, batches, to_choose_on)
        except SystemExit:  # what Lightning makes of Ctrl-C
            raise KeyboardInterrupt from None
        if choose_best:
            saved = torch.load(best.best_model_path, weights_only=True)
            module.load_state_dict(saved["state_dict"])
    return history.rows


def _bound(registry: Registry, section: Section, what: str) -> Callable[..., Any]:
    return partial(find(registry, section.name, what), **options(registry, section, what))


@torch.inference_mode()
def judge(
    model: Recogniser, test: FrameDataset, *, fold: str, seed: int
) -> tuple[list[Prediction], np.ndarray]:
    """Predictions for the test side and the embeddings (N, E) under them, in its order."""
    model.eval()
    device = next(model.parameters()).device
    probabilities: dict[str, list[float]] = {}
    embeddings: dict[str, np.ndarray] = {}
    for batch in loader(test, JUDGED_AT_ONCE, seed=None):
        output = model(batch.to(device).frames)
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
