"""Train a recogniser on one fold and judge the fold's test side."""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import numpy as np
import torch
from jaxtyping import Float
from safetensors.torch import save_file
from torch import Tensor, nn

from affekt import audio
from affekt.batches import Ahead, UtteranceDataset, in_order
from affekt.encoders import ENCODERS
from affekt.encoders.frames import Frames
from affekt.errors import RecipeError
from affekt.labels import order
from affekt.losses import OBJECTIVES
from affekt.nn.heads import HEADS
from affekt.nn.mixing import MIXES
from affekt.nn.pooling import POOLINGS
from affekt.nn.recogniser import Recogniser
from affekt.nn.standardise import Standardise
from affekt.parts import build, find, options
from affekt.recipe import Recipe, Stage
from affekt.signals import Signals, is_random
from affekt.training.optim import OPTIMIZERS, SCHEDULES
from affekt.training.stage import JUDGED_AT_ONCE, Row, run_stage, to_judge
from affekt.types import Fold, Prediction, Utterance

Inputs = Mapping[str, Any]


@dataclass(frozen=True)
class Trained:
    """What a fold leaves behind."""

    predictions: list[Prediction]
    embeddings: dict[str, tuple[Sequence[Utterance], np.ndarray]]  # of sides, (N, E) each
    history: list[Row]  # one per epoch or evaluation


@dataclass(frozen=True)
class Fitted:
    """A trained recogniser, and what it was and can be given."""

    model: Recogniser
    classes: list[str]
    see: Callable[[Sequence[Utterance]], Inputs]  # what the recogniser is given of utterances
    history: list[Row]

    def dataset(self, utterances: Sequence[Utterance]) -> UtteranceDataset:
        """Utterances as the recogniser takes them."""
        return UtteranceDataset(utterances, self.see(utterances), self.classes)


def check(recipe: Recipe) -> None:
    """Refuse a recipe whose network parts or stages do not fit their schemas."""
    assert recipe.pooling is not None
    options(MIXES, recipe.mix, "mix")
    pooling = build(POOLINGS, recipe.pooling, "pooling", 8)  # of any width: it judges its values
    build(HEADS, recipe.head, "head", pooling.output_dim, 2)
    frozen = recipe.encoder.options.get("trainable", "none") == "none"
    pairs = [number for number, stage in enumerate(recipe.stage) if stage.contrasts]
    if pairs and frozen and not [*pooling.parameters()]:
        raise RecipeError(
            f"stage.{pairs[0]}: there is nothing to train, as the encoder is frozen and pooling "
            f"'{recipe.pooling.name}' learns nothing; give the encoder trainable = \"transformer\""
        )
    if recipe.stage[-1].contrasts:
        raise RecipeError(
            f"stage.{len(recipe.stage) - 1}: pairs of clips train no classifier; let a stage with "
            'objective = { name = "classification" } follow'
        )
    learns_on = recipe.encoder.options.get("task") is not None
    weighed = False
    for number, stage in enumerate(recipe.stage):
        objective = options(OBJECTIVES, stage.objective, "objective")
        build(OBJECTIVES, stage.objective, "objective")
        weighed |= bool(objective.get("beta"))
        if objective.get("beta") and not learns_on:
            raise RecipeError(
                f"stage.{number}.objective: beta = {objective['beta']:g} weighs the encoder's own "
                'task, but it has none; give the encoder task = { heads = "kept" }, or "fresh" '
                "where its checkpoint has no quantizer, or set beta = 0"
            )
        _refuse_values(stage, number)
        options(SCHEDULES, stage.schedule, "schedule")
    if learns_on and not weighed:
        raise RecipeError(
            "encoder 'speech': task masks frames for a loss that no stage weighs; give an "
            "objective beta, such as 1e-3, or leave 'task' out"
        )


def _refuse_values(stage: Stage, number: int) -> None:
    """Refuse a learning rate and the like that torch's optimiser would not take."""
    weight: list[Any] = [{"params": [nn.Parameter(torch.zeros(1))]}]
    try:
        build(OPTIMIZERS, stage.optimizer, "optimizer", weight)
    except ValueError as e:
        raise RecipeError(f"stage.{number}.optimizer '{stage.optimizer.name}': {e}") from None


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
    """Fit, save the model under `folder`, and judge the test side; arguments as of `fitted`."""
    made = fitted(recipe, fold, inputs, seed=seed, steps=steps)
    _save(folder, made.model, made.classes)
    predictions, vectors = _judged(made, fold.test, recipe, fold=fold.name, seed=seed)
    embeddings: dict[str, tuple[Sequence[Utterance], np.ndarray]] = {}
    for side in recipe.embeddings:
        said = list(dict.fromkeys(getattr(fold, side)))  # train may be repeated
        if side == "test":
            embeddings[side] = said, vectors
        elif said:
            embeddings[side] = said, _judged(made, said, recipe, fold=fold.name, seed=seed)[1]
    return Trained(predictions, embeddings, made.history)


def fitted(
    recipe: Recipe,
    fold: Fold,
    inputs: Inputs,
    *,
    seed: int,
    steps: Sequence[audio.Step] = (),
) -> Fitted:
    """Train through all stages; of the test side nothing is looked at.

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
    model = recogniser(recipe, layers, dim, len(classes), encoder=encoder, standardise=standardise)
    scales = deepcopy(standardise)  # stays where the inputs are

    def see(utterances: Sequence[Utterance]) -> Inputs:
        """Standardised and pooled where that never changes: once per fold, not once per step."""
        seen = inputs
        if not isinstance(scales, nn.Identity):
            seen = {u.key: scales(inputs[u.key]) for u in dict.fromkeys(utterances)}
        if not live and model.pools_the_same(layers):
            seen = _pooled(model, seen, [*dict.fromkeys(utterances)])
        return seen

    seen = see((*fold.train, *fold.dev))
    drawn = Signals(fold.train, steps, seed=seed) if live else seen
    train_side = UtteranceDataset(fold.train, drawn, classes)
    known = [u for u in fold.dev if u.emotion in classes]
    dev_side = UtteranceDataset(known, seen, classes)
    history: list[Row] = []
    for number, stage in enumerate(recipe.stage):
        name = f"seed {seed}, fold {fold.name}, stage {number}"
        rows = run_stage(model, stage, train_side, dev_side, seed=seed, name=name)
        past = history[-1] if history else {}  # epochs and steps count on through the stages
        on = {key: past.get(key, 0) for key in ("epoch", "steps")}
        history += [{"stage": number, **row, **{k: row[k] + on[k] for k in on}} for row in rows]
    return Fitted(model, classes, see, history)


@torch.no_grad()
def _pooled(
    model: Recogniser, inputs: Inputs, utterances: Sequence[Utterance]
) -> dict[str, Float[Tensor, " R"]]:
    """What the head is given of each utterance."""
    found: dict[str, Float[Tensor, " R"]] = {}
    with torch.random.fork_rng(devices=[]):  # a loader draws a number: training would draw others
        for batch in in_order(UtteranceDataset(utterances, inputs, []), JUDGED_AT_ONCE):
            assert isinstance(batch.inputs, Frames)
            found |= dict(zip(batch.keys, model.pooled(batch.inputs), strict=True))
    return found


def _judged(
    made: Fitted, utterances: Sequence[Utterance], recipe: Recipe, *, fold: str, seed: int
) -> tuple[list[Prediction], np.ndarray]:
    side = made.dataset(utterances)
    return judge(made.model, side, to_judge(side, recipe.stage[-1]), fold=fold, seed=seed)


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
