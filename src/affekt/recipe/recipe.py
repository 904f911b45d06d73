"""A recipe: one experiment as one TOML file that says only what differs from the defaults.

    recipe = Recipe.load("demo/poolings/mean", ["stage.0.epochs=5"])

A recipe may start from another one, its `base`. Unknown keys are errors. `toml` gives the whole
recipe, defaults filled in. Several recipes beside each other: affekt.recipe.tables.
"""

import math
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError, model_validator

from affekt.errors import RecipeError, nearest
from affekt.parts import Section, explain
from affekt.recipe.changes import change
from affekt.recipe.places import bundled, bundled_as, locate
from affekt.recipe.stage import STRICT, Stage

FILE_KEYS = ("base", "vary", "cell")  # of a file, beside the recipe's own
OWN = ("title", "row", "expected", "source")  # tell of one recipe, not of those that start from it

Score = Annotated[float, Field(ge=0, le=1)]
OverFolds = Annotated[list[Score], Field(min_length=1, max_length=2)]  # mean, standard deviation
# "UA, WA": means over folds of both, where a paper does not agree with itself which is which.
PAIR = "UA, WA"
Expected = dict[Literal["UA", "WA", "macro-F1", "WF1", "UA, WA"], Score | OverFolds]


class CorpusSection(Section):
    """A corpus: its reader's name, its labels, and the reader's own options."""

    labels: str | dict[str, str] = "all"  # a map of affekt.labels, or {"theirs": "ours"}
    folder: Path | None = None  # --data wins


class FewShot(BaseModel):
    """Clips of the tested language that are added to train, see affekt.protocols.few_shot."""

    model_config = STRICT

    shots: int = Field(ge=0)  # 0: none, the beginning of a curve
    seed: int = 0


class Functionals(BaseModel):
    """What a classifier is given of frames: their mean and standard deviation over time."""

    model_config = STRICT

    layers: list[Annotated[int, Field(ge=0)]] = []  # of the encoder, side by side; none: all


# The encoder that comes with affekt.
SMALL = Section.model_validate({"name": "speech", "model": "affekt/small"})
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
    folds: list[str] = []  # of the protocol's, only these; none: all
    train_on: list[str] = []  # corpora that are trained and chosen on; none: all
    test_on: list[str] = []  # corpora that are tested; none: all
    few_shot: FewShot | None = None
    # What train has less of is repeated until languages, or corpora, are of about one size.
    balance: Literal["none", "language", "corpus"] = "none"
    audio: list[Section] = []
    encoder: Section = SMALL
    classifier: Section | None = None
    functionals: Functionals = Functionals()
    pooling: Section | None = None
    mix: Section = NETWORK["mix"]
    head: Section = NETWORK["head"]
    stage: list[Stage] = NETWORK["stage"]
    seeds: list[int] = [0]
    embeddings: list[Literal["train", "dev", "test"]] = ["test"]  # sides whose vectors are kept
    on_error: Literal["raise", "skip"] = "raise"
    expected: Expected = {}  # to print beside ours
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
        if self.classifier is not None and self.embeddings != ["test"]:
            raise ValueError("'embeddings' are of a network; with a 'classifier' leave them out")
        if self.functionals.layers and (self.pooling or self.encoder.name == "opensmile"):
            raise ValueError("'functionals' are of frames, for a 'classifier'; leave them out")
        for key in ("seeds", "folds", "train_on", "test_on"):
            if len(named := getattr(self, key)) > len({*named}):
                raise ValueError(f"'{key}' names something twice: {', '.join(map(str, named))}")
        per = [bool(stage.per) for stage in self.stage]
        if per != sorted(per):
            raise ValueError(
                f'stage.{per.index(True)} has per = "corpus", so that there is one network per '
                'corpus from there on; give all stages after it per = "corpus" too'
            )
        pair = self.expected.get(PAIR, [0.0, 0.0])
        if not isinstance(pair, list) or len(pair) != 2:
            raise ValueError(f"expected '{PAIR}' is two means over folds, but got {pair}")
        if not self.seeds or not self.corpus:
            raise ValueError("'seeds' and 'corpus' need at least one entry")
        return self

    @classmethod
    def load(cls, path: str | Path, changes: Iterable[str] = ()) -> "Recipe":
        """The recipe in `path`, a file or the name of a bundled one, with `key=value` changes.

        Raises:
            RecipeError: no such file, not TOML, an unknown key, a wrong value, no such base.
        """
        values = read(path)
        if "vary" in values:
            raise RecipeError(f"{path} is a grid, not one recipe; run: affekt reproduce {path}")
        for setting in changes:
            change(values, setting)
        return cls.parse(values, str(path))

    @classmethod
    def parse(cls, values: dict[str, Any], where: str = "recipe") -> "Recipe":
        """The recipe of a dictionary; `where` names it in messages."""
        _refuse_unknown(values, where)
        _refuse_endless(values, where)
        try:
            return cls.model_validate(values)
        except ValidationError as e:
            raise RecipeError(f"{where}: {explain(e)}") from None

    def toml(self) -> str:
        """The whole recipe, defaults filled in."""
        import tomli_w

        return tomli_w.dumps(self.model_dump(mode="json", exclude_none=True))


def _refuse_unknown(values: dict[str, Any], where: str, also: Sequence[str] = ()) -> None:
    for holder, section in (("recipe", values), *_stages(values)):
        known = [*also, *Recipe.model_fields] if holder == "recipe" else list(Stage.model_fields)
        for key in section:
            if key not in known:
                raise RecipeError(
                    f"{where} [{holder}]: key '{key}' is not known; choose from "
                    f"{', '.join(known)}.{nearest(key, known)}"
                )


def _refuse_endless(values: Any, where: str) -> None:
    """Refuse numbers that are none, wherever they stand."""
    if isinstance(values, float) and not math.isfinite(values):
        raise RecipeError(f"{where}: a number, not {values}")
    if isinstance(values, dict | list):
        for key, value in values.items() if isinstance(values, dict) else enumerate(values):
            _refuse_endless(value, f"{where}.{key}")


def _stages(values: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    stages = values.get("stage", [])
    if not isinstance(stages, list) or not all(isinstance(s, dict) for s in stages):
        raise RecipeError("'stage' is a list: write [[stage]], with two brackets")
    return [(f"stage.{n}", s) for n, s in enumerate(stages)]


def read(path: str | Path, base: str | None = None) -> dict[str, Any]:
    """What a recipe's file says, and where it says nothing, what its base does.

    A key replaces the base's whole key. Of a base, what tells of itself alone is left out: OWN.

    Args:
        path: of the recipe, or its bundled name.
        base: in place of the one that the file names.
    """
    return _read(locate(path), (), base)


def _read(file: Path, above: tuple[Path, ...], instead: str | None = None) -> dict[str, Any]:
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        raise RecipeError(f"{file}: not valid TOML: {e}") from None
    _refuse_unknown(values, str(file), FILE_KEYS)
    if instead is not None:
        values["base"] = instead
    if "base" not in values:
        return values
    base, chain = _base(file, values.pop("base")), (*above, file.resolve())
    if base.resolve() in chain:
        circle = " -> ".join(str(f) for f in (*chain, base))
        raise RecipeError(f"{file}: a recipe cannot be its own base: {circle}; leave one out")
    under = _read(base, chain)
    return {key: value for key, value in under.items() if key not in OWN} | values


def _base(file: Path, name: Any) -> Path:
    """The file of a base: relative to the recipe that names it, or bundled."""
    if not isinstance(name, str):
        raise RecipeError(f"{file}: 'base' is the name of a recipe or a path, but got {name!r}")
    beside = file.parent / name
    for candidate in (beside, beside.with_name(beside.name + ".toml"), *bundled_as(Path(name))):
        if candidate.is_file():
            return candidate
    raise RecipeError(
        f"{file}: no base '{name}': neither a file relative to it nor a bundled recipe."
        f"{nearest(name, bundled())}"
    )
