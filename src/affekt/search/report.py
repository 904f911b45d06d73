"""What a search leaves: the best recipe, and every trial as data and as pages."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from affekt import disk
from affekt.environment import environment
from affekt.errors import RunError
from affekt.evaluation import pages
from affekt.evaluation.grid import look
from affekt.recipe import Recipe
from affekt.search import pictures
from affekt.search.space import Space, fill
from affekt.search.study import counted, importance, values
from affekt.types import Fold

TEMPLATES = Path(__file__).parent
STATES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "ended early",
    TrialState.FAIL: "failed",
}
CHOSEN = (
    "Values, and the epoch that each training keeps, were chosen on the dev sides: the best score "
    "is higher than what other speakers will give. Test the recipe that was found before a score "
    "of it is told."
)
ROTATING = (
    "Utterances that were chosen on in one fold are tested in another, so that a test over all of "
    "these folds has seen its choice. Where that matters, search each fold for itself, such as "
    "with -s 'folds=[\"{}\"]', and test what was found on that fold alone."
)


def numbers(
    study: optuna.Study, recipe: Recipe, space: Space, *, folds: Sequence[Fold], measured: str
) -> dict[str, Any]:
    """Everything that search.json holds, as plain data.

    Raises:
        RunError: no trial has a score.
    """
    trials = [_row(trial, space) for trial in counted(study)]
    judged = [t for t in trials if t["state"] == "complete"]
    if not judged:
        reasons = dict.fromkeys(t["reason"] for t in trials if t["reason"])
        raise RunError("no trial came to a score:\n" + "\n".join(f"- {r}" for r in reasons))
    best = max(judged, key=lambda t: t["score"])  # the first of equal ones
    best["best"] = True
    own = recipe.model_dump(mode="json")
    return {
        "title": recipe.title or "recipe",
        "score": measured.replace("_", " "),
        "best": best,
        "keys": {
            key: {"from": look(own, key), "to": best["values"][key], "tried": tried}
            for key, tried in space.plain().items()
        },
        "importance": importance(study),
        "about": study.user_attrs["about"],
        "folds": [fold.name for fold in folds],
        "seeds": recipe.seeds,
        "trials": trials,
        "seconds": sum(t["seconds"] or 0.0 for t in trials),
        "notes": notes(folds),
        "environment": environment(),
    }


def _row(trial: FrozenTrial, space: Space) -> dict[str, Any]:
    told = trial.user_attrs
    return {
        "trial": told["place"] + 1,
        "state": STATES[trial.state],
        "score": trial.value,
        "best": False,
        "values": values(trial, space),
        "scores": told.get("scores", []),
        "seconds": told.get("seconds"),
        "reason": told.get("reason"),
    }


def notes(folds: Sequence[Fold]) -> list[str]:
    """What a reader must know before believing the best score."""
    chosen_on = {u.key for fold in folds for u in fold.dev}
    tested = [fold.name for fold in folds if any(u.key in chosen_on for u in fold.test)]
    return [CHOSEN, ROTATING.format(tested[0])] if tested else [CHOSEN]


def best(recipe: Recipe, found: Mapping[str, Any]) -> Recipe:
    """The recipe with the best values; what was expected of its own is left out."""
    made = fill(recipe, found["best"]["values"], "best values")
    title = f"{found['title']}, values of a search"
    return made.model_copy(update={"title": title, "expected": {}, "source": "", "row": 0})


def write(found: Mapping[str, Any], recipe: Recipe, space: Space, out: Path) -> Path:
    """Write best.toml, search.json, search.md and search.html; returns the last."""
    toml = best(recipe, found).toml()
    head = (
        f"# {found['score']} {found['best']['score']:.4f}, the best of {len(found['trials'])} "
        "trials of affekt search; chosen on dev, not yet tested\n"
    )
    disk.write(out / "best.toml", head + toml)
    disk.write_json(out / "search.json", found)
    disk.write(out / "search.md", _render("search.md.j2", **found))
    drawn = {
        "course": pictures.course(found["trials"]),
        "against": {k: pictures.against(k, of, found["trials"]) for k, of in space.keys.items()},
    }
    return disk.write(
        out / "search.html",
        _render("search.html.j2", **found, **drawn, recipe=toml, file=out / "best.toml"),
    )


def _render(template: str, **found: Any) -> str:
    """A page of the templates beside this file, in the style of the other reports."""
    filters = {"spelt": pictures.spelt, "tried": tried}
    return pages.render(template, folder=TEMPLATES, filters=filters, **found)


def tried(of: Mapping[str, Any] | Sequence[Any]) -> str:
    """'0.0001 to 0.01, log', or 'mean, mean-std'."""
    if not isinstance(of, Mapping):
        return ", ".join(map(pictures.spelt, of))
    span = f"{pictures.spelt(of['low'])} to {pictures.spelt(of['high'])}"
    step = f", step {pictures.spelt(of['step'])}" if of["step"] is not None else ""
    return span + step + (", log" if of["log"] else "")
