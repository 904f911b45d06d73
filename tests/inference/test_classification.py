"""Checkpoints of transformers that classify audio: the scores of its pipeline."""

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers as hf

from affekt import Predictor
from affekt.encoders import wave
from affekt.encoders.speech import has_bf16
from affekt.errors import ModelError
from affekt.inference import classification
from checkpoints import DATA2VEC, LARGE, WAVE, WHISPER, rewrite

LABELS = ["angry", "calm", "sad"]
MODELS = {
    "hubert": (hf.HubertConfig, WAVE, hf.HubertForSequenceClassification),
    "hubert-large": (hf.HubertConfig, WAVE | LARGE, hf.HubertForSequenceClassification),
    "wavlm": (hf.WavLMConfig, WAVE, hf.WavLMForSequenceClassification),
    "wavlm-large": (hf.WavLMConfig, WAVE | LARGE, hf.WavLMForSequenceClassification),
    "wav2vec2": (hf.Wav2Vec2Config, WAVE, hf.Wav2Vec2ForSequenceClassification),
    "xlsr": (hf.Wav2Vec2Config, WAVE | LARGE, hf.Wav2Vec2ForSequenceClassification),
    "data2vec": (hf.Data2VecAudioConfig, DATA2VEC, hf.Data2VecAudioForSequenceClassification),
    "unispeech": (hf.UniSpeechSatConfig, WAVE, hf.UniSpeechSatForSequenceClassification),
    "whisper": (hf.WhisperConfig, WHISPER, hf.WhisperForAudioClassification),
}


def saved(folder, name, **values):
    kind, shape, model = MODELS[name]
    torch.manual_seed(0)
    labels = {"id2label": dict(enumerate(LABELS)), "label2id": {x: n for n, x in enumerate(LABELS)}}
    made = model(kind(**(shape | labels | {"classifier_proj_size": 6} | values)))
    with torch.no_grad():
        for key, weight in made.named_parameters():
            if "norm" in key or "layer_weights" in key:
                weight.add_(0.3 * torch.randn_like(weight))
            if "classifier" in key or "projector" in key:
                weight.mul_(20)  # so that scores differ
    made.save_pretrained(folder)
    if name == "whisper":
        hf.WhisperFeatureExtractor(feature_size=80, chunk_length=1).save_pretrained(folder)
    else:
        hf.Wav2Vec2FeatureExtractor().save_pretrained(folder)
    return folder


def clips():
    rng = np.random.default_rng(0)
    return [
        (0.1 * rng.standard_normal(length)).astype(np.float32)
        for length in (16_000, 9_999, 40_000, 4_000, 16_000)
    ]


@pytest.mark.parametrize("wide", [0, 10_000])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_scores_are_those_of_the_pipeline_one_recording_at_a_time(
    name, weighted, wide, tmp_path, monkeypatch
):
    monkeypatch.setattr(wave, "WIDE", wide)
    folder = saved(tmp_path / "model", name, use_weighted_layer_sum=weighted)
    pipeline = hf.pipeline("audio-classification", str(folder), dtype="float32")
    expected = [pipeline(clip, top_k=3) for clip in clips()]
    predictor = classification.load(folder, precision="fp32")
    found = predictor([(clip, 16_000) for clip in clips()])
    spread = [row[0]["score"] for row in expected]
    assert max(spread) - min(spread) > 1e-3
    for ours, theirs in zip(found, expected, strict=True):
        assert [r["label"] for r in ours] == [r["label"] for r in theirs]
        assert [r["score"] for r in ours] == pytest.approx([r["score"] for r in theirs], abs=1e-5)


def test_a_model_of_several_labels_has_the_scores_of_each(tmp_path):
    folder = saved(tmp_path / "m", "hubert", problem_type="multi_label_classification")
    expected = hf.pipeline("audio-classification", str(folder), dtype="float32")(clips()[0])
    found = classification.load(folder, precision="fp32")((clips()[0], 16_000))
    assert [r["score"] for r in found] == pytest.approx([r["score"] for r in expected], abs=1e-5)
    assert sum(r["score"] for r in found) != pytest.approx(1.0)


def test_it_is_loaded_by_the_public_name_and_hears_any_rate(tmp_path):
    predictor = Predictor.load(saved(tmp_path / "m", "hubert"))
    assert list(predictor.labels) == LABELS
    assert len(predictor((np.repeat(clips()[0], 3), 48_000), top_k=2)) == 2


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (lambda w: w.pop("classifier.weight"), "1 weights are missing, so that"),
        (lambda w: w.update(more=w["classifier.bias"].clone()), "left over"),
        (lambda w: w.update({"classifier.bias": torch.zeros(9)}), "of another shape"),
    ],
)
def test_weights_that_would_be_random_are_refused(harm, says, tmp_path):
    folder = saved(tmp_path / "m", "hubert")
    rewrite(folder, harm)
    with pytest.raises(ModelError, match=says):
        Predictor.load(folder)


@pytest.mark.skipif(not has_bf16(torch.device("cpu")), reason="float32 is used as it is mapped")
@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="only Linux says what is mapped")
@pytest.mark.parametrize("wide", [0, 10_000])
@pytest.mark.parametrize("name", ["hubert", "hubert-large", "wavlm", "data2vec"])
def test_in_bf16_the_file_does_not_stay_in_memory(name, wide, tmp_path, monkeypatch):
    monkeypatch.setattr(wave, "WIDE", wide)
    folder = saved(tmp_path / "m", name, use_weighted_layer_sum=True)
    predictor = classification.load(folder, precision="bf16")
    assert str(folder) not in Path("/proc/self/maps").read_text()
    assert predictor((clips()[0], 16_000))


def test_a_bare_encoder_is_no_classifier(checkpoint):
    with pytest.raises(ModelError, match="which classifies no audio"):
        Predictor.load(checkpoint("wavlm"))


def test_a_model_for_another_rate_is_refused(tmp_path):
    folder = saved(tmp_path / "m", "hubert")
    hf.Wav2Vec2FeatureExtractor(sampling_rate=8_000).save_pretrained(folder)
    with pytest.raises(ModelError, match="made for 8000 Hz"):
        Predictor.load(folder)
