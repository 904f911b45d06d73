"""Train a recogniser on one fold and judge the fold's test side.

Stages that all corpora share, then one recogniser for each of them: Xiang 2024 (arXiv:2411.19803),
figure 1.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import numpy as np
from safetensors.torch import save_file
from torch import nn

from affekt import audio
from affekt.batches import UtteranceDataset
from affekt.encoders import ENCODERS
from affekt.encoders.speech import Speech
from affekt.encoders.text import Text
from affekt.labels import order
from affekt.nn.assembly import recogniser
from affekt.nn.heads import HEADS
from affekt.nn.recogniser import Recogniser
from affekt.nn.standardise import Standardise
from affekt.parts import build, find
from affekt.recipe import Recipe, Stage
from affekt.signals import Signals, is_random
from affekt.training.judging import judge
from affekt.training.sides import Inputs, corpora, of_stage, seen
from affekt.training.stage import run_stage, to_judge
from affekt.types import Fold, Prediction, Utterance


@dataclass(frozen=True)
class Trained:
    """What a fold leaves behind."""

    predictions: list[Prediction]  # of the test side
    dev: list[Prediction]  # of the dev side, by the same model
    embeddings: Mapping[str, tuple[Sequence[Utterance], np.ndarray]]  # of sides, (N, E) each
    history: list[dict[str, Any]]  # one per epoch or evaluation, with the corpus if per corpus


@dataclass(frozen=True)
class Fitted:
    """A trained recogniser, and what it was and can be given."""

    model: Recogniser
    classes: list[str]
    see: Callable[[Sequence[Utterance]], Inputs]  # what the recogniser is given of utterances
    history: list[dict[str, Any]]
    corpus: str | None = None  # the one that it is for; none: all

    def dataset(self, utterances: Sequence[Utterance]) -> UtteranceDataset:
        """Utterances as the recogniser takes them."""
        return UtteranceDataset(utterances, self.see(utterances), self.classes)


def train(
    recipe: Recipe,
    fold: Fold,
    inputs: Inputs,
    *,
    seed: int,
    folder: Path,
    steps: Sequence[audio.Step] = (),
    kept: Path | None = None,
) -> Trained:
    """Fit, save under `folder`, a folder per corpus if there is a model for each, and judge.

    Arguments as of `fitted`.
    """
    made = fitted(recipe, fold, inputs, seed=seed, steps=steps, kept=kept)
    shutil.rmtree(folder, ignore_errors=True)  # of an earlier try, maybe with other corpora
    for one in made:
        save(folder / (one.corpus or ""), one.model, one.classes)
    sides = {
        side: [u for u in dict.fromkeys(getattr(fold, side)) if _heard_by(made, u)]
        for side in ("test", "dev", *recipe.embeddings)
    }
    judged = {
        side: _judged(made, said, recipe, fold=fold.name, seed=seed)
        for side, said in sides.items()
        if said
    }
    embeddings = {s: (sides[s], judged[s][1]) for s in recipe.embeddings if s in judged}
    dev = judged["dev"][0] if "dev" in judged else []
    shared, *others = (one.history for one in made)
    own = [row for history in others for row in history if "corpus" in row]
    return Trained(judged["test"][0], dev, embeddings, [*shared, *own])


def fitted(
    recipe: Recipe,
    fold: Fold,
    inputs: Inputs,
    *,
    seed: int,
    steps: Sequence[audio.Step] = (),
    kept: Path | None = None,
) -> list[Fitted]:
    """Train through all stages; of the test side only the corpora are looked at.

    Args:
        inputs: of every utterance of the fold by `Utterance.key`: frames, or what an encoder takes
            that is trained.
        steps: of the audio; random ones are drawn anew in every epoch of training.
        kept: where stages that train an encoder are kept after every epoch, and taken up.

    Returns:
        One recogniser, or one for each corpus that is tested if the last stages are per corpus.
    """
    lightning.seed_everything(seed, verbose=False)
    classes = order(u.emotion for u in fold.train)  # what else is tested cannot be recognised
    drawn = is_random(steps)
    live = drawn or _takes_more_than_frames(inputs)
    encoder = build(ENCODERS, recipe.encoder, "encoder") if live else None
    if encoder is not None:
        layers, dim = encoder.layers, encoder.dim
    else:
        layers, _, dim = inputs[fold.train[0].key].shape
    standardise = _scales(recipe, fold, inputs, layers=layers, dim=dim)
    model = recogniser(recipe, layers, dim, classes, encoder=encoder, standardise=standardise)
    course = Course(recipe, fold, inputs, steps, deepcopy(standardise), seed, kept)
    shared = [n for n, stage in enumerate(recipe.stage) if not stage.per]
    made = course.through(shared, model, classes)
    if len(shared) == len(recipe.stage):
        return [made]
    own = range(len(shared), len(recipe.stage))
    return [course.of_corpus(corpus, own, made) for corpus in corpora(fold)]


@dataclass(frozen=True)
class Course:
    """The way of a fold through the stages of a recipe; fields as the arguments of `fitted`."""

    recipe: Recipe
    fold: Fold
    inputs: Inputs
    steps: Sequence[audio.Step]
    scales: nn.Module  # of frames, where the inputs are
    seed: int
    kept: Path | None

    def of_corpus(self, corpus: str, stages: Sequence[int], made: Fitted) -> Fitted:
        """A recogniser of one corpus, begun from one of all with a head for its own classes."""
        lightning.seed_everything(self.seed, verbose=False)  # whichever corpora there are
        classes = order(u.emotion for u in self.fold.train if u.corpus == corpus)
        model = deepcopy(made.model)
        width = model.pooling.output_dim
        model.head = build(HEADS, self.recipe.head, "head", width, classes)
        own = self.through(stages, model, classes, corpus, made.history)
        return replace(own, corpus=corpus)

    def through(
        self,
        stages: Sequence[int],
        model: Recogniser,
        classes: list[str],
        corpus: str | None = None,
        before: Sequence[dict[str, Any]] = (),
    ) -> Fitted:
        """Train `model` in place; epochs and steps count on through the stages."""
        drawn = is_random(self.steps)
        history = list(before)
        see: Callable[..., Inputs] = partial(
            seen, model, self.inputs, scales=self.scales, drawn=drawn
        )
        for number in stages:
            stage = self.recipe.stage[number]
            train = of_stage(self.fold.train, stage, corpus)
            dev = [u for u in of_stage(self.fold.dev, stage, corpus) if u.emotion in classes]
            given = see((*train, *dev), trains=stage.trains)
            signals = Signals(train, self.steps, seed=self.seed) if drawn else given
            place = f"stage-{number}" + (f"-{corpus}" if corpus else "")
            trained = any(isinstance(m, Speech | Text) for m in _learning(model, stage))
            rows = run_stage(
                model,
                stage,
                UtteranceDataset(train, signals, classes),
                UtteranceDataset(dev, given, classes),
                seed=self.seed,
                name=f"seed {self.seed}, fold {self.fold.name}, {place.replace('-', ' ')}",
                folder=self.kept / place if self.kept and trained else None,
            )
            past = history[-1] if history else {}
            on = {key: past.get(key, 0) for key in ("epoch", "steps")}
            told = {"corpus": corpus} if corpus else {}
            history += [
                {"stage": number, **told, **row, **{k: row[k] + on[k] for k in on}} for row in rows
            ]
        trains = self.recipe.stage[stages[-1]].trains if stages else []
        return Fitted(model, classes, partial(see, trains=trains), history)


def _learning(model: Recogniser, stage: Stage) -> Iterator[nn.Module]:
    """Every module with weights that a stage trains."""
    for part in stage.trains:
        for whole in model.parts[part]:
            for module in whole.modules():
                if any(p.requires_grad for p in module.parameters()):
                    yield module


def _takes_more_than_frames(inputs: Inputs) -> bool:
    """Whether inputs are signals, or what a front end makes of them: an encoder takes them."""
    return isinstance(inputs, Signals) or getattr(inputs, "front", False)


def _heard_by(made: Sequence[Fitted], u: Utterance) -> bool:
    """Whether there is a recogniser for the corpus of an utterance."""
    return any(one.corpus in (None, u.corpus) for one in made)


def _judged(
    made: Sequence[Fitted],
    utterances: Sequence[Utterance],
    recipe: Recipe,
    *,
    fold: str,
    seed: int,
) -> tuple[list[Prediction], np.ndarray]:
    """What is said of these, in their order, each by the recogniser for its corpus."""
    found: dict[str, tuple[Prediction, np.ndarray]] = {}
    for one in made:
        said = [u for u in utterances if one.corpus in (None, u.corpus)]
        if said:
            side = one.dataset(said)
            batches = to_judge(side, recipe.stage[-1])
            rows = zip(*judge(one.model, side, batches, fold=fold, seed=seed), strict=True)
            found |= {u.key: row for u, row in zip(said, rows, strict=True)}
    predictions, vectors = zip(*(found[u.key] for u in utterances), strict=True)
    return list(predictions), np.stack(vectors)


def _scales(recipe: Recipe, fold: Fold, inputs: Inputs, *, layers: int, dim: int) -> nn.Module:
    """What brings the encoder's channels to one scale, where they need it."""
    if not getattr(find(ENCODERS, recipe.encoder.name, "encoder"), "standardise", False):
        return nn.Identity()
    standardise = Standardise(layers, dim)
    standardise.fit(inputs[u.key] for u in fold.train)
    return standardise


def save(folder: Path, model: Recogniser, classes: Sequence[str]) -> None:
    """The weights, but for those of an encoder that its checkpoint holds."""
    folder.mkdir(parents=True, exist_ok=True)
    learnt = model.encoder is not None and any(p.requires_grad for p in model.encoder.parameters())
    tensors = {
        name: tensor.contiguous()
        for name, tensor in model.state_dict().items()
        if learnt or not name.startswith("encoder.")
    }
    save_file(tensors, folder / "model.safetensors", {"classes": "\n".join(classes)})
