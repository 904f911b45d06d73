"""Every recipe of arXiv:2211.01756, with a tiny checkpoint in the place of its encoder."""

import json
import os

import pytest

from affekt import experiment
from affekt.evaluation.predictions import read
from affekt.recipe.exchange import exchange
from affekt.recipe.places import bundled
from affekt.recipe.tables import table

RECIPES = [name for name in bundled() if name.startswith("attentive-correlation/")]
SHORT = {"epochs": None, "steps": 2, "evaluate_every": 1, "accumulate": 2, "batch_size": 4}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """One cache for the module: the encoder is the same."""
    place = tmp_path_factory.mktemp("recipes")
    before = os.environ.get("AFFEKT_CACHE")
    os.environ["AFFEKT_CACHE"] = str(place / "cache")
    yield place
    del os.environ["AFFEKT_CACHE"]
    if before is not None:
        os.environ["AFFEKT_CACHE"] = before


@pytest.fixture(scope="module")
def corpora(trees, place):
    """Small trees that have every session, actor and speaker group of the protocols."""
    speakers = ("03", "08", "09", "10", "11", "12", "13", "14", "15", "16")
    actors = tuple(range(1, 25))
    voices = ("EB0", "JM0", "JG0", "KS0", "MO0")
    return {
        "iemocap": trees.iemocap(place / "iemocap", sessions=(1, 2, 3, 4, 5)),
        "emodb": trees.emodb(place / "emodb", speakers=speakers, per_emotion=1),
        "ravdess": trees.ravdess(place / "ravdess", actors=actors, per_emotion=1),
        "nemo": trees.nemo(place / "nemo", speakers=voices, per_emotion=1),
    }


@pytest.mark.parametrize(
    ("name", "row"), [(name, row) for name in RECIPES for row in table(name).rows]
)
def test_every_recipe_trains_two_steps_and_reports(name, row, corpora, checkpoint, place):
    recipe = exchange(table(name).rows[row], str(checkpoint("hubert")))
    stages = [stage.model_copy(update=SHORT) for stage in recipe.stage]
    recipe = recipe.model_copy(update={"stage": stages, "seeds": [0]})
    data = {"": corpora[recipe.corpus[0].name]}
    folder = experiment.run(recipe, data=data, out=place / "runs" / name / row)
    folds = experiment.divide(recipe, experiment.read(recipe, data)[0])
    assert {p.id for p in read(folder)} == {u.id for fold in folds for u in fold.test}
    assert json.loads((folder / "report.json").read_text())["scores"].keys() >= {"UA", "WA"}
    log = (folder / "log.csv").read_text().splitlines()
    assert len(log) == 1 + 2 * len(folds)  # two evaluations in each fold
