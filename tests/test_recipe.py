import pytest

from affekt import experiment
from affekt.errors import RecipeError
from affekt.recipe import Recipe, bundled, table

TEXT = """
corpus   = { name = "emodb", labels = "4-class" }
protocol = { name = "deep-wccn" }
encoder  = { name = "log-mel" }
pooling  = { name = "mean", dim = 8 }
[[stage]]
epochs = 3
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(TEXT)
    return path


@pytest.mark.parametrize("name", bundled())
def test_every_bundled_recipe_loads_and_its_parts_take_their_options(name):
    recipe = Recipe.load(name)
    experiment.check(recipe)
    assert recipe.title


def test_a_written_recipe_is_the_same_recipe(file, tmp_path):
    recipe = Recipe.load(file)
    (tmp_path / "again.toml").write_text(recipe.toml())
    assert Recipe.load(tmp_path / "again.toml") == recipe


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ("stage.0.epochs=5", lambda r: r.stage[0].epochs == 5),
        ("stage.0.optimizer.lr=1e-3", lambda r: r.stage[0].optimizer.options["lr"] == 1e-3),
        ("pooling.name=correlation", lambda r: r.pooling.name == "correlation"),
        ("seeds=[0, 1]", lambda r: r.seeds == [0, 1]),
        ('on_error="skip"', lambda r: r.on_error == "skip"),
        ("corpus.labels=all", lambda r: r.corpus[0].labels == "all"),
    ],
)
def test_a_change_on_the_command_line_sets_one_key(file, change, found):
    text = change if "optimizer" not in change else "stage.0.optimizer.name=adam"
    changes = [text, change] if text != change else [change]
    assert found(Recipe.load(file, changes))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("stage.0.epoch=5", r"\[stage.0\]: key 'epoch' is not known; .*Did you mean 'epochs'"),
        ("poling.name=mean", r"key 'poling' is not known; .*Did you mean 'pooling'"),
        ("stage.1.epochs=5", "'1' is not a place in a list of 1"),
        ("stage.x.epochs=5", "'x' is not a place in a list of 1"),
        ("stage.0.epochs", "not of the form key=value"),
        ("stage.0.epochs=many", "key 'stage.0.epochs': .*integer.*'many'"),
        ("stage.0.epochs=0", "key 'stage.0.epochs': .*greater than or equal to 1"),
        ("title.x=1", "has no keys|nothing lies under"),
        ("seeds=[]", "'seeds' and 'corpus' need at least one entry"),
        ("few_shot.shots=0", "key 'few_shot.shots': .*greater than or equal to 1"),
        ('classifier.name="random-forest"', "give either 'classifier', or 'pooling'"),
    ],
)
def test_a_change_that_does_not_fit_is_refused(file, change, told):
    with pytest.raises(RecipeError, match=told):
        Recipe.load(file, ["title=x", change])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("corpus = {", "not valid TOML"),
        (TEXT.replace("[[stage]]", "[stage]"), r"write \[\[stage\]\], with two brackets"),
        (TEXT.replace('protocol = { name = "deep-wccn" }', ""), "key 'protocol' is missing"),
        (
            TEXT.replace('{ name = "mean", dim = 8 }', "{ dim = 8 }"),
            "key 'pooling.name' is missing",
        ),
        (TEXT.split("[[stage]]")[0], "'pooling' needs at least one"),
    ],
)
def test_a_recipe_that_is_not_whole_is_refused(tmp_path, text, told):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(RecipeError, match=told) as e:
        Recipe.load(path)
    assert "stage" in str(e.value) or "bad.toml" in str(e.value)


def test_an_unknown_recipe_or_table_names_the_nearest():
    with pytest.raises(RecipeError, match="Did you mean 'demo/poolings/mean'"):
        Recipe.load("demo/poolings/maen")
    with pytest.raises(RecipeError, match="no table 'demo/pooling'.*Did you mean 'demo/poolings'"):
        table("demo/pooling")


def test_the_rows_of_a_table_are_the_recipes_of_its_folder():
    assert list(table("demo/poolings")) == [
        "mean",
        "mean-std",
        "correlation",
        "attentive-correlation",
    ]
