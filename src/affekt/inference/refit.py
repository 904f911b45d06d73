"""The recipe of a run once more, on all its utterances: the model that is to be used.

Its scores are those of the run: the models of its folds were tested, this one leaves nobody to
test it on. Where the recipe chooses an epoch on dev, the dev side of the first fold is left out.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from affekt import classical, experiment, protocols, run_folder
from affekt.environment import environment
from affekt.errors import RunError
from affekt.inference import bundle, protocol
from affekt.inference.bundling import temperature
from affekt.inference.classical import Classical
from affekt.recipe import Recipe
from affekt.trained import Trained, assembled, opened
from affekt.training import fit
from affekt.trainings import Prepared, Progress
from affekt.types import Fold


def refit(
    run: Path,
    data: Mapping[str, Path],
    out: Path | None = None,
    *,
    progress: Progress = lambda *_: None,
) -> list[Path]:
    """Train on all utterances of a finished run and write the model folder, one for each corpus.

    Args:
        run: the folder.
        data: the folder of each corpus, as of `experiment.run`.
        out: the model's folder; `model` in the run's if not given.

    Raises:
        RunError: no run is there, or its corpora are not those of its results.
    """
    if not (run / "folds.json").is_file():
        raise RunError(f"{run}: no run there; give the folder that affekt run wrote")
    if out is not None and not any(out.glob(f"*/{bundle.CONFIG}")):
        bundle.refuse_taken(out)  # before any training
    recipe = Recipe.load(run / "recipe.toml")
    folds = experiment.divide(recipe, experiment.read(recipe, data)[0])
    chooses = any(s.select != "last" and not s.contrasts for s in recipe.stage)
    ready = experiment.prepare(recipe, folds, progress=progress)
    run_folder.refuse_other(run, ready.folds, experiment.identity(recipe))
    whole = protocols.whole(ready.folds, dev=chooses and recipe.classifier is None)
    progress("training on all", 0, 1)
    made = _trained(recipe, ready, whole)
    progress("training on all", 1, 1)
    written = []
    for corpus, model in made.items():
        about = protocol.of_run(run, seed=recipe.seeds[0], fold=None, corpus=corpus)
        sides = {"train": whole.train, "dev": whole.dev}
        own = {k: sum(corpus in (None, u.corpus) for u in side) for k, side in sides.items()}
        about["model"]["utterances"] |= own
        about["refit_with"] = {k: v for k, v in environment().items() if k in protocol.MADE_WITH}
        place = (out or run / "model") / (corpus or "")
        scaled = temperature(run, corpus=corpus)
        written.append(bundle.write(place, replace(model, temperature=scaled), about))
    return written


def _trained(recipe: Recipe, ready: Prepared, whole: Fold) -> dict[str | None, Trained | Classical]:
    """The models by corpus; None of one for all."""
    seed = recipe.seeds[0]
    fold = protocols.balanced(whole, recipe.balance)
    if recipe.classifier is not None:
        learnt = classical.examples(fold, ready.features, seed=seed)
        return {None: Classical(learnt, recipe, "the classifier fitted to all")}
    made = fit.fitted(recipe, fold, ready.features, seed=seed, steps=ready.steps)
    return {one.corpus: _with_encoder(recipe, one) for one in made}


def _with_encoder(recipe: Recipe, made: fit.Fitted) -> Trained:
    """A network that was trained on frames, with the encoder that makes them."""
    with TemporaryDirectory() as folder:
        fit.save(Path(folder), made.model, made.classes)
        classes, weights = opened(Path(folder) / bundle.WEIGHTS)
    return Trained(assembled(recipe, classes, weights), classes, recipe, "the model trained on all")
