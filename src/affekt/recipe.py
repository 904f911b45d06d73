"""A recipe: one experiment as one TOML file that says only what differs from the defaults.

    recipe = Recipe.load("demo/poolings/mean", ["stage.0.epochs=5"])

Unknown keys are errors. `write` saves the whole recipe, defaults filled in.
"""

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from affekt.errors import RecipeError, nearest
from affekt.parts import Section, explain

PACKAGE = Path(__file__).parent
REPOSITORY = PACKAGE.parents[1]
FOLDERS = (REPOSITORY / "recipes", PACKAGE / "recipes")  # a clone's, an installed wheel's

STRICT = ConfigDict(extra="forbid", frozen=True)


class CorpusSection(Section):
    """A corpus: its reader's name, its labels, and the reader's own options."""

    labels: str | dict[str, str] = "all"  # a map of affekt.labels, or {"theirs": "ours"}
    folder: Path | None = None  # --data wins


class FewShot(BaseModel):
    """Clips of the tested language that are added to train, see affekt.protocols.few_shot."""

    model_config = STRICT

    shots: int = Field(ge=1)
    seed: int = 0


class Stage(BaseModel):
    """One optimisation."""

    model_config = STRICT

    objective: Section = Section(name="classification")
    optimizer: Section = Section(name="adam")
    schedule: Section = Section(name="constant")
    epochs: int = Field(default=40, ge=1)
    batch_size: int = Field(default=32, ge=1)
    accumulate: int = Field(default=1, ge=1)  # batches per optimiser step
    clip: float = Field(default=1.0, ge=0)  # of the gradient's norm; 0: none
    select: Literal["best-dev", "last"] = "best-dev"  # which epoch's weights are kept


# What a network has if the recipe does not say otherwise.
NETWORK: dict[str, Any] = {
    "mix": Section(name="weighted-sum"),
    "head": Section(name="linear"),
    "stage": [],
}


class Recipe(BaseModel):
    """An experiment. Either a `classifier` (scikit-learn) or `pooling`, `head` and stages."""

    model_config = STRICT

    title: str = ""
    corpus: list[CorpusSection]
    protocol: Section
    few_shot: FewShot | None = None
    audio: list[Section] = []
    encoder: Section
    classifier: Section | None = None
    pooling: Section | None = None
    mix: Section = NETWORK["mix"]
    head: Section = NETWORK["head"]
    stage: list[Stage] = NETWORK["stage"]
    seeds: list[int] = [0]
    on_error: Literal["raise", "skip"] = "raise"
    expected: dict[str, float] = {}  # scores to print beside ours, in [0, 1]
    source: str = ""  # where the expected scores stand
    row: int = 0  # its place in its table

    @model_validator(mode="before")
    @classmethod
    def _one_corpus_is_a_list_of_one(cls, values: dict[str, Any]) -> dict[str, Any]:
        if isinstance(values.get("corpus"), dict):
            values = values | {"corpus": [values["corpus"]]}
        return values

    @model_validator(mode="after")
    def _one_way_to_learn(self) -> "Recipe":
        if (self.classifier is None) == (self.pooling is None):
            raise ValueError("give either 'classifier', or 'pooling' and [[stage]]")
        if self.pooling is not None and not self.stage:
            raise ValueError("'pooling' needs at least one [[stage]]")
        idle = [key for key in ("stage", "head", "mix") if getattr(self, key) != NETWORK[key]]
        if self.classifier is not None and idle:
            raise ValueError(f"a 'classifier' has no use for {', '.join(idle)}")
        if not self.seeds or not self.corpus:
            raise ValueError("'seeds' and 'corpus' need at least one entry")
        return self

    @classmethod
    def load(cls, path: str | Path, changes: Iterable[str] = ()) -> "Recipe":
        """The recipe in `path`, a file or the name of a bundled one, with `key=value` changes.

        Raises:
            RecipeError: no such file, not TOML, an unknown key, a wrong value.
        """
        file = locate(path)
        try:
            values = tomllib.loads(file.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
            raise RecipeError(f"{file}: not valid TOML: {e}") from None
        for setting in changes:
            change(values, setting)
        return cls.parse(values, str(path))

    @classmethod
    def parse(cls, values: dict[str, Any], where: str = "recipe") -> "Recipe":
        """The recipe of a dictionary; `where` names it in messages."""
        for holder, section in (("recipe", values), *_stages(values)):
            known = (cls if holder == "recipe" else Stage).model_fields
            for key in section:
                if key not in known:
                    raise RecipeError(
                        f"{where} [{holder}]: key '{key}' is not known; choose from "
                        f"{', '.join(known)}.{nearest(key, known)}"
                    )
        try:
            return cls.model_validate(values)
        except ValidationError as e:
            raise RecipeError(f"{where}: {explain(e)}") from None

    def toml(self) -> str:
        """The whole recipe, defaults filled in."""
        import tomli_w

        return tomli_w.dumps(self.model_dump(mode="json", exclude_none=True))


def _stages(values: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    stages = values.get("stage", [])
    if not isinstance(stages, list) or not all(isinstance(s, dict) for s in stages):
        raise RecipeError("'stage' is a list: write [[stage]], with two brackets")
    return [(f"stage.{n}", s) for n, s in enumerate(stages)]


def locate(path: str | Path) -> Path:
    """The file of a recipe, given as a path or as the name of a bundled one."""
    name = Path(path)
    for candidate in (name, *(f / name.with_name(name.name + ".toml") for f in FOLDERS)):
        if candidate.is_file():
            return candidate
    known = bundled()
    raise RecipeError(
        f"no recipe '{path}': neither a file nor a bundled recipe.{nearest(str(path), known)} "
        f"Bundled: {', '.join(known)}"
    )


def bundled() -> list[str]:
    """The names of the recipes that come with affekt: 'demo/poolings/mean', ..."""
    return sorted(
        str(file.relative_to(folder).with_suffix(""))
        for folder in FOLDERS
        for file in folder.rglob("*.toml")
    )


def table(name: str, changes: Iterable[str] = ()) -> dict[str, Recipe]:
    """The rows of a table: the recipes of one folder, by `row` and then by file name."""
    for folder in (Path(name), *(f / name for f in FOLDERS)):
        if files := list(folder.glob("*.toml")):
            rows = {file.stem: Recipe.load(file, changes) for file in files}
            return dict(sorted(rows.items(), key=lambda item: (item[1].row, item[0])))
    known = sorted({str(Path(r).parent) for r in bundled()})
    raise RecipeError(
        f"no table '{name}': no folder of recipes is called so.{nearest(name, known)} "
        f"Tables: {', '.join(known)}"
    )


def change(values: dict[str, Any], setting: str) -> None:
    """Set one key of nested tables and lists in place: 'stage.0.epochs=5'."""
    keys, equals, text = setting.partition("=")
    if not equals:
        raise RecipeError(f"-s {setting}: not of the form key=value, such as -s stage.0.epochs=5")
    *path, last = keys.strip().split(".")
    place: Any = values
    for key in path:
        place = _step(place, key, setting)
    if isinstance(place, list):
        place[_index(place, last, setting)] = _value(text)
    elif isinstance(place, dict):
        place[last] = _value(text)
    else:
        raise RecipeError(f"-s {setting}: '{'.'.join(path)}' holds {place!r}, which has no keys")


def _step(place: Any, key: str, setting: str) -> Any:
    if isinstance(place, list):
        return place[_index(place, key, setting)]
    if isinstance(place, dict):
        return place.setdefault(key, {})
    raise RecipeError(f"-s {setting}: nothing lies under '{key}'; it holds {place!r}")


def _index(place: list[Any], key: str, setting: str) -> int:
    if not key.isdecimal() or int(key) >= len(place):
        raise RecipeError(
            f"-s {setting}: '{key}' is not a place in a list of {len(place)}; they count from 0"
        )
    return int(key)


def _value(text: str) -> Any:
    """The TOML value that `text` spells, or the text itself."""
    try:
        return tomllib.loads(f"x = {text}")["x"]
    except tomllib.TOMLDecodeError:
        return text.strip()
