"""`affekt similarity`: how alike pairs of utterances are to encoders, before and after training."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor

from affekt import audio, experiment, protocols
from affekt.batches import UtteranceDataset, in_order
from affekt.encoders import ENCODERS
from affekt.encoders.extract import extract
from affekt.encoders.frames import Convolved
from affekt.encoders.speech import processor
from affekt.errors import AudioError, RunError
from affekt.evaluation.similarity import SIDES, Curves, Similarity, similarity
from affekt.experiment import Progress
from affekt.parts import Section, build
from affekt.recipe import Recipe
from affekt.recipe.exchange import exchange
from affekt.training.sides import JUDGED_AT_ONCE
from affekt.types import Fold, Utterance

BEFORE, AFTER = "before", "after"
ENCODER = "encoder."  # how the names of its weights in a model begin


@dataclass(frozen=True)
class Found:
    """The similarities by encoder, and what they are of."""

    curves: list[Curves]
    title: str
    pairs: str  # a sentence


Vectors = Mapping[str, Float[np.ndarray, "L D"]]  # by Utterance.key
Weights = dict[str, Tensor]


def of_run(run: Path, data: Mapping[str, Path], progress: Progress) -> Found:
    """The encoder of a run as it was, and as each fold of its first seed left it.

    Where a run trained an encoder for each corpus there is an `after` for each of them.

    Args:
        run: its folder.
        data: the folder of each corpus; EmoDB comes with affekt.
        progress: told of encoders.

    Raises:
        RunError: it trained no encoder, or a model is not there.
    """
    if not (run / "recipe.toml").is_file():
        raise RunError(f"{run}: no run there; give the folder that affekt run wrote")
    recipe = Recipe.load(run / "recipe.toml")
    if recipe.encoder.options.get("trainable", "none") == "none":
        raise RunError(
            f"{run}: its encoder was not trained, so that there is no before and after; name "
            "encoders to compare: --encoder A --encoder B"
        )
    corpus, _ = experiment.read(recipe, data)
    folds = protocols.read(run / "folds.json", corpus)
    seed = run / f"seed-{recipe.seeds[0]}"
    tuned = {fold.name: _tuned(seed / f"fold-{fold.name}/model") for fold in folds}
    names = list(tuned[folds[0].name])
    steps, todo = 0, 1 + len(names) * len(folds)

    def made(what: str, fold: Fold | None) -> Vectors:
        nonlocal steps
        progress(what, steps, todo)
        steps += 1
        weights = tuned[fold.name][what] if fold else None
        return _vectors(recipe, recipe.encoder, [fold] if fold else folds, weights)

    as_it_was = made(BEFORE, None)
    curves = [_curves(BEFORE, folds, lambda _: as_it_was)]
    curves += [_curves(name, folds, lambda fold, name=name: made(name, fold)) for name in names]
    progress(AFTER, todo, todo)
    return Found(curves, f"Similarity of pairs: {recipe.title or run.name}", _told(folds))


def of_encoders(
    recipe: Recipe, encoders: Sequence[str], data: Mapping[str, Path], progress: Progress
) -> Found:
    """Encoders as they are, on the corpora and folds of a recipe; other arguments as of `of_run`.

    Args:
        recipe: whose corpora, protocol and audio steps are taken.
        encoders: speech checkpoints, DIR or ID@REVISION, or names of other encoders.
    """
    corpus, _ = experiment.read(recipe, data)
    folds = experiment.divide(recipe, corpus)
    curves = []
    for n, name in enumerate(encoders):
        progress(name, n, len(encoders))
        section = exchange(recipe, name).encoder
        frozen = section.model_copy(
            update={"trainable": "none"} if section.name == "speech" else {}
        )
        vectors = _vectors(recipe, frozen, folds, None)
        curves.append(_curves(name, folds, lambda _, of=vectors: of))
    progress("encoders", len(encoders), len(encoders))
    return Found(curves, f"Similarity of pairs: {', '.join(encoders)}", _told(folds))


def _told(folds: Sequence[Fold]) -> str:
    said = {u.key: u.corpus for f in folds for side in SIDES for u in getattr(f, side)}
    counts = Counter(said.values())
    listed = ", ".join(f"{name} ({count} utterances)" for name, count in counts.items())
    return f"{listed}; {len(folds)} fold{'s' if len(folds) > 1 else ''}, one seed."


def _curves(name: str, folds: Sequence[Fold], vectors: Callable[[Fold], Vectors]) -> Curves:
    sides: dict[str, list[Similarity]] = {side: [] for side in SIDES}
    for fold in folds:
        of = vectors(fold)
        for side in SIDES:
            said = list(dict.fromkeys(getattr(fold, side)))
            stacked = np.stack([of[u.key] for u in said])
            pairs = similarity(stacked, [u.emotion for u in said], [u.corpus for u in said])
            sides[side].append(pairs)
    return Curves(name=name, sides=sides)


def _tuned(model: Path) -> dict[str, Weights]:
    """The weights of the encoders that a fold left: one, or one for each corpus."""
    files = sorted(model.rglob("model.safetensors"))
    if not files:
        raise RunError(f"{model}: no model there; run the recipe again, which goes on with it")
    found = {file.parent.name: load_file(file) for file in files}
    encoders = {
        name: {
            key.removeprefix(ENCODER): w for key, w in weights.items() if key.startswith(ENCODER)
        }
        for name, weights in found.items()
    }
    first, *others = encoders.values()
    if all(torch.equal(other[key], first[key]) for other in others for key in first):
        return {AFTER: first}
    return {f"{AFTER}, {name}": weights for name, weights in encoders.items()}


@torch.inference_mode()
def _vectors(
    recipe: Recipe, section: Section, folds: Sequence[Fold], weights: Weights | None
) -> Vectors:
    """Every layer of an encoder averaged over time, of what these folds train and test."""
    utterances = {u.key: u for fold in folds for side in SIDES for u in getattr(fold, side)}
    steps = [build(audio.STEPS, s, "audio step") for s in recipe.audio]
    inputs, reasons = extract(section, list(utterances.values()), steps, lambda _: None)
    if reasons:
        raise AudioError("\n  ".join(sorted(reasons.values())[:5]))
    if section.options.get("trainable", "none") == "none":
        return {key: inputs[key].float().mean(dim=1).numpy() for key in utterances}
    encoder = build(ENCODERS, section, "encoder").to(processor())
    if weights is not None:
        encoder.load_state_dict(weights)
    return _averaged(encoder, list(utterances.values()), inputs)


def _averaged(encoder: Any, utterances: Sequence[Utterance], inputs: Any) -> Vectors:
    found: dict[str, Float[np.ndarray, "L D"]] = {}
    for batch in in_order(UtteranceDataset(utterances, inputs, []), JUDGED_AT_ONCE):
        given: Any = batch.to(processor()).inputs
        frames = (
            encoder.onward(given)
            if isinstance(given, Convolved)
            else encoder(given.wav, given.lengths)
        )
        means = frames.layers.sum(dim=2) / frames.mask.sum(dim=1)[:, None, None]  # padding is zero
        found |= dict(zip(batch.keys, means.float().cpu().numpy(), strict=True))
    return found
