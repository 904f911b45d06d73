"""A model trained on all utterances of a run."""

import pytest

import affekt
from affekt import Predictor
from affekt.errors import RunError
from affekt.inference.refit import refit
from toy import FOREST, recipe

pytestmark = pytest.mark.usefixtures("own_cache")


def ran(folder, out, **changes):
    return affekt.run(recipe(**changes), data={"emodb": folder}, out=out)


@pytest.mark.parametrize(
    ("changes", "dev"),
    [
        ({}, 8),  # chooses an epoch on dev
        ({"stage": [{"epochs": 2, "select": "last"}]}, 0),
        (FOREST, 0),
    ],
)
def test_it_hears_every_utterance_but_those_that_an_epoch_is_chosen_on(
    changes, dev, emodb_of_noise, tmp_path
):
    run = ran(emodb_of_noise, tmp_path / "run", **changes)
    (model,) = refit(run, {"emodb": emodb_of_noise}, tmp_path / "all")
    about = Predictor.load(model).about
    utterances = about["model"]["utterances"]
    assert (utterances["train"] + utterances["dev"], utterances["dev"]) == (about["size"]["n"], dev)
    assert utterances["test"] == 0
    assert about["scores"] == Predictor.load(run).about["scores"]
    assert "no\none left in the corpus" in (model / "README.md").read_text()


def test_the_same_seed_gives_the_same_model(emodb_of_noise, tmp_path):
    run = ran(emodb_of_noise, tmp_path / "run", folds=["03"])
    data = {"emodb": emodb_of_noise}
    clip = emodb_of_noise / "wav/03a01Wa.wav"
    (one,), (two,) = refit(run, data, tmp_path / "one"), refit(run, data, tmp_path / "two")
    assert Predictor.load(one)(clip) == Predictor.load(two)(clip)


def test_another_corpus_than_that_of_the_run_is_refused(emodb_of_noise, tmp_path):
    run = ran(emodb_of_noise, tmp_path / "run", folds=["03"])
    for file in (emodb_of_noise / "wav").glob("08*W*.wav"):  # the angry ones
        file.unlink()
    with pytest.raises(RunError, match="not the same as"):
        refit(run, {"emodb": emodb_of_noise})
    with pytest.raises(RunError, match="no run there"):
        refit(tmp_path, {})
