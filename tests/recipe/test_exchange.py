import pytest

from affekt.encoders import ENCODERS
from affekt.errors import RecipeError
from affekt.parts import options
from affekt.recipe import Recipe
from affekt.recipe.exchange import exchange, exchange_all
from affekt.recipe.tables import table

POOLINGS = ["mean", "mean-std", "correlation", "correlation-dropout", "attentive"]


@pytest.fixture
def wavlm():
    changes = ["encoder.precision=fp32", "encoder.revision=abc"]
    return Recipe.load("attentive-correlation/iemocap", changes)


@pytest.mark.parametrize(
    ("encoder", "options"),
    [
        ("facebook/hubert-large-ll60k", {"model": "facebook/hubert-large-ll60k"}),
        ("some/model@refs/pr/1", {"model": "some/model", "revision": "refs/pr/1"}),
    ],
)
def test_another_checkpoint_keeps_the_options_of_a_speech_encoder(wavlm, encoder, options):
    found = exchange(wavlm, encoder)
    assert found.encoder.name == "speech"
    assert found.encoder.options == {"precision": "fp32", **options}


def test_a_folder_may_have_an_at_in_its_name(wavlm, tmp_path):
    folder = tmp_path / "mine@home"
    folder.mkdir()
    assert exchange(wavlm, str(folder)).encoder.options["model"] == str(folder)


def test_a_spectral_encoder_has_its_own_options(wavlm):
    found = exchange(wavlm, "mfcc")
    assert (found.encoder.name, found.encoder.options) == ("mfcc", {})
    assert found.pooling == wavlm.pooling


def test_published_scores_belong_to_the_encoder_that_they_were_made_with():
    recipe = Recipe.load("attentive-correlation/iemocap")
    assert exchange(recipe, "microsoft/wavlm-large") == recipe
    other = exchange(recipe, "log-mel")
    assert (other.expected, other.source) == ({}, "")
    assert other.title == f"{recipe.title}, but with log-mel"


def test_speech_alone_is_the_encoder_that_comes_with_affekt(wavlm):
    found = exchange(wavlm, "speech").encoder
    assert options(ENCODERS, found, "encoder")["model"] == "affekt/small"


def test_rows_that_differ_by_their_encoder_alone_become_one():
    found = exchange_all(table("attentive-correlation/table-1"), "log-mel").rows
    assert list(found) == POOLINGS
    assert not any(recipe.expected for recipe in found.values())
    assert found["mean-std"].title == "mean-std, log-mel"


def test_of_rows_that_become_one_the_one_with_this_encoder_keeps_its_scores():
    rows = table("attentive-correlation/table-1").rows
    found = exchange_all(table("attentive-correlation/table-1"), "microsoft/wavlm-large").rows
    assert found == {name: rows[f"wavlm-{name}"] for name in POOLINGS}


def test_a_table_of_one_encoder_keeps_its_rows():
    table_of = table("demo/poolings")
    assert list(exchange_all(table_of, "mfcc").rows) == list(table_of.rows)


def test_a_grid_over_encoders_takes_no_other(tmp_path):
    text = 'base = "demo/poolings/mean"\n[vary]\n"encoder.bands" = [20, 40]\n'
    (tmp_path / "grid.toml").write_text(text)
    with pytest.raises(RecipeError, match=r"the table varies encoder.bands; choose one with -s"):
        exchange_all(table(str(tmp_path / "grid.toml")), "mfcc")


def test_changes_of_the_encoder_hold_for_the_other_one(tmp_path):
    recipe = Recipe.load("demo/poolings/mean")
    changed = exchange(recipe, "a/b", ["encoder.trainable=transformer", "stage.0.epochs=3"])
    assert changed.encoder.options == {"model": "a/b", "trainable": "transformer"}


def test_an_empty_name_is_no_encoder():
    with pytest.raises(RecipeError, match="nothing was given"):
        exchange(Recipe.load("demo/poolings/mean"), "")


def test_functionals_in_a_network_that_pools_frames_are_refused():
    with pytest.raises(RecipeError, match="functionals are one frame, over which there is nothing"):
        exchange(Recipe.load("demo/poolings/mean"), "opensmile")
