import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
import soundfile

from affekt import experiment, protocols
from affekt.errors import AudioError, ProtocolError, RecipeError, RunError
from affekt.recipe import Recipe
from affekt.search import report
from affekt.search.run import search
from affekt.search.space import Space, fill
from affekt.training import fit

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture
def searched(toy, space, emodb_of_noise, tmp_path):
    """Calls search on the toy recipe over noise."""

    def call(trials: int, *, out: str = "out", keys: object = None, **changes):
        settings = {k: changes.pop(k) for k in ("seed", "prune", "storage") if k in changes}
        return search(
            toy(**changes),
            Space.parse(keys) if keys else space,
            trials=trials,
            out=tmp_path / out,
            data={"emodb": emodb_of_noise},
            **settings,
        )

    return call


def plain(found):
    """What does not depend on the clock."""
    rows = [{k: v for k, v in t.items() if k != "seconds"} for t in found["trials"]]
    return rows, {k: found[k] for k in ("keys", "about", "folds", "notes")}


@pytest.mark.parametrize(
    ("select", "measured"), [("best-dev", "dev_UA"), ("best-dev-WA", "dev_WA")]
)
def test_the_score_is_the_best_dev_score_of_the_last_stage_over_folds_and_seeds(
    searched, toy, emodb_of_noise, select, measured
):
    stages = [{"epochs": 3}, {"epochs": 2, "select": select}]
    changes = {"seeds": [0, 1], "stage": stages}
    found = searched(2, **changes)
    recipe, data = toy(**changes), {"emodb": emodb_of_noise}
    folds = experiment.divide(recipe, experiment.read(recipe, data)[0])
    ready = experiment.prepare(recipe, folds)  # test sides too
    for trial in found["trials"]:
        filled = fill(recipe, trial["values"], "test")
        scores = {}
        for seed in (0, 1):
            for fold in ready.folds:
                (made,) = fit.fitted(filled, fold, ready.features, seed=seed, steps=ready.steps)
                rows = [row for row in made.history if row["stage"] == 1]
                assert [row["epoch"] for row in rows] == [4, 5]
                scores[seed, fold.name] = max(row[measured] for row in rows)
        assert {(s["seed"], s["fold"]): s["score"] for s in trial["scores"]} == scores
        assert trial["score"] == pytest.approx(fmean(scores.values()))
    assert found["best"]["score"] == max(t["score"] for t in found["trials"])
    assert found["score"] == measured.replace("_", " ")


def test_the_test_side_is_never_read(searched, emodb_of_noise):
    whole = searched(2, folds=["03"])
    for wav in emodb_of_noise.glob("wav/03*.wav"):
        wav.write_bytes(b"")
    assert plain(searched(2, folds=["03"], out="blind")) == plain(whole)
    with pytest.raises(AudioError, match="8 of 24 recordings cannot be used"):
        for wav in emodb_of_noise.glob("wav/08*.wav"):  # dev
            wav.write_bytes(b"")
        searched(2, folds=["03"], out="none")


@pytest.mark.parametrize("encoder", ["mfcc", "opensmile", "speech", "trained"])
def test_recordings_of_the_test_side_need_not_be_there(toy, tmp_path, checkpoint, encoder):
    rows, rng = ["file,emotion,speaker"], np.random.default_rng(0)
    for speaker in "123":
        for emotion in ("angry", "sad"):
            name = f"{speaker}{emotion}.wav"
            rows.append(f"{name},{emotion},{speaker}")
            if speaker != "1":
                soundfile.write(tmp_path / name, rng.uniform(-0.5, 0.5, 8000), 16_000)
    (tmp_path / "mine.csv").write_text("\n".join(rows))
    speech = {"name": "speech", "model": str(checkpoint("wavlm"))}
    sections = {"speech": speech, "trained": speech | {"trainable": "transformer"}}
    recipe = toy(
        corpus={"name": "manifest"}, folds=["1"], encoder=sections.get(encoder, {"name": encoder})
    )
    settings = {"trials": 1, "data": {"manifest": tmp_path / "mine.csv"}}
    keys = Space.parse({"pooling.dim": [2, 3]})
    found = search(recipe, keys, out=tmp_path / "out", **settings)
    assert [s["fold"] for s in found["best"]["scores"]] == ["1"]
    with pytest.raises(AudioError, match="2 of 6 recordings"):  # a run tests them
        experiment.run(recipe, data=settings["data"], out=tmp_path / "run")


def test_a_search_in_parts_is_the_search_in_one_go(searched):
    whole = searched(4)
    first = searched(2, out="parts")
    assert plain(first)[0] == [
        t | {"best": t["trial"] == first["best"]["trial"]} for t in plain(whole)[0][:2]
    ]
    assert plain(searched(4, out="parts")) == plain(whole)


def test_enough_trials_are_left_as_they_are(searched, tmp_path):
    before = searched(2)
    study = (tmp_path / "out" / "study.journal").read_bytes()
    assert plain(searched(2)) == plain(before)
    old = [json.loads(line) for line in study.splitlines()]
    new = [json.loads(x) for x in (tmp_path / "out" / "study.journal").read_bytes().splitlines()]
    assert new[: len(old)] == old
    assert {line["op_code"] for line in new[len(old) :]} <= {0}  # opened


@pytest.mark.parametrize("key", ["pooling.dim", "encoder.bands"])
def test_features_are_made_once_unless_a_trial_wants_others(toy, emodb_of_noise, tmp_path, key):
    told = []
    found = search(
        toy(folds=["03"]),
        Space.parse({key: [4, 8]}),
        trials=5,
        out=tmp_path / "out",
        data={"emodb": emodb_of_noise},
        progress=lambda what, done, of: told.append((what, done)),
    )
    bands = [t["values"].get("encoder.bands") for t in found["trials"]]
    changes = sum(a != b for a, b in itertools.pairwise([8, *bands])) if bands[0] else 0
    assert told.count(("features", 0)) == 1 + changes
    assert bool(changes) == (key == "encoder.bands")


def test_two_processes_share_the_trials(toy, emodb_of_noise, tmp_path):
    (tmp_path / "toy.toml").write_text(toy(folds=["03"]).toml())
    (tmp_path / "space.toml").write_text('"pooling.dim" = { low = 1, high = 99 }')
    words = [sys.executable, "-m", "affekt", "search", "toy.toml", "--space", "space.toml"]
    words += ["--trials", "7", "--data", str(emodb_of_noise), "--out", "out"]
    both = [
        subprocess.Popen(words, cwd=tmp_path, env=dict(os.environ), stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    told = [process.communicate(timeout=300)[1].decode() for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    trained = [{line for line in lines.splitlines() if "seed 0" in line} for lines in told]
    assert len(trained[0] | trained[1]) == 7
    assert not trained[0] & trained[1]
    found = json.loads((tmp_path / "out" / "search.json").read_text())
    assert [t["trial"] for t in found["trials"]] == list(range(1, 8))
    assert len({t["values"]["pooling.dim"] for t in found["trials"]}) > 1


def test_the_best_recipe_is_whole_and_can_be_run_and_be_a_base(searched, tmp_path, emodb_of_noise):
    found = searched(3, expected={"UA": 0.5}, source="a paper")
    best = Recipe.load(tmp_path / "out" / "best.toml")
    assert best.stage[0].optimizer.options["lr"] == found["best"]["values"]["stage.0.optimizer.lr"]
    assert best.pooling is not None
    assert best.pooling.name == found["best"]["values"]["pooling.name"]
    assert (best.title, best.expected, best.source) == ("toy, values of a search", {}, "")
    (tmp_path / "row.toml").write_text('base = "out/best.toml"\nfolds = ["03"]\n')
    row = Recipe.load(tmp_path / "row.toml")
    experiment.run(row, data={"emodb": emodb_of_noise}, out=tmp_path / "run")
    assert row.pooling == best.pooling


def test_a_mistake_within_a_trial_is_listed_and_the_others_go_on(searched, tmp_path):
    changes = {"mix": {"name": "layer"}, "folds": ["03"]}
    found = searched(8, keys={"mix.number": {"low": -1, "high": 2}}, **changes)
    for trial in found["trials"]:
        failed = trial["values"]["mix.number"] > 0  # log-mel has one layer
        assert trial["state"] == ("failed" if failed else "complete")
        assert ("the encoder has the layers 0 to 0" in (trial["reason"] or "")) == failed
    assert len({t["state"] for t in found["trials"]}) == 2
    for name in ("search.html", "search.md"):
        assert "the encoder has the layers 0 to 0" in (tmp_path / "out" / name).read_text()
    keys = {"mix.number": {"low": 1, "high": 2}}
    with pytest.raises(RunError, match="no trial came to a score:\n- mix 'layer': number = "):
        searched(2, out="none", keys=keys, **changes)


def test_balanced_languages_are_trained_on_as_a_run_does(trees, toy, tmp_path):
    data = {
        "emodb": trees.emodb(tmp_path / "emodb", per_emotion=4),
        "ravdess": trees.ravdess(tmp_path / "ravdess"),
    }
    recipe = toy(
        corpus=[{"name": name, "labels": "4-class"} for name in data],
        protocol={"name": "speaker-k-fold", "folds": 4},
        folds=["1"],
        balance="language",
    )
    dims = Space.parse({"pooling.dim": [3, 4]})
    best = search(recipe, dims, trials=1, out=tmp_path / "out", data=data)["best"]
    ready = experiment.prepare(recipe, experiment.divide(recipe, experiment.read(recipe, data)[0]))
    fold = protocols.balanced(ready.folds[0], "language")
    assert len(fold.train) > len(ready.folds[0].train)
    (made,) = fit.fitted(fill(recipe, best["values"], ""), fold, ready.features, seed=0)
    assert best["score"] == max(row["dev_UA"] for row in made.history)


@pytest.mark.parametrize(
    ("changes", "error", "told"),
    [
        (
            {"classifier": {"name": "linear-svm"}, "pooling": None, "stage": None},
            RecipeError,
            "'linear-svm' has no use for a dev side",
        ),
        ({"stage": [{"select": "last"}]}, RecipeError, 'select = "last".*-s stage.0.select=best'),
        (
            {"protocol": {"name": "leave-one-speaker-out"}},
            ProtocolError,
            r"fold\(s\) 03, 08 have no dev side.*-s protocol.dev=next-speaker",
        ),
        ({"keys": {"stage.0.select": ["best-dev", "best-dev-WA"]}}, RecipeError, "to dev_WA"),
        ({"keys": {"stage.0.select": ["best-dev", "last"]}}, RecipeError, 'select = "last"'),
        ({"keys": {"pooling.heads": [1, 2]}}, RecipeError, "key 'heads' is not known"),
        ({"keys": {"folds": [["03"], ["08"]]}}, RecipeError, "'folds' cannot be searched"),
    ],
)
def test_what_cannot_be_searched_says_why_and_leaves_nothing(
    searched, tmp_path, changes, error, told
):
    with pytest.raises(error, match=told):
        searched(2, **changes)
    assert not (tmp_path / "out").exists()


def test_a_search_of_something_else_is_refused(searched, tmp_path, emodb_of_noise):
    searched(1)
    for other, changes in {
        "recipe": {"seeds": [1]},
        "space": {"keys": {"pooling.dim": [2, 3]}},
        "seed": {"seed": 1},
        "pruning": {"prune": True},
    }.items():
        with pytest.raises(RunError, match="holds what another search found"):
            searched(1, **changes)
        with pytest.raises(RunError, match=f"holds a search of another {other}; choose"):
            searched(1, out="new", storage=str(tmp_path / "out" / "study.journal"), **changes)
    wav = sorted(emodb_of_noise.glob("wav/10*W?.wav"))[0]  # of train
    soundfile.write(wav, np.zeros(8000) + 0.1, 16_000)
    with pytest.raises(RunError, match="another corpus"):
        searched(1, out="new", storage=str(tmp_path / "out" / "study.journal"))
    searched(1, out="new")


def test_a_folder_with_other_things_is_refused(searched, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").touch()
    with pytest.raises(RunError, match="holds thesis.tex, which no search wrote"):
        searched(1)
    with pytest.raises(RunError, match="is a file; choose a folder"):
        searched(1, out="out/thesis.tex")


def test_the_pages_tell_the_best_values_and_what_they_were_chosen_on(searched, tmp_path):
    found = searched(3)
    assert found["notes"] == [report.CHOSEN, report.ROTATING.format("08")]
    page = (tmp_path / "out" / "search.html").read_text()
    text = (tmp_path / "out" / "search.md").read_text()
    for words in ("stage.0.optimizer.lr", f"{found['best']['score']:.3f}", "0.0001 to 0.1, log"):
        assert words in page
        assert words in text
    assert page.count("<svg") == 4
    assert report.CHOSEN in text
    assert searched(1, out="one", folds=["03"])["notes"] == [report.CHOSEN]


def test_the_command_finds_prints_and_goes_on(affekt, toy, emodb_of_noise, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("toy.toml").write_text(toy().toml())
    words = ("search", "toy.toml", "--space", "optimizer", "--data", emodb_of_noise)
    words += ("-s", 'folds=["03"]', "--encoder", "mfcc", "--storage", "shared/trials.journal")
    code, _, err = affekt(*words, "--trials", 1)
    assert (code, "there is no folder shared; give" in err) == (1, True)
    Path("shared").mkdir()
    code, out, err = affekt(*words, "--trials", 1)
    assert (code, "trial 1 of 1, seed 0, fold 03" in err) == (0, True)
    assert "of 1 " in out
    assert "To test it: affekt run runs/toy-search/best.toml" in out
    assert out.endswith("Report: runs/toy-search/search.html")
    assert Path("shared/trials.journal").exists()
    code, _, err = affekt(*words, "--trials", 2)
    assert (code, "trial 1" in err, "trial 2 of 2" in err) == (0, False, True)
    assert affekt("run", "runs/toy-search/best.toml", "--data", emodb_of_noise)[0] == 0
    code, _, err = affekt(*words, "--trials", 2, "--space", "optimiser")
    assert (code, "Did you mean 'optimizer'?" in err) == (1, True)


def test_without_optuna_the_error_names_the_extra(tmp_path):
    script = (
        "import sys; sys.modules['optuna'] = None; from affekt import cli; "
        "sys.argv = ['affekt', 'search', 'demo/poolings/mean', '--space', 'x', '--trials', '1'];"
        "cli.main()"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 1
    assert 'run: pip install "affekt[search]"' in done.stderr
