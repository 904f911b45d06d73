import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from affekt import experiment, run_folder
from affekt.errors import AudioError, CorpusError, ProtocolError, RecipeError, RunError
from affekt.evaluation import predictions
from affekt.recipe import Recipe
from toy import FOREST, recipe

pytestmark = pytest.mark.usefixtures("own_cache")


def files(run: Path) -> dict[str, bytes]:
    return {str(f.relative_to(run)): f.read_bytes() for f in run.rglob("predictions.jsonl")}


def test_a_run_leaves_everything_that_its_report_needs(emodb_of_noise, tmp_path):
    out = experiment.run(recipe(seeds=[0, 1]), data={"emodb": emodb_of_noise}, out=tmp_path / "run")
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
def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(
    emodb_of_noise, tmp_path, changes
):
    data = {"emodb": emodb_of_noise}
    first = experiment.run(recipe(**changes), data=data, out=tmp_path / "a")
    second = experiment.run(recipe(**changes), data=data, out=tmp_path / "b")
    other = experiment.run(recipe(**changes, seeds=[1]), data=data, out=tmp_path / "c")
    assert files(first) == files(second)
    ours = {p.id: p.probabilities for p in predictions.read(first)}
    theirs = {p.id: p.probabilities for p in predictions.read(other)}
    assert ours != theirs


@pytest.mark.parametrize("changes", [{}, FOREST])
def test_what_is_said_of_the_dev_side_lies_beside_the_predictions(
    emodb_of_noise, tmp_path, changes
):
    run = experiment.run(recipe(**changes), data={"emodb": emodb_of_noise}, out=tmp_path / "run")
    folds = json.loads((run / "folds.json").read_text())
    dev = predictions.read_dev(run)
    assert {place: [f"{p.corpus}:{p.id}" for p in said] for place, said in dev.items()} == {
        (0, fold["name"]): fold["dev"] for fold in folds
    }
    fitted = json.loads((run / "report.json").read_text())["confidence"]["temperatures"]
    assert [(row["fold"], row["n"]) for row in fitted] == [(f["name"], 8) for f in folds]


def test_an_older_run_without_dev_predictions_is_whole_and_goes_on(emodb_of_noise, tmp_path):
    data, out = {"emodb": emodb_of_noise}, tmp_path / "run"
    experiment.run(recipe(**FOREST), data=data, out=out)
    whole = files(out)
    for dev in out.rglob("dev.jsonl"):
        dev.unlink()
    (out / "seed-0" / "fold-09" / "predictions.jsonl").unlink()
    experiment.run(recipe(**FOREST), data=data, out=out)
    assert files(out) == whole
    assert [fold for _, fold in predictions.read_dev(out)] == ["09"]
    assert "affekt run --overwrite" in (out / "report.html").read_text()


def test_a_stopped_run_goes_on_where_it_was(emodb_of_noise, tmp_path):
    data, out = {"emodb": emodb_of_noise}, tmp_path / "run"
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


def test_another_recipe_does_not_go_on_in_a_run(emodb_of_noise, tmp_path):
    out = experiment.run(recipe(), data={"emodb": emodb_of_noise}, out=tmp_path / "run")
    with pytest.raises(
        RunError, match="run of another recipe, which differs in seeds; .*--out.*--overwrite"
    ):
        experiment.run(recipe(seeds=[1]), data={"emodb": emodb_of_noise}, out=out)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    with pytest.raises(RunError, match="holds thesis.tex, which no run wrote"):
        experiment.run(recipe(), data={"emodb": emodb_of_noise}, out=tmp_path / "full")


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").touch()
    for out in (tmp_path / "file/run", Path("/proc/x/run")):
        with pytest.raises(RunError, match=r"cannot be written \(.+\); choose .* with --out"):
            run_folder.begin(out, recipe())


def test_a_run_never_mixes_with_results_of_other_recordings_or_folds(trees, tmp_path):
    """A superset of the folds, the same names with other sound, a file that was mended."""
    folder = trees.emodb(tmp_path / "emodb")
    out = experiment.run(recipe(seeds=[0, 1]), data={"emodb": folder}, out=tmp_path / "run")
    (out / "seed-1/fold-03/predictions.jsonl").unlink()
    kept = {f: f.read_bytes() for f in folder.glob("wav/*")}
    told = "the corpus, its folds, or what could be read of it is not the same"
    one = next(f for f in sorted(kept) if f.stem[5] == "W")
    soundfile.write(one, np.random.default_rng(5).uniform(-0.5, 0.5, 8000), 16_000)
    with pytest.raises(RunError, match=told):
        experiment.run(recipe(seeds=[0, 1]), data={"emodb": folder}, out=out)
    one.write_bytes(kept[one])
    trees.emodb(folder, per_emotion=3)
    with pytest.raises(RunError, match=told):
        experiment.run(recipe(seeds=[0, 1]), data={"emodb": folder}, out=out)


def test_a_recipe_may_change_while_nothing_is_judged_and_in_what_is_only_told(
    emodb_of_noise, tmp_path
):
    broken = sorted(emodb_of_noise.glob("wav/*W?.wav"))[0]
    broken.write_bytes(b"")
    data, out = {"emodb": emodb_of_noise}, tmp_path / "run"
    with pytest.raises(AudioError, match="1 of 32"):
        experiment.run(recipe(), data=data, out=out)
    experiment.run(recipe(on_error="skip", seeds=[3]), data=data, out=out)
    before = json.loads((out / "environment.json").read_text())
    experiment.run(recipe(on_error="skip", seeds=[3], title="told"), data=data, out=out)
    assert Recipe.load(out / "recipe.toml").title == "told"
    assert json.loads((out / "environment.json").read_text()) == before  # nothing was trained


def test_a_missing_seed_is_not_reported_as_a_whole_run(emodb_of_noise, tmp_path):
    out = experiment.run(recipe(seeds=[0, 1]), data={"emodb": emodb_of_noise}, out=tmp_path / "run")
    shutil.rmtree(out / "seed-1")
    with pytest.raises(RunError, match="seed 1, fold '03' has predictions for 0 of 8"):
        predictions.read(out)


def test_clearing_removes_a_run_and_nothing_else(emodb_of_noise, tmp_path):
    out = experiment.run(recipe(), data={"emodb": emodb_of_noise}, out=tmp_path / "run")
    run_folder.clear(out)
    assert list(out.iterdir()) == []
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "recipe.toml").write_text("title = 'mine'")
    for call in (run_folder.clear, lambda path: run_folder.begin(path, recipe())):
        with pytest.raises(RunError, match="holds recipe.toml, which no run wrote"):
            call(mine)
    experiment.run(recipe(), data={"emodb": emodb_of_noise}, out=out)
    (out / "thesis.tex").touch()
    with pytest.raises(RunError, match="holds thesis.tex, which no run wrote"):
        run_folder.clear(out)
    assert (out / "thesis.tex").exists()


def test_a_class_that_was_not_trained_is_judged_but_not_learnt(emodb_of_noise, tmp_path):
    for happy in emodb_of_noise.glob("wav/*F?.wav"):
        if not happy.name.startswith(("03", "08")):
            happy.unlink()
    out = experiment.run(
        recipe(protocol={"name": "leave-one-speaker-out", "dev": "next-speaker"}),
        data={"emodb": emodb_of_noise},
        out=tmp_path / "run",
    )
    judged = [p for p in predictions.read(out) if p.fold == "03"]  # 08 is dev: none left in train
    assert {p.truth for p in judged} == {"angry", "happy", "neutral", "sad"}
    assert all(set(p.probabilities) == {"angry", "neutral", "sad"} for p in judged)


def test_folds_without_a_name_of_their_own_are_refused(tmp_path):
    rows = ["file,emotion,speaker"]
    for speaker in ("a b", "a-b", "c"):
        for n, emotion in enumerate(("angry", "sad")):
            name = f"{len(rows)}.wav"
            soundfile.write(tmp_path / name, np.random.default_rng(n).uniform(-1, 1, 8000), 16_000)
            rows.append(f"{name},{emotion},{speaker}")
    (tmp_path / "mine.csv").write_text("\n".join(rows))
    with pytest.raises(ProtocolError, match="folds are called a-b, but each needs a name of its"):
        experiment.run(
            recipe(corpus={"name": "manifest"}),
            data={"manifest": tmp_path / "mine.csv"},
            out=tmp_path / "run",
        )


def test_the_folds_of_a_run_serve_another_one(emodb_of_noise, tmp_path):
    data = {"emodb": emodb_of_noise}
    first = experiment.run(
        recipe(protocol={"name": "random-k-fold-shares-speakers", "folds": 2}),
        data=data,
        out=tmp_path / "a",
    )
    saved = {"name": "saved", "path": str(first / "folds.json")}
    second = experiment.run(recipe(protocol=saved), data=data, out=tmp_path / "b")
    assert (second / "folds.json").read_text() == (first / "folds.json").read_text()
    assert files(second) == files(first)


def test_shots_of_the_tested_language_are_added_to_train(trees, tmp_path):
    data = {
        "emodb": trees.emodb(tmp_path / "emodb"),
        "ravdess": trees.ravdess(tmp_path / "ravdess"),
    }
    few = recipe(
        **FOREST,
        corpus=[{"name": name, "labels": "4-class"} for name in data],
        protocol={"name": "leave-one-language-out", "held_back": 0.5},
        few_shot={"shots": 5},
    )
    corpus, _ = experiment.read(few, data)
    for fold in experiment.divide(few, corpus):
        shots = [u for u in fold.train if u.language == fold.name]
        assert len(shots) == 5
        assert not {u.talker for u in shots} & {u.talker for u in fold.test}


def test_a_run_without_a_dev_side_says_that_it_kept_the_last_epoch(emodb_of_noise, tmp_path):
    out = experiment.run(
        recipe(protocol={"name": "leave-one-speaker-out"}),
        data={"emodb": emodb_of_noise},
        out=tmp_path / "run",
    )
    assert not list(out.rglob("dev.jsonl"))
    notes = json.loads((out / "corpus.json").read_text())["notes"]
    assert "the last epoch was kept" in notes[0]
    assert notes[0] in (out / "report.html").read_text()


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
        (
            {
                "encoder": {"name": "opensmile"},
                "audio": [{"name": "crop", "seconds": 1.0, "where": "random"}],
            },
            RecipeError,
            "a random crop needs frames",
        ),
        (
            FOREST | {"encoder": {"name": "speech", "trainable": "all"}},
            RecipeError,
            "a classifier cannot train its encoder",
        ),
    ],
)
def test_a_recipe_that_cannot_be_run_says_why(emodb_of_noise, tmp_path, changes, error, told):
    with pytest.raises(error, match=told):
        experiment.run(recipe(**changes), data={"emodb": emodb_of_noise}, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_folders_of_corpora_are_found_or_asked_for(emodb_of_noise, tmp_path):
    both = recipe(corpus=[{"name": "emodb"}, {"name": "ravdess"}])
    with pytest.raises(CorpusError, match="'ravdess'; give it with --data ravdess=DIR"):
        experiment.read(both, {"emodb": emodb_of_noise})
    with pytest.raises(CorpusError, match="--data nemo=.*: the recipe has no such corpus"):
        experiment.read(recipe(), {"nemo": emodb_of_noise})
    with pytest.raises(CorpusError, match="gone"):
        experiment.read(recipe(), {"": tmp_path / "gone"})
    assert len(experiment.read(recipe(), {})[0]) == 339  # the bundled corpus


def test_random_crops_differ_between_epochs_and_repeat_with_the_seed(emodb_of_noise, tmp_path):
    crop = [{"name": "crop", "seconds": 0.2, "where": "random"}]
    data = {"emodb": emodb_of_noise}
    runs = [
        experiment.run(recipe(audio=steps), data=data, out=tmp_path / name)
        for name, steps in (
            ("a", crop),
            ("b", crop),
            ("c", [crop[0] | {"where": "centre"}]),
        )
    ]
    assert files(runs[0]) == files(runs[1]) != files(runs[2])


def test_a_small_network_learns_from_functionals(emodb_of_noise, tmp_path):
    out = experiment.run(
        recipe(
            encoder={"name": "opensmile"},
            pooling={"name": "mean", "dim": 0},
            head={"name": "mlp", "hidden": 16, "norm": True},
        ),
        data={"emodb": emodb_of_noise},
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


def test_one_class_alone_is_refused(trees, tmp_path):
    folder = trees.emodb(tmp_path / "emodb")
    only = recipe(corpus={"name": "emodb", "labels": {"happy": "happy"}})
    with pytest.raises(ProtocolError, match="all 4 training utterances are happy"):
        experiment.run(only, data={"emodb": folder}, out=tmp_path / "run")


def test_a_classifier_is_given_mean_and_deviation_of_frames(emodb_of_noise, tmp_path):
    run = experiment.run(
        recipe(**FOREST | {"encoder": {"name": "mfcc"}}),
        data={"emodb": emodb_of_noise},
        out=tmp_path / "run",
    )
    assert len(predictions.read(run)) == 4 * 8
