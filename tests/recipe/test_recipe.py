import pytest

from affekt import experiment
from affekt.errors import RecipeError
from affekt.parts import Section
from affekt.recipe import Recipe

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
        ("stages.0.epochs=5", "the recipe has no 'stages', and so no place 0 in it"),
        ("seeds=[0, 0]", "'seeds' names something twice: 0, 0"),
        ("seeds=[]", "'seeds' and 'corpus' need at least one entry"),
        ("few_shot.shots=-1", "key 'few_shot.shots': .*greater than or equal to 0"),
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


def test_an_unknown_recipe_names_the_nearest():
    with pytest.raises(RecipeError, match="Did you mean 'demo/poolings/mean'"):
        Recipe.load("demo/poolings/maen")


def test_a_recipe_is_its_base_but_for_the_keys_that_it_gives(file, tmp_path):
    below = tmp_path / "sub" / "below.toml"
    below.parent.mkdir()
    below.write_text('base = "../mine"\npooling = { name = "correlation" }\n')
    base, recipe = Recipe.load(file), Recipe.load(below)
    assert recipe.pooling is not None
    assert recipe.pooling.options == {}  # the whole key is replaced: no dim = 8
    assert recipe == base.model_copy(update={"pooling": recipe.pooling})
    assert "base" not in recipe.toml()


def test_bases_chain_and_may_be_bundled(tmp_path):
    (tmp_path / "a.toml").write_text('base = "demo/poolings/mean"\nseeds = [7]\n')
    (tmp_path / "b.toml").write_text('base = "a.toml"\nfolds = ["2"]\n')
    recipe = Recipe.load(tmp_path / "b.toml", ["stage.0.epochs=3"])
    bundled = Recipe.load("demo/poolings/mean")
    assert (recipe.seeds, recipe.folds, recipe.stage[0].epochs) == ([7], ["2"], 3)
    assert (recipe.corpus, recipe.encoder) == (bundled.corpus, bundled.encoder)


def test_what_a_base_says_of_itself_is_not_handed_on(file, tmp_path):
    file.write_text('title = "x"\nrow = 3\nsource = "y"\nexpected = { UA = 0.5 }\n' + TEXT)
    (tmp_path / "below.toml").write_text('base = "mine"\n')
    recipe = Recipe.load(tmp_path / "below.toml")
    assert (recipe.title, recipe.row, recipe.source, recipe.expected) == ("", 0, "", {})


@pytest.mark.parametrize(
    ("base", "told"),
    [
        ('"mine"', "cannot be its own base"),
        ('"other"', "cannot be its own base: .*other.toml"),
        ('"demo/poolings/maen"', "no base 'demo/poolings/maen': .*mean 'demo/poolings/mean'"),
        ("3", "'base' is the name of a recipe or a path, but got 3"),
        ('"typo"', r"typo.toml \[recipe\]: key 'seed' is not known"),
    ],
)
def test_a_base_that_is_missing_goes_in_circles_or_is_not_valid_is_refused(tmp_path, base, told):
    (tmp_path / "mine.toml").write_text(f"base = {base}\n")
    (tmp_path / "other.toml").write_text('base = "mine"\n')
    (tmp_path / "typo.toml").write_text("seed = [1]\n")
    with pytest.raises(RecipeError, match=told):
        Recipe.load(tmp_path / "mine.toml")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("expected={UA = 75.6}", "key 'expected.UA.*': .*less than or equal to 1.*75.6"),
        ("expected={UA = [0.7, 0.1, 0.1]}", "at most 2 items"),
        ("expected={UAR = 0.7}", "key 'expected.UAR.*': .*'UA'"),
    ],
)
def test_expected_scores_are_known_ones_between_0_and_1(file, change, told):
    assert Recipe.load(file, ["expected={WA = [0.756, 0.023]}"]).expected == {"WA": [0.756, 0.023]}
    with pytest.raises(RecipeError, match=told):
        Recipe.load(file, [change])


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_a_number_that_is_none_is_refused(value):
    with pytest.raises(RecipeError, match=r"stage.0.optimizer.lr: a number, not"):
        Recipe.load("demo/poolings/mean", [f'stage.0.optimizer={{name="adam",lr={value}}}'])


@pytest.mark.parametrize("head", [{"hidden": -4}, {"hidden": 0}, {"dropout": 1.5}])
def test_sizes_of_a_head_are_judged(head):
    mean = Recipe.load("demo/poolings/mean")
    wanted = mean.model_copy(update={"head": Section(name="mlp", **head)})
    with pytest.raises(RecipeError, match="head 'mlp': key '(hidden|dropout)': input should be"):
        experiment.check(wanted)
