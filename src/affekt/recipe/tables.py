"""Several recipes as one table: a folder of them, or one file that varies some keys.

    [vary]
    "pooling.heads" = [1, 4]
    "pooling.channel_dropout" = [0.0, 0.25]
    [[cell]]                       # what is known of a combination
    heads = 4
    channel_dropout = 0.25
    expected = { WA = 0.7318 }

Every combination of the varied values is a row, an ordinary recipe. "base" may be varied, too:
then the rows start from different recipes.
"""

import re
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from affekt.errors import RecipeError, nearest
from affekt.recipe.changes import change, put, split
from affekt.recipe.places import FOLDERS, bundled, locate
from affekt.recipe.recipe import Recipe, read

GRID = ("vary", "cell")  # keys of a grid alone
Axes = dict[str, list[Any]]  # the values of each varied key, by its dotted name
Choice = tuple[Any, ...]  # one value of each


@dataclass(frozen=True)
class Table:
    """Recipes by the names of their rows, in order."""

    rows: dict[str, Recipe]
    varied: dict[str, str] = field(default_factory=dict)  # of a grid: short name, dotted key
    notes: list[str] = field(default_factory=list)  # what a reader has to know of all rows


def table(name: str, changes: Iterable[str] = ()) -> Table:
    """The table in a folder or file, given as a path or by its bundled name.

    The rows of a folder stand by `row` and then by file name, those of a grid in the order of
    their values. A change of a varied key leaves only the cells of this value.

    Raises:
        RecipeError: no such table, or a recipe in it is not valid.
    """
    for folder in (Path(name), *(f / name for f in FOLDERS)):
        if folder.is_dir() and (files := sorted(folder.glob("*.toml"))):
            return _folder(folder, files, list(changes))
    if not Path(name).is_file() and name not in bundled():
        known = tables()
        raise RecipeError(
            f"no table '{name}': no folder or file of recipes is called so."
            f"{nearest(name, known)} Tables: {', '.join(known)}"
        )
    if "vary" in read(name):
        return _grid(name, list(changes))
    return Table({locate(name).stem: Recipe.load(name, changes)})


def tables() -> list[str]:
    """The names of the tables that come with affekt: folders of recipes, and grids."""
    grids = {name for name in bundled() if "vary" in read(name)}
    folders = {str(Path(name).parent) for name in bundled()}
    mixed = {str(Path(name).parent) for name in grids}
    return sorted(grids | (folders - mixed))


def _folder(folder: Path, files: list[Path], changes: list[str]) -> Table:
    if grids := [file.stem for file in files if "vary" in read(file)]:
        raise RecipeError(
            f"{folder} holds grids, each a table of its own: {', '.join(grids)}; "
            f"give the path of one, such as {folder.name}/{grids[0]}"
        )
    rows = {file.stem: Recipe.load(file, changes) for file in files}
    return Table(dict(sorted(rows.items(), key=lambda item: (item[1].row, item[0]))))


def _grid(name: str, changes: list[str]) -> Table:
    values = read(name)
    axes = _axes(values["vary"], name)
    varied = _short(list(axes), name)
    known = _known(values.get("cell", []), axes, varied, where=name)
    if "expected" in values:
        raise RecipeError(f"{name}: the expected scores of a grid stand in its [[cell]]s")
    for setting in list(changes):
        key, value = split(setting)
        if key in axes:
            axes[key] = [value]
            changes.remove(setting)
    rows: dict[str, Recipe] = {}
    for number, choice in enumerate(product(*axes.values()), 1):
        row = ",".join(f"{k}={_spelt(k, v)}" for k, v in zip(varied, choice, strict=True))
        if row in rows:
            raise RecipeError(f"{name} [vary]: two cells are called {row}; leave one value out")
        own = _row(name, dict(zip(axes, choice, strict=True)), changes)
        own |= {"title": f"{values.get('title', name)}: {row}", "row": number}
        expected = next((scores for cell, scores in known if cell == choice), None)
        own |= {"expected": expected} if expected else {"source": ""}
        rows[row] = Recipe.parse(own, f"{name} [{row}]")
    return Table(rows, varied)


def _row(name: str, cell: Mapping[str, Any], changes: Iterable[str]) -> dict[str, Any]:
    """What the grid called `name` says of one of its cells."""
    own = {key: value for key, value in read(name, cell.get("base")).items() if key not in GRID}
    for setting in changes:
        change(own, setting)
    for key, value in cell.items():
        if key != "base":
            put(own, key, deepcopy(value), where=f"{name} [vary]: {key}")
    return own


def _axes(vary: Any, where: str) -> Axes:
    if not isinstance(vary, dict) or not vary:
        raise RecipeError(f'{where} [vary]: expected keys with values, "pooling.heads" = [1, 4]')
    for key, values in vary.items():
        if not isinstance(values, list) or not values:
            raise RecipeError(
                f"{where} [vary]: '{key}' needs a list of values, but got {values!r}; "
                'write a key with dots in quotes, "pooling.heads" = [1, 4]'
            )
    return dict(vary)


def _short(keys: list[str], where: str) -> dict[str, str]:
    """{'heads': 'pooling.heads'}; the name of a part is called after the part."""
    short = {re.sub(r"\.name$", "", key).rpartition(".")[2]: key for key in keys}
    if len(short) < len(keys):
        raise RecipeError(
            f"{where} [vary]: {', '.join(keys)} are not told apart by their last words; "
            "vary whole sections instead"
        )
    return short


def _known(
    cells: Any, axes: Axes, varied: Mapping[str, str], *, where: str
) -> list[tuple[Choice, dict[str, Any]]]:
    """The values of each cell that something is known of, and its expected scores."""
    known = []
    for cell in cells:
        if set(cell) != {*varied, "expected"}:
            raise RecipeError(
                f"{where} [[cell]]: expected {', '.join([*varied, 'expected'])}, "
                f"but got {', '.join(cell)}"
            )
        for short, key in varied.items():
            if cell[short] not in axes[key]:
                raise RecipeError(
                    f"{where} [[cell]]: {short} = {cell[short]!r} is not among the varied "
                    f"values {axes[key]}"
                )
        known.append((tuple(cell[short] for short in varied), cell["expected"]))
    return known


def _spelt(key: str, value: Any) -> str:
    """A value as part of a file's name: 0.25, mean-std, log-mel-64; of a base, its last word."""
    return _plain(Path(value).stem if key == "base" else value)


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return "-".join(_plain(v) for v in value.values())
    if isinstance(value, list):
        return "-".join(map(_plain, value))
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return re.sub(r"[^\w.+-]+", "-", text)
