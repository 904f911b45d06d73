"""The values that a search found, for recipes beside the one that was searched."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from affekt import experiment
from affekt.errors import RecipeError, RunError
from affekt.recipe import Recipe
from affekt.search.space import fill


def read(folder: Path) -> dict[str, Any]:
    """The best values in a search's folder, by dotted key.

    Raises:
        RunError: there is none.
    """
    path = folder / "search.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))["best"]["values"]
    except (OSError, ValueError, KeyError) as e:
        raise RunError(
            f"{folder} is not the folder of a finished search (no search.json with its best "
            "values); make one with: affekt search RECIPE --space SPACE --trials N --out DIR"
        ) from e


def used(rows: Mapping[str, Recipe], values: Mapping[str, Any]) -> dict[str, Recipe]:
    """The rows of a table with each value in every row that can take it.

    Raises:
        RunError: no row can take any.
    """
    changed = {name: _filled(recipe, values) for name, recipe in rows.items()}
    if changed == dict(rows):
        raise RunError(
            f"no row of the table takes any of {', '.join(values)}, or all have the values that "
            "were found; search a recipe of the table"
        )
    return changed


def _filled(recipe: Recipe, values: Mapping[str, Any]) -> Recipe:
    for key, value in values.items():
        try:
            made = fill(recipe, {key: value}, "found")
            experiment.check(made)
        except RecipeError:  # a row without such a part
            continue
        recipe = made
    return recipe
