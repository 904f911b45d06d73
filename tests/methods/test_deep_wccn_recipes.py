"""The experiments of arXiv:2311.13678 on three corpora of noise, from the search to the figures."""

import json
import re
import tomllib
from pathlib import Path

import pytest

from affekt.recipe import Recipe
from affekt.recipe.tables import table

RECIPES = Path(__file__).parents[2] / "recipes"
EMODB = ("03", "08", "09", "10", "11", "12", "13", "14", "15", "16")
NEMO = ("IC0", "KS0", "KD0", "TP0", "EB0", "WR0", "MK0", "SM0", "MP0")

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture
def data(trees, tmp_path) -> list[str]:
    """All speakers of Table 2 and of nEMO, one recording of each emotion."""
    made = {
        "emodb": trees.emodb(tmp_path / "emodb", speakers=EMODB, per_emotion=1),
        "ravdess": trees.ravdess(tmp_path / "ravdess", actors=range(1, 25), per_emotion=1),
        "nemo": trees.nemo(tmp_path / "nemo", speakers=NEMO, per_emotion=1),
    }
    return [word for name, folder in made.items() for word in ("--data", f"{name}={folder}")]


@pytest.fixture
def quick(checkpoint) -> list[str]:
    """Changes that make every row small."""
    encoder = f'encoder={{name="speech", model="{checkpoint("hubert")}"}}'
    changes = (encoder, "stage.0.epochs=1", 'folds=["1"]')
    return [word for change in changes for word in ("-s", change)]


def test_search_and_figures_run_one_after_the_other(affekt, data, quick, tmp_path):
    found, here = tmp_path / "search", "deep-wccn/de-en-pl/small"
    space = ("--space", "deep-wccn-without-beta", "--trials", 2)
    pair = ("-s", 'train_on=["emodb","nemo"]')
    code, _, err = affekt("search", here, *space, *data, *quick, *pair, "--out", found)
    assert code == 0, err
    best = tomllib.loads((found / "best.toml").read_text())

    out = tmp_path / "figure-5"
    code, _, err = affekt(
        "reproduce", "deep-wccn/figure-5", "--found", found, *data, *quick, "--out", out
    )
    assert code == 0, err
    rows = {name: Recipe.load(out / f"base={name}/recipe.toml") for name in (SMALL, WITHOUT)}
    assert rows[SMALL].head.options["alpha"] == best["head"]["alpha"]
    assert rows[WITHOUT].head.options["dropout"] == best["head"]["dropout"]
    assert "alpha" not in rows[WITHOUT].head.options  # a row takes what it can
    assert "not trained on" in (out / "table.html").read_text()
    sides = {p.name for p in (out / f"base={SMALL}/seed-0/fold-1").glob("embeddings*")}
    assert {"embeddings.npy", "embeddings-train.npy", "embeddings-dev.json"} <= sides
    told = json.loads((out / f"base={SMALL}/corpus.json").read_text())["notes"]
    assert any(re.search(r"so often: de \d+, pl \d+", note) for note in told)
    assert any("without the loss of wav2vec 2.0" in note for note in told)

    out = tmp_path / "figure-6"
    shots = ("-s", "few_shot.shots=4")
    code, _, err = affekt(
        "reproduce", "deep-wccn/figure-6", "--found", found, *data, *quick, *shots, "--out", out
    )
    assert code == 0, err
    rows = json.loads((out / "table.json").read_text())["rows"]
    assert [r["by_corpus"]["nemo"]["training"] for r in rows] == ["4 clips", *["trained on"] * 2]
    heads = {
        n: Recipe.load(out / f"{n}/recipe.toml").head.options for n in (r["name"] for r in rows)
    }
    searched = {n for n, head in heads.items() if head["alpha"] == best["head"]["alpha"]}
    assert searched == {"shots=4,train_on=emodb-nemo"}  # those that train on the same
    assert "found by a search on dev sides" in (out / "table.md").read_text()


SMALL, WITHOUT = "small", "small-without"


def test_values_that_no_row_takes_are_refused(affekt, data, tmp_path):
    words = ("reproduce", "deep-wccn/baselines", *data, "--out", tmp_path / "out", "--found")
    code, _, err = affekt(*words, tmp_path)
    assert code == 1
    assert "is not the folder of a finished search" in err
    values = {"best": {"values": {"encoder.lr_factor": 0.5}}}
    (tmp_path / "search.json").write_text(json.dumps(values))
    (tmp_path / "best.toml").write_text(Recipe.load("deep-wccn/de-en-pl/small").toml())
    code, _, err = affekt(*words, tmp_path)
    assert code == 1
    assert "no row of the table takes any of encoder.lr_factor" in err


def test_more_shots_than_there_are_clips_are_refused(affekt, data, quick, tmp_path):
    words = ("reproduce", "deep-wccn/figure-6", *data, *quick, "-s", "few_shot.shots=150")
    code, _, err = affekt(*words, "--out", tmp_path / "out")
    assert code == 1
    assert "speakers outside train, dev and test, but shots = 150" in err


def test_the_papers_table_has_its_values_and_scores():
    pairs = {
        "dech": (["emodb", "esd"], 0.45, 0.2, 8e-4, 4e-4),
        "deen": (["emodb", "ravdess"], 0.05, 0.5, 1.2e-3, 5e-4),
        "ench": (["ravdess", "esd"], 0.3, 0.4, 1.7e-3, 5e-4),
    }
    tested = {"en": "ravdess", "zh": "esd", "de": "emodb"}
    scores = {
        "dech-en": (0.64, 0.612), "deen-zh": (0.754, 0.754), "ench-de": (0.94, 0.946),
        "deen-en": (0.808, 0.796), "ench-en": (0.808, 0.796),
        "deen-de": (0.946, 0.949), "dech-de": (0.946, 0.949),
    }  # fmt: skip
    rows = table("deep-wccn/table-4").rows
    assert list(rows) == list(scores)
    for name, r in rows.items():
        pair, _, language = name.partition("-")
        stage, head = r.stage[0], r.head.options
        found = (r.train_on, head["dropout"], head["alpha"], stage.objective.options["beta"])
        assert (*found, stage.optimizer.options["weight_decay"]) == pairs[pair]
        assert r.test_on == [tested[language]]
        assert (r.expected["UA"], r.expected["WA"]) == tuple([s] for s in scores[name])


def test_the_papers_network_learns_on_both_losses(affekt, checkpoint, data, tmp_path):
    """Its recipe on a tiny XLSR, with nEMO in place of ESD."""
    recipe = (RECIPES / "deep-wccn/de-en-zh/xlsr.toml").read_text()
    recipe = recipe.replace("facebook/wav2vec2-large-xlsr-53", str(checkpoint("xlsr")))
    recipe = recipe.replace(
        '"esd", labels = "4-class", language = "zh"', '"nemo", labels = "4-class"'
    )
    groups = [[name] for name in NEMO[:4]] + [list(NEMO[4:])]
    recipe = recipe.replace(
        '{ name = "deep-wccn" }', f'{{ name = "deep-wccn", groups = {{ nemo = {groups} }} }}'
    )
    (tmp_path / "mine.toml").write_text(recipe)
    quick = ("-s", "stage.0.epochs=1", "-s", 'folds=["1"]', "-s", 'train_on=["emodb","nemo"]')
    judged = []
    for beta in (1e-3, 1.0):
        out = tmp_path / f"beta-{beta}"
        given = ("-s", f"stage.0.objective.beta={beta}", "--out", out)
        code, _, err = affekt("run", tmp_path / "mine.toml", *data, *quick, *given)
        assert code == 0, err
        header = (out / "log.csv").read_text().splitlines()[0]
        assert {"train_contrastive", "train_diversity", "train_cross_entropy"} <= set(
            header.split(",")
        )
        judged.append((out / "seed-0/fold-1/predictions.jsonl").read_bytes())
    assert judged[0] != judged[1]
