import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from affekt import experiment
from affekt.errors import AffektError, AudioError, CorpusError, ProtocolError, RecipeError, RunError
from affekt.evaluation import predictions
from affekt.recipe import Recipe

EMODB = {
    "title": "toy",
    "corpus": {"name": "emodb", "labels": "4-class"},
    "protocol": {"name": "leave-one-speaker-out", "dev": "next-speaker"},
    "encoder": {"name": "log-mel", "bands": 8},
    "pooling": {"name": "attentive-correlation", "dim": 4, "heads": 2},
    "stage": [{"epochs": 2}],
}
FOREST = {
    "encoder": {"name": "opensmile", "features": "eGeMAPSv02"},
    "classifier": {"name": "random-forest", "trees": 5},
    "pooling": None,
    "stage": [],
}


def recipe(**changes) -> Recipe:
    return Recipe.parse({k: v for k, v in (EMODB | changes).items() if v is not None})


@pytest.fixture
def folder(trees, tmp_path) -> Path:
    return trees.emodb(tmp_path / "emodb")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("AFFEKT_CACHE", str(tmp_path / "cache"))


def files(run: Path) -> dict[str, bytes]:
    return {str(f.relative_to(run)): f.read_bytes() for f in run.rglob("predictions.jsonl")}


def test_a_run_leaves_everything_that_its_report_needs(folder, tmp_path):
    out = experiment.run(recipe(seeds=[0, 1]), data={"emodb": folder}, out=tmp_path / "run")
    judged = predictions.read(out)
    assert len(judged) == 2 * 4 * 8  # seeds, speakers, utterances of each
    assert {p.truth for p in judged} == {"angry", "happy", "neutral", "sad"}
    assert all(abs(sum(p.probabilities.values()) - 1) < 1e-4 for p in judged)
    assert Recipe.load(out / "recipe.toml") == recipe(seeds=[0, 1])
    corpus = json.loads((out / "corpus.json").read_text())["corpora"][0]
    assert (corpus["utterances"], corpus["speakers"]) == (32, 4)
    assert corpus["hours"] == pytest.approx(32 * 0.3 / 3600)
    assert json.loads((out / "environment.json").read_text())["seconds"] > 0
    log = (out / "log.csv").read_text().splitlines()
    assert len(log) == 1 + 2 * 4 * 2  # a head, then seeds x folds x epochs
    assert {"seed", "fold", "epoch", "train_loss", "dev_UA"} <= set(log[0].split(","))
    fold = out / "seed-0" / "fold-03"
    assert np.load(fold / "embeddings.npy").shape == (8, 6)  # 4 channels: 6 correlations
    assert (fold / "model" / "model.safetensors").exists()
    assert (out / "report.html").exists()


@pytest.mark.parametrize("changes", [{}, FOREST])
def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(folder, tmp_path, changes):
    data = {"emodb": folder}
    first = experiment.run(recipe(**changes), data=data, out=tmp_path / "a")
    second = experiment.run(recipe(**changes), data=data, out=tmp_path / "b")
    other = experiment.run(recipe(**changes, seeds=[1]), data=data, out=tmp_path / "c")
    assert files(first) == files(second)
    ours = {p.id: p.probabilities for p in predictions.read(first)}
    theirs = {p.id: p.probabilities for p in predictions.read(other)}
    assert ours != theirs


def test_a_stopped_run_goes_on_where_it_was(folder, tmp_path):
    data, out = {"emodb": folder}, tmp_path / "run"
    experiment.run(recipe(), data=data, out=out)
    whole = files(out)
    log = (out / "log.csv").read_text()
    (out / "seed-0" / "fold-09" / "predictions.jsonl").unlink()
    kept = out / "seed-0" / "fold-03" / "predictions.jsonl"
    before = kept.stat().st_mtime_ns
    experiment.run(recipe(), data=data, out=out)
    assert files(out) == whole
    assert kept.stat().st_mtime_ns == before
    assert sorted((out / "log.csv").read_text().splitlines()) == sorted(log.splitlines())


def test_another_recipe_or_other_data_do_not_go_on_in_a_run(folder, trees, tmp_path):
    out = experiment.run(recipe(), data={"emodb": folder}, out=tmp_path / "run")
    with pytest.raises(RunError, match="run of another recipe; .*--out.*--overwrite"):
        experiment.run(recipe(seeds=[1]), data={"emodb": folder}, out=out)
    fewer = trees.emodb(tmp_path / "fewer", speakers=("03", "08", "09"))
    with pytest.raises(RunError, match="its folds are not those of the corpus given now"):
        experiment.run(recipe(), data={"emodb": fewer}, out=out)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    with pytest.raises(RunError, match="not empty and not a run"):
        experiment.run(recipe(), data={"emodb": folder}, out=tmp_path / "full")


@pytest.fixture
def five_hundred(trees, tmp_path) -> Path:
    """500 recordings, three of them broken in different ways."""
    folder = trees.emodb(tmp_path / "many", speakers=("03", "08", "09", "10", "11"), per_emotion=25)
    wavs = sorted(p for p in folder.glob("wav/*.wav") if p.stem[5] in "WFNT")
    assert len(wavs) == 500
    wavs[10].write_bytes(b"")
    wavs[200].write_text("not a recording")
    soundfile.write(wavs[400], np.full(8000, np.nan), 16_000, subtype="FLOAT")
    return folder


@pytest.mark.parametrize("changes", [{"stage": [{"epochs": 1}]}, FOREST])
def test_broken_files_are_named_before_training(five_hundred, tmp_path, changes):
    out = tmp_path / "run"
    with pytest.raises(AudioError, match=r"3 of 500 recordings cannot be used") as e:
        experiment.run(recipe(**changes), data={"emodb": five_hundred}, out=out)
    told = str(e.value)
    assert "the file is empty" in told
    assert "not readable as audio" in told
    assert "NaN" in told
    assert 'on_error="skip"' in told
    assert not list(out.rglob("predictions.jsonl"))


@pytest.mark.parametrize("changes", [{"stage": [{"epochs": 1}]}, FOREST])
def test_broken_files_can_be_left_out_and_are_listed(five_hundred, tmp_path, caplog, changes):
    out = experiment.run(
        recipe(**changes, on_error="skip"), data={"emodb": five_hundred}, out=tmp_path / "run"
    )
    assert "3 of 500 recordings cannot be used" in caplog.text
    assert len(predictions.read(out)) == 497
    skipped = json.loads((out / "corpus.json").read_text())["skipped"]
    assert len(skipped) == 3
    page = (out / "report.html").read_text()
    assert all(s["id"] in page for s in skipped)


@pytest.mark.parametrize(
    ("changes", "error", "told"),
    [
        ({"protocol": {"name": "leave-one-session-out"}}, ProtocolError, "session.*speaker-k-fold"),
        ({"protocol": {"name": "official"}}, ProtocolError, "part.*speaker-k-fold"),
        ({"protocol": {"name": "leave-one-out"}}, RecipeError, "Did you mean 'leave-one-"),
        ({"encoder": {"name": "log-mell"}}, RecipeError, "Did you mean 'log-mel'"),
        ({"pooling": {"name": "mean", "head": 4}}, RecipeError, "key 'head' is not known"),
        ({"stage": [{"optimizer": {"name": "adam", "lr": "fast"}}]}, RecipeError, "'lr'.*'fast'"),
        ({"corpus": {"name": "emodb", "labels": "5-class"}}, CorpusError, "choose from 4-class"),
        ({"corpus": {"name": "emodb", "song": True}}, RecipeError, "key 'song' is not known"),
        ({"audio": [{"name": "crop"}]}, RecipeError, "key 'seconds' is missing"),
        (FOREST | {"encoder": {"name": "mfcc"}}, RecipeError, "a classifier needs one vector"),
    ],
)
def test_a_recipe_that_cannot_be_run_says_why(folder, tmp_path, changes, error, told):
    with pytest.raises(error, match=told):
        experiment.run(recipe(**changes), data={"emodb": folder}, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_folders_of_corpora_are_found_or_asked_for(folder, tmp_path):
    both = recipe(corpus=[{"name": "emodb"}, {"name": "ravdess"}])
    with pytest.raises(CorpusError, match="'ravdess'; give it with --data ravdess=DIR"):
        experiment.read(both, {"emodb": folder})
    with pytest.raises(CorpusError, match="--data nemo=.*: the recipe has no such corpus"):
        experiment.read(recipe(), {"nemo": folder})
    with pytest.raises(CorpusError, match="gone"):
        experiment.read(recipe(), {"": tmp_path / "gone"})
    assert len(experiment.read(recipe(), {})[0]) == 339  # the bundled corpus


def test_random_crops_differ_between_epochs_and_repeat_with_the_seed(folder, tmp_path):
    crop = [{"name": "crop", "seconds": 0.2, "where": "random"}]
    data = {"emodb": folder}
    runs = [
        experiment.run(recipe(audio=steps), data=data, out=tmp_path / name)
        for name, steps in (
            ("a", crop),
            ("b", crop),
            ("c", [crop[0] | {"where": "centre"}]),
        )
    ]
    assert files(runs[0]) == files(runs[1]) != files(runs[2])


def test_a_small_network_learns_from_functionals(folder, tmp_path):
    out = experiment.run(
        recipe(
            encoder={"name": "opensmile"},
            pooling={"name": "mean", "dim": 0},
            head={"name": "mlp", "hidden": 16, "norm": True},
        ),
        data={"emodb": folder},
        out=tmp_path / "run",
    )
    assert np.load(out / "seed-0/fold-03/embeddings.npy").shape == (8, 16)


def test_several_languages_in_one_run(trees, tmp_path):
    data = {
        "emodb": trees.emodb(tmp_path / "emodb"),
        "ravdess": trees.ravdess(tmp_path / "ravdess"),
        "nemo": trees.nemo(tmp_path / "nemo"),
    }
    out = experiment.run(
        recipe(
            **FOREST,
            corpus=[{"name": name, "labels": "4-class"} for name in data],
            protocol={"name": "leave-one-language-out"},
        ),
        data=data,
        out=tmp_path / "run",
    )
    tested = {p.fold: p.language for p in predictions.read(out)}
    assert tested == {"de": "de", "en": "en", "pl": "pl"}


def test_a_short_run_on_real_speech_is_better_than_chance(emodb_folder, tmp_path):
    real = recipe(
        protocol={"name": "deep-wccn"},
        encoder={"name": "log-mel", "bands": 40},
        pooling={"name": "attentive-correlation", "dim": 24},
        stage=[{"epochs": 8, "optimizer": {"name": "adam", "lr": 3e-3}}],
    )
    out = experiment.run(real, data={"emodb": emodb_folder}, out=tmp_path / "run")
    ua = json.loads((out / "report.json").read_text())["scores"]["UA"]
    assert ua["low"] > 0.4  # chance is 0.25


def test_every_mistake_is_an_affekt_error():
    assert all(issubclass(e, AffektError) for e in (AudioError, CorpusError, RecipeError, RunError))
