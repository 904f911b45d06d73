"""`affekt similarity`: how alike pairs of utterances are to encoders, before and after training."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from affekt import audio, experiment, protocols, run_folder
from affekt.batches import UtteranceDataset, in_order
from affekt.encoders import ENCODERS
from affekt.encoders.extract import extract
from affekt.encoders.frames import Convolved
from affekt.encoders.speech import processor
from affekt.errors import AudioError, ProtocolError, RunError
from affekt.evaluation.similarity import SIDES, Curves, Similarity, similarity
from affekt.experiment import Progress
from affekt.parts import Section, build
from affekt.recipe import Recipe
from affekt.recipe.exchange import exchange
from affekt.training.sides import JUDGED_AT_ONCE, corpora
from affekt.types import Fold, Utterance

BEFORE, AFTER = "before", "after"
ENCODER = "encoder."  # how the names of its weights in a model begin
FROZEN = {"trainable": "none", "spec_augment": False, "task": None}

Vectors = Mapping[str, Float[np.ndarray, "L D"]]  # by Utterance.key
Weights = dict[str, Tensor]
Sides = Mapping[str, Similarity]


@dataclass(frozen=True)
class Found:
    """The similarities by encoder, and what they are of."""

    curves: list[Curves]
    title: str
    pairs: str  # a sentence


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
    run_folder.refuse_other(run, folds, experiment.identity(recipe))
    seed = run / f"seed-{recipe.seeds[0]}"
    tuned = {f.name: _tuned(seed / f"fold-{f.name}/model", recipe, f) for f in folds}
    names = dict.fromkeys(name for encoders in tuned.values() for name in encoders)
    work = [(name, fold) for name in names for fold in folds if name in tuned[fold.name]]
    progress(BEFORE, 0, 1 + len(work))
    as_it_was = _vectors(recipe, recipe.encoder, folds, None)
    found: dict[str, list[Sides]] = {BEFORE: [_sides(fold, as_it_was) for fold in folds]}
    for n, (name, fold) in enumerate(work, 1):
        progress(f"{name}, fold {fold.name}", n, 1 + len(work))
        made = _vectors(recipe, recipe.encoder, [fold], tuned[fold.name][name])
        found.setdefault(name, []).append(_sides(fold, made))
    progress(AFTER, 1 + len(work), 1 + len(work))
    curves = [Curves(name=name, sides=_by_side(parts)) for name, parts in found.items()]
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
        if section.name == "speech":
            section = section.model_copy(update=FROZEN)
        vectors = _vectors(recipe, section, folds, None)
        curves.append(Curves(name=name, sides=_by_side([_sides(fold, vectors) for fold in folds])))
    progress("encoders", len(encoders), len(encoders))
    return Found(curves, f"Similarity of pairs: {', '.join(encoders)}", _told(folds))


def _told(folds: Sequence[Fold]) -> str:
    said = {u.key: u.corpus for f in folds for side in SIDES for u in getattr(f, side)}
    counts = Counter(said.values())
    listed = ", ".join(f"{name} ({count} utterances)" for name, count in counts.items())
    return f"{listed}; {len(folds)} fold{'s' if len(folds) > 1 else ''}, one seed."


def _sides(fold: Fold, vectors: Vectors) -> Sides:
    found = {}
    for side in SIDES:
        said = [u for u in dict.fromkeys(getattr(fold, side)) if u.key in vectors]
        stacked = np.stack([vectors[u.key] for u in said])
        try:
            found[side] = similarity(stacked, [u.emotion for u in said], [u.corpus for u in said])
        except ValueError as e:
            raise ProtocolError(f"fold {fold.name}, {side}: {e}; take larger folds") from None
    return found


def _by_side(folds: Sequence[Sides]) -> dict[str, list[Similarity]]:
    return {side: [fold[side] for fold in folds] for side in SIDES}


def _tuned(model: Path, recipe: Recipe, fold: Fold) -> dict[str, Weights]:
    """The weights of the encoders that a fold left: one, or one for each corpus that it tests."""
    per = bool(recipe.stage[-1].per)
    own = any(stage.per and "encoder" in stage.trains for stage in recipe.stage)
    again = f"remove {model.parent} and run the recipe again, which makes this fold anew"
    found = {}
    for corpus in corpora(fold) if per else [""]:
        file = model / corpus / "model.safetensors"
        if not file.exists():
            raise RunError(f"{file}: no model there; {again}")
        try:
            weights = load_file(file)
        except SafetensorError as e:
            raise RunError(f"{file} is damaged ({e}); {again}") from e
        encoder = {k.removeprefix(ENCODER): w for k, w in weights.items() if k.startswith(ENCODER)}
        found[f"{AFTER}, {corpus}" if own else AFTER] = encoder
    return found


@torch.inference_mode()
def _vectors(
    recipe: Recipe, section: Section, folds: Sequence[Fold], weights: Weights | None
) -> Vectors:
    """Every layer of an encoder averaged over time, of what these folds train and test.

    Recordings that cannot be read lack if the recipe lets them be left out.
    """
    utterances = {u.key: u for fold in folds for side in SIDES for u in getattr(fold, side)}
    steps = [build(audio.STEPS, s, "audio step") for s in recipe.audio]
    inputs, reasons = extract(section, list(utterances.values()), steps, lambda _: None)
    if reasons and recipe.on_error == "raise":
        raise AudioError("\n  ".join(sorted(reasons.values())[:5]))
    utterances = {key: u for key, u in utterances.items() if key not in reasons}
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
