"""Words by sounds and sounds by words, with a model that a run left."""

import json

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file, save_file

import affekt
from affekt import Recipe, retrieval, trained
from affekt.encoders.text import Text
from affekt.errors import AudioError, RecipeError, RunError
from affekt.evaluation import predictions

pytestmark = pytest.mark.usefixtures("own_cache")


def recipe(checkpoint, roberta, trainable="none", **changes) -> Recipe:
    text = {"model": str(roberta), "trainable": trainable, "precision": "fp32"}
    return Recipe.parse(
        {
            "corpus": {"name": "emodb", "labels": "4-class"},
            "protocol": {"name": "leave-one-speaker-out"},
            "folds": ["03"],
            "audio": [{"name": "crop", "seconds": 0.3}],
            "encoder": {
                "name": "speech",
                "model": str(checkpoint("hubert")),
                "precision": "fp32",
                "trainable": "none" if trainable == "none" else "transformer",
            },
            "mix": {"name": "layer"},
            "pooling": {"name": "mean"},
            "head": {"name": "clap", "text": text, "dim": 8},
            "stage": [{"objective": {"name": "clap"}, "epochs": 2, "select": "last"}],
        }
        | changes
    )


@pytest.fixture(params=["none", "all"])
def run(checkpoint, roberta, emodb_of_noise, tmp_path, request):
    made = recipe(checkpoint, roberta, request.param)
    return affekt.run(made, data={"emodb": emodb_of_noise}, out=tmp_path / "run")


def test_what_is_loaded_says_what_the_run_said(run, emodb_of_noise):
    model = trained.load(run)
    judged = predictions.read(run)
    clips = [emodb_of_noise / "wav" / f"{p.id}.wav" for p in judged]
    said = []
    for p, rows in zip(judged, retrieval.words(model, clips, []), strict=True):
        assert rows == sorted(rows, key=lambda row: -row.cosine)
        said.append([{row.word: row.share for row in rows}[name] for name in p.probabilities])
    wanted, found = torch.tensor([[*p.probabilities.values()] for p in judged]), torch.tensor(said)
    scale = wanted.std()  # of clips and classes: small, of noise and a random encoder
    assert scale > 0
    assert float((found - wanted).abs().max()) < 0.3 * scale  # frames are cached in bf16


def test_cosines_are_those_of_the_projections(run, emodb_of_noise):
    model = trained.load(run)
    clips = sorted((emodb_of_noise / "wav").iterdir())[:3]
    head = model.model.head
    sentences = ["she sounds glad", "she sounds tired"]
    with torch.no_grad():
        e_t = head.emotion.text((head.prompts.text or Text(head.prompts.options))(sentences))
        for clip, rows in zip(
            clips,
            retrieval.words(model, clips, ["glad", "tired"], "she sounds {emotion}"),
            strict=True,
        ):
            e_a = head.emotion.audio(model.hear([clip])[0].pooled)
            expected = torch.cosine_similarity(e_a, e_t)
            found = {row.word: row.cosine for row in rows}
            assert found == pytest.approx(
                dict(zip(["glad", "tired"], expected.tolist(), strict=True))
            )


def test_the_likest_recording_comes_first(run, emodb_of_noise):
    clips = sorted((emodb_of_noise / "wav").iterdir())[:8]
    found = retrieval.clips(trained.load(run), clips, "anything at all")
    assert {row.clip for row in found} == {*clips}
    assert [row.cosine for row in found] == sorted((r.cosine for r in found), reverse=True)
    assert {row.text for row in found} == {"anything at all"}


def trained_on(made: Recipe, emodb, tmp_path):
    return affekt.run(made, data={"emodb": emodb}, out=tmp_path / "run")


def objects(out: str) -> list[dict]:
    """Lines of JSON, which the fixture has joined."""
    return json.loads(f"[{out.strip().replace('} {', '},{')}]")


def test_the_command_line_asks_and_finds(affekt, run, emodb_of_noise, monkeypatch):
    one = sorted((emodb_of_noise / "wav").iterdir())[0]
    code, out, _ = affekt("ask", run, one, "--word", "glad", "--word", "sad", "--json")
    rows = objects(out)
    assert code == 0
    assert {row["word"] for row in rows} == {"glad", "sad"}
    assert sum(row["share"] for row in rows) == pytest.approx(1.0)
    monkeypatch.chdir(one.parent)
    shown = affekt("ask", run, one.name)[1]
    assert shown.count(one.name) == 1  # in the first of its rows
    assert "Sentence: The emotion is {emotion}; model:" in shown
    assert "how like, not how probable" in shown
    alone = affekt("ask", run, one, "--word", "glad\x1b[2J")[1]
    assert "share" not in alone
    assert "glad\\x1b[2J" in alone
    code, out, _ = affekt("find", run, "someone cries", emodb_of_noise, "--most", "2", "--json")
    assert code == 0
    assert [{*row} for row in objects(out)] == [{"clip", "text", "cosine"}] * 2
    shown = affekt("find", run, "someone cries", emodb_of_noise)[1]
    assert shown.count(".wav") == 10
    assert "compare within this list only" in shown


@pytest.mark.parametrize("run", ["none"], indirect=True)
def test_what_cannot_be_heard_is_told_and_the_rest_is_judged(affekt, run, emodb_of_noise, tmp_path):
    good = sorted((emodb_of_noise / "wav").iterdir())[:2]
    bad = [tmp_path / f"broken-{n}.wav" for n in range(7)]
    for path in bad:
        path.write_bytes(b"RIFF")
    bad.append(tmp_path / "gone.wav")
    for words in (["ask", run], ["find", run, "someone cries"]):
        code, out, err = affekt(*words, *good, *bad, "--json")
        assert code == 3
        assert {row["clip"] for row in objects(out)} == {*map(str, good)}
        assert all(path.name in err for path in bad)
        code, out, err = affekt(*words, *bad)
        assert (code, out) == (1, "")
        assert all(path.name in err for path in bad)


@pytest.mark.parametrize("run", ["none"], indirect=True)
def test_silence_is_told(affekt, run, tmp_path):
    soundfile.write(tmp_path / "still.wav", np.zeros(8000), 16_000)
    code, _, err = affekt("ask", run, tmp_path / "still.wav")
    assert code == 0
    assert "still.wav: silent; its numbers mean nothing" in err


@pytest.mark.parametrize("run", ["none"], indirect=True)
def test_words_of_the_same_tokens_are_told(run, emodb_of_noise):
    clip = next((emodb_of_noise / "wav").iterdir())
    long = "a" * 70 + " {emotion}"  # the text encoder reads 64 tokens
    with pytest.raises(RecipeError, match=r"cannot tell 'glad' \(.*from 'tired' .*same tokens"):
        retrieval.words(trained.load(run), [clip], ["glad", "tired"], long)


@pytest.mark.parametrize("run", ["none"], indirect=True)
def test_paths_may_be_text(run, emodb_of_noise):
    model = trained.load(str(run))
    (clip, *_) = map(str, (emodb_of_noise / "wav").iterdir())
    ((only,),) = retrieval.words(model, [clip], ["tired"])
    assert only.share is None
    assert retrieval.clips(model, [clip], "someone cries")[0].clip == only.clip


def test_what_cannot_be_asked_is_told(affekt, run, emodb_of_noise, tmp_path):
    model = trained.load(run)
    one = sorted((emodb_of_noise / "wav").iterdir())[0]
    with pytest.raises(RecipeError, match="none that is empty"):
        retrieval.words(model, [one], [" "])
    with pytest.raises(RecipeError, match="needs {emotion} once"):
        retrieval.words(model, [one], ["glad"], "she sounds")
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    with pytest.raises(AudioError, match="broken.wav"):
        retrieval.words(model, [tmp_path / "broken.wav"], ["glad"])
    for folder, told in [
        (tmp_path / "emodb", "no run there"),
        ("gemo-clap/emodb/emo", "a recipe, not a run"),
        (run / "seed-0/fold-03", "lies within a run; give .*, and which model with --seed"),
    ]:
        with pytest.raises(RunError, match=told):
            trained.load(folder)
    with pytest.raises(RunError, match="has one model for all its corpora; leave --corpus out"):
        trained.load(run, corpus="emodb")
    with pytest.raises(RunError, match="no fold '3'; it has 03"):
        trained.load(run, fold="3")
    with pytest.raises(RunError, match="no seed '7'; it has 0"):
        trained.load(run, seed=7)
    assert "no such file or folder" in affekt("ask", run, tmp_path / "gone.wav")[2]
    (tmp_path / "empty").mkdir()
    assert "no recording in it" in affekt("ask", run, tmp_path / "empty")[2]
    (run / "recipe.toml").rename(tmp_path / "kept.toml")
    with pytest.raises(RunError, match="a run without its recipe.toml"):
        trained.load(run)
    (tmp_path / "kept.toml").rename(run / "recipe.toml")
    (run / "seed-0/fold-03/model/model.safetensors").write_bytes(b"half")
    with pytest.raises(RunError, match="is damaged"):
        trained.load(run)
    (run / "seed-0/fold-03/model/model.safetensors").unlink()
    with pytest.raises(RunError, match="no model there; run the recipe again"):
        trained.load(run)


def test_a_head_without_sentences_is_told(checkpoint, roberta, emodb_of_noise, tmp_path):
    plain = recipe(
        checkpoint,
        roberta,
        head={"name": "linear"},
        stage=[{"epochs": 1, "select": "last"}],
        encoder={"name": "log-mel", "bands": 8},
    )
    run = affekt.run(plain, data={"emodb": emodb_of_noise}, out=tmp_path / "run")
    model = trained.load(run)
    clip = sorted((emodb_of_noise / "wav").iterdir())[0]
    with pytest.raises(RunError, match="knows no sentences; take a run of a recipe with"):
        retrieval.words(model, [clip], ["glad"])


def test_any_network_is_loaded_as_it_was_judged(emodb_of_noise, checkpoint, roberta, tmp_path):
    plain = recipe(
        checkpoint,
        roberta,
        head={"name": "mlp", "hidden": 4},
        stage=[{"epochs": 1, "select": "last"}],
        encoder={"name": "log-mel", "bands": 8},
    )
    run = affekt.run(plain, data={"emodb": emodb_of_noise}, out=tmp_path / "run")
    model = trained.load(run)
    for p in predictions.read(run):
        (output,) = model.hear([emodb_of_noise / "wav" / f"{p.id}.wav"])
        chances = dict(zip(model.classes, output.logits.softmax(1)[0].tolist(), strict=True))
        assert chances == pytest.approx(p.probabilities, abs=1e-4)


def test_a_model_of_one_corpus_is_named(affekt, checkpoint, roberta, emodb_of_noise, tmp_path):
    stage = {"objective": {"name": "clap"}, "epochs": 1, "select": "last", "per": "corpus"}
    run = trained_on(recipe(checkpoint, roberta, stage=[stage]), emodb_of_noise, tmp_path)
    with pytest.raises(RunError, match="has a model for each corpus; give --corpus emodb"):
        trained.load(run)
    with pytest.raises(RunError, match="no model of 'nemo'; it has emodb"):
        trained.load(run, corpus="nemo")
    clip = sorted((emodb_of_noise / "wav").iterdir())[0]
    assert affekt("ask", run, clip, "--corpus", "emodb")[0] == 0


def test_a_model_without_its_text_encoder_is_refused(checkpoint, roberta, emodb_of_noise, tmp_path):
    run = trained_on(recipe(checkpoint, roberta, "all"), emodb_of_noise, tmp_path)
    file = run / "seed-0/fold-03/model/model.safetensors"
    weights = {n: w for n, w in load_file(file).items() if "prompts.text" not in n}
    save_file(weights, file, {"classes": "angry\nhappy\nneutral\nsad"})
    with pytest.raises(RunError, match="head.prompts.text.* is missing"):
        trained.load(run)
