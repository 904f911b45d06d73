import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from affekt import experiment
from affekt.errors import AudioError
from affekt.evaluation import predictions
from toy import FOREST, recipe

pytestmark = pytest.mark.usefixtures("own_cache")


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


def test_a_listed_recording_that_is_not_there_is_left_out_like_a_broken_one(tmp_path):
    rows = ["file,emotion,speaker"]
    for speaker, emotion in itertools.product("123", ("angry", "sad")):
        name = f"{speaker}{emotion}.wav"
        sound = np.random.default_rng(len(rows)).uniform(-1, 1, 8000)
        soundfile.write(tmp_path / name, sound, 16_000)
        rows.append(f"{name},{emotion},{speaker}")
    (tmp_path / "mine.csv").write_text("\n".join([*rows, "gone.wav,sad,1"]))
    mine = {"corpus": {"name": "manifest"}, "protocol": {"name": "leave-one-speaker-out"}}
    data = {"manifest": tmp_path / "mine.csv"}
    for changes in ({}, FOREST):
        out = tmp_path / f"run{len(changes)}"
        with pytest.raises(AudioError, match=r"1 of 7 recordings [^$]*gone.wav: no such file"):
            experiment.run(recipe(**changes, **mine), data=data, out=out)
        experiment.run(recipe(**changes, **mine, on_error="skip"), data=data, out=out)
        assert len(predictions.read(out)) == 6
