"""What a search may try: values of a recipe's dotted keys, as one TOML file.

"head.alpha"                     = { low = 0.0, high = 1.0 }
"stage.0.optimizer.weight_decay" = { low = 1e-5, high = 1e-2, log = true }
"head.hidden"                    = { low = 64, high = 256, step = 64 }    # whole numbers
"pooling.name"                   = ["mean", "mean-std"]                   # one of these
"""

import math
import tomllib
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from affekt import experiment
from affekt.errors import RecipeError, nearest
from affekt.recipe import Recipe
from affekt.recipe.changes import put

SPACES = Path(__file__).with_name("spaces")
# What else a recipe holds says what is trained and scored: scores would not be comparable.
SEARCHED = ("audio", "encoder", "pooling", "mix", "head", "stage")
FIELDS = ("low", "high", "step", "log")
NEAR = 1e-6  # of a step: where the last one may end

Number = int | float


@dataclass(frozen=True, kw_only=True)
class Range:
    """Numbers from `low` to `high`, both among them; integers where all of its numbers are."""

    low: Number
    high: Number
    step: Number | None = None
    log: bool = False

    @property
    def whole(self) -> bool:
        """Whether it holds integers alone."""
        return all(isinstance(n, int) for n in (self.low, self.high, self.step or 1))

    @property
    def ends(self) -> tuple[Number, Number]:
        """Its lowest and highest number."""
        return (self.low, self.high) if self.whole else (float(self.low), float(self.high))


Choices = tuple[Any, ...]


@dataclass(frozen=True)
class Space:
    """The values of each dotted key, in order; `where` names the space in messages."""

    where: str
    keys: dict[str, Range | Choices]

    @classmethod
    def load(cls, name: str | Path) -> "Space":
        """The space in a file, or the one of this name that comes with affekt.

        Raises:
            RecipeError: no such file, not TOML, or a key's values are not what they should be.
        """
        file = _locate(name)
        try:
            values = tomllib.loads(file.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
            raise RecipeError(f"{file}: not valid TOML: {e}") from None
        return cls.parse(values, str(name))

    @classmethod
    def parse(cls, values: Mapping[str, Any], where: str = "space") -> "Space":
        """The space of a dictionary."""
        if not values:
            raise RecipeError(f'{where}: no key; write such as "head.alpha" = {{ low = 0.0, ... }}')
        return cls(where, {key: _values(v, f"{where}: '{key}'") for key, v in values.items()})

    def plain(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {
            key: asdict(values) if isinstance(values, Range) else list(values)
            for key, values in self.keys.items()
        }


def spaces() -> list[str]:
    """The names of the spaces that come with affekt."""
    return sorted(file.stem for file in SPACES.glob("*.toml"))


def _locate(name: str | Path) -> Path:
    for candidate in (Path(name), SPACES / f"{name}.toml"):
        if candidate.is_file():
            return candidate
    raise RecipeError(
        f"no space '{name}': neither a file nor a bundled space.{nearest(str(name), spaces())} "
        f"Bundled ones: {', '.join(spaces())}"
    )


def _values(given: Any, where: str) -> Range | Choices:
    if isinstance(given, list):
        if len(given) < 2 or any(v in given[:n] for n, v in enumerate(given)):
            raise RecipeError(f"{where}: needs two or more different values, but got {given!r}")
        return tuple(given)
    if not isinstance(given, dict):
        raise RecipeError(
            f"{where}: expected {{ low = ..., high = ... }} or a list of values, but got {given!r}"
        )
    for name in given:
        if name not in FIELDS:
            raise RecipeError(
                f"{where}: '{name}' is not known; choose from {', '.join(FIELDS)}."
                f'{nearest(name, FIELDS)} A key with dots stands in quotes: "head.alpha" = ...'
            )
    if lacking := [name for name in ("low", "high") if name not in given]:
        raise RecipeError(f"{where}: '{lacking[0]}' is missing; give low and high")
    return _range(given, where)


def _range(given: dict[str, Any], where: str) -> Range:
    numbers = {name: given[name] for name in ("low", "high", "step") if name in given}
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, Number) or not math.isfinite(value):
            raise RecipeError(f"{where}: {name} is a number, but got {value!r}")
    log = given.get("log", False)
    if not isinstance(log, bool):
        raise RecipeError(f"{where}: log is true or false, but got {log!r}")
    found = Range(**numbers, log=log)
    if found.low >= found.high:
        raise RecipeError(f"{where}: low = {found.low:g} must be below high = {found.high:g}")
    if log and found.low <= 0:
        raise RecipeError(f"{where}: with log = true low must be above 0, but is {found.low:g}")
    if found.step is not None:
        _refuse_odd_step(found, found.step, where)
    return found


def _refuse_odd_step(found: Range, step: Number, where: str) -> None:
    if found.log:
        raise RecipeError(f"{where}: has log = true and a step; leave one of them out")
    if step <= 0:
        raise RecipeError(f"{where}: step must be above 0, but is {step:g}")
    steps = (found.high - found.low) / step
    if abs(steps - round(steps)) > NEAR or round(steps) < 1:
        fits = found.low + step * max(1, math.floor(steps))
        raise RecipeError(
            f"{where}: from low = {found.low:g} no step of {step:g} ends at high = "
            f"{found.high:g}; take high = {fits:g}"
        )


def fill(recipe: Recipe, values: Mapping[str, Any], where: str) -> Recipe:
    """The recipe with these values of its keys; `where` names them in messages."""
    table = recipe.model_dump(mode="json", exclude_none=True)
    for key, value in values.items():
        put(table, key, deepcopy(value), where=where)
    return Recipe.parse(table, where)


def check(recipe: Recipe, space: Space) -> list[Recipe]:
    """The recipe with every key at its first value, then with each at its others in turn.

    Of numbers only the ends are tried.

    Raises:
        RecipeError: a key is not to be searched, or the recipe cannot take a value.
    """
    for key in space.keys:
        if key.split(".")[0] not in SEARCHED:
            raise RecipeError(
                f"{space.where}: '{key}' cannot be searched; keys begin with "
                f"{', '.join(SEARCHED)}.{nearest(key.split('.')[0], SEARCHED)}"
            )
    return [_checked(recipe, values, space.where, told) for values, told in _ends(space)]


def _ends(space: Space) -> Iterator[tuple[dict[str, Any], str]]:
    """Values of all keys, and what is new about them."""
    ends = {k: v.ends if isinstance(v, Range) else v for k, v in space.keys.items()}
    first = {key: values[0] for key, values in ends.items()}
    yield first, ", ".join(f"{key} = {value!r}" for key, value in first.items())
    for key, values in ends.items():
        for value in values[1:]:
            yield first | {key: value}, f"{key} = {value!r}"


def _checked(recipe: Recipe, values: Mapping[str, Any], where: str, told: str) -> Recipe:
    where = f"{where}, with {told}"
    made = fill(recipe, values, where)
    try:
        experiment.check(made)
    except RecipeError as e:
        raise RecipeError(f"{where}: {e}") from None
    return made
