from typing import Literal

import pytest
from pydantic import BaseModel, ConfigDict

from affekt.audio import Normalise
from affekt.errors import RecipeError
from affekt.parts import Section, build, options


def part(wired, *, size: int, rate: float = 0.5, kind: Literal["a", "b"] = "a"):
    return wired, size, rate, kind


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    model: str = "x"
    words: dict[str, str] = {}


def nested(*, text: Inner | None = None):
    return text


REGISTRY = {"part": part, "nested": nested, "lazy": "affekt.audio:Normalise"}


def section(**values):
    return Section.model_validate({"name": "part"} | values)


def test_a_part_is_made_from_wired_values_and_its_options():
    assert build(REGISTRY, section(size=3, rate=1), "thing", "x") == ("x", 3, 1.0, "a")


def test_a_part_named_by_its_module_is_imported():
    assert isinstance(build(REGISTRY, Section(name="lazy"), "thing"), Normalise)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"size": 3, "raet": 1.0}, r"thing 'part': key 'raet' is not known; .*mean 'rate'"),
        ({}, "thing 'part': key 'size' is missing"),
        ({"size": "3"}, "key 'size': .*integer, but got '3'"),
        ({"size": True}, "key 'size': .*integer, but got True"),
        ({"size": 3, "kind": "c"}, "key 'kind': .*'a' or 'b', but got 'c'"),
        ({"name": "prat", "size": 3}, "thing 'prat' is not known; choose from part, .*mean 'part'"),
    ],
)
def test_a_section_that_does_not_fit_is_refused(values, told):
    with pytest.raises(RecipeError, match=told):
        options(REGISTRY, section(**values), "thing")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            {"modeel": "y"},
            "key 'text.modeel' is not known; choose from model, words. Did you mean 'model'",
        ),
        ("y", r"key 'text': a table, such as { model = \"...\" }, but got 'y'"),
        ({"words": "y"}, "key 'text.words': a table, but got 'y'"),
    ],
)
def test_what_is_wrong_in_a_table_within_is_told(text, told):
    with pytest.raises(RecipeError, match=told):
        options(REGISTRY, Section.model_validate({"name": "nested", "text": text}), "thing")
