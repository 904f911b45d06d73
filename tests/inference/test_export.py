"""What `affekt export` writes: one graph that says what PyTorch says, and what is known of it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

import affekt as library
import exportable
from affekt import trained
from affekt.encoders.frames import Waves
from affekt.errors import ModelError
from affekt.inference import export, parity
from affekt.inference.onnx import judged, load, opened
from affekt.parts import Section
from toy import recipe

CROP = Section(name="crop", seconds=0.8)


def source(folder, name: str = "hubert", **options) -> export.Source:
    changes = {} if name in exportable.SPECTRAL else exportable.FEW
    model = exportable.recogniser(exportable.encoder(name, folder, **changes), **options)
    return export.Source(model=model, labels=exportable.CLASSES, steps=[CROP], temperature=2.0)


@pytest.fixture(scope="module")
def of_mfcc(tmp_path_factory) -> Any:
    """A source with its folder, which is not to be changed."""
    place = tmp_path_factory.mktemp("mfcc")
    made = source(place / "checkpoint", "mfcc", pooling="mean-std", head="mlp")
    (place / "run").mkdir()
    (place / "run/protocol.json").write_text('{"corpus": "emodb"}')
    (place / "run/README.md").write_text("# Card")
    made = replace(made, folder=place / "run")
    export.write(made, place / "out")
    return made, place / "out"


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("hubert", {"pooling": "attentive-correlation"}),
        ("wavlm-large", {"mix": "layer", "head": "deep-wccn", "hidden": 5}),
        ("data2vec-audio", {"pooling": "self-attention"}),
        ("log-mel", {"pooling": "correlation"}),
    ],
)
def test_a_batch_of_onnxruntime_is_what_pytorch_says_of_each_clip(name, options, tmp_path):
    made = source(tmp_path / "checkpoint", name, **options)
    export.write(made, tmp_path / "out")
    waves = exportable.waves(seed=3)
    with torch.no_grad():
        wanted = [made.model(Waves(w[None], torch.tensor([len(w)]))).logits[0] for w in waves]
    lengths = [len(w) for w in waves]
    batch = np.full((len(waves), max(lengths) + 77), 5.0, np.float32)  # loud where nothing is
    for row, wave in zip(batch, waves, strict=True):
        row[: len(wave)] = wave
    found = judged(opened(tmp_path / "out/model.onnx", 1), batch, lengths)
    np.testing.assert_allclose(found, torch.stack(wanted), rtol=1e-4, atol=1e-5)
    assert np.std(found, axis=0).max() > 1e-4


def test_the_folder_says_what_is_in_it(of_mfcc):
    made, folder = of_mfcc
    assert sorted(path.name for path in folder.iterdir()) == [
        *("README.md", "config.json", "model-card.md", "model.onnx"),
        *("parity.json", "protocol.json"),
    ]
    config = json.loads((folder / "config.json").read_text())
    assert [config["id2label"][str(n)] for n in range(4)] == exportable.CLASSES
    assert config["audio"] == [{"name": "crop", "seconds": 0.8}]
    assert (config["temperature"], config["sampling_rate"]) == (2.0, 16000)
    graph = onnx.load(folder / "model.onnx").graph
    assert [entry.name for entry in graph.input] == list(config["inputs"])
    assert [entry.name for entry in graph.output] == list(config["outputs"])
    assert str(Path.cwd()) not in str(graph.node)  # no file of here
    axes = [[d.dim_param for d in e.type.tensor_type.shape.dim] for e in graph.input]
    assert axes == [["batch", "samples"], ["batch"]]


def test_the_parity_report_holds_the_largest_difference_and_agreement(of_mfcc):
    made, folder = of_mfcc
    told = json.loads((folder / "parity.json").read_text())["differences"]
    signals = [signal[: round(0.8 * 16000)] for signal in parity.sounds()]
    session = opened(folder / "model.onnx", 1)
    with torch.no_grad():
        wanted = np.concatenate(
            [
                made.model(Waves(torch.from_numpy(s)[None], torch.tensor([len(s)]))).logits
                for s in signals
            ]
        )
    found = np.concatenate([judged(session, s[None]) for s in signals])
    (one,) = told
    assert one["n"] == len(signals) and one["same_label"] == 1.0
    assert one["largest"] == pytest.approx(np.abs(found - wanted).max(), abs=1e-6)


def test_int8_is_smaller_and_near(tmp_path):
    wide = {"hidden_size": 64, "intermediate_size": 1024}
    heard = exportable.encoder("hubert-large", tmp_path / "c", **exportable.FEW, **wide)
    made = export.Source(model=exportable.recogniser(heard), labels=exportable.CLASSES)
    found = export.write(made, tmp_path / "out", int8=True, clips=parity.sounds()[:2])
    assert [(one.precision, one.signals, one.n) for one in found] == [
        *(("fp32", "made-up sounds", 5), ("int8", "made-up sounds", 5)),
        *(("fp32", "recordings", 2), ("int8", "recordings", 2)),
    ]
    assert 1e-6 < found[1].relative < 0.3
    weights = sum(4 * p.numel() for p in made.model.parameters())
    assert not (tmp_path / "out/model.onnx").exists()
    assert (tmp_path / "out/model.int8.onnx").stat().st_size < 0.6 * weights
    nodes = onnx.load(tmp_path / "out/model.int8.onnx").graph.node
    products = [node for node in nodes if node.op_type == "MatMulInteger"]
    assert len(products) == 10  # a convolution, projections to and from a layer of 6, the head
    kept = [node for node in nodes if node.op_type == "MatMul"]
    scopes = [p.value for node in kept for p in node.metadata_props]
    assert len(scopes) == 1 and "convolution-0" in scopes[0]


def test_a_graph_that_says_something_else_is_an_error_and_leaves_nothing(tmp_path, monkeypatch):
    made = source(tmp_path / "checkpoint", "log-mel")
    true = parity.of_torch
    monkeypatch.setattr(parity, "of_torch", lambda *given: true(*given) * 1.001)
    with pytest.raises(ModelError, match=r"not say what PyTorch says.* 0\.000999 of the"):
        export.write(made, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == []


def test_only_an_export_is_replaced(of_mfcc, tmp_path):
    made, folder = of_mfcc
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters/mine.txt").write_text("dear")
    with pytest.raises(ModelError, match="holds something else"):
        export.write(made, tmp_path / "letters")
    assert (tmp_path / "letters/mine.txt").read_text() == "dear"


def test_the_command_exports_a_run_and_compares_it_on_recordings(
    affekt, own_cache, emodb_of_noise, tmp_path
):
    run = library.run(
        recipe(folds=["03"], audio=[{"name": "crop", "seconds": 0.5}]),
        data={"emodb": emodb_of_noise},
        out=tmp_path / "run",
    )
    code, out, err = affekt("export", run, "--check", emodb_of_noise / "wav")
    assert code == 0, err
    assert "fp32 made-up sounds 5" in out and "fp32 recordings 56" in out
    predictor = load(tmp_path / "run-onnx")
    clip = next((emodb_of_noise / "wav").glob("03*.wav"))
    assert list(predictor.labels) == trained.load(run).classes
    found = {row["label"]: row["score"] for row in predictor(clip)}
    expected = {row["label"]: row["score"] for row in library.Predictor.load(run)(clip)}
    assert found == pytest.approx(expected, abs=1e-3)
