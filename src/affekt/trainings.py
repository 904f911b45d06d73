"""One model per seed and fold, and what each says of the test and the dev side.

A fold whose predictions are there is left alone, so that a run that was stopped goes on.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from affekt import audio, disk, parallel, protocols, run_folder
from affekt.evaluation import log as training_log
from affekt.evaluation import predictions as files
from affekt.parts import build
from affekt.recipe import Recipe
from affekt.types import Fold, Prediction, Utterance

Progress = Callable[[str, int, int], None]  # what is going on, how much is done, of how much
Clips = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What models are trained on."""

    folds: list[Fold]  # without utterances that have no features
    features: Clips  # by Utterance.key
    steps: list[audio.Step]
    skipped: list[dict[str, str]]  # the utterances that have none, and why


def train(recipe: Recipe, ready: Prepared, *, out: Path, jobs: int, progress: Progress) -> int:
    """One model per seed and fold, unless its predictions are there; how many were trained."""
    every = [(seed, fold) for seed in recipe.seeds for fold in ready.folds]
    folders = [out / f"seed-{seed}" / f"fold-{fold.name}" for seed, fold in every]
    lacking = [n for n, at in enumerate(folders) if not (at / files.TEST).exists()]
    for n in {*range(len(every))} - {*lacking}:  # of a run that ended before it could
        shutil.rmtree(folders[n] / run_folder.CHECKPOINTS, ignore_errors=True)
    work = [(recipe, *every[n], ready.steps, folders[n] / "model") for n in lacking]
    act: Callable[..., Any] = _classify if recipe.classifier else _fit
    made = parallel.each(act, work, ready.features, jobs)
    left = list(lacking)
    _tell(progress, every, left)
    for place, trained in made:
        (seed, fold), folder = every[lacking[place]], folders[lacking[place]]
        folder.mkdir(parents=True, exist_ok=True)
        if not recipe.classifier:
            _keep(trained, folder)
            training_log.replace(out / "log.csv", seed, fold.name, trained.history)
        if trained.dev:
            files.write(folder / files.DEV, trained.dev)
        # Last: what it stands for is whole.
        files.write(folder / files.TEST, trained.predictions)
        shutil.rmtree(folder / run_folder.CHECKPOINTS, ignore_errors=True)
        left.remove(lacking[place])
        _tell(progress, every, left)
    return len(lacking)


def _tell(progress: Progress, every: Sequence[tuple[int, Fold]], left: Sequence[int]) -> None:
    if left:
        seed, fold = every[left[0]]
        progress(f"seed {seed}, fold {fold.name}", len(every) - len(left), len(every))


@dataclass(frozen=True)
class Classified:
    """What a classifier says of a fold."""

    predictions: list[Prediction]  # of the test side
    dev: list[Prediction]


def _classify(
    clips: Clips, recipe: Recipe, seed: int, fold: Fold, _: object, model: Path
) -> Classified:
    from affekt.classical import CLASSIFIERS, classify, examples, judge

    assert recipe.classifier
    fold = protocols.balanced(fold, recipe.balance)
    classifier = build(CLASSIFIERS, recipe.classifier, "classifier", seed)
    judged = classify(fold, clips, classifier, seed=seed)
    dev = judge(fold.dev, clips, classifier, fold=fold.name, seed=seed)
    model.mkdir(parents=True, exist_ok=True)
    examples(fold, clips, seed=seed).save(model / "classifier.npz")
    return Classified(judged, dev)


def _fit(
    clips: Clips, recipe: Recipe, seed: int, fold: Fold, steps: Sequence[audio.Step], model: Path
) -> Any:
    from affekt.training import fit

    fold = protocols.balanced(fold, recipe.balance)
    kept = model.with_name(run_folder.CHECKPOINTS)
    return fit.train(recipe, fold, clips, seed=seed, steps=steps, folder=model, kept=kept)


def _keep(trained: Any, folder: Path) -> None:
    for side, (utterances, vectors) in trained.embeddings.items():
        name = "embeddings" if side == "test" else f"embeddings-{side}"
        if side != "test":  # whose lines are those of predictions.jsonl
            disk.write_json(folder / f"{name}.json", [_who(u) for u in utterances])
        # Half precision: the pairs of correlation pooling are 32,640 numbers for each utterance.
        np.save(folder / f"{name}.npy", vectors.astype(np.float16))


def _who(u: Utterance) -> dict[str, str | None]:
    return {"key": u.key, "truth": u.emotion, "language": u.language, "corpus": u.corpus}
