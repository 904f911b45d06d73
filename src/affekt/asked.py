"""What the words of a command line mean: names of runs, folders of corpora, divisions."""

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

from affekt.errors import CorpusError


def recipe(name: str, changes: list[str] | None, encoder: str | None) -> Any:
    """The recipe called `name`, with its changes, and with another encoder where one is wanted."""
    from affekt.recipe import Recipe

    loaded = Recipe.load(name, changes or ())
    if encoder is None:
        return loaded
    from affekt.recipe.exchange import exchange

    return exchange(loaded, encoder, changes or ())


def table(
    name: str, changes: list[str] | None, encoder: str | None, found: list[Path] | None
) -> Any:
    """The table called `name`, with its changes, another encoder, and what searches found."""
    from affekt.recipe import tables

    chosen = tables.table(name, changes or ())
    if encoder is not None:
        from affekt.recipe.exchange import exchange_all

        chosen = exchange_all(chosen, encoder, changes or ())
    rows, notes = searched(chosen.rows, found)
    return replace(chosen, rows=rows, notes=notes)


def searched(rows: dict[str, Any], found: list[Path] | None) -> tuple[dict[str, Any], list[str]]:
    """The rows of a table with the best values of searches, and what is to be told of that."""
    if not found:
        return rows, []
    from affekt.search import found as search

    return search.used(rows, [search.read(folder) for folder in found])


def divisions(
    path: str, data: list[str] | None, name: str | None, settings: list[str] | None
) -> Any:
    """The folds of a recipe, or those of split files if `path` is no recipe."""
    from affekt import corpora as readers
    from affekt import experiment
    from affekt.protocols.splits import read_splits
    from affekt.recipe import CorpusSection, Recipe

    file = Path(path)
    if file.suffix == ".toml" or not file.exists():
        loaded = Recipe.load(path, settings or ())
        return experiment.divide(loaded, experiment.read(loaded, folders(data))[0])
    if name is None:
        if data or settings:
            raise CorpusError("--data needs --corpus NAME, the corpus that the split files divide")
        return read_splits(file)
    options = options_of(name, settings)
    folder = experiment.folders([CorpusSection(name=name)], folders(data))[name]
    return read_splits(file, readers.read(name, folder, **options))


def options_of(corpus: str, settings: list[str] | None) -> dict[str, Any]:
    """A reader's options from -s key=value, checked like those of a recipe."""
    from affekt.corpora import READERS
    from affekt.errors import choose
    from affekt.parts import Section, options
    from affekt.recipe.changes import change

    choose(READERS, corpus, "corpus", CorpusError)
    values: dict[str, Any] = {"name": corpus}
    for setting in settings or ():
        change(values, setting)
    given = Section.model_validate(values)
    checked = options(READERS, given, "corpus")
    return {key: checked[key] for key in given.options}


def words(
    encoder: str | None,
    changes: list[str] | None,
    found: list[Path] | None = None,
    *,
    subsets: str = "all",
) -> list[str]:
    """What a command asked for beside the recipe, as words of the command line."""
    given = ["--subsets", subsets] if subsets != "all" else []
    given += ["--encoder", encoder] if encoder else []
    given += [word for folder in found or () for word in ("--found", str(folder))]
    given += [word for setting in changes or () for word in ("-s", setting)]
    return [shlex.quote(word) for word in given]


def name_of(recipe: str) -> str:
    """The run's folder under runs/: the name of what is bundled, the last word of a path."""
    name = recipe.removesuffix(".toml")
    return name if not Path(recipe).exists() else Path(name).resolve().name


def folders(given: list[str] | None) -> dict[str, Path]:
    """{corpus: folder} of --data; one folder without a name stands under ''."""
    found: dict[str, Path] = {}
    for text in given or ():
        name, equals, folder = text.partition("=")
        name, folder = (name, folder) if equals else ("", name)
        if name in found:
            raise CorpusError(
                f"--data {text}: {name or 'a folder'} was given already, as {found[name]}; "
                "give each corpus one folder, several as --data NAME=DIR"
            )
        found[name] = Path(folder).expanduser()
    return found
