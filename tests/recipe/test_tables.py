from itertools import product

import pytest

from affekt.errors import RecipeError
from affekt.recipe import Recipe
from affekt.recipe.tables import table, tables

GRID = """
base = "demo/poolings/attentive-correlation"
title = "Grid"
source = "somewhere"
[vary]
"pooling.heads" = [1, 4]
"stage.0.objective.label_smoothing" = [0.0, 0.25]
[[cell]]
heads = 4
label_smoothing = 0.25
expected = { WA = 0.7318 }
"""


@pytest.fixture
def grid(tmp_path):
    path = tmp_path / "grid.toml"
    path.write_text(GRID)
    return path


def test_the_rows_of_a_folder_are_its_recipes_in_order():
    rows = table("demo/poolings").rows
    assert list(rows) == ["mean", "mean-std", "correlation", "attentive-correlation"]


def test_a_table_of_a_single_recipe_has_one_row():
    rows = table("demo/poolings/mean", ["seeds=[3]"]).rows
    assert rows == {"mean": Recipe.load("demo/poolings/mean", ["seeds=[3]"])}


def test_a_grid_has_a_row_for_every_combination(grid):
    found = table(str(grid))
    assert list(found.rows) == [
        f"heads={h},label_smoothing={p:g}" for h, p in product((1, 4), (0.0, 0.25))
    ]
    assert found.varied == {
        "heads": "pooling.heads",
        "label_smoothing": "stage.0.objective.label_smoothing",
    }
    base = Recipe.load("demo/poolings/attentive-correlation")
    for (heads, smoothing), recipe in zip(
        product((1, 4), (0.0, 0.25)), found.rows.values(), strict=True
    ):
        assert recipe.pooling is not None
        assert base.pooling is not None
        assert recipe.pooling.options == base.pooling.options | {"heads": heads}
        assert recipe.stage[0].objective.options == {"label_smoothing": smoothing}
        assert recipe.stage[0].optimizer == base.stage[0].optimizer


def test_what_is_known_of_a_cell_stands_in_its_row_alone(grid):
    rows = table(str(grid)).rows
    known = {name: (r.expected, r.source) for name, r in rows.items()}
    assert known.pop("heads=4,label_smoothing=0.25") == ({"WA": 0.7318}, "somewhere")
    assert set(map(str, known.values())) == {"({}, '')"}
    assert rows["heads=1,label_smoothing=0"].title == "Grid: heads=1,label_smoothing=0"


def test_a_change_of_a_varied_key_leaves_its_cells_and_any_other_reaches_all(grid):
    rows = table(str(grid), ["pooling.heads=4", "seeds=[1]"]).rows
    assert list(rows) == ["heads=4,label_smoothing=0", "heads=4,label_smoothing=0.25"]
    assert all(r.seeds == [1] for r in rows.values())
    assert rows["heads=4,label_smoothing=0.25"].expected


def test_parts_and_whole_sections_can_be_varied(grid):
    grid.write_text(
        'base = "demo/poolings/mean"\n[vary]\n"pooling.name" = ["mean", "mean-std"]\n'
        'encoder = [{ name = "log-mel", bands = 40 }, { name = "mfcc" }]\n'
    )
    assert list(table(str(grid)).rows) == [
        "pooling=mean,encoder=log-mel-40",
        "pooling=mean,encoder=mfcc",
        "pooling=mean-std,encoder=log-mel-40",
        "pooling=mean-std,encoder=mfcc",
    ]


def test_rows_may_start_from_different_recipes(grid):
    grid.write_text(
        'base = "demo/poolings/mean"\nseeds = [5]\n[vary]\n'
        'base = ["demo/poolings/mean", "baselines/emodb/egemaps-linear-svm"]\n'
        'folds = [["1"], ["2"]]\n'
    )
    rows = table(str(grid), ["on_error=skip"]).rows
    assert list(rows) == [
        f"base={base},folds={fold}" for base in ("mean", "egemaps-linear-svm") for fold in "12"
    ]
    network, machine = list(rows.values())[1:3]
    assert network.pooling is not None
    assert machine.classifier is not None
    assert machine.encoder == Recipe.load("baselines/emodb/egemaps-linear-svm").encoder
    assert [r.folds for r in rows.values()] == [["1"], ["2"]] * 2
    assert {(*r.seeds, r.on_error) for r in rows.values()} == {(5, "skip")}
    assert not any(r.expected for r in rows.values())
    assert list(table(str(grid), ["base=demo/poolings/mean"]).rows) == [
        "base=mean,folds=1",
        "base=mean,folds=2",
    ]


def test_a_grid_is_not_run_as_one_recipe(grid):
    with pytest.raises(RecipeError, match=r"is a grid, not one recipe; run: affekt reproduce .*"):
        Recipe.load(grid)


def test_a_folder_with_a_grid_in_it_names_the_grid(grid):
    with pytest.raises(RecipeError, match="holds grids, each a table of its own: grid"):
        table(str(grid.parent))


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("[1, 4]", "4", "'pooling.heads' needs a list of values, but got 4"),
        ("[1, 4]", "[]", "needs a list of values"),
        ("[1, 4]", "[4, 4]", "two cells are called heads=4,label_smoothing=0"),
        ('"pooling.heads"', "pooling.heads", "write a key with dots in quotes"),
        ('"stage.0.', '"stage.1.', "'1' is not a place in a list of 1"),
        ("heads = 4\n", "heads = 3\n", "heads = 3 is not among the varied values"),
        ("heads = 4\n", "", r"\[\[cell\]\]: expected heads, label_smoothing, expected, but got"),
        ('source = "somewhere"', "expected = { UA = 0.5 }", r"stand in its \[\[cell\]\]s"),
        ("stage.0.objective.label_smoothing", "head.heads", "not told apart by their last words"),
        ("0.7318", "73.18", r"heads=4,label_smoothing=0.25\]: key 'expected.WA.* 73.18"),
    ],
)
def test_a_grid_that_is_not_whole_is_refused(grid, old, new, told):
    grid.write_text(GRID.replace(old, new, 1))
    with pytest.raises(RecipeError, match=told):
        table(str(grid))


def test_an_unknown_table_names_the_nearest():
    with pytest.raises(RecipeError, match="no table 'demo/pooling'.*Did you mean 'demo/poolings'"):
        table("demo/pooling")
    assert {"demo/poolings", "attentive-correlation/figure-3"} <= set(tables())
    assert "attentive-correlation" not in tables()
