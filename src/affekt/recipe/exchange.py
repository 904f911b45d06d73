"""Another encoder in the place of a recipe's own, as --encoder asks."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from affekt.encoders import ENCODERS
from affekt.errors import RecipeError
from affekt.parts import Section
from affekt.recipe import Recipe
from affekt.recipe.changes import change, split
from affekt.recipe.tables import Table
from affekt.run_folder import TOLD

SPEECH = "speech"


def exchange(recipe: Recipe, encoder: str, changes: Iterable[str] = ()) -> Recipe:
    """The recipe with another encoder, and without the scores that were expected of its own.

    Args:
        recipe: it is returned as it is if the encoder is its own.
        encoder: a name of affekt.encoders.ENCODERS, or a speech checkpoint: a folder, affekt/small,
            or the id of one on the hub, with @revision if wanted. A speech encoder keeps the
            recipe's options.
        changes: `key=value`; those of the encoder hold for the other one as well.
    """
    if not encoder:
        raise RecipeError("--encoder: nothing was given; name an encoder or a checkpoint")
    if encoder == "opensmile" and recipe.pooling is not None:
        raise RecipeError(
            "--encoder opensmile: functionals are one frame, over which there is nothing to pool; "
            "take a recipe of baselines/emodb, or log-mel, mfcc or a checkpoint"
        )
    section = Section(name=encoder) if encoder in ENCODERS else _speech(recipe.encoder, encoder)
    section = _changed(section, changes)
    if section == recipe.encoder:
        return recipe
    return recipe.model_copy(
        update={
            "encoder": section,
            "title": f"{recipe.title}, but with {encoder}",
            "expected": {},
            "source": "",
        }
    )


def _changed(section: Section, changes: Iterable[str]) -> Section:
    values: dict[str, Any] = {"encoder": section.model_dump()}
    for setting in changes:
        if split(setting)[0].startswith("encoder."):
            change(values, setting)
    return Section.model_validate(values["encoder"])


def _speech(own: Section, checkpoint: str) -> Section:
    model, at, revision = checkpoint.rpartition("@")
    if not at or Path(checkpoint).expanduser().is_dir():
        model, revision = checkpoint, ""
    kept: dict[str, Any] = own.options if own.name == SPEECH else {}
    options = {key: value for key, value in kept.items() if key not in ("model", "revision")}
    named = {"model": model} | ({"revision": revision} if revision else {})
    return Section.model_validate({"name": SPEECH, **named, **options})


def exchange_all(table: Table, encoder: str, changes: Iterable[str] = ()) -> Table:
    """The table with another encoder: rows that differ by nothing else become one.

    It is called by the words that their names share: 'mean-std' of 'hubert-mean-std' and
    'wavlm-mean-std'. If the encoder was that of one of them, this one stays as it is.

    Raises:
        RecipeError: the table is a grid over encoders.
    """
    if varied := [key for key in table.varied.values() if key.split(".")[0] == "encoder"]:
        raise RecipeError(
            f"--encoder {encoder}: the table varies {varied[0]}; choose one with "
            f"-s {varied[0]}=..., or leave --encoder out"
        )
    alike: list[list[tuple[str, Recipe]]] = []
    for name, recipe in table.rows.items():
        other = exchange(recipe, encoder, changes)
        group = next((g for g in alike if _same(g[0][1], other)), None)
        if group is None:
            alike.append([(name, other)])
        else:
            group.append((name, other))
    rows: dict[str, Recipe] = {}
    for group in alike:
        name, recipe = next((pair for pair in group if pair[1] == table.rows[pair[0]]), group[0])
        if len(group) > 1:
            own = recipe == table.rows[name]
            name = _shared([name, *(n for n, _ in group)])
            recipe = recipe if own else recipe.model_copy(update={"title": f"{name}, {encoder}"})
        rows[name if name not in rows else group[0][0]] = recipe
    return Table(rows, table.varied)


def _same(a: Recipe, b: Recipe) -> bool:
    return a.model_copy(update=TOLD) == b.model_copy(update=TOLD)


def _shared(names: list[str]) -> str:
    """The first name, without the words that not every name has."""
    words = [name.split("-") for name in names]
    kept = [word for word in words[0] if all(word in other for other in words)]
    return "-".join(kept) or names[0]
