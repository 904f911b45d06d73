"""`affekt similarity` on a run, and on encoders."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from affekt import audio, corpora
from affekt.encoders.speech import Speech
from affekt.evaluation.similarity import similarity

pytestmark = pytest.mark.usefixtures("own_cache")
STAGES = """
[[stage]]
objective = { name = "supervised-contrastive" }
trains = ["encoder", "pooling"]
optimizer = { name = "adam", lr = 1e-2 }
epochs = 1
batch_size = 8
select = "last"
[[stage]]
per = "corpus"
trains = ["pooling", "head"]
epochs = 1
select = "last"
"""


@pytest.fixture
def folders(trees, tmp_path):
    return trees.emodb(tmp_path / "emodb"), trees.ravdess(tmp_path / "ravdess")


@pytest.fixture
def data(folders):
    return "--data", f"emodb={folders[0]}", "--data", f"ravdess={folders[1]}"


@pytest.fixture
def recipe(checkpoint, tmp_path):
    def write(stages=STAGES, trainable="transformer"):
        (tmp_path / "two.toml").write_text(f"""
title = "pairs"
corpus = [{{ name = "emodb" }}, {{ name = "ravdess" }}]
protocol = {{ name = "speaker-k-fold", folds = 2, dev = "none" }}
encoder = {{ name = "speech", model = "{checkpoint("hubert")}", trainable = "{trainable}" }}
mix = {{ name = "layer" }}
pooling = {{ name = "self-attention" }}
{stages}""")
        return tmp_path / "two.toml"

    return write


def test_a_run_before_and_after(affekt, recipe, data, folders, checkpoint, tmp_path):
    run = tmp_path / "run"
    assert affekt("run", recipe(), *data, "--out", run)[0] == 0
    code, out, _ = affekt("similarity", run, *data)
    assert code == 0
    assert "before" in out and "after" in out
    found = json.loads((run / "similarity.json").read_text())
    rows = {(row["encoder"], row["layer"]): row for row in found["rows"]}
    assert list(rows) == [(name, layer) for name in ("before", "after") for layer in range(4)]
    corpus = corpora.read("emodb", folders[0]), corpora.read("ravdess", folders[1])
    said = {u.key: u for one in corpus for u in one}
    encoder = Speech(model=str(checkpoint("hubert")), trainable="transformer", precision="fp32")
    for name in ("before", "after"):
        for number, fold in enumerate(json.loads((run / "folds.json").read_text())):
            if name == "after":
                saved = load_file(run / f"seed-0/fold-{fold['name']}/model/emodb/model.safetensors")
                weights = {k: w for k, w in saved.items() if k.startswith("encoder.")}
                encoder.load_state_dict({k.removeprefix("encoder."): w for k, w in weights.items()})
            for side in ("train", "test"):
                of = [said[key] for key in fold[side]]
                means = np.stack([averaged(encoder, u) for u in of])
                pairs = similarity(means, [u.emotion for u in of], [u.corpus for u in of])
                for kind in ("positive", "negative"):
                    ours = [rows[name, n][side]["folds"][kind][number] for n in range(4)]
                    assert ours == pytest.approx(getattr(pairs, kind), abs=0.01)
    for ending in ("html", "md"):
        assert "pairs" in (run / f"similarity.{ending}").read_text()
    assert affekt("run", recipe(), *data, "--out", run)[0] == 0  # its folder is still a run's


@torch.no_grad()
def averaged(encoder, u):
    wav = torch.from_numpy(audio.read(u.audio))
    return encoder(wav[None], torch.tensor([len(wav)])).layers[0].mean(dim=1).numpy()


def test_two_encoders_on_a_recipe(affekt, recipe, data, checkpoint, tmp_path):
    pair = "--encoder", checkpoint("hubert"), "--encoder", checkpoint("wavlm")
    words = ("similarity", recipe(), *data, *pair, "--out", tmp_path / "out")
    code, out, err = affekt(*words)
    assert code == 0, err
    rows = json.loads((tmp_path / "out/similarity.json").read_text())["rows"]
    assert {row["encoder"] for row in rows} == {str(checkpoint(n)) for n in ("hubert", "wavlm")}
    assert all(len(row["test"]["folds"]["positive"]) == 2 for row in rows)


def test_direct_fine_tuning_has_an_encoder_after_it_for_each_corpus(affekt, recipe, data, tmp_path):
    tuned = '[[stage]]\nper = "corpus"\nepochs = 1\nselect = "last"\n'
    assert affekt("run", recipe(tuned), *data, "--out", tmp_path / "run")[0] == 0
    assert affekt("similarity", tmp_path / "run", *data)[0] == 0
    rows = json.loads((tmp_path / "run/similarity.json").read_text())["rows"]
    names = list(dict.fromkeys(row["encoder"] for row in rows))
    assert names == ["before", "after, emodb", "after, ravdess"]
    model = tmp_path / "run/seed-0/fold-1/model/emodb/model.safetensors"
    model.write_bytes(model.read_bytes()[:1000])
    told = affekt("similarity", tmp_path / "run", *data)[2]
    assert "model.safetensors is damaged" in told
    assert f"remove {model.parent.parent.parent} and run the recipe again" in told
    model.unlink()
    assert "no model there" in affekt("similarity", tmp_path / "run", *data)[2]


def test_folds_that_test_one_corpus_each_have_the_encoder_of_that(affekt, recipe, data, tmp_path):
    tuned = '[[stage]]\nper = "corpus"\nepochs = 1\nselect = "last"\n'
    file = recipe(tuned)
    alone = 'protocol={name="leave-one-speaker-out"}', 'folds=["emodb-03", "ravdess-01"]'
    changes = [word for change in alone for word in ("-s", change)]
    assert affekt("run", file, *data, *changes, "--out", tmp_path / "run")[0] == 0
    code, _, err = affekt("similarity", tmp_path / "run", *data)
    assert code == 0, err
    rows = json.loads((tmp_path / "run/similarity.json").read_text())["rows"]
    folds = {row["encoder"]: len(row["test"]["folds"]["positive"]) for row in rows}
    assert folds == {"before": 2, "after, emodb": 1, "after, ravdess": 1}


def test_another_corpus_than_the_runs_is_refused(affekt, recipe, data, folders, trees, tmp_path):
    assert affekt("run", recipe(), *data, "--out", tmp_path / "run")[0] == 0
    trees.sound(next((folders[1] / "Actor_01").iterdir()), seconds=0.4)
    assert "is not the same as" in affekt("similarity", tmp_path / "run", *data)[2]


def test_what_it_cannot_look_at_is_told(affekt, recipe, data, tmp_path):
    assert "not the folder of a run; give one" in affekt("similarity", "nowhere", *data)[2]
    (tmp_path / "empty").mkdir()
    assert "no run there" in affekt("similarity", tmp_path / "empty", *data)[2]
    frozen = recipe('[[stage]]\nepochs = 1\nselect = "last"\n', "none")
    run = tmp_path / "run"
    assert affekt("run", frozen, *data, "--out", run)[0] == 0
    assert "its encoder was not trained" in affekt("similarity", run, *data)[2]
    words = ("similarity", recipe(), *data[:2], "--encoder", "log-mel")
    assert "no folder for the corpus 'ravdess'" in affekt(*words)[2]
