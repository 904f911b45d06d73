"""The recipes that come with affekt."""

import re

import pytest

from affekt import experiment
from affekt.recipe.places import bundled, locate
from affekt.recipe.recipe import Recipe, read
from affekt.recipe.tables import table, tables


@pytest.mark.parametrize("name", bundled())
def test_every_row_loads_has_a_title_and_its_parts_take_their_options(name):
    for recipe in table(name).rows.values():
        assert recipe.title
        assert bool(recipe.expected) == bool(recipe.source)
        experiment.check(recipe)


@pytest.mark.parametrize("name", bundled())
def test_the_head_of_every_recipe_names_the_command_that_runs_it(name):
    text = locate(name).read_text(encoding="utf-8")
    head = [line for line in text.splitlines() if line.startswith("#")]
    verb = "reproduce" if "vary" in read(name) else "run"
    assert any(re.search(rf"affekt {verb} {name}(\s|$)", line) for line in head)


def test_every_bundled_table_has_rows():
    assert all(table(name).rows for name in tables())


def test_table_1_is_five_poolings_by_three_encoders_with_the_published_scores():
    rows = table("attentive-correlation/table-1").rows
    assert len(rows) == 15
    encoders = [recipe.encoder.options["model"] for recipe in rows.values()]
    assert [encoders.count(e) for e in dict.fromkeys(encoders)] == [5, 5, 5]
    assert rows["wavlm-attentive"].expected == {"WA": [0.7560, 0.0233]}
    best = Recipe.load("attentive-correlation/iemocap")
    told = {"title": "", "row": 0}
    assert rows["wavlm-attentive"].model_copy(update=told) == best.model_copy(update=told)


def test_the_cells_of_figure_3_that_the_text_gives_are_known():
    rows = table("attentive-correlation/figure-3").rows
    known = {name: recipe.expected for name, recipe in rows.items() if recipe.expected}
    assert (len(rows), len(known)) == (28, 3)
    assert known["channel_dropout=0.25,label_smoothing=0.25"] == {"WA": 0.7318}
    assert all(recipe.folds == ["1"] for recipe in rows.values())


def test_attentive_correlation_over_the_bundled_encoder_is_one_recipe_in_three_tables():
    told = {"title": "", "row": 0, "expected": {}, "source": ""}
    rows = [
        table("attentive-correlation/emodb").rows["attentive"],
        table("encoders/emodb").rows["small"],
        table("demo/encoders").rows["small"],
    ]
    assert len({row.model_copy(update=told).toml() for row in rows}) == 1
