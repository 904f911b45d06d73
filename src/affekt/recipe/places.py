"""Where affekt's own files lie, and the recipes among them by name."""

from pathlib import Path

from affekt.errors import RecipeError, nearest

PACKAGE = Path(__file__).parents[1]
REPOSITORY = PACKAGE.parents[1]
FOLDERS = (REPOSITORY / "recipes", PACKAGE / "recipes")  # a clone's, an installed wheel's
PRETRAINING = "pretraining"  # the folder of recipes for `affekt pretrain`


def bundled_as(name: Path) -> list[Path]:
    """The files that a bundled recipe of this name could be."""
    return [folder / name.with_name(name.name + ".toml") for folder in FOLDERS]


def locate(path: str | Path, *, pretraining: bool = False) -> Path:
    """The file of a recipe, given as a path or as the name of a bundled one."""
    name = Path(path)
    for candidate in (name, *bundled_as(name)):
        if candidate.is_file():
            return candidate
    for folder in (name, *(f / name for f in FOLDERS)):
        if any(folder.glob("*.toml")):
            raise RecipeError(f"{path} is a table of recipes; run: affekt reproduce {path}")
    pretraining |= name.parts[:1] == (PRETRAINING,)
    known = bundled(pretraining=pretraining)
    tables = sorted({str(Path(recipe).parent) for recipe in known})
    there = f"are {', '.join(known)}" if pretraining else f"are in {', '.join(tables)}"
    raise RecipeError(
        f"no recipe '{path}': neither a file nor a bundled recipe.{nearest(str(path), known)} "
        f"Bundled ones {there}"
    )


def bundled(*, pretraining: bool = False) -> list[str]:
    """The names of the recipes and grids that come with affekt: 'demo/poolings/mean', ...

    Those for `affekt pretrain` are other recipes, and are named instead if asked for.
    """
    found = (
        file.relative_to(folder).with_suffix("")
        for folder in FOLDERS
        for file in folder.rglob("*.toml")
    )
    return sorted(str(name) for name in found if (name.parts[0] == PRETRAINING) == pretraining)
