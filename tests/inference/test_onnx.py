"""An exported folder at work: without torch, each recording for itself."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

import exportable
from affekt.audio import Crop, TrimSilence, prepare
from affekt.errors import ModelError
from affekt.inference import export, onnx, parity
from affekt.parts import Section

# Imports that fail, and what may not even be looked for.
WITHOUT = """
import sys

class Refusing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {refused!r}:
            raise ImportError(f"{{name}} is refused")

sys.meta_path.insert(0, Refusing())
from affekt.inference import onnx
from pathlib import Path
predictor = onnx.load(Path({folder!r}))
print(predictor({clip!r})[0]["label"])
print(sorted(set({refused!r}) & {{name.partition(".")[0] for name in sys.modules}}))
"""
REFUSED = ["torch", "transformers", "lightning", "sklearn", "scipy", "pydantic", "jaxtyping"]
REFUSED += ["pyarrow", "joblib", "safetensors", "jinja2", "onnx", "onnxscript", "rich", "typer"]


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> export.Source:
    heard = exportable.encoder("log-mel", tmp_path_factory.mktemp("none"))
    steps = [Section(name="trim-silence"), Section(name="crop", seconds=1.0)]
    return export.Source(
        model=exportable.recogniser(heard, pooling="mean-std"),
        labels=exportable.CLASSES,
        steps=steps,
        temperature=0.5,
    )


@pytest.fixture(scope="module")
def folder(source, tmp_path_factory) -> Path:
    """Not to be changed."""
    place = tmp_path_factory.mktemp("exported") / "model"
    export.write(source, place)
    return place


@pytest.fixture
def clip(tmp_path) -> Path:
    path = tmp_path / "recording.wav"
    soundfile.write(path, parity.sounds()[2], 16000)
    return path


def test_scores_are_the_softmax_of_pytorchs_logits_after_the_steps(source, folder):
    loud = [s[: n * 1600] for n, s in zip((2, 3, 12, 16, 16), parity.sounds(), strict=True)]
    given = [np.concatenate([np.zeros(8000, np.float32), s, s]) for s in loud]
    steps = [TrimSilence(), Crop(seconds=1.0)]
    logits = parity.of_torch(source.model, [prepare(s, steps) for s in given]) / 0.5
    powers = np.exp(logits)
    wanted = powers / powers.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(onnx.load(folder).scores(given), wanted, rtol=1e-3)
    assert np.ptp(wanted, axis=0).max() > 0.01


def test_what_is_said_of_a_signal_depends_on_nothing_else(folder):
    predictor = onnx.load(folder)
    signals = parity.sounds()
    together = predictor.logits(signals)
    assert np.array_equal(together[::-1], predictor.logits(signals[::-1]))
    for signal, row in zip(signals, together, strict=True):
        assert np.array_equal(predictor.logits([signal, signal])[1], row)
        np.testing.assert_allclose(predictor.logits([signal])[0], row, rtol=1e-5, atol=1e-6)


def test_neither_torch_nor_anything_but_numpy_and_sound_is_imported(folder, clip):
    code = WITHOUT.format(refused=REFUSED, folder=str(folder), clip=str(clip))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    label, there = done.stdout.split("\n", 1)
    assert label == onnx.load(folder)(clip)[0]["label"]
    assert there.strip() == "[]"


def test_the_lines_of_the_readme_run_with_onnxruntime_alone(folder, clip):
    text = (folder / "README.md").read_text()
    first = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert first and len(first[1].splitlines()) <= 16
    code = first[1].replace("recording.wav", str(clip))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    wave, _ = soundfile.read(clip, dtype="float32")
    logits = onnx.logits(folder / "model.onnx")([wave])[0] / 0.5
    label, score = done.stdout.split()
    assert label == exportable.CLASSES[logits.argmax()]
    assert float(score) == pytest.approx(1 / np.exp(logits - logits.max()).sum(), rel=1e-5)


def test_a_folder_that_is_none_or_damaged_is_told_of(folder, tmp_path):
    with pytest.raises(ModelError, match="no model of affekt export there"):
        onnx.load(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=r"model\.onnx: no such file"):
        onnx.load(tmp_path)
    (tmp_path / "model.onnx").write_bytes((folder / "model.onnx").read_bytes()[:5000])
    with pytest.raises(ModelError, match="cannot be loaded"):
        onnx.load(tmp_path)
    del config["temperature"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=r"config\.json: not as it was written.*temperature"):
        onnx.load(tmp_path)


def test_a_protocol_is_what_the_model_says_about_itself(source, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/protocol.json").write_text('{"corpus": "emodb"}')
    export.write(replace(source, folder=tmp_path / "run"), tmp_path / "out")
    assert onnx.load(tmp_path / "out").about == {"corpus": "emodb"}
