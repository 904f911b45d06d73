"""The values that searches found, for the rows of a table."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from affekt import experiment
from affekt.errors import RecipeError, RunError
from affekt.recipe import Recipe
from affekt.search.space import fill


@dataclass(frozen=True)
class Found:
    """What a search left."""

    folder: Path
    values: dict[str, Any]  # the best ones, by dotted key
    train_on: list[str]  # of the recipe that was searched


def read(folder: Path) -> Found:
    """The best values in a search's folder.

    Raises:
        RunError: there are none.
    """
    try:
        values = json.loads((folder / "search.json").read_text("utf-8"))["best"]["values"]
        best = Recipe.load(folder / "best.toml")
    except (OSError, ValueError, KeyError, RecipeError) as e:
        raise RunError(
            f"{folder} is not the folder of a finished search (no search.json with its best "
            "values and best.toml); make one with: affekt search RECIPE --space SPACE --trials N "
            "--out DIR"
        ) from e
    return Found(folder, values, best.train_on)


def used(
    rows: Mapping[str, Recipe], searches: Sequence[Found]
) -> tuple[dict[str, Recipe], list[str]]:
    """The rows with each value where it can be taken, and what a reader has to know of that.

    A search that trained on some corpora is for the rows that train on the same.

    Raises:
        RunError: no row can take any value of a search.
    """
    changed, notes = dict(rows), []
    for search in searches:
        meant = [n for n, r in rows.items() if search.train_on in ([], r.train_on)]
        takes = {name: _filled(changed[name], search.values) for name in meant}
        taking = [name for name, recipe in takes.items() if recipe != changed[name]]
        said = ", ".join(f"{key} = {_short(value)}" for key, value in search.values.items())
        if not taking:
            raise RunError(
                f"{search.folder}: no row of the table takes any of {said}, or all have these "
                "values; search a recipe of the table, with the train_on of its rows"
            )
        changed |= takes
        notes.append(
            f"{said} in {', '.join(taking)}: found by a search on dev sides ({search.folder}). "
            "Where folds rotate, the dev speakers of one are test speakers of another."
        )
    return changed, notes


def _filled(recipe: Recipe, values: Mapping[str, Any]) -> Recipe:
    for key, value in values.items():
        try:
            made = fill(recipe, {key: value}, "found")
            experiment.check(made)
        except RecipeError:  # a row without such a part
            continue
        recipe = made
    return recipe


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
