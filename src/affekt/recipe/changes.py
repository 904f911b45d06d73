"""One key of nested tables and lists, found by its dotted name: 'stage.0.epochs'."""

import tomllib
from itertools import pairwise
from typing import Any

from affekt.errors import RecipeError


def change(values: dict[str, Any], setting: str) -> None:
    """Set one key in place, as -s says it: 'stage.0.epochs=5'."""
    key, value = split(setting)
    put(values, key, value, where=f"-s {setting}")


def split(setting: str) -> tuple[str, Any]:
    """The key and the value of 'key=value'.

    >>> split("stage.0.epochs=5")
    ('stage.0.epochs', 5)
    """
    key, equals, text = setting.partition("=")
    if not equals:
        raise RecipeError(f"-s {setting}: not of the form key=value, such as -s stage.0.epochs=5")
    return key.strip(), _value(text)


def put(values: dict[str, Any], key: str, value: Any, *, where: str) -> None:
    """Set one key in place; `where` names it in messages."""
    *path, last = key.split(".")
    place: Any = values
    for part, after in pairwise(key.split(".")):
        if isinstance(place, dict) and part not in place and after.isdecimal():
            raise RecipeError(f"{where}: the recipe has no '{part}', and so no place {after} in it")
        place = _step(place, part, where)
    if isinstance(place, list):
        place[_index(place, last, where)] = value
    elif isinstance(place, dict):
        place[last] = value
    else:
        raise RecipeError(f"{where}: '{'.'.join(path)}' holds {place!r}, which has no keys")


def _step(place: Any, key: str, where: str) -> Any:
    if isinstance(place, list):
        return place[_index(place, key, where)]
    if isinstance(place, dict):
        return place.setdefault(key, {})
    raise RecipeError(f"{where}: nothing lies under '{key}'; it holds {place!r}")


def _index(place: list[Any], key: str, where: str) -> int:
    if not key.isdecimal() or int(key) >= len(place):
        raise RecipeError(
            f"{where}: '{key}' is not a place in a list of {len(place)}; they count from 0"
        )
    return int(key)


def _value(text: str) -> Any:
    """The TOML value that `text` spells, or the text itself."""
    try:
        return tomllib.loads(f"x = {text}")["x"]
    except tomllib.TOMLDecodeError:
        return text.strip()
