"""The recipes of arXiv:2411.19803, on corpora of noise and a tiny encoder."""

import json

import pytest

from affekt.recipe.places import bundled
from affekt.recipe.tables import table

HERE = "supervised-contrastive"
RECIPES = [name for name in bundled() if name.startswith(f"{HERE}/") and "vary" not in name]
PAPER = ("table-1", "table-2")
SPEAKERS = ("03", "08", "09", "10", "11", "12", "13", "14", "15", "16")

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture(scope="module")
def folders(trees, tmp_path_factory):
    at = tmp_path_factory.mktemp("corpora")
    return {
        "emodb": trees.emodb(at / "emodb", speakers=SPEAKERS, per_emotion=1),
        "ravdess": trees.ravdess(at / "ravdess", actors=range(1, 11), per_emotion=1),
        "nemo": trees.nemo(at / "nemo", speakers=[f"{a}{b}0" for a in "ABC" for b in "XYZ"]),
        "iemocap": trees.iemocap(at / "iemocap", sessions=range(1, 6)),
        "casia": trees.casia(at / "casia"),
    }


def words(names, folders):
    return [word for name in names for word in ("--data", f"{name}={folders[name]}")]


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_trains_an_epoch_of_each_stage(affekt, checkpoint, folders, tmp_path, name):
    (recipe,) = table(name).rows.values()
    trained = recipe.encoder.options.get("trainable", "none")
    encoder = f'{{name="speech", model="{checkpoint("hubert")}", trainable="{trained}"}}'
    changes = [f"encoder={encoder}", "seeds=[0]", 'folds=["1"]']
    for number, stage in enumerate(recipe.stage):
        short = ("steps=2", "evaluate_every=1") if stage.steps else ("epochs=1",)
        changes += [f"stage.{number}.{key}" for key in short]
    changed = [word for change in changes for word in ("-s", change)]
    data = words([section.name for section in recipe.corpus], folders)
    code, _, err = affekt("run", name, *data, *changed, "--out", tmp_path / "run")
    assert code == 0, err
    tested = recipe.test_on or [section.name for section in recipe.corpus]
    for models in ("seed-0/fold-1/model", "model"):
        found = (tmp_path / "run" / models).glob("*/model.safetensors")
        assert {p.parent.name for p in found} == set(tested)
    judged = json.loads((tmp_path / "run/report.json").read_text())["by_corpus"]
    assert set(judged) == set(tested)


def test_the_published_scores_stand_beside_the_rows():
    rows = {n: t for n in PAPER for n, t in table(f"{HERE}/{n}").rows.items()}
    published = {name: recipe.expected["UA"] for name, recipe in rows.items()}
    assert published == {
        "hubert-fine-tuned": [0.6661],
        "wavlm-fine-tuned": [0.6831],
        "hubert": [0.7692],
        "wavlm": [0.7741],
        "hubert-iemocap": [0.7692],
        "hubert-casia": [0.9719],
        "wavlm-iemocap": [0.7741],
        "wavlm-casia": [0.9649],
    }


def test_the_stages_are_those_of_section_4_2():
    (recipe,) = table(f"{HERE}/table-1/wavlm").rows.values()
    pairs, own = recipe.stage
    assert (pairs.epochs, pairs.batch_size, pairs.trains) == (50, 32, ["encoder", "pooling"])
    assert pairs.optimizer.options == {"lr": 1e-4}
    assert recipe.encoder.options["lr_factor"] == 0.4
    assert (own.epochs, own.batch_size, own.trains) == (10, 32, ["pooling", "head"])
    assert own.optimizer.options == {"lr": 5e-4}
    assert recipe.head.options == {"hidden": 256}
    (direct,) = table(f"{HERE}/table-1/wavlm-fine-tuned").rows.values()
    (only,) = direct.stage
    assert (only.epochs, only.optimizer.options, only.per) == (50, {"lr": 1e-3}, "corpus")
    assert direct.encoder.options["model"] == "microsoft/wavlm-base-plus"
