"""The experiments of arXiv:2311.13678 on three corpora of noise, from the search to the figures."""

import json
import re
import tomllib

import pytest

from affekt.recipe import Recipe
from affekt.recipe.tables import table

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
    code, _, err = affekt("search", here, *space, *data, *quick, "--out", found)
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


SMALL, WITHOUT = "small", "small-without"


def test_values_that_no_row_takes_are_refused(affekt, data, tmp_path):
    words = ("reproduce", "deep-wccn/baselines", *data, "--out", tmp_path / "out", "--found")
    code, _, err = affekt(*words, tmp_path)
    assert code == 1
    assert "is not the folder of a finished search" in err
    values = {"best": {"values": {"encoder.lr_factor": 0.5}}}
    (tmp_path / "search.json").write_text(json.dumps(values))
    code, _, err = affekt(*words, tmp_path)
    assert code == 1
    assert "no row of the table takes any of encoder.lr_factor" in err


def test_more_shots_than_there_are_clips_are_refused(affekt, data, quick, tmp_path):
    words = ("reproduce", "deep-wccn/figure-6", *data, *quick, "-s", "few_shot.shots=150")
    code, _, err = affekt(*words, "--out", tmp_path / "out")
    assert code == 1
    assert "speakers outside train, dev and test, but shots = 150" in err


def test_the_paper_s_table_has_the_values_of_table_3():
    rows = table("deep-wccn/table-4").rows
    assert len(rows) == 7
    found = {
        name: (
            r.head.options["dropout"],
            r.head.options["alpha"],
            r.stage[0].objective.options["beta"],
            r.stage[0].optimizer.options["weight_decay"],
        )
        for name, r in rows.items()
    }
    assert found["dech-en"] == (0.45, 0.2, 8e-4, 4e-4)
    assert found["deen-zh"] == (0.05, 0.5, 1.2e-3, 5e-4)
    assert found["ench-de"] == (0.3, 0.4, 1.7e-3, 5e-4)
    assert all(set(r.train_on) - set(r.test_on) for r in rows.values())
