import re

import pytest

from affekt.errors import RecipeError
from affekt.recipe import Recipe
from affekt.search.space import Range, Space, check, fill, spaces


def test_a_file_gives_ranges_and_choices_in_its_order(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(
        """
        "head.dropout" = { low = 0, high = 0.5 }
        "pooling.dim" = { low = 32, high = 256, step = 32 }
        "stage.0.optimizer.lr" = { low = 1e-5, high = 1, log = true }
        "pooling.name" = ["mean", "mean-std"]
        """
    )
    found = Space.load(file).keys
    assert list(found) == ["head.dropout", "pooling.dim", "stage.0.optimizer.lr", "pooling.name"]
    assert found["pooling.dim"] == Range(low=32, high=256, step=32)
    assert found["pooling.name"] == ("mean", "mean-std")
    whole = [isinstance(v, Range) and v.whole for v in found.values()]
    assert whole == [False, True, False, False]
    assert isinstance(found["head.dropout"], Range)
    assert [type(end) for end in found["head.dropout"].ends] == [float, float]


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({}, "no key"),
        ({"head.alpha": {"low": 1.0, "high": 0.5}}, "low = 1 must be below high = 0.5"),
        ({"head.alpha": {"low": 1, "high": 1}}, "low = 1 must be below high = 1"),
        ({"head.alpha": {"low": 0.0, "high": 1.0, "log": True}}, "low must be above 0, but is 0"),
        ({"head.alpha": {"low": 0.0}}, "'high' is missing"),
        ({"head.alpha": {"low": 0.0, "high": "1"}}, "high is a number, but got '1'"),
        ({"head.alpha": {"low": True, "high": 2}}, "low is a number, but got True"),
        ({"head.alpha": {"low": 0.0, "high": float("inf")}}, "high is a number, but got inf"),
        ({"head.alpha": {"low": 0.1, "high": 1.0, "log": 1}}, "log is true or false, but got 1"),
        ({"head.alpha": {"lower": 0.0, "high": 1.0}}, "'lower' is not known.*Did you mean 'low'"),
        ({"head": {"alpha": {"low": 0.0}}}, "'alpha' is not known.*dots stands in quotes"),
        (
            {"head.alpha": 0.5},
            "expected { low = ..., high = ... } or a list of values, but got 0.5",
        ),
        ({"head.alpha": [0.5]}, "two or more different values, but got [0.5]"),
        ({"head.alpha": [0.5, 0.25, 0.5]}, "two or more different values"),
        ({"pooling.dim": {"low": 2, "high": 9, "step": 3}}, "no step of 3 ends.*take high = 8"),
        ({"pooling.dim": {"low": 2, "high": 9, "step": 0}}, "step must be above 0, but is 0"),
        ({"pooling.dim": {"low": 2, "high": 9, "step": 20}}, "take high = 22"),
        ({"pooling.dim": {"low": 2, "high": 9, "step": 1, "log": True}}, "leave one of them out"),
    ],
)
def test_values_that_cannot_be_searched_say_why(values, told):
    with pytest.raises(RecipeError, match=re.escape(told).replace(r"\.\*", ".*")):
        Space.parse(values, "mine")


def test_a_space_that_is_not_there_or_not_toml_is_told(tmp_path):
    with pytest.raises(RecipeError, match="no space 'deep-wcn'.*Did you mean 'deep-wccn'.*optimi"):
        Space.load("deep-wcn")
    (tmp_path / "odd.toml").write_text("head.alpha = ")
    with pytest.raises(RecipeError, match="odd.toml: not valid TOML"):
        Space.load(tmp_path / "odd.toml")


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"seeds": [[0], [1]]}, "'seeds' cannot be searched; keys begin with audio, encoder"),
        ({"protocol.dev": ["none", "next-speaker"]}, "'protocol.dev' cannot be searched"),
        ({"pooling.dims": {"low": 2, "high": 8}}, "'dims' is not known.*Did you mean 'dim'"),
        ({"stage.1.epochs": {"low": 2, "high": 8}}, "'1' is not a place in a list of 1"),
        ({"stage.0.epoch": {"low": 2, "high": 8}}, "'epoch' is not known"),
        ({"stage.0.epochs": {"low": 0, "high": 8}}, "greater than or equal to 1, but got 0"),
        ({"pooling.dim": {"low": 2.0, "high": 8.0}}, "valid integer, but got 2.0"),
        ({"pooling.name": ["mean", "median"]}, "pooling.name = 'median': pooling 'median' is not"),
        (
            {"pooling.name": ["mean", "attentive-correlation"], "pooling.unbiased": [True, False]},
            "",
        ),
        ({"head.alpha": {"low": 0.0, "high": 1.0}}, "head 'linear': key 'alpha' is not known"),
    ],
)
def test_what_the_recipe_cannot_take_is_refused_before_anything_is_computed(toy, keys, told):
    with pytest.raises(RecipeError, match=f"(?s)mine.*{told}"):
        check(toy(), Space.parse(keys, "mine"))


def test_a_recipe_is_tried_at_every_choice_and_both_ends(toy, space):
    tried = check(toy(), space)
    looks = [
        (r.stage[0].optimizer.options["lr"], r.pooling.options["dim"], r.pooling.name)
        for r in tried
    ]
    assert looks == [
        (1e-4, 2, "mean"),
        (1e-1, 2, "mean"),
        (1e-4, 8, "mean"),
        (1e-4, 2, "mean-std"),
    ]


def test_a_recipe_is_filled_with_numbers_words_and_whole_sections(toy):
    own = toy()
    made = fill(own, {"head": {"name": "mlp", "hidden": 8}, "stage.0.epochs": 5}, "here")
    assert made.head.options == {"hidden": 8}
    assert made.stage[0].epochs == 5
    assert fill(own, {}, "here") == own


@pytest.mark.parametrize(
    ("space", "recipe"),
    [
        ("deep-wccn", "deep-wccn/table-4/deen-zh"),
        ("deep-wccn-without-beta", "deep-wccn/de-en-pl/small"),
        ("optimizer", "demo/poolings/mean"),
    ],
)
def test_the_bundled_spaces_fit_their_recipes(space, recipe):
    assert space in spaces()
    assert check(Recipe.load(recipe), Space.load(space))


def test_beta_needs_an_encoder_with_a_task_of_its_own():
    with pytest.raises(RecipeError, match="deep-wccn, with .*beta = 0.0001 weighs"):
        check(Recipe.load("deep-wccn/de-en-pl/small"), Space.load("deep-wccn"))
