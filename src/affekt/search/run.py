"""Search the hyper-parameters of a recipe.

    found = search(recipe, Space.load("optimizer"), trials=30, out=Path("runs/search"))

The folder holds best.toml, a whole recipe; search.json, search.html, search.md; and the trials,
unless another storage was named. A search that was stopped goes on where it was.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from affekt import experiment, parallel
from affekt.errors import RecipeError, RunError
from affekt.experiment import Progress
from affekt.recipe import Recipe
from affekt.run_folder import TOLD
from affekt.search import dev, report, study
from affekt.search.space import Space, check, fill
from affekt.types import Fold

FILES = ("best.toml", "search.json", "search.html", "search.md")
STORAGE = "study.journal"


def search(
    recipe: Recipe,
    space: Space,
    *,
    trials: int,
    out: Path,
    storage: str | None = None,
    data: Mapping[str, Path] | None = None,
    seed: int = 0,
    prune: bool = False,
    jobs: int | None = 1,
    progress: Progress = lambda *_: None,
) -> dict[str, Any]:
    """What was found, as search.json holds it, its files written.

    Args:
        trials: so many the study shall have in all, those of earlier calls and of other processes
            among them.
        storage: a file, or the URL of a database; several processes may share it.
        data: the folder of each corpus; EmoDB comes with affekt.
        seed: of the sampler; the recipe has its own.
        prune: end a trial whose mean over folds so far is below the median of the others; then
            folds follow one another.
        jobs: folds that are trained side by side, each on one core if there are several; as
            many as is fastest if none.

    Raises:
        AffektError: recipe, space, corpus or storage is not what it should be, or no trial came to
            a score.
    """
    measured = dev.measure(recipe)
    tried = check(recipe, space)
    if other := [r for r in tried if dev.measure(r) != measured]:
        raise RecipeError(f"{space.where}: changes what is scored to {dev.measure(other[0])}")
    corpus, _ = experiment.read(recipe, data or {})
    folds = dev.divide(recipe, corpus)
    about = _about(recipe, space, tried, folds) | {"seed": seed, "pruning": prune}
    storage = storage or str(out / STORAGE)
    _refuse_strangers(out, about, storage)
    out.mkdir(parents=True, exist_ok=True)
    trained = study.open_study(storage, about, prune=prune)
    jobs = 1 if prune else jobs or parallel.wanted(recipe)
    bench = dev.Bench(folds, jobs, progress)
    if len(study.counted(trained)) < trials:
        bench.prepared(recipe)  # a recording that cannot be used is no trial's fault
    study.work(
        trained,
        space,
        lambda values, what: bench.scores(fill(recipe, values, what), what),
        trials=trials,
        seed=seed,
        progress=progress,
    )
    found = report.numbers(trained, recipe, space, folds=folds, measured=measured)
    report.write(found, recipe, space, out)
    return found


def _about(
    recipe: Recipe, space: Space, tried: Sequence[Recipe], folds: Sequence[Fold]
) -> dict[str, Any]:
    """What scores depend on, by the names that a message gives it."""
    encoders = {experiment.identity(r) for r in tried} - {None}
    return {
        "recipe": recipe.model_copy(update=TOLD).toml(),
        "space": space.plain(),
        "corpus": dev.content(folds),
        "encoder": sorted(filter(None, encoders)),
    }


def _refuse_strangers(out: Path, about: Mapping[str, Any], storage: str) -> None:
    """A folder is a search's if it is empty, or holds this search and nothing else."""
    if out.is_file():
        raise RunError(f"{out} is a file; choose a folder with --out")
    own = (*FILES, STORAGE, Path(storage).name)
    names = sorted(p.name for p in out.iterdir()) if out.exists() else []
    if strange := [n for n in names if not n.startswith((".", *own))]:
        raise RunError(
            f"{out}: holds {', '.join(strange[:5])}, which no search wrote; choose another folder "
            "with --out"
        )
    before = out / "search.json"
    if before.exists() and json.loads(before.read_text("utf-8")).get("about") != about:
        raise RunError(f"{out}: holds what another search found; choose another folder with --out")
