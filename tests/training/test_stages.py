"""Stages one after the other: what each trains, on which corpora, and a model for each corpus."""

import csv
import json
from dataclasses import replace

import pytest
import torch

import affekt
from affekt.encoders.speech import Speech
from affekt.errors import CorpusError, ProtocolError, RecipeError
from affekt.evaluation import predictions
from affekt.experiment import divide, read
from affekt.notes import notes
from affekt.protocols import SIDES
from affekt.search import dev
from affekt.training.check import check, check_folds
from affekt.types import Corpus
from staged import DEV, LAST, OWN, PAIRS, TUNED, changed, learnt, recipe, weights

pytestmark = pytest.mark.usefixtures("own_cache")


def test_two_stages_leave_a_model_for_each_corpus_over_one_encoder(checkpoint, data, tmp_path):
    both = recipe(checkpoint, PAIRS, OWN)
    run = affekt.run(both, data=data, out=tmp_path / "run")
    german, english = weights(run, "emodb"), weights(run, "ravdess")
    shapes = {n for n, weight in german.items() if weight.shape != english[n].shape}
    assert shapes == {"head.3.weight", "head.3.bias"}  # 7 and 8 classes
    same = {name: weight for name, weight in german.items() if name not in shapes}
    assert changed(english, same) == {"pooling", "head"}
    alone = affekt.run(
        recipe(checkpoint, PAIRS, LAST | {"epochs": 1, "trains": ["head"]}),
        data=data,
        out=tmp_path / "alone",
    )
    first = weights(alone)
    for own in (german, english):  # the second stage leaves what the first made, to the last bit
        assert all(torch.equal(first[n], own[n]) for n in own if n.startswith("encoder."))
    names = learnt(Speech(model=str(checkpoint("hubert")), trainable="transformer"), first)
    assert any("layers.0" in name for name in names)
    assert not any("feature_" in name for name in names)
    judged = predictions.read(run)
    for corpus, rows in (("emodb", 7), ("ravdess", 8)):
        assert {len(p.probabilities) for p in judged if p.corpus == corpus} == {rows}
    assert {p.corpus for p in judged} == {"emodb", "ravdess"}
    assert not (run / "seed-0/fold-1/checkpoints").exists()
    log = (run / "log.csv").read_text().splitlines()
    assert log[0].startswith("seed,fold,stage,epoch,steps")
    assert [line.split(",")[2] for line in log[1:]] == ["0", "0", "1", "1", "1", "1"]


def test_a_corpus_has_the_same_model_whatever_else_is_tested(checkpoint, data, tmp_path):
    runs = [
        affekt.run(recipe(checkpoint, PAIRS, OWN, **on), data=data, out=tmp_path / str(n))
        for n, on in enumerate(({}, {"test_on": ["ravdess"]}))
    ]
    a, b = (weights(run, "ravdess") for run in runs)
    assert not changed(a, b)
    assert not (runs[1] / "seed-0/fold-1/model/emodb").exists()
    assert {p.corpus for p in predictions.read(runs[1])} == {"ravdess"}


def test_direct_fine_tuning_begins_anew_for_each_corpus(checkpoint, data, tmp_path):
    tuned = OWN | {"trains": ["encoder", "pooling", "head"]}
    run = affekt.run(recipe(checkpoint, tuned), data=data, out=tmp_path / "run")
    german, english = weights(run, "emodb"), weights(run, "ravdess")
    assert changed(english, {n: w for n, w in german.items() if "head.3" not in n}) >= {"encoder"}
    only = recipe(checkpoint, tuned, train_on=["ravdess"], test_on=["ravdess"])
    alone = affekt.run(only, data=data, out=tmp_path / "alone")
    assert not changed(english, weights(alone, "ravdess"))


def test_a_stage_hears_only_the_corpora_that_it_names(checkpoint, data, tmp_path):
    named = recipe(checkpoint, LAST | {"train_on": ["ravdess"], "epochs": 1}, OWN)
    run = affekt.run(named, data=data, out=tmp_path / "run")
    with (run / "log.csv").open(newline="") as file:
        steps = int(next(csv.DictReader(file))["steps"])
    (fold,) = divide(named, read(named, data)[0])
    assert steps == sum(u.corpus == "ravdess" for u in fold.train) // LAST["batch_size"]


@pytest.mark.parametrize(
    ("stages", "changes", "told"),
    [
        ([LAST, PAIRS], {}, "no stage after pairs of clips trains the head"),
        ([PAIRS, OWN], {"encoder": {"name": "log-mel"}}, "but 'log-mel' has nothing to train"),
        ([OWN | {"train_on": ["emodb"]}], {}, 'per = "corpus" trains on one corpus at a time'),
        ([OWN, LAST], {}, 'stage.0 has per = "corpus"'),
        ([LAST | {"trains": []}], {}, "trains"),
        ([LAST | {"trains": ["mix"]}], {}, "'encoder', 'pooling' or 'head'"),
        ([LAST | {"trains": ["head"]}], {}, 'no stage has "encoder" in trains'),
        ([LAST | {"trains": ["encoder"]}], {}, "no stage trains the head"),
        ([LAST, OWN | {"trains": ["pooling"]}], {}, 'no stage with per = "corpus" trains the head'),
    ],
)
def test_stages_that_do_not_fit_are_told(checkpoint, stages, changes, told):
    with pytest.raises(RecipeError, match=told):
        check(recipe(checkpoint, *stages, **changes))


def test_vectors_are_kept_of_corpora_that_have_a_model(checkpoint, data, tmp_path):
    kept = {"test_on": ["ravdess"], "embeddings": ["test", "train"]}
    run = affekt.run(recipe(checkpoint, PAIRS, OWN, **kept), data=data, out=tmp_path / "run")
    rows = json.loads((run / "seed-0/fold-1/embeddings-train.json").read_text())
    assert {row["corpus"] for row in rows} == {"ravdess"}


def test_a_search_needs_a_dev_side_of_every_corpus(checkpoint, data):
    wanted = recipe(checkpoint, TUNED | {"per": "corpus"}, protocol=DEV, folds=["1", "2"])
    corpus, _ = read(wanted, data)
    assert dev.divide(wanted, corpus)
    few = Corpus("few", tuple(u for u in corpus if u.talker not in ("ravdess:03", "ravdess:04")))
    with pytest.raises(ProtocolError, match=r"\(ravdess\).* have no dev side"):
        dev.divide(recipe(checkpoint, TUNED | {"per": "corpus"}, protocol=DEV, folds=[]), few)


def test_a_corpus_that_cannot_name_a_folder_has_no_model_of_its_own(checkpoint, data):
    wanted = recipe(checkpoint, OWN)
    (fold,) = divide(wanted, read(wanted, data)[0])
    named = {s: tuple(replace(u, corpus=f"a/{u.corpus}") for u in getattr(fold, s)) for s in SIDES}
    with pytest.raises(CorpusError, match="'a/emodb' cannot be a folder's name"):
        check_folds(wanted, [replace(fold, **named)])


def test_folds_that_do_not_fit_the_stages_are_told(checkpoint, data):
    def folds(**changes):
        wanted = recipe(checkpoint, *changes.pop("stages"), **changes)
        check_folds(wanted, divide(wanted, read(wanted, data)[0]))

    with pytest.raises(ProtocolError, match=r"stage.0, fold 1: train_on names 'emodbb'.*'emodb'"):
        folds(stages=[LAST | {"train_on": ["emodbb"]}])
    with pytest.raises(ProtocolError, match="train has no utterance of ravdess, but a classifier"):
        folds(stages=[OWN], train_on=["emodb"])
    with pytest.raises(RecipeError, match="give a multiple of 4"):
        folds(stages=[PAIRS | {"batch_size": 6}, OWN])
    with pytest.raises(ProtocolError, match="two corpora at least"):
        folds(stages=[PAIRS, OWN], train_on=["emodb"], test_on=["emodb"])


@pytest.mark.parametrize("family", ["hubert", "hubert-large", "wavlm", "xlsr", "data2vec-audio"])
def test_training_from_the_cached_front_end_is_training_from_the_wave(
    checkpoint, data, tmp_path, monkeypatch, family
):
    encoder = {"name": "speech", "model": str(checkpoint(family)), "trainable": "transformer"}
    wanted = recipe(checkpoint, PAIRS, OWN, encoder=encoder | {"precision": "fp32"})
    cached = affekt.run(wanted, data=data, out=tmp_path / "cached")
    monkeypatch.setattr("affekt.encoders.speech.convolves", lambda _: False)
    live = affekt.run(wanted, data=data, out=tmp_path / "live")
    a, b = predictions.read(cached), predictions.read(live)
    assert [p.id for p in a] == [p.id for p in b]
    for p, q in zip(a, b, strict=True):  # what is cached is rounded to bfloat16
        assert p.probabilities == pytest.approx(q.probabilities, abs=0.02)


def test_whisper_is_trained_from_the_wave(checkpoint, data, tmp_path):
    encoder = {"name": "speech", "model": str(checkpoint("whisper")), "trainable": "transformer"}
    run = affekt.run(recipe(checkpoint, PAIRS, OWN, encoder=encoder), data=data, out=tmp_path / "r")
    names = learnt(Speech(model=str(checkpoint("whisper"))), weights(run, "emodb"))
    assert any("layers.0" in name for name in names)
    assert not any("conv" in name for name in names)


def test_folds_side_by_side_leave_the_same_models(checkpoint, data, tmp_path):
    both = recipe(checkpoint, PAIRS, OWN, folds=["1", "2"])
    one, two = (affekt.run(both, data=data, out=tmp_path / str(n), jobs=n) for n in (1, 2))
    assert not changed(weights(one, "emodb"), weights(two, "emodb"))
    assert (one / "log.csv").read_bytes() == (two / "log.csv").read_bytes()
    assert predictions.read(one) == predictions.read(two)


def test_a_broken_recording_is_left_out_of_all_stages(checkpoint, data, tmp_path):
    broken = sorted((data["emodb"] / "wav").iterdir())[0]
    broken.write_bytes(b"")
    wanted = recipe(checkpoint, PAIRS, OWN, on_error="skip")
    run = affekt.run(wanted, data=data, out=tmp_path / "run")
    assert [s["id"] for s in json.loads((run / "corpus.json").read_text())["skipped"]] == [
        broken.stem
    ]
    assert broken.stem not in {p.id for p in predictions.read(run)}


def test_a_corpus_without_dev_keeps_its_last_epoch_and_the_run_says_so(checkpoint, data):
    wanted = recipe(checkpoint, TUNED | {"per": "corpus"}, protocol=DEV)
    (fold,) = divide(wanted, read(wanted, data)[0])
    assert not notes(wanted, [fold])
    german = replace(fold, dev=tuple(u for u in fold.dev if u.corpus == "emodb"))
    (told,) = notes(wanted, [german])
    assert told.startswith("No dev side in fold(s) 1 (ravdess): the last epoch was kept there")
