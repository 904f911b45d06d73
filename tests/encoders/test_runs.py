"""Whole runs on a speech encoder."""

import json
import shutil
from pathlib import Path

import pytest

from affekt import experiment
from affekt.errors import AudioError, RunError
from affekt.recipe import Recipe

TOY = {
    "title": "toy",
    "corpus": {"name": "emodb", "labels": "4-class"},
    "protocol": {"name": "leave-one-speaker-out", "dev": "next-speaker"},
    "pooling": {"name": "attentive-correlation", "dim": 4, "heads": 2},
    "stage": [{"epochs": 2}],
}


def toy(**changes) -> Recipe:
    return Recipe.parse(TOY | changes)


pytestmark = pytest.mark.usefixtures("own_cache")


def files(run: Path) -> dict[str, bytes]:
    return {str(f.relative_to(run)): f.read_bytes() for f in run.rglob("predictions.jsonl")}


def test_a_speech_encoder_gives_the_same_bytes_from_a_new_cache(
    emodb_of_noise, checkpoint, tmp_path, monkeypatch
):
    encoder = {"name": "speech", "model": str(checkpoint("wavlm"))}
    made = []
    for place in ("one", "other", "other"):  # the third finds its frames in the cache
        monkeypatch.setenv("AFFEKT_CACHE", str(tmp_path / place))
        out = tmp_path / f"run-{len(made)}"
        experiment.run(toy(encoder=encoder), data={"emodb": emodb_of_noise}, out=out)
        made.append(files(out))
    assert made[0] == made[1] == made[2]


def test_a_run_does_not_go_on_with_another_checkpoint(emodb_of_noise, checkpoints, tmp_path):
    own = checkpoints.save(tmp_path / "own", "hubert")
    changed = toy(encoder={"name": "speech", "model": str(own)})
    out = experiment.run(changed, data={"emodb": emodb_of_noise}, out=tmp_path / "run")
    shutil.rmtree(out / "seed-0" / "fold-03")
    checkpoints.save(own, "hubert", seed=1)
    with pytest.raises(RunError, match="the encoder's checkpoint.* is not the same"):
        experiment.run(changed, data={"emodb": emodb_of_noise}, out=out)


def test_a_recording_that_is_broken_is_skipped_with_a_speech_encoder_too(
    emodb_of_noise, checkpoint, tmp_path
):
    broken = next((emodb_of_noise / "wav").glob("08a01W*.wav"))
    broken.write_bytes(broken.read_bytes()[:100])
    encoder = {"name": "speech", "model": str(checkpoint("hubert"))}
    for trainable in ("none", "all"):
        changed = toy(encoder=encoder | {"trainable": trainable}, on_error="skip")
        out = experiment.run(changed, data={"emodb": emodb_of_noise}, out=tmp_path / trainable)
        skipped = json.loads((out / "corpus.json").read_text())["skipped"]
        assert [Path(s["audio"]).name for s in skipped] == [broken.name]
        with pytest.raises(AudioError, match=broken.name):
            experiment.run(
                changed.model_copy(update={"on_error": "raise"}),
                data={"emodb": emodb_of_noise},
                out=tmp_path / f"{trainable}-raise",
            )


def test_a_report_says_that_its_encoder_heard_the_corpus_in_pre_training(
    emodb_of_noise, checkpoint, tmp_path
):
    heard = shutil.copytree(checkpoint("hubert"), tmp_path / "heard")
    config = json.loads((heard / "config.json").read_text())
    (heard / "config.json").write_text(json.dumps(config | {"heard": ["nemo", "emodb"]}))
    for model, said in ((heard, True), (checkpoint("hubert"), False)):
        encoder = {"name": "speech", "model": str(model)}
        recipe = toy(encoder=encoder, folds=["03"])
        out = experiment.run(recipe, data={"emodb": emodb_of_noise}, out=tmp_path / f"run-{said}")
        assert ("heard emodb in its pre-training" in (out / "report.md").read_text()) == said
