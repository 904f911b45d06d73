"""`affekt matrix` on three corpora of noise."""

import json
from pathlib import Path

import pytest
from sklearn.metrics import balanced_accuracy_score

from affekt.errors import CorpusError, ProtocolError, RecipeError
from affekt.evaluation import predictions
from affekt.matrix import SUBSETS, corpora, rows
from affekt.recipe import Recipe

RECIPE = """
title    = "toys"
corpus   = [
  { name = "emodb", labels = "4-class" },
  { name = "ravdess", labels = "4-class" },
  { name = "nemo", labels = "4-class" },
]
protocol = { name = "speaker-k-fold", folds = 2, dev = "none" }
encoder  = { name = "log-mel" }
classifier = { name = "random-forest", trees = 3 }
"""
NAMES = ["emodb", "ravdess", "nemo"]


@pytest.fixture(autouse=True)
def own_place(own_cache, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "toys.toml").write_text(RECIPE)


@pytest.fixture
def data(trees, tmp_path) -> dict[str, Path]:
    return {
        "emodb": trees.emodb(tmp_path / "emodb", per_emotion=1),
        "ravdess": trees.ravdess(tmp_path / "ravdess", per_emotion=1),
        "nemo": trees.nemo(tmp_path / "nemo", per_emotion=1),
    }


@pytest.fixture
def words(data) -> list[str]:
    return [word for name, folder in data.items() for word in ("--data", f"{name}={folder}")]


def test_every_subset_is_trained_on_and_every_corpus_tested(affekt, words):
    code, out, err = affekt("matrix", "toys.toml", *words)
    assert code == 0, err
    assert out.endswith("Report: runs/toys-matrix/matrix.html")
    assert "emodb (de) ravdess (en) nemo (pl) trained on n = 16 n = 16 n = 8" in out
    found = json.loads(Path("runs/toys-matrix/matrix.json").read_text())
    assert found["trained"]["emodb+nemo"] == ["emodb", "nemo"]
    assert len(found["rows"]) == 7
    for row in found["rows"]:
        folder = Path("runs/toys-matrix") / row["name"]
        assert Recipe.load(folder / "recipe.toml").train_on == found["trained"][row["name"]]
        judged = predictions.read(folder)
        for corpus in NAMES:
            part = [p for p in judged if p.corpus == corpus]
            ua = balanced_accuracy_score([p.truth for p in part], [p.label for p in part])
            assert row["by_corpus"][corpus]["UA"]["value"] == pytest.approx(ua, abs=1e-6)
            assert f"{ua:.3f}" in out
        for fold in json.loads((folder / "folds.json").read_text()):
            assert {key.split(":")[0] for key in fold["train"]} == {*row["name"].split("+")}
            assert {key.split(":")[0] for key in fold["test"]} == {*NAMES}
    assert out.count(" *") == 2 * 3 + 3 + 1  # not trained on, and what that means
    _, _, err = affekt("matrix", "toys.toml", *words, "--subsets", "single")
    assert "seed 0" not in err  # those rows are there already


def test_a_row_that_fails_does_not_stop_the_others(affekt, words, tmp_path):
    other = tmp_path / "runs/toys-matrix/nemo/notes.txt"
    other.parent.mkdir(parents=True)
    other.write_text("not a run")
    code, out, err = affekt("matrix", "toys.toml", *words, "--subsets", "single")
    assert code == 3
    assert "nemo: runs/toys-matrix/nemo: holds notes.txt" in err
    assert "1 of 3 rows did not run" in out
    assert "nemo did not run" in out
    page = Path("runs/toys-matrix/matrix.html").read_text()
    assert "<title>affekt matrix toys.toml --subsets single</title>" in page
    assert page.count(">did not run</td>") == 2


def test_subsets_are_all_or_single_corpora_or_all_but_one():
    recipe = Recipe.load("toys.toml", ["expected={UA = 0.5}"])
    assert list(rows(recipe, NAMES)) == [
        *NAMES, "emodb+ravdess", "emodb+nemo", "ravdess+nemo", "emodb+ravdess+nemo"
    ]  # fmt: skip
    assert list(rows(recipe, NAMES, "single")) == NAMES
    assert list(rows(recipe, NAMES, "leave-one-out")) == list(rows(recipe, NAMES))[3:]
    assert list(rows(recipe, NAMES[:2], "leave-one-out")) == list(rows(recipe, NAMES[:2]))
    one = rows(recipe, NAMES)["emodb+nemo"]
    assert (one.train_on, one.expected) == (["emodb", "nemo"], {})


def test_too_many_subsets_are_refused_with_what_to_take_instead():
    recipe, many = Recipe.load("toys.toml"), [f"c{n}" for n in range(7)]
    with pytest.raises(RecipeError, match=r"127 subsets.*single \(7 rows\) or leave-one-out \(8 "):
        rows(recipe, many)
    assert len(rows(recipe, many[:6])) == 63
    assert len(rows(recipe, many, "leave-one-out")) == 8
    with pytest.raises(RecipeError, match="--subsets 'singles' is not .*mean 'single'"):
        rows(recipe, NAMES, "singles")
    assert list(SUBSETS) == ["all", "single", "leave-one-out"]


@pytest.mark.parametrize(
    "change", ['train_on=["emodb"]', 'test_on=["emodb"]', "few_shot={shots = 3}"]
)
def test_a_recipe_that_says_what_is_trained_on_is_refused(data, change):
    key = change.partition("=")[0]
    with pytest.raises(RecipeError, match=f"the recipe has {key}; leave it out"):
        corpora(Recipe.load("toys.toml", [change]), data)


def test_a_single_corpus_is_refused(affekt, data):
    one = Recipe.load("toys.toml", ['corpus={name = "emodb"}'])
    with pytest.raises(CorpusError, match="two corpora or more, but this one has emodb"):
        corpora(one, {"": data["emodb"]})
    code, _, err = affekt("matrix", "demo/poolings/mean")
    assert (code, "two corpora or more" in err) == (1, True)


def test_a_protocol_that_does_not_divide_every_corpus_is_refused(data):
    change = 'protocol={name = "leave-one-language-out"}'
    with pytest.raises(ProtocolError, match="fold de has no utterance of emodb in train"):
        corpora(Recipe.load("toys.toml", [change]), data)


def test_a_corpus_that_no_folder_can_be_called_after_is_refused(data, trees, tmp_path):
    table = trees.manifest(tmp_path / "calls")
    section = '{name = "manifest", corpus = "our/calls"}'
    recipe = Recipe.load("toys.toml", [f'corpus=[{{name = "emodb", labels="4-class"}}, {section}]'])
    with pytest.raises(CorpusError, match="'our/calls' cannot be part of a folder's name"):
        corpora(recipe, {"emodb": data["emodb"], "manifest": table})


def test_a_missing_corpus_is_told_before_anything_runs(affekt, words):
    code, _, err = affekt("matrix", "toys.toml", *words[:4])
    assert (code, "give it with --data nemo=DIR" in err) == (1, True)
    assert not Path("runs").exists()
