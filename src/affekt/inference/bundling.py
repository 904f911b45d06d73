"""The model folder of a run: which of its models, and what is known of it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from affekt.errors import RunError
from affekt.evaluation import calibration, predictions
from affekt.inference import bundle, classical, protocol
from affekt.recipe import Recipe
from affekt.run_folder import place_of


def bundle_run(
    run: Path,
    out: Path | None = None,
    *,
    seed: int | None = None,
    fold: str | None = None,
    corpus: str | None = None,
) -> list[Path]:
    """Write the model folder of a seed and fold of a run, or one for each corpus.

    Args:
        run: the folder of a finished run.
        out: where; its folder `model` if not given. A folder per corpus stands within.
        seed: the first if not given; all were tested alike.
        fold: likewise.
        corpus: the only one that is wanted, where there is a model for each.

    Raises:
        RunError: the run, the seed, the fold or their model is not there.
    """
    if not (run / "folds.json").is_file():
        raise RunError(f"{run}: no run there; give the folder that affekt run wrote")
    out = out or run / "model"
    if not any(out.glob(f"*/{bundle.CONFIG}")):  # a folder per corpus
        bundle.refuse_taken(out)
    place = place_of(run, seed, fold)
    models = place / "model"
    own = sorted(file.parent.name for file in models.glob(f"*/{bundle.WEIGHTS}"))
    wanted: Sequence[str | None] = [corpus] if corpus is not None else own or [None]
    return [_write(run, place, name, out / (name or "")) for name in wanted]


def _write(run: Path, place: Path, corpus: str | None, out: Path) -> Path:
    seed = int(place.parent.name.removeprefix("seed-"))
    fold = place.name.removeprefix("fold-")
    about = protocol.of_run(run, seed=seed, fold=fold, corpus=corpus)
    model = _model(run, place, seed, fold, corpus)
    scaled = temperature(run, place=(seed, fold), corpus=corpus)
    return bundle.write(out, replace(model, temperature=scaled), about)


def temperature(
    run: Path, *, place: tuple[int, str] | None = None, corpus: str | None = None
) -> float:
    """What logits are to be divided by, fitted on dev sides; 1 where there are none.

    Args:
        run: the folder.
        place: the seed and fold of one model; without it all dev sides count.
        corpus: that counts alone, if it is given.
    """
    sides = predictions.read_dev(run)
    chosen = [p for at, side in sides.items() if place in (None, at) for p in side]
    return calibration.temperature([p for p in chosen if corpus in (None, p.corpus)])


def _model(run: Path, place: Path, seed: int, fold: str, corpus: str | None) -> bundle.Model:
    recipe = Recipe.load(run / "recipe.toml")
    if recipe.classifier is None:
        from affekt.trained import load

        return load(run, seed=seed, fold=fold, corpus=corpus)
    file = place / "model" / bundle.CLASSIFIER
    if not file.is_file():
        raise RunError(f"{file}: no model there, an earlier affekt kept none; run the recipe again")
    return classical.load(file, recipe)
